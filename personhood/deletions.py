"""Verbs on deletions: forgetting persons at once, and asking for their events and recordings.

A person goes in one transaction, under the lock of its root: its properties, its ledger, its
merges, and its ids, which are free for somebody new from then on. What is left are the rows of
those ids, for the events that refer to them. `settle` removes the rows that nothing refers to: a
moment later, when no group of events is left that read the ids before they ended. What else was
asked for stands on the receipt.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

import structlog
from msgspec import Struct
from psycopg import AsyncConnection, OperationalError
from psycopg_pool import PoolTimeout

from personhood.errors import Overloaded, PreconditionFailed
from personhood.model import Cause, Deletion, Person, Project, Wish
from personhood.persons import ATTEMPTS_MAX, BACKOFF_S, CONFLICTS, Stale
from personhood.redactions import redact_neighbours
from personhood.store import (
    activity,
    deletion,
    deletion_check,
    deletion_count,
    forgetting,
    gate,
    neighbour,
    person,
    root,
)
from personhood.store import deletion_preview as preview
from personhood.store.pool import Pool

SETTLE_WAIT_S = 2.0
SETTLED_AT_ONCE_MAX = 50_000  # distinct ids; more are left to a job, so that nobody waits for it
UNSETTLED_AGE_S = 60.0
UNSETTLED_PER_PASS = 1000
LEFT = "There is something left that refers to the person; `personhood verify` tells where."

log = structlog.get_logger(__name__)

# Sees to it that what waits on receipts is run, as part of the transaction that makes them.
Enqueue: TypeAlias = Callable[[AsyncConnection, Project], Awaitable[None]]
Name: TypeAlias = int | UUID | str  # a person's id, its uuid or one of its distinct ids


class Request(Struct, frozen=True, kw_only=True):
    """Whom to forget, what of them, and who wants it since when. Names are of one kind.

    `expected` tells whether a person, as it is found under its lock, is one that is meant.
    """

    names: Sequence[Name]
    wish: Wish
    by: Cause
    at: datetime
    expected: Callable[[Person], bool] | None = None


class Outcome(Struct, frozen=True):
    """The persons that names led to, by their uuids, and a receipt for each of these persons.

    Without a wish there are no receipts.
    """

    found: dict[Name, UUID]
    receipts: list[Deletion]


class Preview(Struct, frozen=True):
    """What a request would take."""

    found: dict[Name, UUID]
    persons: int = 0
    distinct_ids: int = 0
    ledger_entries: int = 0
    events: int = 0
    recordings: int = 0


async def delete(
    pool: Pool, project: Project, request: Request, *, enqueue: Enqueue | None = None
) -> Outcome:
    """Do what can be done at once, and take down the rest. All of it happens, or nothing.

    Raises PreconditionFailed when a person is not the expected one, Overloaded when others were
    faster ATTEMPTS_MAX times.
    """
    for attempt in range(ATTEMPTS_MAX):
        try:
            async with pool.connection() as conn, conn.transaction():
                outcome = await delete_in(conn, project, request)
                later = request.wish.events or request.wish.recordings
                if enqueue is not None and later and outcome.receipts:
                    await enqueue(conn, project)
            break
        except (Stale, *CONFLICTS):
            await asyncio.sleep(BACKOFF_S * 2**attempt * random.random())
    else:
        raise Overloaded
    if request.wish.profile and outcome.receipts:
        await settle_soon(pool, outcome.receipts)
    return outcome


async def delete_in(conn: AsyncConnection, project: Project, request: Request) -> Outcome:
    named = await roots_of(conn, project, request.names)
    roots = await root.lock(conn, project.id, {*named.values()})
    if len(roots) < len({*named.values()}):
        raise Stale
    if request.expected is not None:
        rows = await person.by_ids(conn, list(roots))
        if not all(map(request.expected, rows.values())):
            raise PreconditionFailed
    found = {name: roots[id] for name, id in named.items()}
    wish = request.wish
    if not roots or wish == Wish():
        return Outcome(found, [])
    if wish.profile:
        receipts = await forget(conn, project, roots, request=request)
    else:
        receipts = await ask(conn, project, roots, request=request)
    return Outcome(found, receipts)


async def roots_of(
    conn: AsyncConnection, project: Project, names: Sequence[Name]
) -> dict[Name, int]:
    """The root of each name that is somebody's."""
    ids = [name for name in names if isinstance(name, int)]
    uuids = [name for name in names if isinstance(name, UUID)]
    # PostgreSQL keeps no NUL, so such a text is nobody's.
    texts = [name for name in names if isinstance(name, str) and "\0" not in name]
    found: dict[Name, int] = {}
    if ids:
        found |= {id: id for id in await root.uuids_of(conn, project.id, ids)}
    if uuids:
        found |= await root.by_uuids(conn, project.id, uuids)
    if texts:
        found |= await root.by_distinct_ids(conn, project.id, texts)
    return found


