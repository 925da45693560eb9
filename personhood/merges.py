"""Verbs on merges: which made a person what it is, and undoing one of them.

An undo is worked out from what is stored, under the lock of the root, and written in the same
transaction; or, as a preview, not written.
"""

import asyncio
import random
from collections.abc import Iterable
from uuid import UUID

from msgspec import Struct, field
from psycopg import AsyncConnection

from personhood import sides
from personhood.errors import Conflict, NotFound, Overloaded
from personhood.histories import event_of, link_of, same, take, timed, told, write_told
from personhood.identity import properties
from personhood.identity.replay import Bend, Link, State, Write, making
from personhood.identity.undo import Family, Undone, undone
from personhood.ledger import book
from personhood.model import (
    Activity,
    ActivityKind,
    Cause,
    DistinctId,
    Entry,
    EntryKind,
    Merge,
    Person,
    Project,
)
from personhood.persons import ATTEMPTS_MAX, BACKOFF_S, CONFLICTS, Stale
from personhood.sides import Ground
from personhood.store import (
    activity,
    distinct_id,
    entry,
    event,
    event_ends,
    merge,
    person,
    split,
)
from personhood.store.event import Written
from personhood.store.person_lookup import Owner
from personhood.store.pool import Pool, encode

NOBODY = 0  # the leaf of a name that was split off
ONE_SIDED = (
    "On one side of this merge no distinct id is left, because all were split off. "
    "Undo that split first."
)


class Outcome(Struct, frozen=True):
    """The two persons of an undone merge: the root that stays, and the one that is free again."""

    kept: Owner
    freed: Owner


class Known(Struct, kw_only=True):
    """What the store knows of a root's family.

    `made` are its persons when they were made, by the events `makers`; asked for only when the
    history is gone through from there. `gone` are names that were split off.
    """

    root: Person
    persons: dict[int, Person]
    ids: list[DistinctId]
    links: list[Link]
    entries: dict[int, list[Entry]]
    written: list[Written] = field(default_factory=list)
    made: dict[int, State] = field(default_factory=dict)
    makers: set[UUID] = field(default_factory=set)
    bends: list[Bend] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    revoked: set[UUID] = field(default_factory=set)
    imported: bool = False


async def undo(
    pool: Pool, project: Project, root: Person, *, merge_id: int, by: Cause, preview: bool
) -> Outcome:
    """Undo a merge that made `root` what it is; both persons get what their own ids wrote.

    With `preview` nothing is written. Raises NotFound when there is no such merge in force,
    Conflict when one of them would be left without distinct ids.
    """
    for attempt in range(ATTEMPTS_MAX):
        try:
            async with pool.connection() as conn, conn.transaction():
                return await undo_in(conn, project, root, merge_id=merge_id, by=by, preview=preview)
        except (Stale, *CONFLICTS):
            await asyncio.sleep(BACKOFF_S * 2**attempt * random.random())
    raise Overloaded


async def undo_in(
    conn: AsyncConnection,
    project: Project,
    root: Person,
    *,
    merge_id: int,
    by: Cause,
    preview: bool,
) -> Outcome:
    if root.id not in await person.lock(conn, [root.id]):
        raise NotFound
    merges = await merge.of_family(conn, project.id, root.id)
    wanted = next((each for each in merges if each.id == merge_id), None)
    if wanted is None:
        raise NotFound
    known = await read(conn, project, root.id, merges=merges)
    since = start(known, wanted)
    known.written = await event.written(conn, [each.id for each in known.ids], since=since)
    claimed = [each.uuid for each in known.written if each.claims_by_anon or each.alias]
    known.revoked = await merge.revoked(conn, project.id, claimed)
    if since == 0:
        await read_beginnings(conn, project, known)
    family = family_of(known, wanted, since=since)
    link = next(each for each in known.links if each.merge_id == merge_id)
    result = undone(family, link)
    freed = {each.person_id in result.freed_leaves for each in known.ids}
    if freed != {True, False}:
        raise Conflict(ONE_SIDED)
    await apply(conn, known, result, since=since)
    if not preview:
        await write(conn, known, result, link=link, by=by)
    return outcome(known, result)


