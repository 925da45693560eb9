"""What a property filter asks, with every operator reduced to a few questions.

A property that is missing, or null, answers none of them: so `Not` holds for it.
"""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Generic, TypeAlias, TypeVar, Union

from msgspec import Struct

T = TypeVar("T", int, Decimal, datetime)


class Span(Struct, Generic[T], frozen=True):
    """From `low` to `high`; None is without end. `bounds` tells whether the ends belong to it."""

    low: T | None
    high: T | None
    bounds: str = "[)"


class Property(Struct, frozen=True):
    """A key, and whose it is: `person` or `event`."""

    of: str
    key: str


class All(Struct, frozen=True):
    """Every part holds. Without parts it always does."""

    parts: tuple["Node", ...]


class Some(Struct, frozen=True):
    """At least one part holds."""

    parts: tuple["Node", ...]


class Not(Struct, frozen=True):
    part: "Node"


class Member(Struct, frozen=True):
    """The person is in a cohort, itself or by somebody who was merged into it."""

    cohort_id: int


class Present(Struct, frozen=True):
    property: Property


class Equals(Struct, frozen=True):
    """Its text is one of `texts`, or it is a number and one of `numbers`."""

    property: Property
    texts: tuple[str, ...]
    numbers: tuple[Decimal, ...] = ()


class Contains(Struct, frozen=True):
    """Its text has one of these in it, in any letter case; `%` and `_` are wildcards."""

    property: Property
    patterns: tuple[str, ...]


class Matches(Struct, frozen=True):
    """A regular expression is found in its text."""

    property: Property
    patterns: tuple[str, ...]


class Starts(Struct, frozen=True):
    property: Property
    texts: tuple[str, ...]


class Ends(Struct, frozen=True):
    property: Property
    texts: tuple[str, ...]


class Numbers(Struct, frozen=True):
    """It is a number, or text that reads as one, in one of these spans."""

    property: Property
    spans: tuple[Span[Decimal], ...]


class Moments(Struct, frozen=True):
    """It reads as a time in one of these spans; `zone` is that of a time which names none."""

    property: Property
    spans: tuple[Span[datetime], ...]
    zone: str


class Versions(Struct, frozen=True):
    """It reads as a version, `versions.number`, in one of these spans."""

    property: Property
    spans: tuple[Span[int], ...]


class Ordered(Struct, frozen=True):
    """It is text that stands so to one of these, by code points; `sign` is <, <=, > or >=."""

    property: Property
    sign: str
    texts: tuple[str, ...]


Question: TypeAlias = (
    Member
    | Present
    | Equals
    | Contains
    | Matches
    | Starts
    | Ends
    | Numbers
    | Moments
    | Versions
    | Ordered
)
Node: TypeAlias = Union[All, Some, Not, Question]  # noqa: UP007, names its own parts

ALWAYS = All(())


def questions(node: Node) -> Iterator[Question]:
    """All that a tree asks, in order."""
    match node:
        case All(parts) | Some(parts):
            for part in parts:
                yield from questions(part)
        case Not(part):
            yield from questions(part)
        case _:
            yield node


def demands(node: Node) -> Iterator[Node]:
    """The parts of which each has to hold for the whole to hold."""
    if isinstance(node, All):
        for part in node.parts:
            yield from demands(part)
    else:
        yield node


def cohort_ids(node: Node) -> set[int]:
    return {asked.cohort_id for asked in questions(node) if isinstance(asked, Member)}
