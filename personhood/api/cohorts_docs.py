"""What `/api/docs` says of cohorts: shapes, words and examples, no behaviour."""

from datetime import UTC, datetime
from uuid import UUID

from litestar.openapi.spec import Example, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from litestar.params import QueryParameter
from msgspec import UNSET, Struct, UnsetType

from personhood.api.persons_docs import EMAIL_ADDRESS, PERSON
from personhood.http.envelope import Error
from personhood.http.page import LIMIT_DEFAULT, LIMIT_MAX
from personhood.model import JSON

NAME_CHARACTERS_MAX = 400
DESCRIPTION_CHARACTERS_MAX = 1000
COHORTS_OF_PERSON_MAX = 1000
DISTINCT_IDS_MAX = 10


class CohortMaker(Struct, frozen=True, kw_only=True):
    """The key that made it, by its label and owner."""

    id: int
    first_name: str
    email: str | None


class CohortDetail(Struct, frozen=True, kw_only=True):
    """A cohort in PostHog's words. `unknown_…` are told once, by whoever put persons in."""

    id: int
    name: str
    description: str
    groups: list[JSON] = []
    deleted: bool = False
    filters: JSON
    query: JSON = None
    version: int | None = None
    pending_version: int | None = None
    is_calculating: bool = False
    created_by: CohortMaker | None
    created_at: datetime
    last_calculation: datetime | None = None
    errors_calculating: int = 0
    last_error_message: str | None = None
    count: int
    is_static: bool
    cohort_type: str = "static"
    experiment_set: list[int] = []
    unknown_persons: list[UUID] | UnsetType = UNSET
    unknown_distinct_ids: list[str] | UnsetType = UNSET


class CohortList(Struct, frozen=True, kw_only=True):
    """A page of cohorts, where its neighbours are, and how many there are on all pages."""

    count: int
    next: str | None
    previous: str | None
    results: list[CohortDetail]


class PersonsCohort(Struct, frozen=True):
    """A cohort that a person is in, and how many are in it."""

    id: int
    name: str
    count: int


class PersonsCohorts(Struct, frozen=True):
    results: list[PersonsCohort]


class Added(Struct, frozen=True, kw_only=True):
    """Done, but for those that are nobody's."""

    success: bool = True
    unknown_persons: list[UUID] = []
    unknown_distinct_ids: list[str] = []


class Removed(Struct, frozen=True):
    """The person is not in the cohort."""

    success: bool = True


AT = datetime(2026, 5, 4, 11, 59, 58, tzinfo=UTC)
COHORT = CohortDetail(
    id=4,
    name="Beta testers",
    description="Whoever asked for it in spring.",
    filters=None,
    created_by=CohortMaker(id=1, first_name="backend", email=EMAIL_ADDRESS),
    created_at=AT,
    count=2,
    is_static=True,
)
CREATED = CohortDetail(
    id=4,
    name="Beta testers",
    description="",
    filters=None,
    created_by=COHORT.created_by,
    created_at=AT,
    count=2,
    is_static=True,
    unknown_persons=[],
    unknown_distinct_ids=["nobody"],
)
PAGE = CohortList(count=1, next=None, previous=None, results=[COHORT])
OF_PERSON = PersonsCohorts([PersonsCohort(4, "Beta testers", 2)])
ADDED = Added(unknown_persons=[UUID("51410cf7-1a40-508b-ba2b-68727dca2a9b")])

NO_NAME = Error("validation_error", "required", "This field is required.", "name")
NO_PERSON_ID = Error(
    "validation_error", "required", "This query parameter is required.", "person_id"
)
NO_LIST = Error("validation_error", "invalid_input", "person_ids must be a list", None)
NO_ID = Error("validation_error", "invalid_input", "person_id is required", None)

