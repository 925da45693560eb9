"""What `/api/docs` says of events: shapes, words and examples, no behaviour."""

from uuid import UUID

from litestar.openapi.spec import Example
from litestar.params import QueryParameter
from msgspec import Struct

from personhood.api.persons_docs import EMAIL_ADDRESS
from personhood.http.envelope import Error
from personhood.http.page import LIMIT_DEFAULT, LIMIT_MAX
from personhood.model import JSON, Properties


class SenderRow(Struct, frozen=True, kw_only=True):
    """The person that an event is of now: one of its distinct ids, and what it may be called."""

    is_identified: bool
    distinct_ids: list[str]
    properties: Properties


class EventRow(Struct, frozen=True, kw_only=True):
    """An event. `person` is null where it is of none."""

    id: UUID
    distinct_id: str
    properties: Properties
    event: str
    timestamp: str
    person: SenderRow | None
    elements: list[JSON]
    elements_chain: str


class EventList(Struct, frozen=True, kw_only=True):
    next: str | None
    results: list[EventRow]


ROW = EventRow(
    id=UUID("0190a1f2-7e2b-7c3d-9a4e-5f6071829304"),
    distinct_id=EMAIL_ADDRESS,
    properties={"$current_url": "https://example.com/pricing", "plan": "scale"},
    event="$pageview",
    timestamp="2024-03-01T09:30:00+00:00",
    person=SenderRow(
        is_identified=True, distinct_ids=[EMAIL_ADDRESS], properties={"email": EMAIL_ADDRESS}
    ),
    elements=[],
    elements_chain="",
)
PAGE = EventList(
    next=(
        "http://127.0.0.1:8000/api/projects/1/events/?limit=1"
        "&before=2024-03-01T09:30:00%2B00:00&cursor=0190a1f2-7e2b-7c3d-9a4e-5f6071829304"
    ),
    results=[ROW],
)
NO_UUID = Error("validation_error", "invalid", "Invalid UUID")
NO_ORDER = 'Events are in the order of ["-timestamp"] or ["timestamp"].'
FAR_OFFSET = "The offset can be 50,000 at most. Follow `next` instead."

LIST = """
Events of the project, the newest first. All filters must hold.

```sh
curl -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/events/?person_id=17&event=$pageview'
```

Follow `next` until it is null: such pages neither skip nor repeat an event, also where many are of
one time. A page of very large events may be shorter than its limit.

Events follow merges and splits at once: an event is of the person that its distinct id belongs to
now. Those of a person that was deleted without them have no person. Quotes around a text among the
properties are not shown.

The oldest first, without `after`: those of the last 24 hours, if they fill a page; else all.

Scope: `query:read`.
"""
RETRIEVE = """
One event by its uuid.

```sh
curl -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/events/0190a1f2-7e2b-7c3d-9a4e-5f6071829304/'
```

Scope: `query:read`.
"""
PERSON_ID = QueryParameter(
    description=(
        "Only events of this person: its `uuid`, its integer `id`, or `distinct_id:<value>`. Of an "
        "unknown person there are none."
    ),
    examples=[Example(value="b44cfe84-13e5-55bd-9d93-03bf32d61790")],
)
DISTINCT_ID = QueryParameter(
    description="Only events sent by this distinct id, not by others of its person.",
    examples=[Example(value=EMAIL_ADDRESS)],
)
EVENT = QueryParameter(
    description="Only events of this name.", examples=[Example(value="$pageview")]
)
PROPERTIES = QueryParameter(
    description=(
        "Filters of the events' own properties, as JSON: the same list or group as for persons, "
        "with the same operators. `type` is `event`, which need not be said."
    ),
    examples=[Example(value='[{"key":"plan","value":["team","scale"],"operator":"exact"}]')],
)
AFTER = QueryParameter(
    description="Only events after this time: ISO 8601 or relative (`-24h`, `-7d`).",
    examples=[Example(value="2024-03-01T00:00:00Z")],
)
BEFORE = QueryParameter(
    description="Only events before this time; five seconds from now without it.",
    examples=[Example(value="2024-03-02T00:00:00Z")],
)
CURSOR = QueryParameter(
    description="As `next` has it: the last event that was seen of the time beside it.",
)
ORDER_BY = QueryParameter(
    name="orderBy",
    description='`["-timestamp"]`, the newest first, or `["timestamp"]`.',
    examples=[Example(value='["-timestamp"]')],
)
LIMIT = QueryParameter(
    description=f"Events on a page; {LIMIT_MAX:,} at most.",
    schema_extra={"type": "integer", "minimum": 0, "default": LIMIT_DEFAULT},
)
OFFSET = QueryParameter(
    description="Events to skip; 50,000 at most.",
    schema_extra={"type": "integer", "minimum": 0, "default": 0},
)
