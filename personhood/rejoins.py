"""Undoing a split: its persons are one again, as if they had never been apart.

The person is taken as it was before the split, and what all of them have written since is gone
through in the order of time. That holds only while each is still what the split made of it; else
the split cannot be undone before that is.
"""

import asyncio
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack

from msgspec import Struct
from psycopg import AsyncConnection

from personhood.errors import Conflict, NotFound, Overloaded
from personhood.histories import (
    clocked,
    in_order,
    keyed,
    link_of,
    take,
    take_step,
    told,
    write_of,
    write_told,
)
from personhood.identity.replay import Bend, Link, Replay, State
from personhood.identity.split import Grafts, regrafted
from personhood.ledger import clocks
from personhood.model import (
    BIGINT_MAX,
    Activity,
    ActivityKind,
    Cause,
    DistinctId,
    Entry,
    EntryKind,
    Person,
    Project,
    Properties,
    Split,
    SplitPerson,
    SplitRole,
)
from personhood.partings import MOVED_MAX, batches, weight
from personhood.persons import ATTEMPTS_MAX, BACKOFF_S, CONFLICTS, Stale
from personhood.store import (
    activity,
    distinct_id,
    entry,
    event_ends,
    history,
    merge,
    past_state,
    person,
    person_lookup,
    split,
)
from personhood.store.pool import Pool, encode


class Rejoined(Struct, frozen=True, kw_only=True):
    """The person, whole again, with the first of its distinct ids, and the ids that came back."""

    person: Person
    distinct_ids: list[str]
    returned: list[str]


class Known(Struct, kw_only=True):
    """What the store knows of a split, of its persons as they are, and of what those who were there
    had `before` it."""

    project: Project
    split: Split
    root: Person
    parts: list[SplitPerson]
    rows: dict[int, Person]
    before: dict[int, Properties]
    ids: list[DistinctId]

    def of(self, role: SplitRole) -> list[SplitPerson]:
        return [part for part in self.parts if part.role == role]

    @property
    def moved(self) -> list[int]:
        return [part.person_id for part in self.of(SplitRole.MOVED)]


async def rejoin(
    pool: Pool, project: Project, root: Person, *, split_id: int, by: Cause, preview: bool
) -> Rejoined:
    """Undo a split of `root`. With `preview` nothing is written.

    Raises NotFound when there is no such split in force, Conflict with what stands in the way.
    """
    for attempt in range(ATTEMPTS_MAX):
        try:
            async with pool.connection() as conn, conn.transaction():
                known = await read(conn, project, root.id, split_id=split_id)
                await check(conn, known)
                state = await together(conn, known)
                return await rejoin_in(conn, known, state, by=by, preview=preview)
        except (Stale, *CONFLICTS):
            await asyncio.sleep(BACKOFF_S * 2**attempt * random.random())
    raise Overloaded


async def read(conn: AsyncConnection, project: Project, root_id: int, *, split_id: int) -> Known:
    # All in one statement, in id order as everybody does; what a split in force moved stays so.
    parts = await split.persons_of(conn, split_id)
    moved = [part.person_id for part in parts if part.role == SplitRole.MOVED]
    locked = await person.lock(conn, {root_id, *moved})
    found = await split.by_id(conn, project.id, split_id)
    if root_id not in locked or found is None:
        raise NotFound
    if found.person_id != root_id:
        roots = await person_lookup.roots_of(conn, [found.person_id])
        if all(root.id != root_id for root in roots.values()):
            raise NotFound
        raise Conflict("Who was split has been merged into this person. Undo that merge first.")
    splits = await split.later(conn, project.id, person_ids=[root_id], since=split_id)
    if len(splits) > 1:
        raise Conflict(f"Split {splits[0].id} of this person is newer. Undo that one first.")
    await history.by_index(conn)
    rows = await person.by_ids(conn, [part.person_id for part in parts])
    versions = {part.person_id: part.version for part in parts if part.version is not None}
    owned = await distinct_id.of_family(conn, root_id, limit=MOVED_MAX)
    return Known(
        project=project,
        split=found,
        root=rows[root_id],
        parts=parts,
        rows=rows,
        before=await past_state.backwards(conn, project.id, versions),
        ids=sorted([*owned, *await distinct_id.of_persons(conn, moved)], key=lambda each: each.id),
    )


async def check(conn: AsyncConnection, known: Known) -> None:
    """Raise Conflict unless all are what the split made of them, but for what they wrote since."""
    project_id, moved = known.project.id, known.moved
    if await entry.any_undone(conn, project_id, known.root.id, since=known.split.version):
        raise Conflict("A merge of this person was undone after the split.")
    for id in moved:
        if id not in known.rows:
            raise Conflict(f"Person {id}, whom the split made, has been deleted.")
        if known.rows[id].merged_into_id is not None:
            raise Conflict(f"{named(known, id)} has been merged since. Undo that merge first.")
    if others := await split.later(conn, project_id, person_ids=moved, since=known.split.id):
        name = named(known, others[0].person_id)
        raise Conflict(f"{name} has been split since. Undo split {others[0].id} first.")
    merges = await merge.around(conn, project_id, moved)
    if merges:
        name = named(known, merges[0].target_id)
        raise Conflict(
            f"{name} has absorbed another person since. Undo merge {merges[0].id} first."
        )
    empty = set(moved) - {each.person_id for each in known.ids}
    if empty:
        raise Conflict(f"{named(known, min(empty))} has lost its distinct ids since.")


def named(known: Known, id: int) -> str:
    row = known.rows.get(id)
    return f"Person {id if row is None else row.uuid}"