async def forget(
    conn: AsyncConnection, project: Project, roots: dict[int, UUID], *, request: Request
) -> list[Deletion]:
    if not await root.lock_merged(conn, roots):
        raise Stale
    # Whom to wait for is behind us.
    await forgetting.take_time(conn)
    receipts = await deletion.insert_all(
        conn, project.id, roots, wish=request.wish, by=request.by, at=request.at
    )
    ids = [each.id for each in receipts]
    await deletion.note_unsettled(conn, ids)
    await forgetting.note_persons(conn, ids)
    await forgetting.note_targets(conn, ids)
    await neighbour.note(conn, ids)
    await deletion_count.start(conn, ids)
    await forgetting.end_ids(conn, ids)
    await forgetting.leave_cohorts(conn, ids)
    await forgetting.delete_splits(conn, ids)
    await forgetting.delete_merges(conn, ids)
    await forgetting.delete_ledger(conn, ids)
    await forgetting.delete_clocks(conn, ids)
    await forgetting.delete_persons(conn, ids)
    await activity.insert_deleted(conn, ids)
    return receipts


async def ask(
    conn: AsyncConnection, project: Project, roots: dict[int, UUID], *, request: Request
) -> list[Deletion]:
    """Take down what is to be removed later. What waits for the same already is told to wait for
    this as well: for the ids that the person has now, up to now.
    """
    extended = await deletion.extend_all(conn, project.id, roots, wish=request.wish, at=request.at)
    covered = {each.person_id for each in extended}
    fresh = {id: uuid for id, uuid in roots.items() if id not in covered}
    made = await deletion.insert_all(
        conn, project.id, fresh, wish=request.wish, by=request.by, at=request.at
    )
    await forgetting.drop_persons(conn, [each.id for each in extended])
    receipts = extended + made
    ids = [each.id for each in receipts]
    await forgetting.note_persons(conn, ids)
    await forgetting.note_targets(conn, ids)
    await deletion_count.start(conn, [each.id for each in made])
    return receipts


async def foresee(pool: Pool, project: Project, request: Request) -> Preview:
    """What `delete` would take now."""
    async with pool.connection() as conn:
        named = await roots_of(conn, project, request.names)
        uuids = await root.uuids_of(conn, project.id, {*named.values()})
        found = {name: uuids[id] for name, id in named.items() if id in uuids}
        wish, persons = request.wish, preview.Extent(0, 0, 0)
        if wish.profile:
            persons = await preview.extent(conn, project.id, uuids)
        return Preview(
            found,
            persons=persons.persons,
            distinct_ids=persons.distinct_ids,
            ledger_entries=persons.ledger_entries,
            events=await preview.events(conn, project.id, uuids) if wish.events else 0,
            recordings=await preview.recordings(conn, project.id, uuids) if wish.recordings else 0,
        )


async def settle_soon(pool: Pool, receipts: Sequence[Deletion]) -> None:
    """`settle`, for those who have done what they promise already.

    What comes in the way is left to `settle_left`; the receipts tell that they are not done yet.
    """
    try:
        async with pool.connection() as conn:
            few = await deletion_count.has_few_ids(
                conn, [each.id for each in receipts], most=SETTLED_AT_ONCE_MAX
            )
        if not (few and await settle(pool, receipts)):
            log.info("deletions are settled later", receipts=len(receipts))
    except (OperationalError, PoolTimeout, OSError) as error:
        log.warning("deletions are settled later", receipts=len(receipts), reason=str(error))


async def settle(pool: Pool, receipts: Sequence[Deletion]) -> bool:
    """Remove what is left of deleted profiles of one project: names that no event carries, warnings
    that tell them, and what others' ledgers tell of them. Then it is looked for them, wherever they
    may be. False when groups of events are not done in SETTLE_WAIT_S.

    May run again, and several times at once.
    """
    [project_id] = {each.project_id for each in receipts}
    async with pool.connection() as conn:
        if not await gate.has_emptied(conn, project_id, wait_s=SETTLE_WAIT_S):
            return False
        async with conn.transaction():
            await forgetting.take_time(conn)
            ids = await deletion.lock_unsettled(conn, [each.id for each in receipts])
            await redact_neighbours(conn, project_id, ids)
            await forgetting.delete_warnings_by_id(conn, ids)
            await forgetting.delete_warnings_by_person(conn, ids)
            await forgetting.drop_nameless(conn, ids)
            await deletion_count.verify(conn, ids)
            left = await deletion_check.left(conn, ids)
            settled = await deletion.settle(conn, [id for id in ids if id not in left])
            await deletion.tell_failure(conn, left.keys(), reason=LEFT)
            await forgetting.drop_notes(conn, settled)
    return True


async def settle_left(pool: Pool) -> int:
    """Settle what a server that was killed had left; tells how many receipts that were."""
    async with pool.connection() as conn:
        left = await deletion.unsettled(conn, age_s=UNSETTLED_AGE_S, most=UNSETTLED_PER_PASS)
    for project_id in sorted({each.project_id for each in left}):
        await settle(pool, [each for each in left if each.project_id == project_id])
    return len(left)
