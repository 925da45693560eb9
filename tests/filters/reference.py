"""Property filters in plain Python: what the SQL is held against. Written from the contract alone.

`x` is the stored value, `v` what the filter asks for. Dates are the plain ISO forms with a zone.
"""

import fnmatch
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

JSON = Any
MISSING = object()

NEGATIONS = {
    "is_not": "exact",
    "not_in": "in",
    "not_icontains": "icontains",
    "not_regex": "regex",
    "not_starts_with": "starts_with",
    "not_ends_with": "ends_with",
    "semver_neq": "semver_eq",
    "is_not_set": "is_set",
}


def holds(filter: JSON, properties: dict[str, JSON]) -> bool:
    """Whether a filter, a list of them or a group holds for a person."""
    if isinstance(filter, list):
        return all(holds(each, properties) for each in filter)
    if "values" in filter:
        found = [holds(each, properties) for each in filter["values"]]
        return any(found) or not found if filter["type"] == "OR" else all(found)
    operator = filter.get("operator", "exact")
    if operator not in ("is_set", "is_not_set") and filter.get("value") in (None, []):
        return True
    if operator in NEGATIONS:
        return not holds({**filter, "operator": NEGATIONS[operator]}, properties)
    x = properties.get(filter["key"])
    return x is not None and asks(operator, x, filter.get("value"))


def asks(operator: str, x: JSON, value: JSON) -> bool:
    if operator == "is_set":
        return True
    if operator in ("between", "not_between"):
        number, (low, high) = number_of(x), (number_of(v) for v in value)
        if number is None:
            return False
        inside = low <= number <= high
        return inside if operator == "between" else number < low or number > high
    values = value if isinstance(value, list) else [value]
    return any(OPERATORS[operator](x, v) for v in values)


def text_of(x: JSON) -> str:
    """As PostgreSQL writes a jsonb scalar."""
    if isinstance(x, bool):
        return "true" if x else "false"
    if isinstance(x, str):
        return x
    if isinstance(x, int | float):
        return format(Decimal(repr(x)), "f")
    if isinstance(x, list):
        return f"[{', '.join(nested(each) for each in x)}]"
    pairs = sorted(x.items(), key=lambda pair: (len(pair[0].encode()), pair[0].encode()))
    return "{" + ", ".join(f"{nested(key)}: {nested(each)}" for key, each in pairs) + "}"


def nested(x: JSON) -> str:
    if x is None:
        return "null"
    return json.dumps(x, ensure_ascii=False) if isinstance(x, str) else text_of(x)


def whole(v: JSON) -> str:
    """A value of a filter as text: 1.0 is 1."""
    return str(int(v)) if isinstance(v, float) and v.is_integer() else text_of(v)


def number_of(x: JSON) -> Decimal | None:
    if isinstance(x, bool) or not isinstance(x, int | float | str):
        return None
    if isinstance(x, str):
        pattern = r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?"
        return Decimal(x) if re.fullmatch(pattern, x, re.ASCII) else None
    return Decimal(repr(x))


def equal(x: JSON, v: JSON) -> bool:
    if text_of(x) == whole(v):
        return True
    is_number = isinstance(x, int | float) and not isinstance(x, bool)
    return is_number and number_of(v) is not None and number_of(x) == number_of(v)


def contains(x: JSON, v: JSON) -> bool:
    literal = re.sub(r"([\[?*])", r"[\1]", whole(v).lower())
    return fnmatch.fnmatchcase(
        text_of(x).lower(), f"*{literal.replace('%', '*').replace('_', '?')}*"
    )


def moment_of(x: JSON) -> datetime | None:
    text = text_of(x)
    if re.fullmatch(r"\d{10}", text, re.ASCII):
        return datetime.fromtimestamp(int(text), UTC)
    if not re.fullmatch(
        r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?)?", text
    ):
        return None
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def compared(test: Callable[[Any, Any], bool]) -> Callable[[JSON, JSON], bool]:
    def asked(x: JSON, v: JSON) -> bool:
        if (right := number_of(v)) is not None:
            left = number_of(x)
            return left is not None and test(left, right)
        if (at := moment_of(v)) is not None:
            moment = moment_of(x)
            return moment is not None and test(moment, at)
        return isinstance(x, str) and test(x, whole(v))

    return asked


def dated(test: Callable[[Any, Any], bool]) -> Callable[[JSON, JSON], bool]:
    def asked(x: JSON, v: JSON) -> bool:
        left, right = moment_of(x), moment_of(v)
        return left is not None and right is not None and test(left, right)

    return asked


def same_date(x: JSON, v: JSON) -> bool:
    left, right = moment_of(x), moment_of(v)
    if left is None or right is None:
        return False
    return left.date() == right.date() if len(str(v)) == 10 and "-" in str(v) else left == right


OPERATORS: dict[str, Callable[[JSON, JSON], bool]] = {
    "exact": equal,
    "in": equal,
    "icontains": contains,
    "starts_with": lambda x, v: text_of(x).startswith(whole(v)),
    "ends_with": lambda x, v: text_of(x).endswith(whole(v)),
    "regex": lambda x, v: re.search(v, text_of(x)) is not None,
    "gt": compared(lambda left, right: left > right),
    "gte": compared(lambda left, right: left >= right),
    "lt": compared(lambda left, right: left < right),
    "lte": compared(lambda left, right: left <= right),
    "min": compared(lambda left, right: left >= right),
    "max": compared(lambda left, right: left <= right),
    "is_date_before": dated(lambda left, right: left < right),
    "is_date_after": dated(lambda left, right: left > right),
    "is_date_exact": same_date,
}