async def together(conn: AsyncConnection, known: Known) -> State:
    """The person as it would be now, had it not been split."""
    root, since = known.root, known.split.version
    [kept] = known.of(SplitRole.KEPT)
    state = State(known.before[root.id], bool(kept.is_identified), kept.created_at)
    chain, bends = [root.id, *known.moved], [Bend(since - 1, BIGINT_MAX)]
    imported = await event_ends.any_imported(conn, chain)
    if imported:
        ends = {root.id: since}
        state.clock = (await clocks.of_persons(conn, known.project.id, ends, below=ends))[root.id]
    replay = Replay(states={root.id: state}, parents=dict.fromkeys(known.moved, root.id))
    apart = await split.names_gone(conn, known.project.id, [root.id])
    apart -= {each.distinct_id for each in known.ids}
    rows = history.of_chain(conn, known.project.id, chain=chain, since=since, bends=bends)
    others = history.absorbed(conn, known.project.id, chain=chain, since=since, bends=bends)
    lost = entry.orphans(conn, known.project.id, person_ids=chain, since=since, bends=bends)
    async with AsyncExitStack() as stack:
        for stream in (rows, others, lost):
            stack.push_async_callback(stream.aclose)
        async for item in in_order(
            keyed(clocked(conn, known.project.id, others) if imported else others, bends),
            keyed((write_of(row) async for row in rows), bends),
            keyed((write_told(each, each.person_id) async for each in lost), bends),
        ):
            take_step(replay, item, apart=apart)
    return state


async def rejoin_in(
    conn: AsyncConnection, known: Known, state: State, *, by: Cause, preview: bool
) -> Rejoined:
    root, moved = known.root, [known.rows[id] for id in known.moved]
    seen = [each.last_seen_at for each in (root, *moved) if each.last_seen_at is not None]
    root.last_seen_at = max(seen, default=None)
    if preview:
        take(root, state)
    else:
        await write(conn, known, state, by=by)
    gone = {part.distinct_id_id for part in known.of(SplitRole.MOVED)}
    return Rejoined(
        person=root,
        distinct_ids=[each.distinct_id for each in known.ids],
        returned=[each.distinct_id for each in known.ids if each.id in gone],
    )


async def write(conn: AsyncConnection, known: Known, state: State, *, by: Cause) -> None:
    project_id, root = known.project.id, known.root
    entries = turned_back(known, by=by)
    root.version = max(row.version for row in known.rows.values()) + 1
    line = told(root, state, kind=EntryKind.UNDONE, by=by)
    line.ids = [each.id for each in known.ids if each.person_id in known.moved]
    entries.append(line)
    take(root, state)
    for part in known.of(SplitRole.MOVED):
        # One that was made for the split stays with the leaf that its id goes back to.
        is_leaf = part.leaf_id in (None, part.person_id)
        known.rows[part.person_id].merged_into_id = root.id if is_leaf else part.leaf_id
    if not await person.lock_idle(conn, known.rows):
        raise Stale
    await update(conn, [row for row in known.rows.values() if not is_stand_in(known, row.id)])
    await move_back(conn, known)
    for lines in batches(entries, [weight(each) for each in entries]):
        await entry.insert_all(conn, project_id, lines)
    await split.undo(conn, project_id, known.split.id, version=root.version)
    line = Activity(
        kind=ActivityKind.SPLIT_UNDONE,
        person_id=root.id,
        person_uuid=root.uuid,
        version=root.version,
        cause=by,
        ids=[each.id for each in known.ids[:MOVED_MAX]],
        moved_ids=[part.distinct_id_id or 0 for part in known.of(SplitRole.MOVED)],
    )
    await activity.insert_all(conn, project_id, [line])


def is_stand_in(known: Known, id: int) -> bool:
    return any(part.person_id == id for part in known.of(SplitRole.STAND_IN))


def turned_back(known: Known, *, by: Cause) -> list[Entry]:
    """Let those who were there before the split be what they were; but not the root."""
    entries: list[Entry] = []
    for part in known.parts:
        if part.version is None or part.role == SplitRole.KEPT:
            continue
        row = known.rows[part.person_id]
        state = State(known.before[row.id], bool(part.is_identified), part.created_at)
        row.version += 1
        entries.append(told(row, state, kind=EntryKind.UNDONE, by=by))
        take(row, state)
    return entries


async def update(conn: AsyncConnection, rows: Sequence[Person]) -> None:
    texts = {row.id: encode(row.properties) for row in rows}
    for batch in batches(rows, [len(texts[row.id]) for row in rows]):
        await person.update_all(conn, batch, texts)


async def move_back(conn: AsyncConnection, known: Known) -> None:
    """Let ids, pointers and merges lead where they led before; stand-ins are not needed more."""
    project_id, root = known.project.id, known.root
    stand_ins = {
        part.person_id: part.leaf_id
        for part in known.of(SplitRole.STAND_IN)
        if part.leaf_id is not None
    }
    homes = dict(stand_ins)
    for part in known.of(SplitRole.MOVED):
        if part.leaf_id is not None and part.leaf_id != part.person_id:
            homes[part.person_id] = part.leaf_id
    if homes:
        await distinct_id.move_leaves(conn, homes)
    before = await split.merges_of(conn, known.split.id)
    changed = {link.merge_id for link in before}
    around = [link_of(each) for each in await merge.around(conn, project_id, stand_ins)]
    newer: list[Link] = [link for link in around if link.merge_id not in changed]
    newer = regrafted(newer, Grafts(), stand_ins=stand_ins)
    await merge.turn(conn, project_id, ended=[], relinked=[*before, *newer])
    if stand_ins:
        await person.point_away(conn, stand_ins, target_id=root.id)
        await entry.delete_all(conn, project_id, stand_ins)
        await person.delete_all(conn, project_id, stand_ins)
        await split.forget_stand_ins(conn, known.split.id)
