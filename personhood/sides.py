"""The sides of a split: what each would be, had its distinct ids been by themselves all the time.

Both come of what is stored, gone through from the beginning. Of those who leave that is all that
they sent. Of what stays, only the persons are gone through that those who leave were part of: the
*chain* from their leaves to the root. Keys that those who leave never wrote are not asked for.
"""

from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Collection
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from uuid import UUID

from msgspec import Struct, field
from psycopg import AsyncConnection

from personhood.errors import InvalidInput
from personhood.histories import (
    clocked,
    in_order,
    keyed,
    link_of,
    listed,
    take_step,
    timed,
    unrecorded,
    write_of,
    write_told,
)
from personhood.identity.properties import FILTERED
from personhood.identity.replay import (
    CREATOR,
    Replay,
    State,
    Write,
    copied,
    key,
    keys_of,
    making,
    names_another,
    write,
)
from personhood.identity.split import concerned, overlaid
from personhood.model import DistinctId, Entry, EntryKind, Person, Project
from personhood.origins import Ground, beginnings, foundations, is_founded
from personhood.store import (
    distinct_id,
    entry,
    event_ends,
    history,
    merge,
    person,
    person_lookup,
    split,
)
from personhood.store.event_ends import Ends
from personhood.store.history import Sent
from personhood.store.pool import encode

ALONE_BYTES_MAX = 256 * 1024 * 1024
TOO_MUCH = "These distinct ids wrote too much to be split off at once. List fewer of them."


class Alone(Struct, kw_only=True):
    """Those who leave, by surrogate id, and all keys that they ever wrote.

    `grown` is by how many bytes their properties may have grown since they were last weighed.
    """

    states: dict[int, State] = field(default_factory=dict)
    seen: dict[int, datetime | None] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)
    grown: int = 0

    def write(self, id: int, step: Write) -> None:
        """Raises InvalidInput when all of them together become too much to be held."""
        write(self.states[id], step, identifies=False)
        self.written |= keys_of(step)
        self.grown += len(encode(step.event.set)) + len(encode(step.event.set_once))
        if self.grown > ALONE_BYTES_MAX:
            self.grown = sum(len(encode(each.properties)) for each in self.states.values())
            if self.grown > ALONE_BYTES_MAX // 2:
                raise InvalidInput(TOO_MUCH)


async def survey(
    conn: AsyncConnection, project: Project, root: Person, *, moved: list[DistinctId]
) -> Ground:
    leaves = {each.person_id for each in moved if each.person_id is not None}
    links = [link_of(each) for each in await merge.above(conn, project.id, leaves)]
    chain = {root.id, *leaves}
    chain |= {id for link in links for id in (link.source_id, link.target_id)}
    rows = await person.by_ids(conn, chain)
    firsts, homes = await foundations(conn, project.id, chain)
    bends = await split.bends(conn, project.id, chain)
    links = await timed(conn, project.id, links, bends=bends)
    gone = await split.names_gone(conn, project.id, chain)
    return Ground(
        project=project,
        root=root,
        moved=moved,
        rows=rows,
        links=sorted(links + unrecorded(rows, links), key=lambda link: link.version),
        firsts=firsts,
        homes=homes,
        bends=bends,
        apart=gone | {each.distinct_id for each in moved},
        imported=await event_ends.any_imported(conn, [root.id]),
        imports=await event_ends.imported(
            conn, project.id, {link.event_uuid for link in links if link.event_uuid is not None}
        ),
    )


# Those who leave


async def alone(conn: AsyncConnection, ground: Ground) -> Alone:
    """Each id that leaves, as it would be by itself."""
    ids = list(ground.moved_ids)
    ends = await event_ends.ends(conn, ids)
    lost = await told_only(conn, ground)
    unseen = [id for id in ids if ends[id].uuid is None and not lost[id]]
    named = await entry.first_named(
        conn, ground.project.id, person_ids=list(ground.rows), ids=unseen
    )
    result, claims = Alone(), defaultdict[int, set[str]](set)
    pending: dict[int, deque[Write]] = {}
    for id in ids:
        found = lost[id]
        result.states[id] = beginning(ends[id], found, named=named.get(id))
        result.states[id].clock = {} if ground.imported else None
        result.seen[id] = hour(ends[id].last_seen_at)
        pending[id] = deque(
            write_told(each, id) for each in found if each.kind is not EntryKind.CREATED
        )
        for each in found:
            result.written |= each.before.keys() | each.after.keys()
    async for row in history.of_ids(conn, ids):
        step, before = write_of(row), pending[row.distinct_id_id]
        if row.uuid == ends[row.distinct_id_id].uuid:
            step = making(step)
        while before and key(before[0], []) < key(step, []):
            result.write(row.distinct_id_id, before.popleft())
        result.write(row.distinct_id_id, step)
        if step.claims is not None and names_another(step):
            claims[row.distinct_id_id].add(step.claims)
    for id, rest in pending.items():
        for step in rest:
            result.write(id, step)
    result.written -= {CREATOR}
    await identify(conn, ground, result, claims=claims)
    return result


async def told_only(conn: AsyncConnection, ground: Ground) -> dict[int, list[Entry]]:
    """What those who leave wrote by events that are no longer stored."""
    found: dict[int, list[Entry]] = {id: [] for id in ground.moved_ids}
    async for each in entry.orphans(
        conn, ground.project.id, person_ids=list(ground.rows), of_ids=ground.moved_ids
    ):
        if each.cause.distinct_id_id is not None:
            found[each.cause.distinct_id_id].append(each)
    return found