async def read(
    conn: AsyncConnection, project: Project, root_id: int, *, merges: list[Merge]
) -> Known:
    leaves = {root_id} | {each.source_id for each in merges} | {each.target_id for each in merges}
    persons = await person.by_ids(conn, leaves)
    ids = await distinct_id.of_persons(conn, leaves)
    bends = await split.bends(conn, project.id, leaves)
    links = [link_of(each) for each in reversed(merges)]
    return Known(
        root=persons[root_id],
        persons=persons,
        ids=ids,
        links=await timed(conn, project.id, links, bends=bends),
        entries=await entry.of_persons(conn, project.id, leaves),
        bends=bends,
        gone=await split.names_gone(conn, project.id, leaves),
        imported=await event_ends.any_imported(conn, [root_id]),
    )


async def read_beginnings(conn: AsyncConnection, project: Project, known: Known) -> None:
    ground = Ground(
        project=project,
        root=known.root,
        moved=[],
        rows=known.persons,
        links=known.links,
        firsts={id: entries[0] for id, entries in known.entries.items()},
        homes={each.id: each.person_id for each in known.ids if each.person_id is not None},
        bends=known.bends,
        apart=known.gone,
        imported=known.imported,
    )
    known.made = await sides.beginnings(conn, ground)
    known.makers = ground.makers


def start(known: Known, wanted: Merge) -> int:
    """From which version on the family's history is gone through again.

    From the merge on, unless another has been undone before, or ids were split off: what the ledger
    says of the time between holds what those had brought in, so then from the beginning. So also
    after a historical import: the times of values are known only from there.
    """
    kinds = {each.kind for entries in known.entries.values() for each in entries}
    again = {EntryKind.UNDONE, EntryKind.SPLIT}
    return 0 if kinds & again or known.gone or known.imported else wanted.target_version


def family_of(known: Known, wanted: Merge, *, since: int) -> Family:
    leaf_of = {each.id: each.person_id for each in known.ids if each.person_id is not None}
    return Family(
        root_id=known.root.id,
        since=since,
        leaves=set(known.persons),
        names={
            **dict.fromkeys(known.gone, NOBODY),
            **{each.distinct_id: leaf_of[each.id] for each in known.ids if each.id in leaf_of},
        },
        links=known.links,
        writes=list(writes_of(known, leaf_of, since=lowest_versions(known, wanted, since))),
        states={id: state_at(known, id, wanted, since=since) for id in known.persons},
        bends=known.bends,
        revoked=known.revoked,
        imports={each.uuid for each in known.written if each.historical},
    )


def lowest_versions(known: Known, wanted: Merge, since: int) -> dict[int, int]:
    """From which version on a person's writes are gone through again; those of others are not.

    They are those of the merge's target since then, and of whom it was absorbed by in turn.
    """
    if since == 0:
        return dict.fromkeys(known.persons, 0)
    by_source = {link.source_id: link for link in known.links}
    lowest = {wanted.target_id: since}
    above = by_source.get(wanted.target_id)
    while above is not None:
        lowest[above.target_id] = above.version
        above = by_source.get(above.target_id)
    return lowest


def state_at(known: Known, id: int, wanted: Merge, *, since: int) -> State:
    """The person before what is gone through again: see `Family.states`."""
    if since == 0:
        return known.made[id]
    row, entries = known.persons[id], known.entries.get(id, [])
    lowest = lowest_versions(known, wanted, since).get(id)
    if lowest is None:
        return State(row.properties, row.is_identified, row.created_at)
    return state_of(book.person_of(entries, up_to=lowest - 1))


def state_of(told: book.State) -> State:
    assert told.created_at is not None, "a ledger begins with the person's making"
    return State(told.properties, told.is_identified, told.created_at)


def writes_of(known: Known, leaf_of: dict[int, int], *, since: dict[int, int]) -> Iterable[Write]:
    """What the family's ids wrote: their events and, of events that are gone, ledger entries."""
    names = {each.id: each.distinct_id for each in known.ids}
    changed = {each.cause.event_uuid for entries in known.entries.values() for each in entries}
    everything = set(since.values()) == {0}
    for each in known.written:
        lowest = 0 if everything else since.get(each.person_id)
        if lowest is None or each.person_version < lowest:
            continue
        if each.name in properties.READ_ONLY_EVENTS or each.distinct_id_id not in leaf_of:
            continue
        sent = event_of(each, names[each.distinct_id_id])
        step = Write(
            version=each.person_version,
            # Of one version, the event that made it came first: the others found it made.
            order=(int(each.uuid not in changed), each.received_at, each.uuid.int),
            leaf_id=leaf_of[each.distinct_id_id],
            event=sent,
            claims=sent.claim.source if sent.claim else None,
        )
        yield making(step) if each.uuid in known.makers else step
    yield from entries_of(known, leaf_of, since=since)


