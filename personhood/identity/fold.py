"""Events in order through the rules, in memory: the persons and ids they touch, before and after.

A `World` holds what the store knew of the ids that a group of events of one project names. `fold`
lets one event happen in it. What is to be written gathers in the world: new and changed persons,
ids that found a person, merges, ledger entries, warnings. Nothing here reads a clock or a database;
surrogate ids and uuids that may be needed are reserved beforehand.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct, field

from personhood.identity import merge, properties, size
from personhood.identity.merge import Attach, Create, Identify, Merge, Nothing, Refusal, Refuse
from personhood.identity.properties import Change
from personhood.model import (
    Cause,
    Claim,
    DistinctId,
    Entry,
    EntryKind,
    Event,
    Person,
    PersonMode,
    Profile,
    Project,
    Properties,
    Warning,
)

PERSONLESS_GRACE = timedelta(minutes=1)


class Merged(Struct, frozen=True, kw_only=True):
    """A merge that happened: versions are those of the two persons when it did.

    The leaves are those of the two names that were claimed to be one: what the merge rests on,
    whoever the roots were.
    """

    source_id: int
    target_id: int
    target_uuid: UUID
    source_leaf_id: int
    target_leaf_id: int
    source_version: int
    target_version: int
    at: datetime
    cause: Cause


class Applied(Struct, frozen=True, kw_only=True):
    """How one event stood: its distinct id, its person's root and version after it, if any."""

    distinct_id_id: int
    person_id: int | None
    version: int | None
    mode: PersonMode


class World(Struct, kw_only=True):
    """The ids that the events name, each with a row, and the persons that they lead to.

    `ids` are by text; those in `unstored` have a reserved surrogate id and no row yet. `persons`
    are roots, `versions` those they were read at. `parents` leads from a merged person's id
    upwards. `uuids` are what persons made for an id without one would get. In a `guarded` world the
    size of persons is looked at; that takes long and is for those that may be too large.
    """

    project: Project
    ids: dict[str, DistinctId]
    persons: dict[int, Person]
    parents: dict[int, int] = field(default_factory=dict)
    versions: dict[int, int] = field(default_factory=dict)
    unstored: set[str] = field(default_factory=set)
    uuids: dict[str, UUID] = field(default_factory=dict)
    person_ids: Iterator[int] = field(default_factory=lambda: iter(()))
    api_key_id: int | None = None
    request_id: UUID | None = None
    guarded: bool = False

    created: dict[int, Person] = field(default_factory=dict)
    changed: dict[int, Person] = field(default_factory=dict)
    seen: dict[int, Person] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    attached: list[DistinctId] = field(default_factory=list)
    merges: list[Merged] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    warnings: list[Warning] = field(default_factory=list)

    def root(self, text: str) -> Person | None:
        """The person that an id belongs to now."""
        person_id = self.ids[text].person_id
        return None if person_id is None else self.persons[self.top(person_id)]

    def top(self, person_id: int) -> int:
        """The root above a person."""
        while (parent := self.parents.get(person_id)) is not None:
            person_id = parent
        return person_id


def fold(world: World, event: Event) -> Applied:
    """Let `event` happen in `world`, by the order of work of 3.2."""
    world.used.add(event.distinct_id)
    match event.profile:
        case Profile.PERSONLESS:
            return personless(world, event)
        case Profile.READ_ONLY:
            return applied(world, event, world.root(event.distinct_id))
        case Profile.FULL:
            if event.personless_properties is not None and world.root(event.distinct_id) is None:
                return personless(world, event)
            return personful(world, event)


def personless(world: World, event: Event) -> Applied:
    """Nothing is read from or written to the person, if there is one (3.8)."""
    person = world.root(event.distinct_id)
    mode = PersonMode.PROPERTYLESS
    if (
        person is not None
        and world.project.person_processing
        and event.timestamp - person.created_at > PERSONLESS_GRACE
    ):
        mode = PersonMode.FORCE_UPGRADE
    return applied(world, event, person, mode=mode)


