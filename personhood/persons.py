"""The verbs: where identity, store and ledger meet in one transaction.

`apply` lets events happen. It reads what they name, folds them in memory, locks the persons that
come out changed, and writes if nobody was faster; otherwise it starts over. So the locks are held
for the time of the writes only, in id order, and a group that changes no person takes none.
"""

import asyncio
import random
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID, uuid4

from msgspec import Struct, field
from psycopg import AsyncConnection, errors

from personhood.errors import Overloaded
from personhood.identity import group as group_rules
from personhood.identity import size
from personhood.identity.distinct_id import person_uuid
from personhood.identity.fold import fold
from personhood.identity.world import World
from personhood.ledger import clocks
from personhood.model import DistinctId, Event, Project, Warning
from personhood.store import (
    clock,
    distinct_id,
    entry,
    event,
    gate,
    group,
    merge,
    person,
    warning,
)
from personhood.store.pool import Pool, encode

ATTEMPTS_MAX = 12
OPTIMISTIC_ATTEMPTS = 2  # then the persons are locked before they are read
BACKOFF_S = 0.002  # doubled after each attempt, with jitter

CONFLICTS = (errors.UniqueViolation, errors.SerializationFailure, errors.DeadlockDetected)


class Work(Struct, kw_only=True):
    """What one request brings to one project, in order."""

    project: Project
    events: list[Event]
    warnings: list[Warning] = field(default_factory=list)
    api_key_id: int | None = None
    request_id: UUID | None = None


class Outcome(Struct, kw_only=True):
    """What came of a piece of work: the uuids of the events that were new, and every warning."""

    world: World
    stored: frozenset[UUID]
    warnings: list[Warning]


class Stale(Exception):
    """Somebody changed what was read before it was locked."""


async def apply(pool: Pool, works: Sequence[Work]) -> list[Outcome]:
    """Let all events of `works` happen, in one transaction: all of it is durable, or nothing.

    An event whose uuid is stored already changes nothing. Raises Overloaded when others were
    faster ATTEMPTS_MAX times, and whatever psycopg raises for data that PostgreSQL refuses.
    """
    for attempt in range(ATTEMPTS_MAX):
        try:
            async with pool.connection() as conn, conn.transaction():
                # Projects in id order, as everything that is locked.
                return [
                    await apply_work(conn, work, locking=attempt >= OPTIMISTIC_ATTEMPTS)
                    for work in sorted(works, key=lambda work: work.project.id)
                ]
        except errors.CheckViolation:
            # The only check is that an event's month has a partition.
            await make_partitions(pool, works)
        except (Stale, *CONFLICTS):
            await asyncio.sleep(BACKOFF_S * 2**attempt * random.random())
    raise Overloaded("transient error, please retry")


async def make_partitions(pool: Pool, works: Sequence[Work]) -> None:
    months = event.months_of(each.timestamp for work in works for each in work.events)
    for month in sorted(months):
        async with pool.connection() as conn:
            await event.make_partition(conn, month)


async def apply_work(conn: AsyncConnection, work: Work, *, locking: bool = False) -> Outcome:
    await gate.enter(conn, work.project.id)
    events = await unknown(conn, work)
    backfills = any(each.historical for each in events)
    world = await read_world(conn, work, events)
    if (locking or backfills) and world.persons:
        world = await read_locked(conn, work, events, persons=world.persons)
    if backfills:
        await read_clocks(conn, world)
    types = await group_types(conn, work.project, events)
    rows = [event.Row(each, fold(world, each)) for each in events]
    texts = texts_of(world)
    if any(len(text) > size.HARMLESS_TEXT_BYTES for text in texts.values()):
        world = await read_world(conn, work, events)
        world.guarded = True
        if backfills:
            await read_clocks(conn, world)
        rows = [event.Row(each, fold(world, each)) for each in events]
        texts = texts_of(world)
    await claim_rows(conn, world)
    async with conn.pipeline():
        # Nothing is asked between these, so they go together.
        await write_world(conn, world, texts)
        if rows:
            await event.insert_keys(conn, work.project.id, rows)
    if groups := group_rules.folded(events, types):
        await group.merge_all(conn, work.project.id, groups)
    if rows:
        await event.insert_all(conn, work.project.id, rows, types=types)
    warnings = news(work, events) + world.warnings
    if warnings:
        await warning.insert_all(conn, work.project.id, warnings)
    stored = frozenset(each.uuid for each in events)
    return Outcome(world=world, stored=stored, warnings=warnings)


async def group_types(
    conn: AsyncConnection, project: Project, events: Sequence[Event]
) -> dict[str, int]:
    """The indexes of the group types that `events` name; new ones are made."""
    if not any(each.groups or each.group for each in events):
        return {}
    known = await group.types(conn, project.id)
    if fresh := group_rules.new_types(known, events):
        await group.insert_types(conn, project.id, fresh)
    return known | fresh


def texts_of(world: World) -> dict[int, bytes]:
    """The properties to be written, by person, as JSON."""
    return {
        id: encode(each.properties) for id, each in (*world.created.items(), *world.changed.items())
    }


async def unknown(conn: AsyncConnection, work: Work) -> list[Event]:
    """The events that are not stored yet, each uuid once: its first."""
    first: dict[UUID, Event] = {}
    for each in work.events:
        first.setdefault(each.uuid, each)
    if not first:
        return []
    stored = await event.known(conn, work.project.id, list(first))
    if not stored:
        return list(first.values())
    return [each for uuid, each in first.items() if uuid not in stored]


