"""What `/api/docs` says of setting and removing properties: words and examples, no behaviour."""

from litestar.openapi.spec import Example, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import QueryParameter
from msgspec import Struct

from personhood.api.persons_docs import PERSON
from personhood.api.wire import PersonDetail
from personhood.http.envelope import Error
from personhood.model import Properties


class PropertyDeleted(Struct, frozen=True, kw_only=True):
    """`deleted` holds what went: the key with its value, or nothing if it was not there.

    In a dry run it is what would go, and `person` is the person as it would be.
    """

    success: bool = True
    dry_run: bool
    deleted: Properties
    person: PersonDetail


DELETED = PropertyDeleted(dry_run=False, deleted={"nickname": "Countess"}, person=PERSON)


def missing(attr: str) -> Error:
    return Error("validation_error", "This field is required.", "required", attr)


UPDATE = """
Set properties. Keys that are listed are replaced whole, all others stay; everything but
`properties` in the body is ignored, so a person can be sent back as it was read. `PUT` does the
same.

```sh
curl -X PATCH -H 'Authorization: Bearer phx_your_key' -H 'Content-Type: application/json' \\
  -d '{"properties": {"plan": "scale"}}' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/17/'
```

The answer is the person as it is now. The change is in the ledger, with the key that made it, and
in the activity log.

With `If-Match: <ETag>` the person is changed only if it is still as it was read. Of two who send
the same tag, one wins; the other is told 412 and has changed nothing.

Scope: `person:write`.
"""

UPDATE_PROPERTY = """
Set one property, as `PATCH` does. `value` may be any JSON value, null too.

```sh
curl -X POST -H 'Authorization: Bearer phx_your_key' -H 'Content-Type: application/json' \\
  -d '{"key": "plan", "value": "scale"}' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/17/update_property/'
```

Both may be in the query instead, where `value` is a text. The answer is the person as it is now.

Scope: `person:write`.
"""

DELETE_PROPERTY = """
Remove one property. It is no fault if it is not there.

```sh
curl -X POST -H 'Authorization: Bearer phx_your_key' -H 'Content-Type: application/json' \\
  -d '{"$unset": "nickname"}' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/17/delete_property/'
```

`dry_run=true` tells what would go and changes nothing. Parameters may be in the body or the query.

Scope: `person:write`.
"""

PROPERTIES_BODY = Schema(
    type=OpenAPIType.OBJECT,
    required=["properties"],
    properties={
        "properties": Schema(
            type=OpenAPIType.OBJECT,
            additional_properties=True,
            description="The keys to set, with any JSON values.",
        )
    },
)
PROPERTIES_EXAMPLE = {"properties": {"plan": "scale", "seats": 12}}

PROPERTY_BODY = Schema(
    type=OpenAPIType.OBJECT,
    properties={
        "key": Schema(type=OpenAPIType.STRING, description="The key to set."),
        "value": Schema(description="Its value, any JSON."),
    },
)
PROPERTY_EXAMPLE = {"key": "plan", "value": "scale"}

UNSET_BODY = Schema(
    type=OpenAPIType.OBJECT,
    properties={
        "$unset": Schema(type=OpenAPIType.STRING, description="The key to remove."),
        "dry_run": Schema(type=OpenAPIType.BOOLEAN, description="Only tell what would go."),
    },
)
UNSET_EXAMPLE = {"$unset": "nickname"}

KEY = QueryParameter(
    description="The key to set, if the body does not tell it.",
    examples=[Example(value="plan")],
)
VALUE = QueryParameter(
    description="Its value, a text, if the body does not tell it.",
    examples=[Example(value="scale")],
)
UNSET = QueryParameter(
    name="$unset",
    description="The key to remove, if the body does not tell it.",
    examples=[Example(value="nickname")],
)
DRY_RUN = QueryParameter(
    description="Tell what would go, and change nothing. May be given in the body too.",
    schema_extra={"type": "boolean", "default": False},
)
