"""What `/api/docs` says of a person's history and of what made ids one: words and examples."""

from datetime import UTC, datetime
from uuid import UUID

from litestar.openapi.spec import Example
from litestar.params import QueryParameter
from msgspec import Struct

from personhood.api.persons_docs import PERSON
from personhood.model import JSON

ENTRIES_MAX = 1000


class EventCause(Struct, frozen=True):
    """The event that did it. `name` is null when the event is no longer stored."""

    uuid: UUID
    name: str | None


class KeyCause(Struct, frozen=True):
    """The API key that did it."""

    id: int
    label: str | None


class HistoryPerson(Struct, frozen=True):
    """Whose ledger tells it: the person itself, or one that was merged into it (`merged`)."""

    id: int
    uuid: UUID | None
    merged: bool


class HistoryChange(Struct, frozen=True, kw_only=True):
    """A property got a value (`added`, `changed`), or went (`removed`; `value` is null then)."""

    key: str
    action: str
    value: JSON
    before: JSON
    timestamp: datetime
    recorded_at: datetime
    kind: str
    event: EventCause | None
    distinct_id: str | None
    api_key: KeyCause | None
    person: HistoryPerson
    version: int


class HistoryList(Struct, frozen=True, kw_only=True):
    results: list[HistoryChange]
    next: str | None


class ExplainedLink(Struct, frozen=True, kw_only=True):
    """A merge, with the two persons that it made one; or, without `merge_id`, the event by which
    distinct ids came to one person from the start (`kind` is `created` or `attached`)."""

    kind: str
    merge_id: int | None
    source: HistoryPerson | None
    target: HistoryPerson
    event: EventCause | None
    distinct_id: str | None
    api_key: KeyCause | None
    timestamp: datetime
    recorded_at: datetime
    can_be_undone: bool


class Explanation(Struct, frozen=True, kw_only=True):
    """The links from `a` to `b`, in this order. Without any one of them they were two persons."""

    a: str
    b: str
    results: list[ExplainedLink]


AT = datetime(2026, 5, 4, 11, 59, 58, tzinfo=UTC)
EVENT = EventCause(UUID("0190a1f2-7e2b-7c3d-9a4e-5f6071829305"), "$identify")
HISTORY_PAGE = HistoryList(
    results=[
        HistoryChange(
            key="plan",
            action="changed",
            value="scale",
            before="team",
            timestamp=AT,
            recorded_at=AT,
            kind="set",
            event=EVENT,
            distinct_id="ada@example.com",
            api_key=None,
            person=HistoryPerson(PERSON.id, PERSON.uuid, merged=False),
            version=12,
        )
    ],
    next=None,
)
EXPLAINED = Explanation(
    a="ada@example.com",
    b="0190a1f2-7e2b-7c3d-9a4e-5f6071829304",
    results=[
        ExplainedLink(
            kind="merged",
            merge_id=3,
            source=HistoryPerson(16, UUID("51410cf7-1a40-508b-ba2b-68727dca2a9b"), merged=True),
            target=HistoryPerson(PERSON.id, PERSON.uuid, merged=False),
            event=EVENT,
            distinct_id="ada@example.com",
            api_key=None,
            timestamp=AT,
            recorded_at=AT,
            can_be_undone=True,
        )
    ],
)

HISTORY = """
Every value that a property had, the newest first: when it was set, and by which event, distinct id
or API key. Without `key`, the changes of all properties.

```sh
curl -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/17/history?key=plan'
```

`timestamp` is the time of the event or request, `recorded_at` when it was applied here. Persons
that were merged into this one bring what they had up to then. Values of persons that were deleted
are not told. A page ends after `limit` changes of the person, or some before if they are large;
each has a row for each key. Follow `next` until it is null: no value is skipped or repeated.

Scope: `person:read`.
"""
EXPLAIN = """
Why two distinct ids are one person: the merges that connect them, from `a` to `b`, each with the
event that made it. It is the shortest chain, and the only one: undoing any merge of it parts the
two (`POST …/persons/:id/merges/:merge_id/undo`). Ids that came to one person without a merge have
the events by which they came, without `merge_id`; those are parted by a split.

```sh
curl -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/17/explain?a=ada@example.com&b=device-7'
```

Scope: `person:read`.
"""
KEY = QueryParameter(
    description="The property; all properties if it is left out.",
    examples=[Example(value="plan")],
)
LIMIT = QueryParameter(
    description=f"Changes of the person on a page; {ENTRIES_MAX:,} at most.",
    schema_extra={"type": "integer", "minimum": 0, "default": 100},
)
CURSOR = QueryParameter(description="Where the page begins, as `next` has it.")
A = QueryParameter(
    description="A distinct id of the person.", examples=[Example(value="ada@example.com")]
)
B = QueryParameter(
    description="Another distinct id of the person.", examples=[Example(value="device-7")]
)
