"""What `/api/docs` says of the persons behind insights: words and examples, no behaviour."""

from datetime import UTC, datetime

from litestar.openapi.spec import Example, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import QueryParameter
from msgspec import Struct

from personhood.api.wire import PersonRow


class People(Struct, frozen=True):
    """Who is behind one figure."""

    people: list[PersonRow] = []
    count: int = 0


class Actors(Struct, frozen=True, kw_only=True):
    results: list[People]
    next: str | None


class CachedActors(Actors, frozen=True, kw_only=True):
    initial: str
    missing_persons: int
    is_cached: bool
    last_refresh: datetime


class Missing(Struct, frozen=True):
    """A refusal, in the shape that these endpoints have for it."""

    message: str
    detail: str


NOBODY = Actors(results=[People()], next=None)
CACHED = CachedActors(
    results=[People()],
    next=None,
    initial="http://127.0.0.1:8000/api/projects/1/persons/trends?offset=0",
    missing_persons=0,
    is_cached=False,
    last_refresh=datetime(2026, 5, 4, 11, 59, 58, tzinfo=UTC),
)
NO_DATE = Missing("Missing parameter", "Must include specified date")
NO_TYPE = Missing("Missing parameter", "Must include lifecycle type")

WORDS = """
The persons behind a figure of {insight}, for older clients. There are no insights here, so the
list is empty, whatever else is asked.

```sh
curl -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/{example}'
```

Scope: `person:read`.
"""
INSIGHT = WORDS.format(insight="a funnel or a trend", example="trends?entity_id=%24pageview")
STICKINESS = WORDS.format(insight="stickiness", example="stickiness")
LIFECYCLE = WORDS.format(
    insight="a lifecycle", example="lifecycle?target_date=2026-05-04&lifecycle_type=new"
)
INSIGHT_POST = """
The same, with the filter of the funnel in the body.

```sh
curl -X POST -H 'Authorization: Bearer phx_your_key' -H 'Content-Type: application/json' \\
  -d '{"funnel_step": 1}' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/funnel'
```

Scope: `person:read`.
"""
BODY = Schema(
    type=OpenAPIType.OBJECT, additional_properties=True, description="A funnel; it is not read."
)
BODY_EXAMPLE = {"funnel_step": 1}
TARGET_DATE = QueryParameter(
    description="The day of the figure. Required.", examples=[Example(value="2026-05-04")]
)
LIFECYCLE_TYPE = QueryParameter(
    description="The kind of the figure. Required.",
    schema_extra={"enum": ["new", "returning", "resurrecting", "dormant"]},
)
