"""What `/api/docs` says of merges: words and examples, no behaviour."""

from datetime import UTC, datetime
from uuid import UUID

from litestar.params import QueryParameter
from msgspec import UNSET, Struct
from msgspec.structs import replace

from personhood.api.persons_docs import PERSON
from personhood.api.wire import PersonDetail


class MergedPerson(Struct, frozen=True):
    """A person as it was called when it merged."""

    id: int
    uuid: UUID


class MergeRow(Struct, frozen=True, kw_only=True):
    """A merge in force: `source` was absorbed, `target` survived. `event_uuid` made the claim."""

    id: int
    source: MergedPerson
    target: MergedPerson
    timestamp: datetime
    recorded_at: datetime
    event_uuid: UUID | None


class MergeList(Struct, frozen=True, kw_only=True):
    results: list[MergeRow]
    next: str | None
    previous: str | None


class UndoneMerge(Struct, frozen=True, kw_only=True):
    """The person that stays and the one that is free again; nothing was done in a preview."""

    preview: bool
    kept: PersonDetail
    freed: PersonDetail


AT = datetime(2026, 5, 4, 11, 59, 58, tzinfo=UTC)
FREED = PersonDetail(
    id=16,
    name="0190a1f2-7e2b-7c3d-9a4e-5f6071829304",
    distinct_ids=["0190a1f2-7e2b-7c3d-9a4e-5f6071829304"],
    properties={"$initial_utm_source": "newsletter"},
    created_at=PERSON.created_at,
    uuid=UUID("51410cf7-1a40-508b-ba2b-68727dca2a9b"),
    last_seen_at=None,
)
PAGE = MergeList(
    results=[
        MergeRow(
            id=3,
            source=MergedPerson(FREED.id, FREED.uuid),
            target=MergedPerson(PERSON.id, PERSON.uuid),
            timestamp=AT,
            recorded_at=AT,
            event_uuid=UUID("0190a1f2-7e2b-7c3d-9a4e-5f6071829305"),
        )
    ],
    next=None,
    previous=None,
)
UNDONE = UndoneMerge(preview=False, kept=replace(PERSON, recordings_count=UNSET), freed=FREED)

LIST = """
The merges that made a person what it is, the newest first: those of its own, and those of persons
that it absorbed.

```sh
curl -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/17/merges'
```

Scope: `person:read`.
"""
UNDO = """
Take two persons apart again. Each gets back its distinct ids, its properties, `created_at` and
events; what was written since stays with the side whose distinct id sent it. Merges can be undone
in any order. `preview=true` shows the two persons and changes nothing.

Of each person at most 1,000 distinct ids are shown, the oldest. What happened since the merge is
gone through again, so this takes seconds where that are hundreds of thousands of events; of a
person that more than 100,000 merges made none can be undone (409).

```sh
curl -X POST -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/17/merges/3/undo?preview=true'
```

Scope: `person:write`.
"""
PREVIEW = QueryParameter(
    description="Show what would come of it, and change nothing. May be given in the body too.",
    schema_extra={"type": "boolean", "default": False},
)
