"""The verb split: distinct ids leave a person, each to be a person of its own (persons-api, 5).

What each side gets is worked out under the root's lock (see `sides`) and written in the same
transaction, with what `rejoins` needs to bring them together again.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from uuid import UUID, uuid4

from msgspec import Struct, field
from psycopg import AsyncConnection

from personhood import origins, partings, sides
from personhood.errors import InvalidInput, NotFound, Overloaded, PreconditionFailed
from personhood.histories import link_of
from personhood.identity.distinct_id import person_uuid
from personhood.identity.split import TAKEN_ALONG_MAX, Leaf, Moving, Seat, grafts, seats
from personhood.model import Activity, ActivityKind, Cause, DistinctId, Person, Project
from personhood.origins import Ground
from personhood.partings import MOVED_MAX, Part, Plan
from personhood.persons import ATTEMPTS_MAX, BACKOFF_S, CONFLICTS, Stale
from personhood.sides import Alone
from personhood.store import (
    activity,
    distinct_id,
    event_ends,
    history,
    merge,
    person,
    person_lookup,
    split,
)
from personhood.store.pool import Pool


class Wish(Struct, frozen=True, kw_only=True):
    """Which ids are to leave: the `listed` ones, else all but `main`, else all but the first.

    `expected` tells whether the person, as it is found under its lock, is the one that is meant.
    """

    main: str | None = None
    listed: list[str] | None = None
    expected: Callable[[Person], bool] | None = None


class Outcome(Struct, kw_only=True):
    """The person that stays, and those that left it; without a split there are none."""

    kept: Person
    distinct_ids: list[str]
    parts: list[Part] = field(default_factory=list)
    split_id: int | None = None


async def split_off(
    pool: Pool, project: Project, root: Person, *, wish: Wish, by: Cause, dry_run: bool
) -> Outcome:
    """Give ids of `root` persons of their own. With `dry_run` nothing is written.

    Raises InvalidInput when the ids are not the person's or none would stay, PreconditionFailed
    when it is not the expected one, NotFound when it is gone.
    """
    for attempt in range(ATTEMPTS_MAX):
        try:
            async with pool.connection() as conn, conn.transaction():
                return await split_in(conn, project, root.id, wish=wish, by=by, dry_run=dry_run)
        except (Stale, *CONFLICTS):
            await asyncio.sleep(BACKOFF_S * 2**attempt * random.random())
    raise Overloaded


async def split_in(
    conn: AsyncConnection, project: Project, root_id: int, *, wish: Wish, by: Cause, dry_run: bool
) -> Outcome:
    if root_id not in await person.lock(conn, [root_id]):
        raise NotFound
    root = (await person.by_ids(conn, [root_id]))[root_id]
    owned = await distinct_id.of_family(conn, root_id, limit=MOVED_MAX + 2)
    moved = await chosen(conn, project, root, wish=wish, owned=owned)
    if wish.expected is not None and not wish.expected(root):
        raise PreconditionFailed
    gone = {each.id for each in moved}
    stay = [each.distinct_id for each in owned if each.id not in gone]
    outcome = Outcome(kept=root, distinct_ids=stay)
    if moved:
        await history.by_index(conn)
        plan = await planned(conn, project, root, moved=moved)
        outcome.kept, outcome.parts = plan.root, plan.parts
        if dry_run:
            partings.show(plan)
        else:
            outcome.split_id = await partings.write(conn, plan, by=by)
    if not dry_run:
        line = Activity(
            kind=ActivityKind.SPLIT,
            person_id=root.id,
            person_uuid=root.uuid,
            version=outcome.kept.version if moved else None,
            cause=by,
            ids=[each.id for each in owned[:MOVED_MAX]],
            moved_ids=sorted(gone) if wish.listed is not None else [],
        )
        # The person's own is the newest of them.
        others = [line_of(each, source_id=root.id, by=by) for each in outcome.parts]
        await activity.insert_all(conn, project.id, [*others, line])
    return outcome


def line_of(part: Part, *, source_id: int, by: Cause) -> Activity:
    return Activity(
        kind=ActivityKind.SPLIT_OFF,
        person_id=part.person.id,
        person_uuid=part.person.uuid,
        version=part.person.version,
        other_id=source_id,
        cause=by,
        ids=[part.moved.id],
    )


# Who leaves


async def chosen(
    conn: AsyncConnection, project: Project, root: Person, *, wish: Wish, owned: list[DistinctId]
) -> list[DistinctId]:
    """The ids that leave, in stored order."""
    if wish.listed is not None:
        return await named(conn, project, root, texts=wish.listed)
    if len(owned) > MOVED_MAX + 1:
        raise InvalidInput(
            f"This person has more than {MOVED_MAX + 1:,} distinct ids. Split off up to "
            f"{MOVED_MAX:,} at a time, by distinct_ids_to_split."
        )
    main = wish.main or next((each.distinct_id for each in owned), None)
    if wish.main and all(each.distinct_id != main for each in owned):
        raise InvalidInput(f"not on this person: {[main]!r}", attr="main_distinct_id")
    return [each for each in owned if each.distinct_id != main]


async def named(
    conn: AsyncConnection, project: Project, root: Person, *, texts: list[str]
) -> list[DistinctId]:
    attr = "distinct_ids_to_split"
    unique = list(dict.fromkeys(texts))
    if len(unique) > MOVED_MAX:
        raise InvalidInput(f"must not be more than {MOVED_MAX:,}", attr=attr)
    # PostgreSQL keeps no NUL, so such a text is nobody's.
    found = await distinct_id.find(conn, project.id, [text for text in unique if "\0" not in text])
    rows = {
        text: row
        for text, row in found.ids.items()
        if row.person_id is not None and root_of(found, row.person_id) == root.id
    }
    if strangers := sorted(set(unique) - rows.keys()):
        raise InvalidInput(f"not on this person: {strangers!r}", attr=attr)
    moved = sorted(rows.values(), key=lambda row: row.id)
    if not await distinct_id.any_but(conn, root.id, without=[row.id for row in moved]):
        raise InvalidInput("must leave at least one distinct id on this person", attr=attr)
    return moved


def root_of(found: distinct_id.Found, person_id: int) -> int:
    while (parent := found.parents.get(person_id)) is not None:
        person_id = parent
    return person_id


# What each gets


async def planned(
    conn: AsyncConnection, project: Project, root: Person, *, moved: list[DistinctId]
) -> Plan:
    ground = await sides.survey(conn, project, root, moved=moved)
    leaves = sorted({ground.leaf(each) for each in moved})
    counts = await distinct_id.counts_around(
        conn, leaves, without=ground.moved_ids, most=TAKEN_ALONG_MAX + 1
    )
    moving = [moving_of(ground, each) for each in moved]
    found = {
        id: Leaf(is_root=id == root.id, stays=stays, below=below)
        for id, (stays, below) in counts.items()
    }
    seating = seats(
        moving,
        found,
        earlier=await waiting(conn, ground),
        taken=await person.by_uuids(conn, project.id, [each.uuid for each in moving]),
    )
    alone = await sides.alone(conn, ground)
    parts = await seated(conn, ground, seating, alone=alone)
    gone = [part.leaf_id for part in parts if part.is_leaf]
    around = [link_of(each) for each in await merge.around(conn, project.id, gone)]
    return Plan(
        ground=ground,
        parts=parts,
        left=await sides.left(conn, ground, alone.written),
        seen_at=await seen_without(conn, ground, alone),
        around=around,
        grafts=grafts(around, stays={id: found[id].stays > 0 for id in gone}),
    )


def moving_of(ground: Ground, moved: DistinctId) -> Moving:
    leaf = ground.rows[ground.leaf(moved)]
    uuid = person_uuid(moved.project_id, moved.distinct_id)
    first = ground.firsts.get(leaf.id)
    made_for = first is not None and origins.founder(first) == moved.id
    return Moving(
        id=moved.id,
        leaf_id=leaf.id,
        uuid=uuid,
        generation=moved.generation,
        founder=made_for or leaf.uuid == uuid,
    )


async def waiting(conn: AsyncConnection, ground: Ground) -> dict[int, int]:
    """The rows that ids had by a split that was undone, if they are still there and empty."""
    had = await split.earlier(conn, ground.project.id, ids=list(ground.moved_ids))
    roots = await person_lookup.roots_of(conn, had.values())
    empty = {id for id, root in roots.items() if root.id == ground.root.id} - ground.rows.keys()
    empty -= {each.person_id for each in await distinct_id.of_persons(conn, empty)}
    for each in await merge.around(conn, ground.project.id, empty):
        empty -= {each.source_id, each.target_id, each.source_leaf_id, each.target_leaf_id}
    return {id: person_id for id, person_id in had.items() if person_id in empty}


async def seated(
    conn: AsyncConnection, ground: Ground, seating: Mapping[int, Seat], *, alone: Alone
) -> list[Part]:
    """The ids with the rows that they get, not yet as they will be."""
    new = [id for id, seat in seating.items() if seat.person_id is None]
    made = dict(zip(new, await person.reserve(conn, len(new)), strict=True))
    back = [seat.person_id for seat in seating.values() if seat.person_id is not None]
    rows = await person.by_ids(conn, back)
    parts: list[Part] = []
    for each in ground.moved:
        seat = seating[each.id]
        row = (
            made_of(each, id=made[each.id], uuid=seat.uuid or uuid4())
            if seat.person_id is None
            else rows[seat.person_id]
        )
        row.last_seen_at = alone.seen[each.id]
        parts.append(
            Part(
                moved=each,
                person=row,
                leaf_id=ground.leaf(each),
                state=alone.states[each.id],
                is_new=seat.person_id is None,
                has_fresh_uuid=seat.person_id is None and seat.uuid is None,
            )
        )
    return parts


def made_of(moved: DistinctId, *, id: int, uuid: UUID) -> Person:
    return Person(id=id, project_id=moved.project_id, uuid=uuid, created_at=datetime.now(UTC))


async def seen_without(conn: AsyncConnection, ground: Ground, alone: Alone) -> datetime | None:
    """When those who stay were last seen; it is looked up only if it may have been the others."""
    seen = ground.root.last_seen_at
    if seen is None or all(each is None or each < seen for each in alone.seen.values()):
        return seen
    return sides.hour(await event_ends.last_seen(conn, ground.root.id, without=ground.moved_ids))
