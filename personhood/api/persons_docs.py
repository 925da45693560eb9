"""What `/api/docs` says of the persons endpoints: words and examples, no behaviour."""

from datetime import UTC, datetime
from uuid import UUID

from litestar.openapi.spec import Example
from litestar.params import QueryParameter

from personhood.api.wire import PersonDetail, PersonList, PersonRow
from personhood.http.envelope import Error
from personhood.http.page import LIMIT_DEFAULT, LIMIT_MAX

ID_MALFORMED = (
    "The ID provided does not look like a personID. If you are using a distinctId, please use "
    "/persons?distinct_id=<id> instead."
)
EMAIL_ADDRESS = "ada@example.com"
PERSON = PersonDetail(
    id=17,
    name=EMAIL_ADDRESS,
    distinct_ids=[EMAIL_ADDRESS, "0190a1f2-7e2b-7c3d-9a4e-5f6071829304"],
    properties={"email": EMAIL_ADDRESS, "name": "Ada Lovelace", "plan": "scale"},
    created_at=datetime(2021, 8, 25, 22, 9, 14, 252000, tzinfo=UTC),
    uuid=UUID("b44cfe84-13e5-55bd-9d93-03bf32d61790"),
    last_seen_at=None,
)
ROW = PersonRow(
    id=PERSON.uuid,
    uuid=PERSON.uuid,
    created_at=PERSON.created_at,
    last_seen_at=PERSON.last_seen_at,
    properties=PERSON.properties,
    is_identified=True,
    name=PERSON.name,
    distinct_ids=PERSON.distinct_ids,
)
PAGE = PersonList(
    results=[ROW],
    next="http://127.0.0.1:8000/api/projects/1/persons/?limit=1&offset=1",
    previous=None,
    count=600,
)

NO_PERSON_ID = Error("validation_error", "invalid_input", ID_MALFORMED)

LIST = f"""
Persons of the project, the newest first. All filters must hold.

```sh
curl -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/?search=ada&limit=20'
```

Follow `next` until it is null; a page is short only if it is the last. Here `id` is the uuid,
unlike where a single person is read. At most {1000:,} distinct ids are shown for each person;
reading the person shows them all.

Scope: `person:read`.
"""

RETRIEVE = """
One person, with all its distinct ids: those that somebody chose first, those that an SDK made up
after them.

```sh
curl -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/17/'
```

A person that was merged into another is gone under its own id. To find a person by a distinct id,
list with `?distinct_id=`.

`ETag` stands for what is shown: send it back in `If-None-Match` to be told 304 while nothing has
changed, or in `If-Match` to change the person only if it is still the one you read.

Scope: `person:read`.
"""

EMAIL = QueryParameter(
    description="Only persons whose property `email` is exactly this.",
    examples=[Example(value=EMAIL_ADDRESS)],
)
DISTINCT_ID = QueryParameter(
    description="Only the person that this distinct id belongs to.",
    examples=[Example(value=EMAIL_ADDRESS)],
)
SEARCH = QueryParameter(
    description=(
        "Only persons with this text, in any letter case, somewhere in the properties `email` or "
        "`name`, the uuid, or a distinct id. `%` and `_` are wildcards."
    ),
    examples=[Example(value="ada")],
)
LIMIT = QueryParameter(
    description=f"Persons on a page; {LIMIT_MAX:,} at most.",
    schema_extra={"type": "integer", "minimum": 0, "default": LIMIT_DEFAULT},
)
OFFSET = QueryParameter(
    description="Persons to skip.",
    schema_extra={"type": "integer", "minimum": 0, "default": 0},
)
INCLUDE_TOTAL = QueryParameter(
    description="Add `count`, how many persons all pages hold. Being there is enough.",
)
FORMAT = QueryParameter(
    name="format",
    description="The form of the answer.",
    schema_extra={"enum": ["json"], "default": "json"},
)