def entries_of(known: Known, leaf_of: dict[int, int], *, since: dict[int, int]) -> Iterable[Write]:
    """The changes that a ledger tells of events which are no longer stored."""
    stored = {each.uuid for each in known.written}
    for id, lowest in since.items():
        for each in known.entries.get(id, []):
            cause = each.cause
            if each.kind is not EntryKind.SET or each.version < lowest:
                continue
            if cause.event_uuid in stored or cause.distinct_id_id not in leaf_of:
                continue
            yield write_told(each, leaf_of[cause.distinct_id_id])


async def apply(conn: AsyncConnection, known: Known, result: Undone, *, since: int) -> None:
    """Put the outcome into the persons in memory; both go on from a version above all before."""
    kept, freed = known.persons[result.root_id], known.persons[result.freed_id]
    version = kept.version + 1
    ids = [each.id for each in known.ids if each.person_id in result.freed_leaves]
    if seen := await event.last_seen(conn, ids, since=max(since, freed.version + 1)):
        hour = seen.replace(minute=0, second=0, microsecond=0)
        freed.last_seen_at = max(freed.last_seen_at or hour, hour)
    freed.merged_into_id = None
    for each in (kept, freed):
        each.version = version


async def write(
    conn: AsyncConnection, known: Known, result: Undone, *, link: Link, by: Cause
) -> None:
    entries: list[Entry] = []
    changed: dict[int, Person] = {}
    for id, state in {**result.frozen, **result.states}.items():
        each = known.persons[id]
        ended = id in result.states
        if not ended and same(each, state):
            continue
        if not ended:
            each.version += 1
        other = result.freed_id if id == result.root_id else None
        line = told(each, state, kind=EntryKind.UNDONE, by=by, source_id=other)
        if id == result.freed_id:
            line.ids = [owned.id for owned in known.ids if owned.person_id in result.freed_leaves]
        entries.append(line)
        changed[id] = each
        take(each, state)
    strays = [
        id
        for id, each in known.persons.items()
        if id not in result.freed_leaves and each.merged_into_id in result.freed_leaves
    ]
    if not await person.lock_idle(conn, {*changed, *result.freed_leaves, *strays}):
        raise Stale
    rows = list(changed.values())
    await person.update_all(conn, rows, {each.id: encode(each.properties) for each in rows})
    await person.point(conn, result.freed_leaves - {result.freed_id}, target_id=result.freed_id)
    await person.point(conn, strays, target_id=result.root_id)
    before = {each.merge_id: each for each in known.links}
    moved = [each for each in result.links if each != before[each.merge_id]]
    await merge.turn(conn, known.root.project_id, ended=[link.merge_id], relinked=moved)
    await entry.insert_all(conn, known.root.project_id, entries)
    kept, freed = known.persons[result.root_id], known.persons[result.freed_id]
    lines = [line_of(kept, other=freed, by=by), line_of(freed, other=kept, by=by)]
    await activity.insert_all(conn, known.root.project_id, lines)


def line_of(row: Person, *, other: Person, by: Cause) -> Activity:
    return Activity(
        kind=ActivityKind.MERGE_UNDONE,
        person_id=row.id,
        person_uuid=row.uuid,
        version=row.version,
        other_id=other.id,
        cause=by,
    )


def outcome(known: Known, result: Undone) -> Outcome:
    kept, freed = known.persons[result.root_id], known.persons[result.freed_id]
    take(kept, result.states[kept.id])
    take(freed, result.states[freed.id])
    return Outcome(
        kept=Owner(kept, names_of(known, set(known.persons) - result.freed_leaves)),
        freed=Owner(freed, names_of(known, result.freed_leaves)),
    )


def names_of(known: Known, leaves: set[int]) -> list[str]:
    return [each.distinct_id for each in known.ids if each.person_id in leaves]
