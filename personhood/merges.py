"""Verbs on merges: which made a person what it is, and undoing one of them.

An undo is worked out from what is stored, under the lock of the root, and written in the same
transaction; or, as a preview, on one snapshot and not written.
"""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from msgspec import Struct
from psycopg import AsyncConnection

from personhood import families
from personhood.errors import Conflict, NotFound, Overloaded
from personhood.families import Known
from personhood.histories import same, take, told
from personhood.identity.replay import Link
from personhood.identity.undo import Undone
from personhood.model import Activity, ActivityKind, Cause, Entry, EntryKind, Person, Project
from personhood.persons import ATTEMPTS_MAX, BACKOFF_S, CONFLICTS, Stale
from personhood.store import activity, distinct_id, entry, event_ends, history, merge, person
from personhood.store.person_lookup import Owner
from personhood.store.pool import Pool, encode, one_moment

MERGES_MAX = 100_000  # of a family whose history one undo goes through
SHOWN_IDS_MAX = 1000
ONE_SIDED = (
    "On one side of this merge no distinct id is left, because all were split off. "
    "Undo that split first."
)
TOO_MANY = f"More than {MERGES_MAX:,} merges made this person, which is too many to undo one."


class Outcome(Struct, frozen=True):
    """The two persons of an undone merge: the root that stays, and the one that is free again.

    Of the distinct ids of each there are at most SHOWN_IDS_MAX, the oldest.
    """

    kept: Owner
    freed: Owner


async def undo(
    pool: Pool, project: Project, root: Person, *, merge_id: int, by: Cause, preview: bool
) -> Outcome:
    """Undo a merge that made `root` what it is; both persons get what their own ids wrote.

    With `preview` nothing is written, and nobody waits. Raises NotFound when there is no such merge
    in force, Conflict when one of them would be left without distinct ids or the family is too
    large.
    """
    for attempt in range(ATTEMPTS_MAX):
        try:
            async with one_moment(pool) if preview else writing(pool) as conn:
                return await undo_in(conn, project, root, merge_id=merge_id, by=by, preview=preview)
        except (Stale, *CONFLICTS):
            await asyncio.sleep(BACKOFF_S * 2**attempt * random.random())
    raise Overloaded


@asynccontextmanager
async def writing(pool: Pool) -> AsyncGenerator[AsyncConnection]:
    async with pool.connection() as conn, conn.transaction():
        yield conn


async def undo_in(
    conn: AsyncConnection,
    project: Project,
    root: Person,
    *,
    merge_id: int,
    by: Cause,
    preview: bool,
) -> Outcome:
    if not preview and root.id not in await person.lock(conn, [root.id]):
        raise NotFound
    merges = await merge.of_family(conn, project.id, root.id, limit=MERGES_MAX + 1)
    wanted = next((each for each in merges if each.id == merge_id), None)
    if wanted is None:
        raise Conflict(TOO_MANY) if len(merges) > MERGES_MAX else NotFound
    if len(merges) > MERGES_MAX:
        raise Conflict(TOO_MANY)
    await history.by_index(conn)
    known = await families.survey(conn, project, root.id, merges=merges, wanted=wanted)
    link = next(each for each in known.links if each.merge_id == merge_id)
    result = await families.without(conn, known, link)
    for leaves in (result.freed_leaves, known.leaves - result.freed_leaves):
        if not await distinct_id.first_of_leaves(conn, leaves, limit=1):
            raise Conflict(ONE_SIDED)
    await turn(conn, known, result)
    if not preview:
        await write(conn, known, result, link=link, by=by)
    return await outcome(conn, known, result)


async def turn(conn: AsyncConnection, known: Known, result: Undone) -> None:
    """In memory, both persons go on from a version above all before."""
    kept, freed = known.persons[result.root_id], known.persons[result.freed_id]
    version = kept.version + 1
    since = max(known.since, freed.version + 1)
    if seen := await event_ends.last_seen_of_leaves(conn, result.freed_leaves, since=since):
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
            line.ids = await distinct_id.of_leaves(conn, result.freed_leaves)
        entries.append(line)
        changed[id] = each
        take(each, state)
    pointers = await person.pointers(conn, known.leaves - result.freed_leaves)
    strays = [id for id, target in pointers.items() if target in result.freed_leaves]
    if not await person.lock_idle(conn, {*changed, *result.freed_leaves, *strays}):
        raise Stale
    rows = list(changed.values())
    await person.update_all(conn, rows, {each.id: encode(each.properties) for each in rows})
    await person.point(conn, result.freed_leaves - {result.freed_id}, target_id=result.freed_id)
    await person.point(conn, strays, target_id=result.root_id)
    before = {each.merge_id: each for each in known.links}
    moved = [each for each in result.links if each != before[each.merge_id]]
    await merge.turn(conn, known.project.id, ended=[link.merge_id], relinked=moved)
    await entry.insert_all(conn, known.project.id, entries)
    kept, freed = known.persons[result.root_id], known.persons[result.freed_id]
    lines = [line_of(kept, other=freed, by=by), line_of(freed, other=kept, by=by)]
    await activity.insert_all(conn, known.project.id, lines)


def line_of(row: Person, *, other: Person, by: Cause) -> Activity:
    return Activity(
        kind=ActivityKind.MERGE_UNDONE,
        person_id=row.id,
        person_uuid=row.uuid,
        version=row.version,
        other_id=other.id,
        cause=by,
    )


async def outcome(conn: AsyncConnection, known: Known, result: Undone) -> Outcome:
    owners: list[Owner] = []
    kept_leaves = known.leaves - result.freed_leaves
    for id, leaves in ((result.root_id, kept_leaves), (result.freed_id, result.freed_leaves)):
        row = known.persons[id]
        take(row, result.states[id])
        names = await distinct_id.first_of_leaves(conn, leaves, limit=SHOWN_IDS_MAX)
        owners.append(Owner(row, names))
    return Outcome(*owners)