def personful(world: World, event: Event) -> Applied:
    known = len(world.created)
    if event.claim is not None:
        settle(world, event, event.claim)
    person = world.root(event.distinct_id)
    if person is None:
        person = create(world, event, [event.distinct_id])
    elif len(world.created) == known:
        update(world, person, event)
    if person is not None:
        see(world, person, event)
    return applied(world, event, person)


def settle(world: World, event: Event, claim: Claim) -> None:
    """Do what the claim comes to."""
    source, target = world.root(claim.source), world.root(claim.target)
    match merge.decide(claim, source=source, target=target):
        case Nothing():
            pass
        case Create(first, second):
            create(world, event, [first, second])
        case Attach(person, distinct_id):
            other = claim.source if distinct_id == claim.target else claim.target
            attach(world, event, person=person, distinct_id=distinct_id, beside=other)
        case Identify(person):
            identify(world, event, person)
        case Merge(absorbed, surviving):
            absorb(world, event, source=absorbed, target=surviving)
        case Refuse(Refusal.ALREADY_IDENTIFIED):
            assert source is not None and target is not None, "only two persons are refused so"
            identify(world, event, target)
            warn_refused(world, event, source=source, target=target)
        case Refuse(reason):
            details = {
                "sourcePersonDistinctId": claim.source,
                "targetPersonDistinctId": claim.target,
                "distinctId": event.distinct_id,
                "eventUuid": str(event.uuid),
            }
            warn(world, event, type=reason, details=details)


def create(world: World, event: Event, names: list[str]) -> Person | None:
    """A new person with `names`, its uuid from the first of them; None if it would be too large."""
    given = properties.initial(event)
    if world.guarded and size.is_too_large(given):
        warn_size(world, event, None)
        return None
    person = Person(
        id=next(world.person_ids),
        project_id=world.project.id,
        uuid=world.uuids[names[0]],
        created_at=event.timestamp,
        properties=given,
        is_identified=len(names) > 1,
    )
    world.persons[person.id] = world.created[person.id] = person
    world.entries.append(
        Entry(
            person_id=person.id,
            version=person.version,
            kind=EntryKind.CREATED,
            at=event.timestamp,
            cause=cause(world, event),
            after=person.properties,
            is_identified=person.is_identified,
            created_at=person.created_at,
            ids=[join(world, name, person.id) for name in names],
        )
    )
    return person


def attach(world: World, event: Event, *, person: Person, distinct_id: str, beside: str) -> None:
    """Bind the new name to the leaf of the one it was named with, to stay together with it."""
    ids = [join(world, distinct_id, leaf_of(world, beside))]
    gained = None if person.is_identified else True
    person.is_identified = True
    note(world, person, event, kind=EntryKind.ATTACHED, ids=ids, is_identified=gained)


def identify(world: World, event: Event, person: Person) -> None:
    if not person.is_identified:
        person.is_identified = True
        note(world, person, event, kind=EntryKind.IDENTIFIED, is_identified=True)


def absorb(world: World, event: Event, *, source: Person, target: Person) -> None:
    """One pointer is set, however many ids either has; the target's own values win (3.6)."""
    gained = properties.absorbed(source=source.properties, target=target.properties)
    together = properties.apply(target.properties, gained)
    if world.guarded and size.is_too_large(together):
        # Two persons are one, whatever they weigh: they are joined, and then trimmed.
        warn_size(world, event, target)
        together = size.trimmed(together)
        gained = properties.difference(target.properties, together)
    earlier = source.created_at if source.created_at < target.created_at else None
    was_identified = target.is_identified
    source_version = source.version
    target.version = max(source.version, target.version)
    target.properties = together
    target.created_at = earlier or target.created_at
    target.is_identified = True
    note(
        world,
        target,
        event,
        kind=EntryKind.MERGED,
        change=gained,
        created_at=earlier,
        is_identified=None if was_identified else True,
        source_id=source.id,
    )
    assert event.claim is not None, "only a claim merges"
    source.merged_into_id = world.parents[source.id] = target.id
    world.changed[source.id] = source
    world.merges.append(
        Merged(
            source_id=source.id,
            target_id=target.id,
            target_uuid=target.uuid,
            source_leaf_id=leaf_of(world, event.claim.source),
            target_leaf_id=leaf_of(world, event.claim.target),
            source_version=source_version,
            target_version=target.version,
            at=event.timestamp,
            cause=cause(world, event),
        )
    )


