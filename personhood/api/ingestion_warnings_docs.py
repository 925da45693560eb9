"""What `/api/docs` says of ingestion warnings: shapes, words and examples, no behaviour."""

from datetime import UTC, datetime
from uuid import UUID

from litestar.openapi.spec import Example
from litestar.params import QueryParameter
from msgspec import UNSET, Struct, UnsetType

from personhood.http.envelope import Error
from personhood.http.page import LIMIT_DEFAULT, LIMIT_MAX
from personhood.model import Properties


class WarningRow(Struct, frozen=True, kw_only=True):
    """One warning. `details` are as its type documents; no event is named where none was stored."""

    id: int
    type: str
    category: str
    severity: str
    details: Properties
    event_uuid: UUID | None
    timestamp: datetime


class WarningList(Struct, frozen=True, kw_only=True):
    """A page of warnings, and where its neighbours are; `count` only when it was asked for."""

    results: list[WarningRow]
    next: str | None
    previous: str | None
    count: int | UnsetType = UNSET


EVENT_UUID_EXAMPLE = "0190a1f2-7e2b-7c3d-9a4e-5f6071829304"
MOMENT = "2024-05-01T12:00:00Z"
PAGE = WarningList(
    results=[
        WarningRow(
            id=318,
            type="cannot_merge_already_identified",
            category="merge",
            severity="warning",
            details={
                "sourcePersonDistinctId": "ada@example.com",
                "targetPersonDistinctId": "grace@example.com",
                "distinctId": "grace@example.com",
                "eventUuid": EVENT_UUID_EXAMPLE,
                "personId": "b44cfe84-13e5-55bd-9d93-03bf32d61790",
                "otherPersonId": "6931a681-6e90-500d-8294-14582dcc2e3f",
            },
            event_uuid=UUID(EVENT_UUID_EXAMPLE),
            timestamp=datetime(2024, 5, 1, 11, 58, 3, 20000, tzinfo=UTC),
        )
    ],
    next=(
        "http://127.0.0.1:8000/api/projects/1/ingestion_warnings/"
        "?limit=1&cursor=2024-05-01T11:58:03.020000Z_318"
    ),
    previous=None,
    count=7,
)

NO_MOMENT = "Expected a date and time such as 2024-05-01T12:00:00Z."
BAD_MOMENT = Error("validation_error", "invalid_input", NO_MOMENT, "after")

LIST = """
What was odd about the project's events: merges that were refused, values that did not fit, events
that were dropped. The newest are first; all filters must hold.

```sh
curl -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/ingestion_warnings/?type=empty_batch&limit=20'
```

Follow `next` until it is null. It holds a `cursor`, so that warnings which come meanwhile move
nothing; with `offset`, it holds the next `offset` instead. `severity` is `error` where an event was
lost, `warning` where it was stored but not all that it asked for was done, else `info`. Old
warnings are swept.

Scope: `ingestion_warning:read`.
"""

TYPE = QueryParameter(
    description="Only warnings of exactly this type.",
    examples=[Example(value="cannot_merge_already_identified")],
)
EVENT_UUID = QueryParameter(
    description="Only warnings about the event with this uuid.",
    schema_extra={"format": "uuid"},
    examples=[Example(value=EVENT_UUID_EXAMPLE)],
)
AFTER = QueryParameter(
    description="Only warnings later than this; without a zone it is in the project's.",
    schema_extra={"format": "date-time"},
    examples=[Example(value=MOMENT)],
)
BEFORE = QueryParameter(
    description="Only warnings earlier than this; without a zone it is in the project's.",
    schema_extra={"format": "date-time"},
    examples=[Example(value=MOMENT)],
)
LIMIT = QueryParameter(
    description=f"Warnings on a page; {LIMIT_MAX:,} at most.",
    schema_extra={"type": "integer", "minimum": 0, "default": LIMIT_DEFAULT},
)
OFFSET = QueryParameter(
    description="Warnings to skip. Not together with `cursor`.",
    schema_extra={"type": "integer", "minimum": 0, "default": 0},
)
CURSOR = QueryParameter(description="Where the page begins, as a `next` tells it.")
INCLUDE_TOTAL = QueryParameter(
    description="Add `count`, how many warnings all pages hold. Being there is enough.",
)
