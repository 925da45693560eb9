"""What a claim comes to (contract: capture-and-identity 3.3 to 3.6)."""

from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct

from personhood.identity.distinct_id import claimed_text_of, is_illegal
from personhood.model import JSON, Claim, ClaimKind, Person, Properties


class Refusal(StrEnum):
    """Why a merge was declined; the value is the ingestion warning's type."""

    ILLEGAL_DISTINCT_ID = "cannot_merge_with_illegal_distinct_id"
    ALREADY_IDENTIFIED = "cannot_merge_already_identified"


class Nothing(Struct, frozen=True):
    """The claim says nothing: both names are the same."""


class Create(Struct, frozen=True):
    """Neither is known: one new person with both, its uuid from `first`."""

    first: str
    second: str


class Attach(Struct, frozen=True):
    """One is known: the other name joins its person."""

    person: Person
    distinct_id: str


class Identify(Struct, frozen=True):
    """Both are one person already; now it is identified."""

    person: Person


class Merge(Struct, frozen=True):
    """Two persons become one: `source` is absorbed, `target` survives."""

    source: Person
    target: Person


class Refuse(Struct, frozen=True):
    """The claim is declined; the event goes on as an ordinary one."""

    reason: Refusal


Decision: TypeAlias = Nothing | Create | Attach | Identify | Merge | Refuse


def claim_of(name: str, properties: Properties, *, distinct_id: str) -> Claim | None:
    """The claim that an event makes (3.3). Of `$identify` the key counts, whatever its value."""
    match name:
        case "$identify" if "$anon_distinct_id" in properties:
            source = properties["$anon_distinct_id"]
        case "$create_alias" | "$merge_dangerously" if truthy(properties.get("alias")):
            source = properties["alias"]
        case _:
            return None
    return Claim(ClaimKind(name), claimed_text_of(source), distinct_id)


def truthy(value: JSON) -> bool:
    """JavaScript's truthiness: an empty list or object counts as given."""
    return isinstance(value, dict | list) or bool(value)


def decide(claim: Claim, *, source: Person | None, target: Person | None) -> Decision:
    """What becomes of the persons that the claim's two names belong to now."""
    if claim.source == claim.target:
        return Nothing()
    if is_illegal(claim.source) or is_illegal(claim.target):
        return Refuse(Refusal.ILLEGAL_DISTINCT_ID)

    match source, target:
        case None, None:
            return Create(claim.target, claim.source)
        case Person(), None:
            # Also when that person is identified: nobody is absorbed by learning a new name.
            return Attach(source, claim.target)
        case None, Person():
            return Attach(target, claim.source)
        case Person(), Person():
            return between(claim, source=source, target=target)
    raise AssertionError("each side is a person or none")


def between(claim: Claim, *, source: Person, target: Person) -> Decision:
    if source.id == target.id:
        return Identify(target)
    if source.is_identified and claim.kind is not ClaimKind.MERGE_DANGEROUSLY:
        return Refuse(Refusal.ALREADY_IDENTIFIED)
    return Merge(source, target)