OF_PERSON_TEXT = f"""
The cohorts that a person is in, the oldest first, and how many persons are in each. At most
{COHORTS_OF_PERSON_MAX:,} are told.

```sh
curl -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/cohorts?person_id=17'
```

Scopes: `person:read` and `cohort:read`.
"""
LIST = """
Cohorts of the project, the newest first.

```sh
curl -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/cohorts/'
```

Scope: `cohort:read`.
"""
CREATE = """
Make a static cohort: of the persons that `persons` (uuids) and `distinct_ids` name, or of those
that `filters` find now, with the property filters of the list of persons. Without any of these it
is empty. Names that lead to nobody are told and left out.

```sh
curl -X POST -H 'Authorization: Bearer phx_your_key' -H 'Content-Type: application/json' \\
  -d '{"name": "Beta testers", "is_static": true, "distinct_ids": ["ada@example.com"]}' \\
  'http://127.0.0.1:8000/api/projects/@current/cohorts/'
```

A member that is merged counts as the person that it became; deleting a person takes it out.

Scope: `cohort:write`.
"""
RETRIEVE = """
One cohort, and how many persons are in it now.

```sh
curl -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/cohorts/4/'
```

Scope: `cohort:read`.
"""
UPDATE = """
Give a cohort another `name` or `description`; `"deleted": true` deletes it. Everything else in the
body is ignored, so a cohort can be sent back as it was read. `PUT` does the same.

```sh
curl -X PATCH -H 'Authorization: Bearer phx_your_key' -H 'Content-Type: application/json' \\
  -d '{"name": "Spring testers"}' \\
  'http://127.0.0.1:8000/api/projects/@current/cohorts/4/'
```

Scope: `cohort:write`.
"""
DELETE = """
Delete a cohort. Its persons stay as they are.

```sh
curl -X DELETE -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/cohorts/4/'
```

Scope: `cohort:write`.
"""
PERSONS = f"""
The persons in a cohort, the newest first; at most {DISTINCT_IDS_MAX} distinct ids are told of each.

```sh
curl -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/cohorts/4/persons?limit=20'
```

Scopes: `cohort:read` and `person:read`.
"""
ADD = """
Put persons into a static cohort: `person_ids` are uuids, `distinct_ids` may be given beside them or
in their place. Those that are in it already stay. `PATCH` does the same.

```sh
curl -X POST -H 'Authorization: Bearer phx_your_key' -H 'Content-Type: application/json' \\
  -d '{"person_ids": ["b44cfe84-13e5-55bd-9d93-03bf32d61790"]}' \\
  'http://127.0.0.1:8000/api/projects/@current/cohorts/4/add_persons_to_static_cohort'
```

Scope: `cohort:write`.
"""
REMOVE = """
Take one person out of a static cohort. It need not be in it. `PATCH` does the same.

```sh
curl -X POST -H 'Authorization: Bearer phx_your_key' -H 'Content-Type: application/json' \\
  -d '{"person_id": "b44cfe84-13e5-55bd-9d93-03bf32d61790"}' \\
  'http://127.0.0.1:8000/api/projects/@current/cohorts/4/remove_person_from_static_cohort'
```

Scope: `cohort:write`.
"""

TEXT = Schema(type=OpenAPIType.STRING)
UUID_TEXT = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.UUID)


def list_of(items: Schema, description: str) -> Schema:
    return Schema(type=OpenAPIType.ARRAY, items=items, description=description)


NAME = Schema(
    type=OpenAPIType.STRING, min_length=1, max_length=NAME_CHARACTERS_MAX, description="Its name."
)
DESCRIPTION = Schema(
    type=OpenAPIType.STRING,
    max_length=DESCRIPTION_CHARACTERS_MAX,
    description="What it is for.",
)
CREATE_BODY = Schema(
    type=OpenAPIType.OBJECT,
    required=["name"],
    properties={
        "name": NAME,
        "description": DESCRIPTION,
        "is_static": Schema(
            type=OpenAPIType.BOOLEAN, default=True, description="Only true: there are no others."
        ),
        "persons": list_of(UUID_TEXT, "The uuids of persons."),
        "distinct_ids": list_of(TEXT, "Distinct ids of persons."),
        "filters": Schema(
            type=OpenAPIType.OBJECT,
            properties={
                "properties": Schema(description="A group of property filters, or a list of them.")
            },
            description="In place of lists: whoever fits these filters at this moment.",
        ),
    },
)
CREATE_EXAMPLE = {
    "name": "Beta testers",
    "is_static": True,
    "persons": [str(PERSON.uuid)],
    "distinct_ids": [EMAIL_ADDRESS, "nobody"],
}
UPDATE_BODY = Schema(
    type=OpenAPIType.OBJECT,
    properties={
        "name": NAME,
        "description": DESCRIPTION,
        "deleted": Schema(type=OpenAPIType.BOOLEAN, description="True deletes it."),
    },
)
UPDATE_EXAMPLE = {"name": "Spring testers"}
ADD_BODY = Schema(
    type=OpenAPIType.OBJECT,
    properties={
        "person_ids": list_of(UUID_TEXT, "The uuids of persons."),
        "distinct_ids": list_of(TEXT, "Distinct ids of persons."),
    },
)
ADD_EXAMPLE = {"person_ids": [str(PERSON.uuid)]}
REMOVE_BODY = Schema(
    type=OpenAPIType.OBJECT,
    required=["person_id"],
    properties={"person_id": Schema(type=OpenAPIType.STRING, description="The person's uuid.")},
)
REMOVE_EXAMPLE = {"person_id": str(PERSON.uuid)}

PERSON_ID = QueryParameter(
    description="The person's `uuid`, its integer `id`, or `distinct_id:<value>`. Required.",
    examples=[Example(value=PERSON.uuid)],
)
SEARCH = QueryParameter(
    description="Only cohorts with this text in their name, in any letter case.",
    examples=[Example(value="beta")],
)
LIMIT = QueryParameter(
    description=f"Cohorts on a page; {LIMIT_MAX:,} at most.",
    schema_extra={"type": "integer", "minimum": 0, "default": LIMIT_DEFAULT},
)
OFFSET = QueryParameter(
    description="Cohorts to skip.",
    schema_extra={"type": "integer", "minimum": 0, "default": 0},
)
