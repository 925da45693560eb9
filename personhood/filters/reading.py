"""Property filters as clients send them → a tree (contract: persons-api, 2.2).

A filter without a key or a value is passed over, as at PostHog: it always holds. What could be
meant but is wrong (an operator that there is not, a bad date) is refused by name.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias
from zoneinfo import ZoneInfo

from msgspec import Struct

from personhood.errors import InvalidInput
from personhood.filters import moments, tree, versions
from personhood.filters.numbers import exact, number
from personhood.filters.tree import ALWAYS, All, Node, Not, Property, Some, Span
from personhood.model import BIGINT_MAX, JSON

UNPARSABLE = "Properties are unparsable!"
ATTR = "properties"
FILTERS_MAX = 100
DEPTH_MAX = 10
VALUES_MAX = 1000  # in one list
CHARACTERS_MAX = 1000  # of a key or a value

PERSON = "person"
COHORT_TYPES = {"cohort", "static-cohort", "dynamic-cohort", "precalculated-cohort"}

Scalar: TypeAlias = str | int | float | bool
Values: TypeAlias = list[Scalar]


class Given(Struct, frozen=True, kw_only=True):
    """What a filter is read against: whose properties may be asked for (the first where a filter
    does not say), the time, and the project's zone. `strict` refuses what is else passed over.
    """

    now: datetime
    zone: str = "UTC"
    subjects: tuple[str, ...] = (PERSON,)
    strict: bool = False


class Asked(Struct, frozen=True):
    """An operator of a property, and what it is read against."""

    property: Property
    operator: str
    given: Given


def read(value: JSON, given: Given) -> Node:
    """The tree of a decoded value: a list of filters, a group of them, or one.

    Raises InvalidInput.
    """
    if value is None:
        return ALWAYS
    if not isinstance(value, list | dict) or (isinstance(value, dict) and is_odd(value)):
        raise InvalidInput(UNPARSABLE)
    node = all_of(value, given, 1) if isinstance(value, list) else one(value, given, 1)
    if sum(1 for _ in tree.questions(node)) > FILTERS_MAX:
        raise refused(f"There can be {FILTERS_MAX} filters at most.")
    return node


def is_odd(value: dict[str, JSON]) -> bool:
    """Neither a filter nor a group, nor nothing at all."""
    return bool(value) and "key" not in value and not isinstance(value.get("values"), list)


def all_of(values: list[JSON], given: Given, depth: int) -> Node:
    return All(tuple(one(value, given, depth) for value in values))


def one(value: JSON, given: Given, depth: int) -> Node:
    """A filter, or a group of what may be groups themselves."""
    if not isinstance(value, dict) or not value:
        return passed_over(value, given)
    if not isinstance(values := value.get("values"), list) or "key" in value:
        return single(value, given)
    if depth > DEPTH_MAX:
        raise refused(f"Groups of filters can be nested {DEPTH_MAX} deep at most.")
    match str(value.get("type") or "AND").upper():
        case "AND":
            return all_of(values, given, depth + 1)
        case "OR":
            parts = tuple(one(part, given, depth + 1) for part in values)
            return Some(parts) if parts else ALWAYS
        case other:
            raise refused(f'A group of filters is of type "AND" or "OR", not "{other[:50]}".')


def single(value: dict[str, JSON], given: Given) -> Node:
    type = value.get("type") or given.subjects[0]
    if isinstance(type, str) and type in COHORT_TYPES:
        return cohort(value, given)
    if type == "hogql":
        raise refused("HogQL filters are not supported.")
    if type not in given.subjects:
        allowed = " or ".join(f'"{subject}"' for subject in given.subjects)
        raise refused(f'Filters of type "{str(type)[:50]}" do not apply here, only {allowed}.')
    key, operator = value.get("key"), value.get("operator") or "exact"
    if not isinstance(key, str) or not key:
        return passed_over(value, given)
    if len(key) > CHARACTERS_MAX:
        raise refused(f"A key can have {CHARACTERS_MAX} characters at most.")
    if not isinstance(operator, str) or operator not in OPERATORS:
        raise refused(f'There is no operator "{str(operator)[:50]}".')
    positive = NEGATED.get(operator, operator)
    node = about(Asked(Property(type, key), positive, given), value)
    return Not(node) if operator in NEGATED and node != ALWAYS else node


def about(asked: Asked, value: dict[str, JSON]) -> Node:
    """What an operator that is no negation asks of a property."""
    if asked.operator == "is_set":
        return tree.Present(asked.property)
    wanted = value.get("value")
    values = [] if wanted is None else scalars(wanted, asked.operator)
    return READERS[asked.operator](asked, values) if values else passed_over(value, asked.given)


def passed_over(value: JSON, given: Given) -> Node:
    if given.strict and value != {}:
        raise refused("A filter needs a key and a value.")
    return ALWAYS


def scalars(wanted: JSON, operator: str) -> Values:
    """The values of a list, or of the one that stands for itself."""
    values = wanted if isinstance(wanted, list) else [wanted]
    if len(values) > VALUES_MAX:
        raise refused(f"A filter can have {VALUES_MAX} values at most.")
    for value in values:
        if not isinstance(value, str | int | float):
            raise refused(f'The value of "{operator}" has to be text, numbers, or true or false.')
        if isinstance(value, str) and len(value) > CHARACTERS_MAX:
            raise refused(f"A value can have {CHARACTERS_MAX} characters at most.")
    return values


def cohort(value: dict[str, JSON], given: Given) -> Node:
    wanted = value.get("value")
    if wanted is None:
        return passed_over(value, given)
    ids = [cohort_id(each) for each in (wanted if isinstance(wanted, list) else [wanted])]
    if len(ids) > VALUES_MAX:
        raise refused(f"A filter can have {VALUES_MAX} values at most.")
    operator = value.get("operator") or "in"
    if operator not in ("in", "not_in", "exact", "is_not"):
        raise refused(f'A cohort filter has the operator "in" or "not_in", not "{operator}"'[:200])
    node = Some(tuple(tree.Member(each) for each in ids)) if ids else ALWAYS
    negated = operator in ("not_in", "is_not") or value.get("negation") is True
    return Not(node) if negated and ids else node


def cohort_id(value: JSON) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= BIGINT_MAX:
        raise refused("The value of a cohort filter is the cohort's number.")
    return value


def equals(asked: Asked, values: Values) -> Node:
    found = (number(value) for value in values)
    return tree.Equals(
        asked.property,
        tuple(text(value) for value in values),
        tuple(each for each in found if each is not None),
    )


def textual(make: Callable[[Property, tuple[str, ...]], Node]) -> Callable[[Asked, Values], Node]:
    def reader(asked: Asked, values: Values) -> Node:
        return make(asked.property, tuple(text(value) for value in values))

    return reader


def compared(asked: Asked, values: Values) -> Node:
    """Numbers are compared as numbers, dates as times, other text by its characters."""
    sign = SIGNS[asked.operator]
    numbers: list[Span[Decimal]] = []
    times: list[Span[datetime]] = []
    texts: list[str] = []
    for value in values:
        if (found := number(value)) is not None:
            numbers.append(above_or_below(sign, found))
        elif moment := moments.written(text(value), zone=ZoneInfo(asked.given.zone)):
            times.append(moments.span(sign, moment))
        else:
            texts.append(text(value))
    parts: list[Node] = []
    if numbers:
        parts.append(tree.Numbers(asked.property, tuple(numbers)))
    if times:
        parts.append(tree.Moments(asked.property, tuple(times), asked.given.zone))
    if texts:
        parts.append(tree.Ordered(asked.property, sign, tuple(texts)))
    return parts[0] if len(parts) == 1 else Some(tuple(parts))


def above_or_below(sign: str, number: Decimal) -> Span[Decimal]:
    if sign.startswith("<"):
        return Span(None, number, "[]" if sign == "<=" else "[)")
    return Span(number, None, "[)" if sign == ">=" else "()")


def dated(asked: Asked, values: Values) -> Node:
    sign = SIGNS[asked.operator]
    spans: list[Span[datetime]] = []
    for value in values:
        moment = moments.read(text(value), now=asked.given.now, zone=ZoneInfo(asked.given.zone))
        if moment is None:
            raise refused(f'"{text(value)[:50]}" is no date that can be read.')
        spans.append(moments.span(sign, moment))
    return tree.Moments(asked.property, tuple(spans), asked.given.zone)


def between(asked: Asked, values: Values) -> Node:
    ends = [number(value) for value in values]
    if len(ends) != 2 or ends[0] is None or ends[1] is None:
        raise refused(f"{asked.operator} requires a two-element array [min, max]")
    low, high = ends[0], ends[1]
    if asked.operator == "not_between":
        spans = (Span(None, low), Span(high, None, "()"))
    else:
        spans = (Span(low, high, "[]"),) if low <= high else ()
    return tree.Numbers(asked.property, spans)


def versioned(asked: Asked, values: Values) -> Node:
    spans: list[Span[int]] = []
    for value in values:
        span = versions.span(SIGNS[asked.operator], text(value))
        if span is None:
            raise refused(f'"{text(value)[:50]}" is no version.')
        spans.append(span)
    return tree.Versions(asked.property, tuple(spans))


def text(value: Scalar) -> str:
    """As PostgreSQL writes a JSON scalar; whole numbers without a fraction."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else format(exact(value), "f")


