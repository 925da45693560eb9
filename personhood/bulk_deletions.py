"""Verbs on deletions of all persons that a filter finds: whom it finds is settled at the request.

They are deleted later, a batch in each transaction: a run may be killed at any line, and the next
one goes on from there. What became of each person stands on its own receipt.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

import structlog
from psycopg import AsyncConnection

from personhood import deletions
from personhood.deletions import Enqueue, Preview, Request
from personhood.errors import Conflict, NotFound, Overloaded
from personhood.model import Cause, Deletion, Project, Wish
from personhood.persons import ATTEMPTS_MAX, BACKOFF_S, CONFLICTS, Stale
from personhood.store import bulk_deletion, forgetting, person_page
from personhood.store.bulk_deletion import BulkDeletion
from personhood.store.person_filter import Filter
from personhood.store.person_page import Mark
from personhood.store.pool import Pool

log = structlog.get_logger(__name__)

FOUND_PER_BATCH = 5_000
DELETED_PER_BATCH = 2_500
LANES = 2  # while one waits for the disk, the other works

# Sees to it that one is run, as part of the transaction that makes it.
EnqueueBulk: TypeAlias = Callable[[AsyncConnection, int], Awaitable[None]]


async def ask(
    pool: Pool,
    project: Project,
    filter: Filter,
    *,
    wish: Wish,
    by: Cause,
    at: datetime,
    enqueue: EnqueueBulk,
) -> BulkDeletion:
    """Take down whom a filter finds now. Raises InvalidInput."""
    async with pool.connection() as conn, conn.transaction():
        await forgetting.take_time(conn)
        id = await bulk_deletion.insert(conn, project.id, wish=wish, by=by, at=at)
        number = 0
        async for ids in batches(conn, project, filter):
            for first in range(0, len(ids), DELETED_PER_BATCH):
                number += 1
                few = ids[first : first + DELETED_PER_BATCH]
                await bulk_deletion.add(conn, id, number=number, person_ids=few)
        await bulk_deletion.count(conn, id)
        await enqueue(conn, id)
        made = await bulk_deletion.by_id(conn, id)
    assert made is not None, "it was just made"
    return made


async def foresee(
    pool: Pool, project: Project, filter: Filter, *, request: Request
) -> tuple[int, Preview]:
    """How many persons `ask` would find now, and what would go; `request` says what is wished of
    whom. Raises InvalidInput."""
    found_count = persons = distinct_ids = entries = events = recordings = 0
    async with pool.connection() as conn, conn.transaction():
        await forgetting.take_time(conn)
        found = [ids async for ids in batches(conn, project, filter)]
    for ids in found:
        seen = await deletions.foresee(
            pool, project, Request(names=ids, wish=request.wish, by=request.by, at=request.at)
        )
        found_count += len(seen.found)
        persons += seen.persons
        distinct_ids += seen.distinct_ids
        entries += seen.ledger_entries
        events += seen.events
        recordings += seen.recordings
    return found_count, Preview(
        {},
        persons=persons,
        distinct_ids=distinct_ids,
        ledger_entries=entries,
        events=events,
        recordings=recordings,
    )


async def batches(
    conn: AsyncConnection, project: Project, filter: Filter
) -> AsyncIterator[list[int]]:
    """In an order that no change of a person touches."""
    mark: Mark | None = None
    while True:
        ids, mark = await person_page.ids(
            conn, project.id, filter, limit=FOUND_PER_BATCH, behind=mark
        )
        if ids:
            yield ids
        if mark is None:
            return


async def run(
    pool: Pool,
    project: Project,
    id: int,
    *,
    may_go_on: Callable[[], bool] = lambda: True,
    enqueue: Enqueue | None = None,
) -> None:
    """Go on with one until it is done, unless somebody else does. What goes wrong is noted."""
    async with pool.connection() as conn:
        if not await bulk_deletion.hold(conn, id):
            return
        try:
            if await bulk_deletion.begin(conn, id):
                await go_on(pool, project, id, may_go_on=may_go_on, enqueue=enqueue)
        except* Overloaded as errors:
            reason = str(errors.exceptions[0])
            log.warning("a deletion of many is held up", id=id, reason=reason)
            await bulk_deletion.fail(conn, id, reason=reason)
        finally:
            if not conn.closed:
                await bulk_deletion.release(conn, id)


async def go_on(
    pool: Pool,
    project: Project,
    id: int,
    *,
    may_go_on: Callable[[], bool],
    enqueue: Enqueue | None,
) -> None:
    """Raises Overloaded."""
    async with pool.connection() as conn:
        bulk = await bulk_deletion.by_id(conn, id)
    assert bulk is not None, "it has begun"
    async with asyncio.TaskGroup() as lanes:
        tasks = [
            lanes.create_task(delete_all(pool, project, bulk, may_go_on=may_go_on))
            for _ in range(LANES)
        ]
    if not all(task.result() for task in tasks):
        return
    async with pool.connection() as conn, conn.transaction():
        if enqueue is not None and (bulk.events or bulk.recordings):
            await enqueue(conn, project)
        await bulk_deletion.complete(conn, id)


async def delete_all(
    pool: Pool, project: Project, bulk: BulkDeletion, *, may_go_on: Callable[[], bool]
) -> bool:
    """One batch after another, for as long as it may; whether nobody is left. Raises Overloaded."""
    while may_go_on():
        receipts = await delete_some(pool, project, bulk)
        if receipts is None:
            return True
        if receipts and bulk.profile:
            await deletions.settle_soon(pool, receipts)
    return False


async def delete_some(pool: Pool, project: Project, bulk: BulkDeletion) -> list[Deletion] | None:
    """Receipts of the next batch; None when there is nobody left. Raises Overloaded."""
    for attempt in range(ATTEMPTS_MAX):
        try:
            async with pool.connection() as conn, conn.transaction():
                ids = await bulk_deletion.take(conn, bulk.id)
                if not ids:
                    return None
                outcome = await deletions.delete_in(conn, project, request_of(bulk, ids))
                done = len(outcome.found)
                await bulk_deletion.add_done(conn, bulk.id, done=done, missing=len(ids) - done)
                return outcome.receipts
        except (Stale, *CONFLICTS):
            await asyncio.sleep(BACKOFF_S * 2**attempt * random.random())
    raise Overloaded


def request_of(bulk: BulkDeletion, ids: list[int]) -> Request:
    return Request(
        names=ids,
        wish=Wish(profile=bulk.profile, events=bulk.events, recordings=bulk.recordings),
        by=Cause(api_key_id=bulk.api_key_id, request_id=bulk.request_id),
        at=bulk.requested_at,
    )


async def by_uuid(pool: Pool, project: Project, uuid: UUID) -> BulkDeletion:
    """Raises NotFound."""
    async with pool.connection() as conn:
        found = await bulk_deletion.by_uuid(conn, project.id, uuid)
    if found is None:
        raise NotFound
    return found


async def cancel(pool: Pool, project: Project, uuid: UUID) -> BulkDeletion:
    """Leave those alone that were not deleted yet. Raises NotFound, or Conflict."""
    found = await by_uuid(pool, project, uuid)
    async with pool.connection() as conn:
        if not await bulk_deletion.cancel(conn, found.id) and found.state != "cancelled":
            raise Conflict("The deletion is done, so it cannot be cancelled any more.")
        await bulk_deletion.drop_cancelled(conn)
    return await by_uuid(pool, project, uuid)
