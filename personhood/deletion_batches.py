"""Running many small deletions together: in each transaction as many receipts as have no more
events between them than a step of a large one.

Whatever does not go smoothly is left to be run by itself, where it is told on its receipt.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence

import structlog
from psycopg import AsyncConnection

from personhood import deletions
from personhood.deletion_ends import NAMED, NotDone, close_all, pass_gate, reason_of
from personhood.model import Deletion
from personhood.store import deletion_count, deletion_event, deletion_run
from personhood.store.deletion_event import TARGETS_PER_STEP, Size
from personhood.store.pool import Pool

log = structlog.get_logger(__name__)

RECEIPTS_MAX = 500  # of one batch

# Leaves the database to ingestion, after so many seconds of work.
Rest = Callable[[AsyncConnection, float], Awaitable[None]]


async def run(
    pool: Pool,
    ids: Sequence[int],
    *,
    events_max: int,
    may_go_on: Callable[[], bool],
    rest: Rest,
) -> list[int]:
    """Run those of some receipts of a project that are small; tells which were closed.

    Raises whatever psycopg raises when the database goes away.
    """
    closed: list[int] = []
    async with pool.connection() as conn:
        held = await deletion_run.hold_all(conn, ids)
        try:
            sizes = await deletion_event.sizes(conn, held, events_max=events_max)
            for batch in batches(sizes, events_max=events_max):
                if not may_go_on():
                    break
                began = time.monotonic()
                closed += await run_batch(pool, conn, batch)
                await rest(conn, time.monotonic() - began)
        finally:
            # With a connection that broke, the locks are gone already.
            if not conn.closed:
                await deletion_run.release_all(conn, held)
    return closed


def batches(sizes: Mapping[int, Size], *, events_max: int) -> Iterator[list[int]]:
    """In their order, those that are no large ones. Pure."""
    batch: list[int] = []
    events = targets = 0
    for id, size in sizes.items():
        if size.is_large(events_max=events_max):
            continue
        events, targets = events + size.events, targets + size.targets
        if batch and (
            events > events_max or targets > TARGETS_PER_STEP or len(batch) == RECEIPTS_MAX
        ):
            yield batch
            batch, events, targets = [], size.events, size.targets
        batch.append(id)
    if batch:
        yield batch


async def run_batch(pool: Pool, conn: AsyncConnection, batch: Sequence[int]) -> Sequence[int]:
    """Which of a batch were closed."""
    receipts = await deletion_run.begin_all(conn, batch)
    if not receipts:
        return []
    try:
        unsettled = [each for each in receipts if each.profile and each.settled_at is None]
        if unsettled and not await deletions.settle(pool, unsettled):
            return []
        await pass_gate(conn, receipts[0].project_id)
        await remove(conn, receipts)
        undone = await close_all(conn, receipts)
    except Exception as error:
        if conn.closed:
            raise
        log.warning("deletions are run one by one", receipts=len(batch), reason=reason_of(error))
        return []
    return [each.id for each in receipts if each.id not in undone]


async def remove(conn: AsyncConnection, receipts: Sequence[Deletion]) -> None:
    """Raises NotDone."""
    [project_id] = {each.project_id for each in receipts}
    of_events = [each.id for each in receipts if each.events]
    async with conn.transaction():
        await deletion_event.plain_plans(conn)
        await deletion_count.set_before(conn, "events", await deletion_event.count(conn, of_events))
        removed = await deletion_event.remove_all(conn, project_id, of_events)
        await deletion_count.add_removed(conn, "events", removed)
        await deletion_count.set_remaining(
            conn, "events", await deletion_event.count(conn, of_events)
        )
        await note_no_recordings(conn, [each.id for each in receipts if each.recordings])
    profiles = [each.id for each in receipts if each.profile and each.events]
    await redact(conn, profiles)


async def note_no_recordings(conn: AsyncConnection, ids: Iterable[int]) -> None:
    """Whoever has any is no small one."""
    none = dict.fromkeys(ids, 0)
    for kind in ("recordings", "blobs"):
        await deletion_count.set_before(conn, kind, none)
        await deletion_count.set_remaining(conn, kind, none)


async def redact(conn: AsyncConnection, profiles: Sequence[int]) -> None:
    """Take the names out of what other ids' events claimed, until none does. Raises NotDone."""
    for _ in range(deletion_event.ROUNDS_MAX):
        found = await deletion_event.redact_claims(conn, profiles, after=0, most=TARGETS_PER_STEP)
        if not found.redacted:
            return
    raise NotDone(NAMED)
