"""Running deletions: what waits on a receipt is removed, looked for, and the receipt closed.

A run may be killed at any line: all that it did stands in the database, and the next one goes on
from there. Only one at a time runs a receipt, whoever starts it. It removes a bounded number of
events in each transaction, and rests in between for as long as ingestion is at work.
"""

import asyncio
import time
from collections.abc import Callable

import psycopg
import structlog
from msgspec import Struct
from psycopg import AsyncConnection

from personhood import deletions, recording_runs
from personhood.blobs import Blobs, BlobsAway
from personhood.model import Deletion, DeletionState
from personhood.store import (
    deletion_check,
    deletion_count,
    deletion_event,
    deletion_run,
    forgetting,
    gate,
    trace,
)
from personhood.store.deletion_event import START, Place, Step
from personhood.store.pool import Pool
from personhood.store.trace import Trace

log = structlog.get_logger(__name__)

EVENTS_PER_STEP = 2_000
REST_S = 0.01  # after each step, at least
ROUNDS_MAX = 3  # through all events, until none is left
GATE_WAIT_S = 10.0
NAMES_PER_STEP = 1_000
PER_PAGE = 100

ATTEMPTS_MAX = 10
RETRY_S = 30.0  # after the first failure; doubled after each one more
RETRY_MAX_S = 6 * 3600.0
QUOTING = ("22", "23")  # classes of PostgreSQL's errors that quote values


class Runner(Struct, frozen=True):
    """How deletions are run: `may_go_on` is asked before each step, `tell` hears of each receipt
    that was run, when it is left. `storage` is where recordings lie."""

    may_go_on: Callable[[], bool] = lambda: True
    tell: Callable[[int], None] = lambda id: None
    storage: recording_runs.Storage | None = None


class NotDone(Exception):
    """What keeps a deletion from being completed, for now."""


class Paused(Exception):
    """The time to run is over."""


async def run_due(pool: Pool, project_id: int, runner: Runner, *, waiting: bool = False) -> None:
    """Run all open receipts of a project, in order; with `waiting` also what failed a moment ago.

    Raises whatever psycopg raises when the database goes away.
    """
    after, found = 0, [0]
    while found and runner.may_go_on():
        async with pool.connection() as conn:
            found = await deletion_run.due(
                conn, project_id, after=after, most=PER_PAGE, waiting=waiting
            )
        for after in found:
            if runner.may_go_on():
                await run(pool, after, runner)


async def run(pool: Pool, id: int, runner: Runner) -> None:
    """Run one receipt, unless somebody else does, or it is closed."""
    async with pool.connection() as conn:
        if not await deletion_run.hold(conn, id):
            return
        try:
            receipt = await deletion_run.begin(conn, id)
            if receipt is not None:
                await attempt(pool, conn, receipt, runner=runner)
        finally:
            # With a connection that broke, the lock is gone already.
            if not conn.closed:
                await deletion_run.release(conn, id)
    runner.tell(id)


async def traces(conn: AsyncConnection, receipt: Deletion) -> list[Trace]:
    """What is left of a deleted profile, in any row of the database that should not hold it.

    By its surrogate id and uuid; while the receipt is open also by those of all that had merged
    into it, and by its distinct ids. Reads whole tables. A receipt without the profile leaves none:
    who lives on is everywhere.
    """
    if not receipt.profile:
        return []
    is_done = receipt.state == DeletionState.COMPLETED
    return await trace.of_one(conn, receipt.id, events=receipt.events and is_done)


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


def reason_of(error: Exception) -> str:
    """What a receipt and the log say: nothing that an error may quote of anybody's data."""
    match error:
        case NotDone():
            return str(error)
        case psycopg.Error(sqlstate=str(code)) if code[:2] not in QUOTING:
            return f"{type(error).__name__}: {error.diag.message_primary}"
        case _:
            return type(error).__name__


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
    await close(conn, receipt)


async def remove_events(
    conn: AsyncConnection, receipt: Deletion, *, may_go_on: Callable[[], bool]
) -> None:
    await pass_gate(conn, receipt)
    left = await deletion_event.count(conn, receipt.id)
    await deletion_count.set_before(conn, receipt.id, "events", before=left)
    for _ in range(ROUNDS_MAX):
        if not left:
            break
        await remove_round(conn, receipt, may_go_on=may_go_on)
        left = await deletion_event.count(conn, receipt.id)
    await deletion_count.set_remaining(conn, receipt.id, "events", remaining=left)
    if receipt.profile:
        await redact(conn, receipt, may_go_on=may_go_on)


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
                await deletion_count.add_removed(conn, receipt.id, "events", removed=step.removed)
        place = following(step)
        await rest(conn, receipt.project_id, worked_s=time.monotonic() - began)


def following(step: Step) -> Place | None:
    """Where the next step begins; None at the end."""
    if step.last_id is not None and step.visited == EVENTS_PER_STEP:
        return Place(step.last_id, step.last_at, step.last_uuid)
    if step.targets == deletion_event.TARGETS_PER_STEP and step.last_target is not None:
        return Place(step.last_target)
    return None


async def redact(
    conn: AsyncConnection, receipt: Deletion, *, may_go_on: Callable[[], bool]
) -> None:
    """Take the names out of what other ids' events claimed."""
    after: int | None = 0
    while after is not None:
        if not may_go_on():
            raise Paused
        began = time.monotonic()
        async with conn.transaction():
            after = await deletion_event.redact_claims(
                conn, receipt.id, after=after, most=NAMES_PER_STEP
            )
        await rest(conn, receipt.project_id, worked_s=time.monotonic() - began)


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

    await pass_gate(conn, receipt)
    try:
        done = await recording_runs.remove(conn, receipt.id, storage, may_go_on=runner.may_go_on)
    except BlobsAway:
        raise NotDone("The storage of recordings does not answer.") from None
    if not done:
        raise Paused


async def pass_gate(conn: AsyncConnection, receipt: Deletion) -> None:
    """Until whatever read an id before it was asked for has written its events."""
    if not await gate.has_emptied(conn, receipt.project_id, wait_s=GATE_WAIT_S):
        raise NotDone("Events that were sent before are still being stored.")


async def close(conn: AsyncConnection, receipt: Deletion) -> None:
    """Remove the names with the last of their events and recordings, and look for whatever is left.

    Raises NotDone with what that is.
    """
    await pass_gate(conn, receipt)
    async with conn.transaction():
        await forgetting.drop_nameless(conn, [receipt.id])
        if receipt.profile:
            names = await deletion_check.names_left(conn, receipt.id)
            await deletion_count.set_remaining(conn, receipt.id, "ids", remaining=names)
            left = await deletion_check.left(conn, receipt.id)
            if left:
                raise NotDone(f"There is something left in {', '.join(sorted(left))}.")
        of_all = receipt.events and receipt.recordings
        if not await deletion_run.complete(conn, receipt.id, names_may_stay=not of_all):
            raise NotDone("Something is left that has come since it was looked for.")
        await forgetting.drop_notes(conn, [receipt.id])
