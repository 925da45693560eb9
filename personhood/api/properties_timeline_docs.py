"""What `/api/docs` says of timelines: shapes, words and examples, no behaviour."""

from datetime import UTC, datetime

from litestar.openapi.spec import Example
from litestar.params import QueryParameter
from msgspec import Struct

from personhood.ledger.timeline import POINTS_MAX
from personhood.model import Properties
from personhood.timeline.question import GROUP_TYPES
from personhood.timeline.window import INTERVALS, NO_SERIES


class Point(Struct, frozen=True, kw_only=True):
    """Where the properties became something else, and how many events found them so."""

    timestamp: datetime
    properties: Properties
    relevant_event_count: int


class Timeline(Struct, frozen=True, kw_only=True):
    points: list[Point]
    crucial_property_keys: list[str]
    effective_date_from: str
    effective_date_to: str


EXAMPLE = Timeline(
    points=[
        Point(
            timestamp=datetime(2024, 3, 1, 9, 30, tzinfo=UTC),
            properties={"email": "ada@example.com", "plan": "free"},
            relevant_event_count=31,
        ),
        Point(
            timestamp=datetime(2024, 3, 4, 16, 2, 11, tzinfo=UTC),
            properties={"email": "ada@example.com", "plan": "scale"},
            relevant_event_count=8,
        ),
    ],
    crucial_property_keys=["plan"],
    effective_date_from="2024-03-01T00:00:00+00:00",
    effective_date_to="2024-03-07T23:59:59.999999+00:00",
)

TIMELINE = f"""
The events of a person in the order of their time, cut wherever one of its *crucial* properties
became another. Each point is the first event of such a stretch: when it was, all properties that
the person had at that event, and how many events there are until the next point.

```sh
curl -G -H 'Authorization: Bearer phx_your_key' \\
  --data-urlencode 'events=[{{"id":"$pageview"}}]' \\
  --data-urlencode 'properties=[{{"key":"plan","type":"person"}}]' -d date_from=-30d \\
  'http://127.0.0.1:8000/api/projects/@current/persons/17/properties_timeline'
```

Crucial are the keys that filters of type `person` name, in `properties` or inside an entity, and
those of a breakdown by person. The filters select nothing: what they ask for is not looked at.
Without crucial properties there is one point, which counts everything.

What an event showed stays what it was, whatever is changed later. Events count that were this
person's when they came: those that a merged person had before the merge are not among them.
Comparison is by text, so 123 and "123" are the same. As CSV, the rows are the points.

A window with more than {POINTS_MAX:,} points is refused.

Scope: `person:read`.
"""
EVENTS = QueryParameter(
    description=(
        "A JSON list of events that count, by their name as `id`. Without any, and with an `id` "
        "of null, all do."
    ),
    examples=[Example(value='[{"id":"$pageview"}]')],
)
ACTIONS = QueryParameter(
    description=(
        "A JSON list of actions that count beside the events. There are none to be defined here, "
        "so no event is one of them."
    ),
    examples=[Example(value="[]")],
)
PROPERTIES = QueryParameter(
    description="Property filters as JSON, a list or a group. Those of a person name crucial keys.",
    examples=[Example(value='[{"key":"plan","type":"person"}]')],
)
BREAKDOWN = QueryParameter(
    description="A crucial key, or a JSON list of them, if `breakdown_type` is `person`.",
    examples=[Example(value="plan")],
)
BREAKDOWN_TYPE = QueryParameter(
    description="What the breakdown is by; only `person` counts.",
    examples=[Example(value="person")],
)
GROUP = QueryParameter(
    description=(
        "Tell of the groups of this type that the events name, not of the person: crucial are the "
        "keys of filters of type `group` with this `group_type_index`. Groups keep no history: "
        "they show as they are now."
    ),
    schema_extra={"type": "integer", "minimum": 0, "maximum": GROUP_TYPES - 1},
)
DATE_FROM = QueryParameter(
    description=(
        "Where it begins: ISO 8601, relative (`-7d`, `-1mStart`, `dStart`), or `all` for the "
        "person's first event. Seven days ago without it. In the project's time zone."
    ),
    examples=[Example(value="-30d")],
)
DATE_TO = QueryParameter(
    description=(
        "Where it ends; now without it. If it is the same text as `date_from`, one interval. Whole "
        "days are meant, but where the interval is an hour."
    ),
    examples=[Example(value="2024-03-07")],
)
INTERVAL = QueryParameter(
    description="What equal dates span, and what times are rounded to.",
    schema_extra={"enum": list(INTERVALS), "default": "day"},
)
DISPLAY = QueryParameter(
    description=(
        "How it is drawn. For those without an axis of time equal dates are one day: "
        f"{', '.join(NO_SERIES)}."
    ),
    examples=[Example(value="ActionsLineGraph")],
)
EXPLICIT_DATE = QueryParameter(
    description="Take the times as they are, and round nothing.",
    schema_extra={"type": "boolean", "default": False},
)
