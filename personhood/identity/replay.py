"""Going through a history again, under another order of things: without a merge, or parted by ids.

A history is a list of steps, each a write or a merge, in the order in which they were applied. The
rules are those that applied them the first time. Pure.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import TypeAlias
from uuid import UUID

from msgspec import Struct, field

from personhood.identity import backfill, properties
from personhood.identity.backfill import Clock
from personhood.identity.distinct_id import is_illegal
from personhood.identity.properties import Change
from personhood.model import Event, Properties

CREATOR = "$creator_event_uuid"
NEVER = datetime(1, 1, 1, tzinfo=UTC)


class State(Struct):
    """What going through it again can change of a person.

    Without `created_at` there is nobody: no event of the ids that are left made anything. A `clock`
    is kept where historical imports were (docs/decisions, 16).
    """

    properties: Properties
    is_identified: bool = False
    created_at: datetime | None = None
    clock: Clock | None = None


class Link(Struct, frozen=True, kw_only=True):
    """A merge in force: at `version` the person of one leaf was absorbed by that of the other."""

    merge_id: int
    version: int
    source_id: int
    target_id: int
    source_leaf_id: int
    target_leaf_id: int
    event_uuid: UUID | None = None
    at: datetime = NEVER


class Write(Struct, kw_only=True):
    """An event that was applied at `version`; `order` tells it from others of that version.

    `claims` is the other name that it claimed to be the same person, None without a claim;
    `other_id` the leaf of that name, where it was looked up. What `makes` its person found nothing
    there.
    """

    version: int
    order: tuple[int, datetime, int]
    leaf_id: int
    event: Event
    claims: str | None = None
    makes: bool = False
    other_id: int | None = None


class Bend(Struct, frozen=True):
    """A family was split, and is together again.

    The versions in between were given on several sides at once, so there only time tells an order.
    """

    after: int
    before: int


Step: TypeAlias = Link | Write
Place: TypeAlias = tuple[int, datetime]
Key: TypeAlias = tuple[Place, int, tuple[int, datetime, int] | None]


def key(step: Step, bends: list[Bend]) -> Key:
    """By version; a merge comes before the writes of the event that made it."""
    match step:
        case Link():
            return place(step.version, step.at, bends), 0, None
        case Write():
            return place(step.version, step.event.received_at, bends), 1, step.order


def place(version: int, at: datetime, bends: list[Bend]) -> Place:
    around = [bend.after for bend in bends if bend.after < version < bend.before]
    return (min(around) + 1, at) if around else (version, NEVER)


class Replay(Struct, kw_only=True):
    """Persons while their history is gone through: who they are part of, and what they are.

    `frozen` are those that have been absorbed, as they were at that moment; `imports` events of
    historical imports.
    """

    states: dict[int, State]
    imports: Collection[UUID] = ()
    parents: dict[int, int] = field(default_factory=dict)
    frozen: dict[int, State] = field(default_factory=dict)

    def root(self, id: int) -> int:
        while (parent := self.parents.get(id)) is not None:
            id = parent
        return id

    def write(self, step: Write, *, identifies: bool) -> None:
        write(self.states[self.root(step.leaf_id)], step, identifies=identifies)

    def merge(self, source_id: int, target_id: int, *, by: UUID | None) -> None:
        source = self.states[source_id]
        self.frozen[source_id] = copied(source)
        absorb(source, into=self.states[target_id], historical=by in self.imports)
        self.parents[source_id] = target_id


def write(state: State, step: Write, *, identifies: bool) -> None:
    event, clock = step.event, state.clock
    if event.historical:
        changed = backfill.change(state.properties, event, {} if clock is None else clock)
        state.created_at = min(state.created_at or event.timestamp, event.timestamp)
    else:
        changed = properties.change(state.properties, event)
    state.properties = properties.apply(state.properties, changed)
    if clock is not None and not event.historical:
        moment = (event.timestamp, event.uuid)
        if step.makes:
            changed = Change({}, first(state, event))
        backfill.stamp(clock, moment, changed, once=backfill.set_once_by(event))
    if identifies and names_another(step):
        state.is_identified = True


def making(step: Write) -> Write:
    """The write of an event that makes its person: a live one finds nothing that it could unset."""
    step.makes = True
    if not step.event.historical:
        step.event.unset = ()
    return step


def keys_of(step: Write) -> set[str]:
    return {*step.event.set, *step.event.set_once, *step.event.unset}


def first(state: State, event: Event) -> Properties:
    """What a person has of the event that made it."""
    keys = {CREATOR, *event.set_once, *event.set}
    return {key: value for key, value in state.properties.items() if key in keys}


def names_another(step: Write) -> bool:
    """Whether the event claimed another name that may be one's own."""
    claims = step.claims
    if claims is None or claims == step.event.distinct_id:
        return False
    return not (is_illegal(claims) or is_illegal(step.event.distinct_id))


def absorb(source: State, *, into: State, historical: bool = False) -> None:
    """The target's own values win; in a historical import the newer ones. Where nobody is on one
    side, nobody is joined."""
    gained = properties.absorbed(source=source.properties, target=into.properties)
    if into.clock is not None and source.clock is not None:
        if into.created_at is None:
            into.clock = dict(source.clock)
        elif historical:
            gained, into.clock = backfill.absorbed(
                source=source.properties,
                target=into.properties,
                clocks=(source.clock, into.clock),
            )
        else:
            into.clock |= {key: source.clock[key] for key in gained.after if key in source.clock}
    into.properties = properties.apply(into.properties, gained)
    if into.created_at is None:
        into.created_at, into.is_identified = source.created_at, source.is_identified
    elif source.created_at is not None:
        into.created_at = min(source.created_at, into.created_at)
        into.is_identified = True


def copied(state: State) -> State:
    clock = None if state.clock is None else dict(state.clock)
    return State(dict(state.properties), state.is_identified, state.created_at, clock)
