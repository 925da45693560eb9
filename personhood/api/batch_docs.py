"""What `/api/docs` says of reading many persons: shapes, words and examples, no behaviour."""

from litestar.openapi.spec import Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from msgspec import Struct

from personhood.api.persons_docs import EMAIL_ADDRESS, PERSON
from personhood.api.wire import PersonDetail
from personhood.http.envelope import Error

BATCH_MAX = 200
DISTINCT_IDS_MAX = 10


class PersonsByName(Struct, frozen=True):
    """The persons that were found, each under the name that it was asked for by."""

    results: dict[str, PersonDetail]


FOUND_BY_DISTINCT_IDS = PersonsByName({EMAIL_ADDRESS: PERSON})
FOUND_BY_UUIDS = PersonsByName({str(PERSON.uuid): PERSON})
NOT_STRINGS = Error("validation_error", "invalid_input", "Must be strings.", "distinct_ids")
NOT_UUIDS = Error("validation_error", "invalid_input", "One or more UUIDs are invalid.")

BY_DISTINCT_IDS = f"""
Persons by their distinct ids: a person that several of them lead to is told under each. Ids that
belong to nobody are missing from the answer. Only the first {BATCH_MAX} ids are looked up, and at
most {DISTINCT_IDS_MAX} distinct ids are told of each person.

```sh
curl -X POST -H 'Authorization: Bearer phx_your_key' -H 'Content-Type: application/json' \\
  -d '{{"distinct_ids": ["ada@example.com"]}}' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/batch_by_distinct_ids'
```

Scope: `person:read`.
"""
BY_UUIDS = f"""
Persons by their uuids, under the uuid in lower case and with dashes. Uuids of nobody are missing
from the answer. Only the first {BATCH_MAX} are looked up, and at most {DISTINCT_IDS_MAX} distinct
ids are told of each person.

```sh
curl -X POST -H 'Authorization: Bearer phx_your_key' -H 'Content-Type: application/json' \\
  -d '{{"uuids": ["b44cfe84-13e5-55bd-9d93-03bf32d61790"]}}' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/batch_by_uuids'
```

Scope: `person:read`.
"""

DISTINCT_IDS_BODY = Schema(
    type=OpenAPIType.OBJECT,
    required=["distinct_ids"],
    properties={
        "distinct_ids": Schema(
            type=OpenAPIType.ARRAY,
            items=Schema(type=OpenAPIType.STRING),
            description=f"Whom to look up; the first {BATCH_MAX} count.",
        )
    },
)
DISTINCT_IDS_EXAMPLE = {"distinct_ids": [EMAIL_ADDRESS, "nobody"]}
UUIDS_BODY = Schema(
    type=OpenAPIType.OBJECT,
    required=["uuids"],
    properties={
        "uuids": Schema(
            type=OpenAPIType.ARRAY,
            items=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.UUID),
            description=f"Whom to look up; the first {BATCH_MAX} count.",
        )
    },
)
UUIDS_EXAMPLE = {"uuids": [str(PERSON.uuid)]}
