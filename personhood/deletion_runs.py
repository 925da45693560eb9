"""Running deletions: what waits on a receipt is removed, looked for, and the receipt closed.

A run may be killed at any line: all that it did stands in the database, and the next one goes on
from there. Only one at a time runs a receipt, whoever starts it. It removes a bounded number of
events in each transaction, and rests in between for as long as ingestion is at work.
"""

import asyncio
import time
from collections.abc import Callable

import structlog
from msgspec import Struct
from psycopg import AsyncConnection

from personhood import deletion_batches, deletions, recording_runs
from personhood.blobs import Blobs, BlobsAway
from personhood.deletion_ends import NAMED, NotDone, close_all, pass_gate, reason_of
from personhood.model import Deletion
from personhood.store import deletion_count, deletion_event, deletion_run, gate
from personhood.store.deletion_event import START, Place, Step
from personhood.store.pool import Pool

log = structlog.get_logger(__name__)

EVENTS_PER_STEP = 2_000
REST_S = 0.01  # after each step, at least
NAMES_PER_STEP = 1_000
PER_PAGE = 1_000

ATTEMPTS_MAX = 10
RETRY_S = 30.0  # after the first failure; doubled after each one more
RETRY_MAX_S = 6 * 3600.0


class Runner(Struct, frozen=True):
    """How deletions are run: `may_go_on` is asked before each step, `tell` hears of each receipt
    that was run, when it is left. `storage` is where recordings lie."""

    may_go_on: Callable[[], bool] = lambda: True
    tell: Callable[[int], None] = lambda id: None
    storage: recording_runs.Storage | None = None


class Paused(Exception):
    """The time to run is over."""


async def run_due(pool: Pool, project_id: int, runner: Runner, *, waiting: bool = False) -> None:
    """Run all open receipts of a project: small ones together, then each that is left by itself.
    With `waiting` also what failed a moment ago.

    Raises whatever psycopg raises when the database goes away.
    """

    async def rest_there(conn: AsyncConnection, worked_s: float) -> None:
        await rest(conn, project_id, worked_s=worked_s)

    after, found = 0, [0]
    while found and runner.may_go_on():
        async with pool.connection() as conn:
            found = await deletion_run.due(
                conn, project_id, after=after, most=PER_PAGE, waiting=waiting
            )
        closed = await deletion_batches.run(
            pool,
            found,
            events_max=EVENTS_PER_STEP,
            may_go_on=runner.may_go_on,
            rest=rest_there,
        )
        for id in closed:
            runner.tell(id)
        for after in found:
            if after not in closed and runner.may_go_on():
                await run(pool, after, runner)


async def run(pool: Pool, id: int, runner: Runner) -> None:
    """Run one receipt, unless somebody else does, or it is closed."""
    async with pool.connection() as conn:
        if not await deletion_run.hold_all(conn, [id]):
            return
        try:
            for receipt in await deletion_run.begin_all(conn, [id]):
                await attempt(pool, conn, receipt, runner=runner)
        finally:
            # With a connection that broke, the lock is gone already.
            if not conn.closed:
                await deletion_run.release_all(conn, [id])
    runner.tell(id)


async def attempt(pool: Pool, conn: AsyncConnection, receipt: Deletion, *, runner: Runner) -> None:
    try:
        await carry_out(pool, conn, receipt, runner=runner)
    except Paused:
        await deletion_run.pause(conn, receipt.id)
    except Exception as error:
        if conn.closed:
            raise
        reason = reason_of(error)
        log.warning("a deletion failed", deletion=str(receipt.uuid), reason=reason)
        await deletion_run.put_off(
            conn,
            receipt.id,
            reason=reason,
            wait_s=min(RETRY_S * 2**receipt.attempts, RETRY_MAX_S),
            attempts_max=ATTEMPTS_MAX,
        )


async def carry_out(
    pool: Pool, conn: AsyncConnection, receipt: Deletion, *, runner: Runner
) -> None:
    """Raises Paused, or NotDone."""
    settled = not receipt.profile or receipt.settled_at is not None
    if not settled and not await deletions.settle(pool, [receipt]):
        raise NotDone("Events that were sent before are still being stored.")
    if receipt.events:
        await remove_events(conn, receipt, may_go_on=runner.may_go_on)
    if receipt.recordings:
        await remove_recordings(conn, receipt, runner=runner)
    for reason in (await close_all(conn, [receipt])).values():
        raise NotDone(reason)


async def remove_events(
    conn: AsyncConnection, receipt: Deletion, *, may_go_on: Callable[[], bool]
) -> None:
    """Raises Paused, or NotDone."""
    await pass_gate(conn, receipt.project_id)
    left = await deletion_event.count(conn, [receipt.id])
    await deletion_count.set_before(conn, "events", left)
    for _ in range(deletion_event.ROUNDS_MAX):
        if not left[receipt.id]:
            break
        await remove_round(conn, receipt, may_go_on=may_go_on)
        left = await deletion_event.count(conn, [receipt.id])
    await deletion_count.set_remaining(conn, "events", left)
    if receipt.profile:
        for _ in range(deletion_event.ROUNDS_MAX):
            if not await redact(conn, receipt, may_go_on=may_go_on):
                return
        raise NotDone(NAMED)


async def remove_round(
    conn: AsyncConnection, receipt: Deletion, *, may_go_on: Callable[[], bool]
) -> None:
    place: Place | None = START
    while place is not None:
        if not may_go_on():
            raise Paused
        began = time.monotonic()
        async with conn.transaction():
            step = await deletion_event.step(
                conn, receipt.project_id, receipt.id, behind=place, most=EVENTS_PER_STEP
            )
            if step.removed:
                await deletion_count.add_removed(conn, "events", {receipt.id: step.removed})
        place = following(step)
        await rest(conn, receipt.project_id, worked_s=time.monotonic() - began)


def following(step: Step) -> Place | None:
    """Where the next step begins; None at the end."""
    if step.last_id is not None and step.visited == EVENTS_PER_STEP:
        return Place(step.last_id, step.last_at, step.last_uuid)
    if step.targets == deletion_event.TARGETS_PER_STEP and step.last_target is not None:
        return Place(step.last_target)
    return None


async def redact(conn: AsyncConnection, receipt: Deletion, *, may_go_on: Callable[[], bool]) -> int:
    """Take the names out of what other ids' events claimed; tells how many that were."""
    after: int | None = 0
    redacted = 0
    while after is not None:
        if not may_go_on():
            raise Paused
        began = time.monotonic()
        async with conn.transaction():
            found = await deletion_event.redact_claims(
                conn, [receipt.id], after=after, most=NAMES_PER_STEP
            )
        after, redacted = found.last_target, redacted + found.redacted
        await rest(conn, receipt.project_id, worked_s=time.monotonic() - began)
    return redacted


async def rest(conn: AsyncConnection, project_id: int, *, worked_s: float) -> None:
    """Leave the database to ingestion for as long as it was kept busy, if there is any."""
    busy = await gate.those_inside(conn, project_id)
    await asyncio.sleep(max(worked_s, REST_S) if busy else REST_S)


async def remove_recordings(conn: AsyncConnection, receipt: Deletion, *, runner: Runner) -> None:
    """Raises Paused, or NotDone."""

    def storage() -> Blobs:
        if runner.storage is None:
            raise NotDone("The storage of recordings is not known here.")
        return runner.storage()

    await pass_gate(conn, receipt.project_id)
    try:
        done = await recording_runs.remove(conn, receipt.id, storage, may_go_on=runner.may_go_on)
    except BlobsAway:
        raise NotDone("The storage of recordings does not answer.") from None
    if not done:
        raise Paused
