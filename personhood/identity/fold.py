"""Events in order through the rules, in memory: the persons and ids they touch, before and after.

A `World` holds what the store knew of the ids that a group of events of one project names. `fold`
lets one event happen in it. What is to be written gathers in the world: new and changed persons,
ids that found a person, merges, ledger entries, warnings. Nothing here reads a clock or a database;
surrogate ids and uuids that may be needed are reserved beforehand.
"""

from datetime import datetime, timedelta

from personhood.identity import backfill, merge, properties, size
from personhood.identity.merge import Attach, Create, Identify, Merge, Nothing, Refusal, Refuse
from personhood.identity.properties import Change
from personhood.identity.world import (
    Applied,
    Merged,
    World,
    cause,
    warn,
    warn_refused,
    warn_size,
)
from personhood.model import Claim, Entry, EntryKind, Event, Person, PersonMode, Profile, Properties

PERSONLESS_GRACE = timedelta(minutes=1)


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
    given = initial(world, event)
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
    begin_clock(world, person, event)
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
    gained = gain(world, event, source=source, target=target)
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
    if event.historical:
        backfill_person(world, person, event)
        return
    if not (event.set or event.set_once or event.unset):
        return
    changed = properties.change(person.properties, event)
    if changed and world.guarded:
        changed = fitting(world, person, event, changed=changed)
    if changed:
        person.properties = properties.apply(person.properties, changed)
        note(world, person, event, kind=EntryKind.SET, change=changed)
        stamp(world, person, event, changed=changed)


def backfill_person(world: World, person: Person, event: Event) -> None:
    """Newer values stay, and the person is as old as its oldest event (docs/decisions, 15)."""
    changed = backfill.change(person.properties, event, world.clocks[person.id])
    world.backfilled.add(person.id)
    if changed and world.guarded:
        changed = fitting(world, person, event, changed=changed)
    earlier = event.timestamp if event.timestamp < person.created_at else None
    if changed or earlier:
        person.properties = properties.apply(person.properties, changed)
        person.created_at = earlier or person.created_at
        note(world, person, event, kind=EntryKind.SET, change=changed, created_at=earlier)


def initial(world: World, event: Event) -> Properties:
    return backfill.change({}, event, {}).after if event.historical else properties.initial(event)


def begin_clock(world: World, person: Person, event: Event) -> None:
    """Clocks are kept of all persons, or, in a group without a historical event, of none."""
    if event.historical:
        clock = world.clocks[person.id] = {}
        backfill.change({}, event, clock)
        world.backfilled.add(person.id)
    elif world.keeps_clocks:
        world.clocks[person.id] = {}
        stamp(world, person, event, changed=Change({}, person.properties))


def gain(world: World, event: Event, *, source: Person, target: Person) -> Change:
    """What the target gets of the source: in a historical import the newer values, else those that
    it lacks."""
    gained = properties.absorbed(source=source.properties, target=target.properties)
    if not world.keeps_clocks:
        return gained
    of_source, of_target = world.clocks[source.id], world.clocks[target.id]
    if event.historical:
        gained, world.clocks[target.id] = backfill.absorbed(
            source=source.properties, target=target.properties, clocks=(of_source, of_target)
        )
        seen = (source.last_seen_at, target.last_seen_at)
        target.last_seen_at = max((each for each in seen if each is not None), default=None)
    else:
        of_target.update({key: of_source[key] for key in gained.after if key in of_source})
    world.backfilled.add(target.id)
    return gained


def stamp(world: World, person: Person, event: Event, *, changed: Change) -> None:
    if world.keeps_clocks:
        moment = (event.timestamp, event.uuid)
        clock = world.clocks[person.id]
        backfill.stamp(clock, moment, changed, once=backfill.set_once_by(event))


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


def applied(
    world: World, event: Event, person: Person | None, *, mode: PersonMode = PersonMode.FULL
) -> Applied:
    return Applied(
        distinct_id_id=world.ids[event.distinct_id].id,
        person_id=None if person is None else person.id,
        version=None if person is None else person.version,
        mode=mode,
    )