def beginning(ends: Ends, lost: list[Entry], *, named: datetime | None) -> State:
    """The person that the id's first event makes, or nothing but the time when it was named."""
    first = next(iter(lost), None)
    if first is not None and first.kind is EntryKind.CREATED:
        return State(dict(first.after), False, first.created_at)
    if ends.uuid is not None:
        return State({CREATOR: str(ends.uuid)}, False, ends.at)
    at = named if first is None else first.at
    return State({}, False, at or datetime.now(UTC))


def hour(at: datetime | None) -> datetime | None:
    return None if at is None else at.replace(minute=0, second=0, microsecond=0)


async def identify(
    conn: AsyncConnection, ground: Ground, result: Alone, *, claims: dict[int, set[str]]
) -> None:
    """An id is identified by itself if it claimed to be somebody who is of another family."""
    texts = sorted({text for named in claims.values() for text in named} - ground.apart)
    found = await distinct_id.find(conn, ground.project.id, texts)
    leaves = [row.person_id for row in found.ids.values() if row.person_id is not None]
    roots = await person_lookup.roots_of(conn, leaves)
    family = {
        text
        for text, row in found.ids.items()
        if row.person_id in roots and roots[row.person_id].id == ground.root.id
    }
    for id, named in claims.items():
        result.states[id].is_identified = bool(named - family - ground.apart)


# What stays


async def left(conn: AsyncConnection, ground: Ground, written: set[str]) -> dict[int, State]:
    """Each person of the chain, as it is without those who leave; of nobody there is no state."""
    states = await beginnings(conn, ground)
    waiting = False
    for id, each in (await history.gathered(conn, ground.project.id, list(ground.rows))).items():
        state = states[id]
        if state.created_at is None:
            waiting = True
        else:
            state.created_at = min(state.created_at, each.created_at)
            state.is_identified = True
    keys = concerned(written)
    replay = None
    if not (keys & FILTERED or waiting or ground.imported):
        replay = await gone_through(conn, ground, states, keys=keys)
    if replay is None:
        keys = keys | FILTERED | ({CREATOR} if ground.imported else set())
        replay = await gone_through(conn, ground, states, keys=None)
        assert replay is not None, "all that was written has been gone through"
    found: dict[int, State] = {}
    for id, row in ground.rows.items():
        state = replay.frozen.get(id) or replay.states[id]
        if state.created_at is None and id == ground.root.id:
            # An id that was only ever named stays alone.
            state.created_at = row.created_at
        if state.created_at is not None:
            changed = keys if is_founded(ground, id) else keys | {CREATOR}
            state.properties = overlaid(row.properties, state.properties, keys=changed)
            found[id] = state
    return found


async def gone_through(
    conn: AsyncConnection, ground: Ground, states: dict[int, State], *, keys: set[str] | None
) -> Replay | None:
    """The chain at its end. With `keys` only these are right, and None tells that they do not do:
    what else was written depends on them."""
    chain, project_id = list(ground.rows), ground.project.id
    replay = Replay(states={id: copied(state) for id, state in states.items()})
    for link in ground.links:
        replay.merge(link.source_id, link.target_id, by=None)
    claims = any(
        row.is_identified and not (replay.frozen.get(id) or replay.states[id]).is_identified
        for id, row in ground.rows.items()
    )
    if keys is not None and not (keys or claims):
        return replay
    replay = Replay(
        states={id: copied(state) for id, state in states.items()}, imports=ground.imports
    )
    rows = history.of_chain(
        conn,
        project_id,
        chain=chain,
        without=ground.moved_ids,
        keys=keys,
        claims=claims,
        bends=ground.bends,
    )
    lost = entry.orphans(
        conn,
        project_id,
        person_ids=chain,
        without=ground.moved_ids,
        keys=keys,
        bends=ground.bends,
    )
    others = history.absorbed(conn, project_id, chain=chain, keys=keys, bends=ground.bends)
    async with AsyncExitStack() as stack:
        for stream in (rows, lost, others):
            stack.push_async_callback(stream.aclose)
        steps = in_order(
            keyed(listed(ground.links), ground.bends),
            keyed(clocked(conn, project_id, others) if ground.imported else others, ground.bends),
            keyed(writes_of(rows, ground.makers), ground.bends),
            keyed(of_family(conn, ground, lost), ground.bends),
        )
        async for item in steps:
            if isinstance(item, Write) and keys is not None and FILTERED & item.event.set.keys():
                return None
            take_step(replay, item, apart=ground.apart)
    return replay


async def writes_of(
    rows: AsyncGenerator[Sent, None], makers: Collection[UUID]
) -> AsyncGenerator[Write, None]:
    async for row in rows:
        step = write_of(row)
        yield making(step) if row.uuid in makers else step


async def of_family(
    conn: AsyncConnection, ground: Ground, lost: AsyncGenerator[Entry, None]
) -> AsyncGenerator[Write, None]:
    """What ids wrote that still belong to the root."""
    known: dict[int, bool] = {}
    async for each in lost:
        id = each.cause.distinct_id_id
        if id is not None and id not in known:
            leaves = (await distinct_id.leaves_of(conn, [id])).values()
            roots = await person_lookup.roots_of(conn, leaves)
            known[id] = any(root.id == ground.root.id for root in roots.values())
        if id is not None and known[id]:
            yield write_told(each, each.person_id)
