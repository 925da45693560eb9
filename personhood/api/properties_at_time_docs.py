"""What `/api/docs` says of properties at a moment: shapes, words and examples, no behaviour."""

from datetime import datetime
from uuid import UUID

from litestar.openapi.spec import Example
from litestar.params import QueryParameter
from msgspec import Struct

from personhood.api.persons_docs import EMAIL_ADDRESS, PERSON
from personhood.model import JSON, Properties


class Metadata(Struct, frozen=True, kw_only=True):
    """What was asked, and whose events answered it."""

    queried_timestamp: str
    include_set_once: bool
    distinct_id_used: str | None
    person_id_used: str | None
    query_mode: str
    distinct_ids_queried: list[str]
    distinct_ids_count: int


class PersonAtTime(Struct, frozen=True, kw_only=True):
    """A person as it is now, but for its properties, which are those of then."""

    id: int
    name: JSON
    distinct_ids: list[str]
    properties: Properties
    created_at: datetime
    uuid: UUID
    last_seen_at: datetime | None
    point_in_time_metadata: Metadata


class Failure(Struct, frozen=True):
    """A refusal, in the shape that this endpoint has for it."""

    error: str


EXAMPLE = PersonAtTime(
    id=PERSON.id,
    name=PERSON.name,
    distinct_ids=PERSON.distinct_ids,
    properties={"email": EMAIL_ADDRESS, "plan": "free"},
    created_at=PERSON.created_at,
    uuid=PERSON.uuid,
    last_seen_at=None,
    point_in_time_metadata=Metadata(
        queried_timestamp="2023-06-15T14:30:00+00:00",
        include_set_once=False,
        distinct_id_used=EMAIL_ADDRESS,
        person_id_used=None,
        query_mode="distinct_id",
        distinct_ids_queried=PERSON.distinct_ids,
        distinct_ids_count=len(PERSON.distinct_ids),
    ),
)
BOTH = Failure("Cannot provide both distinct_id and person_id - choose one")
NEITHER = Failure("Must provide either distinct_id or person_id parameter")
NO_TIMESTAMP = Failure("timestamp parameter is required (ISO format: 2023-06-15T14:30:00Z)")
NO_MOMENT = Failure("Invalid timestamp format. Use ISO format like 2023-06-15T14:30:00Z")
NO_PERSON = Failure(f"Person with distinct_id '{EMAIL_ADDRESS}' not found")

AT_TIME = """
A person with the properties that its events had set by a moment: every `$set` of the two years
before it, sent by any of the person's distinct ids, laid over one another in order. `$unset` is
not looked at, and `$set_once` only in events of that name, when it is asked for. Everything but
`properties` is as it is now.

```sh
curl -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/properties_at_time?distinct_id=ada@example.com&timestamp=2023-06-15T14:30:00Z'
```

Of a person with more than 100,000 such events the newest of them count. Refusals are objects with
the one key `error`, unless the key is refused.

Scope: `person:read`.
"""
DISTINCT_ID = QueryParameter(
    description="A distinct id of the person. Either this or `person_id`.",
    examples=[Example(value=EMAIL_ADDRESS)],
)
PERSON_ID = QueryParameter(
    description="The person's `uuid`, its integer `id`, or `distinct_id:<value>`.",
    examples=[Example(value=PERSON.uuid)],
)
TIMESTAMP = QueryParameter(
    description="The moment, in ISO format; in UTC if it names no zone. Required.",
    schema_extra={"format": "date-time"},
    examples=[Example(value="2023-06-15T14:30:00Z")],
)
INCLUDE_SET_ONCE = QueryParameter(
    description="Let events named `$set_once` fill keys that nothing had set.",
    schema_extra={"type": "boolean", "default": False},
)
