"""Undoing a merge: the persons as they would be, had it not happened.

The merges of a family (a root and all that was ever merged into it) are a tree: each rests on two
leaves. Without one of them the tree falls into two, whichever way the roots were absorbed. `undone`
goes through what happened since that merge again, without it: every write goes to the side whose
leaf wrote it, every later merge joins the two sides that its leaves are on.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from msgspec import Struct, field

from personhood.identity import properties
from personhood.identity.distinct_id import is_illegal
from personhood.model import Event, Properties


class State(Struct):
    """What undoing can change of a person."""

    properties: Properties
    is_identified: bool
    created_at: datetime


class Link(Struct, frozen=True, kw_only=True):
    """A merge in force: at `version` the person of one leaf was absorbed by that of the other."""

    merge_id: int
    version: int
    source_id: int
    target_id: int
    source_leaf_id: int
    target_leaf_id: int
    event_uuid: UUID | None = None


class Write(Struct, frozen=True, kw_only=True):
    """An event that was applied at `version`; `order` tells it from others of that version.

    `claims` is the other name that it claimed to be the same person, None without a claim.
    """

    version: int
    order: tuple[int, datetime, int]
    leaf_id: int
    event: Event
    claims: str | None = None


Step: TypeAlias = Link | Write


class Family(Struct, kw_only=True):
    """What `undone` is told of a root and all that was ever merged into it.

    `leaves` is every person of it; `names` are their distinct ids, each with its leaf. `states` are
    those of roots at version `since` or, of persons that joined later, just before they did;
    `writes` are what was written since.
    """

    root_id: int
    since: int
    leaves: set[int]
    names: dict[str, int]
    links: list[Link]
    writes: list[Write]
    states: dict[int, State]


class Undone(Struct, kw_only=True):
    """The two persons, and all that differs from before.

    `frozen` are the states of persons as they are absorbed in the new order of things; `links` are
    the merges that stay, with whom they joined now.
    """

    root_id: int
    freed_id: int
    freed_leaves: set[int]
    states: dict[int, State]
    frozen: dict[int, State] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)


def undone(family: Family, link: Link) -> Undone:
    """The family without `link`. Pure; the family's own states are left as they are."""
    kept = [each for each in family.links if each.merge_id != link.merge_id]
    earlier = [each for each in kept if each.version < family.since]
    later = [each for each in kept if each.version >= family.since]
    parents = {each.source_id: each.target_id for each in earlier}
    states = {id: copied(state) for id, state in family.states.items()}
    frozen: dict[int, State] = {}
    links = list(earlier)

    def root(leaf_id: int) -> int:
        while (parent := parents.get(leaf_id)) is not None:
            leaf_id = parent
        return leaf_id

    for step in in_order(later, family.writes):
        match step:
            case Write():
                other = family.names.get(step.claims) if step.claims is not None else None
                apart = other is not None and root(other) != root(step.leaf_id)
                own = step.event.uuid == link.event_uuid
                write(states[root(step.leaf_id)], step, identifies=not (apart or own))
            case Link():
                source_id, target_id = root(step.source_leaf_id), root(step.target_leaf_id)
                frozen[source_id] = copied(states[source_id])
                absorb(states[source_id], into=states[target_id])
                parents[source_id] = target_id
                links.append(relinked(step, source_id=source_id, target_id=target_id))

    ends = {root(link.source_leaf_id), root(link.target_leaf_id)}
    assert len(ends) == 2, "a tree without one of its links is two trees"
    kept_id = root(family.root_id)
    [freed_id] = ends - {kept_id}
    return Undone(
        root_id=kept_id,
        freed_id=freed_id,
        freed_leaves={leaf for leaf in family.leaves if root(leaf) == freed_id},
        states={id: states[id] for id in ends},
        frozen=frozen,
        links=links,
    )


def in_order(links: Iterable[Link], writes: Iterable[Write]) -> list[Step]:
    """By version; a merge comes before the writes of the event that made it."""
    steps: list[tuple[tuple[int, int, tuple[int, datetime, int] | None], Step]] = []
    steps += [((each.version, 0, None), each) for each in links]
    steps += [((each.version, 1, each.order), each) for each in writes]
    return [step for _, step in sorted(steps, key=lambda pair: pair[0])]


def write(state: State, step: Write, *, identifies: bool) -> None:
    changed = properties.change(state.properties, step.event)
    state.properties = properties.apply(state.properties, changed)
    claims = step.claims
    if claims is None or not identifies or claims == step.event.distinct_id:
        return
    if not (is_illegal(claims) or is_illegal(step.event.distinct_id)):
        state.is_identified = True


def absorb(source: State, *, into: State) -> None:
    gained = properties.absorbed(source=source.properties, target=into.properties)
    into.properties = properties.apply(into.properties, gained)
    into.created_at = min(source.created_at, into.created_at)
    into.is_identified = True


def copied(state: State) -> State:
    return State(dict(state.properties), state.is_identified, state.created_at)


def relinked(link: Link, *, source_id: int, target_id: int) -> Link:
    return Link(
        merge_id=link.merge_id,
        version=link.version,
        source_id=source_id,
        target_id=target_id,
        source_leaf_id=link.source_leaf_id,
        target_leaf_id=link.target_leaf_id,
        event_uuid=link.event_uuid,
    )
