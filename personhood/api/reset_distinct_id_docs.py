"""What `/api/docs` says of resetting a distinct id: words and examples, no behaviour."""

from litestar.openapi.spec import Schema
from litestar.openapi.spec.enums import OpenAPIType
from msgspec import Struct

from personhood.api.persons_docs import EMAIL_ADDRESS
from personhood.http.envelope import Error


class Done(Struct, frozen=True):
    """It is done."""

    success: bool = True


NO_DISTINCT_ID = Error("validation_error", "invalid_input", "distinct_id is required")

RESET = """
Make the distinct id of a deleted person usable again. Here it is usable from the moment of the
deletion, by a new person with nothing of the old one; so nothing is done, for unknown ids as well,
and clients that ask for it go on working.

```sh
curl -X POST -H 'Authorization: Bearer phx_your_key' -H 'Content-Type: application/json' \\
  -d '{"distinct_id": "ada@example.com"}' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/reset_person_distinct_id'
```

Scope: `person:write`.
"""
BODY = Schema(
    type=OpenAPIType.OBJECT,
    required=["distinct_id"],
    properties={
        "distinct_id": Schema(type=OpenAPIType.STRING, min_length=1, description="The id.")
    },
)
BODY_EXAMPLE = {"distinct_id": EMAIL_ADDRESS}