def refused(message: str) -> InvalidInput:
    return InvalidInput(message, attr=ATTR)


SIGNS = {
    "gt": ">",
    "gte": ">=",
    "lt": "<",
    "lte": "<=",
    "min": ">=",
    "max": "<=",
    "is_date_exact": "=",
    "is_date_before": "<",
    "is_date_after": ">",
    "semver_eq": "=",
    "semver_gt": ">",
    "semver_gte": ">=",
    "semver_lt": "<",
    "semver_lte": "<=",
    "semver_tilde": "tilde",
    "semver_caret": "caret",
    "semver_wildcard": "wildcard",
}
# These hold where the other does not, also for who lacks the key.
NEGATED = {
    "is_not": "exact",
    "not_in": "in",
    "not_icontains": "icontains",
    "not_regex": "regex",
    "not_starts_with": "starts_with",
    "not_ends_with": "ends_with",
    "semver_neq": "semver_eq",
    "is_not_set": "is_set",
}


Reader: TypeAlias = Callable[[Asked, Values], Node]


def each(names: Iterable[str], reader: Reader) -> dict[str, Reader]:
    return dict.fromkeys(names, reader)


READERS: dict[str, Reader] = {
    "exact": equals,
    "is_cleaned_path_exact": equals,
    "in": equals,
    "icontains": textual(tree.Contains),
    "regex": textual(tree.Matches),
    "starts_with": textual(tree.Starts),
    "ends_with": textual(tree.Ends),
    **each(("gt", "gte", "lt", "lte", "min", "max"), compared),
    **each(("is_date_exact", "is_date_before", "is_date_after"), dated),
    **each(("between", "not_between"), between),
    **each((name for name in SIGNS if name.startswith("semver_")), versioned),
}
OPERATORS = sorted({*READERS, *NEGATED, "is_set"})