def news(work: Work, events: list[Event]) -> list[Warning]:
    """The warnings of the request, without those of events that were sent before.

    Of an event that comes twice in one piece of work they are told once.
    """
    if not work.warnings:
        return []
    repeated = {each.uuid for each in work.events} - {each.uuid for each in events}
    told: set[tuple[UUID, str, bytes]] = set()
    fresh: list[Warning] = []
    for each in work.warnings:
        if each.event_uuid is not None:
            mark = each.event_uuid, each.type, encode(each.details)
            if each.event_uuid in repeated or mark in told:
                continue
            told.add(mark)
        fresh.append(each)
    return fresh


def named(events: Iterable[Event]) -> list[str]:
    """The distinct ids that events name, each once, in the order in which a person gets them: of
    two that are joined, the one of the event comes first (persons-api, 3.2)."""
    names: dict[str, None] = {}
    for each in events:
        names[each.distinct_id] = None
        if each.claim is not None:
            names[each.claim.source] = None
    return list(names)


async def read_world(conn: AsyncConnection, work: Work, events: Iterable[Event]) -> World:
    """The world that `events` name: what is there, and ids reserved for what is not."""
    project_id = work.project.id
    names = named(events)
    world = World(
        project=work.project,
        ids={},
        persons={},
        api_key_id=work.api_key_id,
        request_id=work.request_id,
    )
    if not names:
        return world
    found = await distinct_id.find(conn, project_id, sorted(names))
    world.ids, world.persons, world.parents = found.ids, found.persons, found.parents
    world.versions = {id: each.version for id, each in found.persons.items()}

    texts = [text for text in names if text not in found.ids or is_personless(found, text)]
    if texts:
        uuids = [person_uuid(project_id, text) for text in texts]
        reserved = await distinct_id.reserve(conn, project_id, texts=texts, uuids=uuids)
        for each, derived in zip(reserved, uuids, strict=True):
            again = each.uuid_taken or each.generation > 1
            world.uuids[each.distinct_id] = uuid4() if again else derived
            if each.distinct_id not in world.ids:
                world.unstored.add(each.distinct_id)
                world.ids[each.distinct_id] = DistinctId(
                    id=each.distinct_id_id,
                    project_id=project_id,
                    distinct_id=each.distinct_id,
                    generation=each.generation,
                )
        world.person_ids = iter([each.person_id for each in reserved])
    return world


async def read_locked(
    conn: AsyncConnection, work: Work, events: Sequence[Event], *, persons: Iterable[int]
) -> World:
    """The world, read again with `persons` locked. Raises Stale where that does not hold it.

    Others were faster each time: now they wait for us, and what is read holds. So do the clocks of
    persons that a historical import may leave as they are.
    """
    locked = await person.lock(conn, persons)
    world = await read_world(conn, work, events)
    if any(each.historical for each in events) and world.versions != locked:
        raise Stale
    # Who is new would be locked out of order.
    if any(id < max(locked, default=0) for id in world.persons.keys() - locked.keys()):
        raise Stale
    return world


async def read_clocks(conn: AsyncConnection, world: World) -> None:
    world.keeps_clocks = True
    if world.persons:
        world.clocks = await clocks.of_persons(conn, world.project.id, world.persons)


def is_personless(found: distinct_id.Found, text: str) -> bool:
    return found.ids[text].person_id is None


async def claim_rows(conn: AsyncConnection, world: World) -> None:
    """Lock what is to be changed; raises Stale when it is no longer what was read."""
    joined = [each.id for each in world.attached if each.distinct_id not in world.unstored]
    if joined and len(await distinct_id.lock_personless(conn, joined)) < len(joined):
        raise Stale
    changed = world.changed.keys() - world.created.keys()
    touched = changed | (world.seen.keys() - world.created.keys())
    if touched:
        locked = await person.lock(conn, touched)
        # Who was only seen may have changed, but must not have merged into somebody.
        if touched > locked.keys() or any(locked[id] != world.versions[id] for id in changed):
            raise Stale


async def write_world(conn: AsyncConnection, world: World, texts: Mapping[int, bytes]) -> None:
    """Persons, then the ids that lead to them, then what the ledger says of both."""
    project_id = world.project.id
    changed = [each for id, each in world.changed.items() if id not in world.created]
    if world.created:
        # By uuid, as ids by text: two groups that make the same persons wait in one order only.
        made = sorted(world.created.values(), key=lambda each: each.uuid)
        await person.insert_all(conn, made, texts)
    new = [world.ids[text] for text in sorted(world.unstored & world.used)]
    if new:
        await distinct_id.insert_all(conn, new)
    if joined := [each for each in world.attached if each.distinct_id not in world.unstored]:
        await distinct_id.attach_all(conn, joined)
    if changed:
        await person.update_all(conn, changed, texts)
    if seen := [
        each
        for id, each in world.seen.items()
        if id not in world.created and id not in world.changed
    ]:
        await person.see_all(conn, seen)
    if world.merges:
        await merge.insert_all(conn, project_id, world.merges)
        sources = [each.source_id for each in world.merges]
        await person.compress(conn, {source: world.top(source) for source in sources})
    if world.entries:
        await entry.insert_all(conn, project_id, world.entries)
    if roots := [id for id in world.backfilled if id not in world.parents]:
        versions = {id: world.persons[id].version for id in roots}
        kept = {id: world.clocks[id] for id in roots}
        await clock.write_all(conn, project_id, kept, versions=versions)