def update(world: World, person: Person, event: Event) -> None:
    if not (event.set or event.set_once or event.unset):
        return
    changed = properties.change(person.properties, event)
    if changed and world.guarded:
        changed = fitting(world, person, event, changed=changed)
    if changed:
        person.properties = properties.apply(person.properties, changed)
        note(world, person, event, kind=EntryKind.SET, change=changed)


def fitting(world: World, person: Person, event: Event, *, changed: Change) -> Change:
    """What can be written of `changed`: all of it, or nothing, or instead of it the trimming of a
    person that is too large already (4.7)."""
    after = properties.apply(person.properties, changed)
    if size.is_too_large(person.properties):
        after = size.trimmed(person.properties)
    elif not size.is_too_large(after):
        return changed
    else:
        after = person.properties
    warn_size(world, event, person)
    return properties.difference(person.properties, after)


def see(world: World, person: Person, event: Event) -> None:
    """Move `last_seen_at` on, by whole hours (4.6). No entry: the events tell it already."""
    if not event.updates_last_seen_at:
        return
    hour = event.timestamp.replace(minute=0, second=0, microsecond=0)
    if person.last_seen_at is None or hour > person.last_seen_at:
        person.last_seen_at = hour
        world.seen[person.id] = person


def leaf_of(world: World, text: str) -> int:
    leaf_id = world.ids[text].person_id
    assert leaf_id is not None, "the id has a person"
    return leaf_id


def join(world: World, text: str, leaf_id: int) -> int:
    """Bind an id that has no person to a leaf; tells the surrogate id."""
    distinct_id = world.ids[text]
    distinct_id.person_id = leaf_id
    world.used.add(text)
    world.attached.append(distinct_id)
    return distinct_id.id


def note(
    world: World,
    person: Person,
    event: Event,
    *,
    kind: EntryKind,
    change: Change = properties.NO_CHANGE,
    ids: list[int] | None = None,
    is_identified: bool | None = None,
    created_at: datetime | None = None,
    source_id: int | None = None,
) -> None:
    """Count the person's version up and write down what changed."""
    person.version += 1
    world.changed[person.id] = person
    world.entries.append(
        Entry(
            person_id=person.id,
            version=person.version,
            kind=kind,
            at=event.timestamp,
            cause=cause(world, event),
            before=change.before,
            after=change.after,
            is_identified=is_identified,
            created_at=created_at,
            ids=ids or [],
            source_id=source_id,
        )
    )


def cause(world: World, event: Event) -> Cause:
    return Cause(
        event_uuid=event.uuid,
        distinct_id_id=world.ids[event.distinct_id].id,
        api_key_id=world.api_key_id,
        request_id=world.request_id,
    )


def warn(world: World, event: Event, *, type: str, details: Properties) -> None:
    world.warnings.append(
        Warning(type=type, at=event.received_at, event_uuid=event.uuid, details=details)
    )


def warn_refused(world: World, event: Event, *, source: Person, target: Person) -> None:
    assert event.claim is not None, "only a claim is refused"
    details = {
        "sourcePersonDistinctId": event.claim.source,
        "targetPersonDistinctId": event.claim.target,
        "distinctId": event.distinct_id,
        "eventUuid": str(event.uuid),
        "personId": str(target.uuid),
        "otherPersonId": str(source.uuid),
    }
    warn(world, event, type=Refusal.ALREADY_IDENTIFIED, details=details)


def warn_size(world: World, event: Event, person: Person | None) -> None:
    details: Properties = {
        "distinctId": event.distinct_id,
        "personId": None if person is None else str(person.uuid),
        "message": f"Person properties exceed {size.BYTES_MAX} bytes",
    }
    warn(world, event, type="person_properties_size_violation", details=details)


def applied(
    world: World, event: Event, person: Person | None, *, mode: PersonMode = PersonMode.FULL
) -> Applied:
    return Applied(
        distinct_id_id=world.ids[event.distinct_id].id,
        person_id=None if person is None else person.id,
        version=None if person is None else person.version,
        mode=mode,
    )
