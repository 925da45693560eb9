"""What `/api/docs` says of property values: shapes, words and examples, no behaviour."""

from litestar.openapi.spec import Example
from litestar.params import QueryParameter
from msgspec import Struct

from personhood.store.property_value import PERSONS_MAX, VALUES_MAX, Value


class ValueList(Struct, frozen=True):
    """Values, the most frequent first. They are counted anew each time: never `refreshing`."""

    results: list[Value]
    refreshing: bool = False


EXAMPLE = ValueList([Value("scale", 412), Value("free", 97)])

VALUES = f"""
The {VALUES_MAX} most frequent values of a property, and how many persons have each. Values are
told as text: `true`, `12`, an object as JSON. Null and the empty text are left out.

```sh
curl -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/values?key=plan&value=sc'
```

The {PERSONS_MAX:,} newest persons that have such a value are counted. `key=distinct_id` finds
distinct ids.

Scope: `person:read`.
"""
KEY = QueryParameter(
    description="The property. Without one there are no results.",
    examples=[Example(value="plan")],
)
VALUE = QueryParameter(
    description="Only values with this text somewhere in them, in any letter case.",
    examples=[Example(value="sc")],
)
REFRESH = QueryParameter(description="Accepted, and needless: values are always counted anew.")
FORCE_REFRESH = QueryParameter(description="As `refresh`.")
