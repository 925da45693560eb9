"""What `/api/docs` says of splits: words and examples, no behaviour."""

from datetime import UTC, datetime
from uuid import UUID

from litestar.openapi.spec import Example, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import QueryParameter
from msgspec import Struct

from personhood.api.persons_docs import EMAIL_ADDRESS, PERSON
from personhood.http.envelope import Error
from personhood.model import JSON, Properties


class SplitSide(Struct, frozen=True, kw_only=True):
    """A person as a split leaves or makes it.

    Before it is made, a new one has no `id`, and no `uuid` if that will be by chance.
    """

    id: int | None
    uuid: UUID | None
    name: JSON
    distinct_ids: list[str]
    properties: Properties
    is_identified: bool
    created_at: datetime
    last_seen_at: datetime | None


class SplitDone(Struct, frozen=True, kw_only=True):
    """The person that stays, and those that the others became. Without a split there is no id."""

    success: bool
    dry_run: bool
    split_id: int | None
    kept: SplitSide
    persons: list[SplitSide]


class SplitMove(Struct, frozen=True, kw_only=True):
    """A distinct id that left, and its person, unless that was merged or deleted since."""

    distinct_id: str | None
    person_id: int
    person_uuid: UUID | None


class SplitRow(Struct, frozen=True, kw_only=True):
    """A split in force. `moved` are the first hundred that left."""

    id: int
    timestamp: datetime
    moved: list[SplitMove]


class SplitList(Struct, frozen=True, kw_only=True):
    results: list[SplitRow]
    next: str | None
    previous: str | None


class UndoneSplit(Struct, frozen=True, kw_only=True):
    """The person, whole again, and the distinct ids that came back to it."""

    preview: bool
    person: SplitSide
    returned: list[str]


AT = datetime(2026, 5, 4, 11, 59, 58, tzinfo=UTC)
ANONYMOUS = "0190a1f2-7e2b-7c3d-9a4e-5f6071829304"
KEPT = SplitSide(
    id=PERSON.id,
    uuid=PERSON.uuid,
    name=PERSON.name,
    distinct_ids=[EMAIL_ADDRESS],
    properties=PERSON.properties,
    is_identified=True,
    created_at=PERSON.created_at,
    last_seen_at=None,
)
MADE = SplitSide(
    id=23,
    uuid=UUID("51410cf7-1a40-508b-ba2b-68727dca2a9b"),
    name=ANONYMOUS,
    distinct_ids=[ANONYMOUS],
    properties={"$initial_utm_source": "newsletter"},
    is_identified=False,
    created_at=PERSON.created_at,
    last_seen_at=None,
)
DONE = SplitDone(success=True, dry_run=False, split_id=5, kept=KEPT, persons=[MADE])
WHOLE = SplitSide(
    id=PERSON.id,
    uuid=PERSON.uuid,
    name=PERSON.name,
    distinct_ids=PERSON.distinct_ids,
    properties=PERSON.properties,
    is_identified=True,
    created_at=PERSON.created_at,
    last_seen_at=None,
)
UNDONE = UndoneSplit(preview=False, person=WHOLE, returned=[ANONYMOUS])
PAGE = SplitList(
    results=[
        SplitRow(
            id=5,
            timestamp=AT,
            moved=[SplitMove(distinct_id=ANONYMOUS, person_id=23, person_uuid=MADE.uuid)],
        )
    ],
    next=None,
    previous=None,
)
NOT_ON_THIS_PERSON = Error(
    "validation_error", "invalid_input", "not on this person: ['x']", "distinct_ids_to_split"
)

SPLIT = """
Give distinct ids of a person persons of their own.

* With `distinct_ids_to_split` each of the listed ids leaves, all others stay. At least one has to.
* Without it every id leaves but one: `main_distinct_id`, or else the first that the person had. A
  person of one id stays as it is.

Each side gets the properties that its own ids set, as if they had been apart all the time, and
`created_at`, `last_seen_at` and the events likewise. An id that was a person before it was merged
is that person again. The person that is split keeps its `id` and `uuid`, whoever leaves. At most
10,000 ids leave at a time; of those that stay, 1,000 are shown.

```sh
curl -X POST -H 'Authorization: Bearer phx_your_key' -H 'Content-Type: application/json' \\
  -d '{"main_distinct_id": "ada@example.com"}' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/17/split/'
```

`dry_run=true` shows each side and changes nothing. A split can be undone. Parameters may be in the
body or the query.

Scope: `person:write`.
"""
LIST = """
The splits of a person that are in force, the newest first.

```sh
curl -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/17/splits'
```

Scope: `person:read`.
"""
UNDO = """
Bring the persons of a split together again, as if they had never been apart: what has been written
since is kept, and of one key the later write. `preview=true` shows the person and changes nothing.

If one of them has been merged, split or deleted since, the answer is 409 and says what has to be
undone first.

```sh
curl -X POST -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/17/splits/5/undo?preview=true'
```

Scope: `person:write`.
"""

BODY = Schema(
    type=OpenAPIType.OBJECT,
    properties={
        "main_distinct_id": Schema(
            type=OpenAPIType.STRING,
            description="The one that stays when all others leave.",
        ),
        "distinct_ids_to_split": Schema(
            type=OpenAPIType.ARRAY,
            items=Schema(type=OpenAPIType.STRING),
            description="The ones that leave.",
        ),
        "dry_run": Schema(type=OpenAPIType.BOOLEAN, description="Only show each side."),
    },
)
BODY_EXAMPLE = {"distinct_ids_to_split": [ANONYMOUS]}

MAIN = QueryParameter(
    description="The id that stays when all others leave, if the body does not tell it.",
    examples=[Example(value=EMAIL_ADDRESS)],
)
LISTED = QueryParameter(
    description="An id that leaves, if the body does not tell them. May be given several times.",
    examples=[Example(value=[ANONYMOUS])],
    schema_extra={"type": OpenAPIType.ARRAY, "items": Schema(type=OpenAPIType.STRING)},
)
DRY_RUN = QueryParameter(
    description="Show each side, and change nothing. May be given in the body too.",
    schema_extra={"type": "boolean", "default": False},
)
PREVIEW = QueryParameter(
    description="Show what would come of it, and change nothing. May be given in the body too.",
    schema_extra={"type": "boolean", "default": False},
)
