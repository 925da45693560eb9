"""Sweeping: what is only of use for a while goes when it is old, and the next month is laid out."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from procrastinate import App, JobContext

from personhood import blobs, deletions, recordings
from personhood.settings import Settings
from personhood.store import event, family, idempotency, root, warning
from personhood.store.pool import Pool

WARNINGS_PER_PASS = 10_000
ANSWERS_PER_PASS = 1000  # each of which may be large
ABANDONED_S = 3600
MIDDLES_PER_PASS = 1000
CHILDREN_PER_PASS = 1000  # while their root is held


def register(app: App) -> None:
    """Make the sweeps known to `app`, and when they are due (UTC)."""
    alone(app, "sweep:warnings", warnings, cron="17 * * * *")
    alone(app, "sweep:idempotency", kept_answers, cron="27 * * * *")
    alone(app, "sweep:recordings", kept_recordings, cron="*/10 * * * *")
    alone(app, "sweep:families", families, cron="11 4 * * *")
    alone(app, "sweep:deletions", unsettled, cron="* * * * *")
    task = app.task(name="sweep:months", pass_context=True, queueing_lock="sweep:months")(months)
    app.periodic(cron="41 3 * * *")(task)


def alone(
    app: App, name: str, run: Callable[[JobContext, int], Awaitable[int]], *, cron: str
) -> None:
    """A sweep of which one runs at a time, and one more waits at most."""
    task = app.task(name=name, pass_context=True, queueing_lock=name, lock=name)(run)
    app.periodic(cron=cron)(task)


async def unsettled(context: JobContext, timestamp: int) -> int:
    """Finish deletions of profiles whose server was killed, or held up, before it had."""
    return await deletions.settle_left(context.additional_context["pool"])


async def months(context: JobContext, timestamp: int) -> None:
    """Make the partitions of this month and the next, so that no event has to wait for one."""
    pool: Pool = context.additional_context["pool"]
    now = datetime.fromtimestamp(timestamp, UTC)
    for month in sorted(event.months_of([now, now + timedelta(days=31)])):
        async with pool.connection() as conn:
            await event.make_partition(conn, month)


async def warnings(context: JobContext, timestamp: int) -> int:
    """Delete ingestion warnings that are older than the setting says, a pass at a time."""
    pool: Pool = context.additional_context["pool"]
    settings: Settings = context.additional_context["settings"]
    deleted = 0
    while True:
        async with pool.connection() as conn:
            passed = await warning.delete_old(
                conn, age_s=settings.warning_retention_s, most=WARNINGS_PER_PASS
            )
        deleted += passed
        if passed < WARNINGS_PER_PASS:
            return deleted


async def families(context: JobContext, timestamp: int) -> int:
    """Shorten the ways to roots that merging left long, because many had merged before."""
    pool: Pool = context.additional_context["pool"]
    after, moved = 0, 0
    while True:
        async with pool.connection() as conn:
            found = await family.middles(conn, after=after, most=MIDDLES_PER_PASS)
        for project_id, middle_id in found:
            while passed := await shorten(pool, project_id, middle_id):
                moved += passed
        if len(found) < MIDDLES_PER_PASS:
            return moved
        after = found[-1][1]


async def shorten(pool: Pool, project_id: int, middle_id: int) -> int:
    """A pass over who merged into one person; 0 when nobody is left or its root is another now."""
    async with pool.connection() as conn, conn.transaction():
        root_id = await family.root_of(conn, middle_id)
        if root_id is None or not await root.lock(conn, project_id, [root_id]):
            return 0
        if root_id == middle_id or await family.root_of(conn, middle_id) != root_id:
            return 0
        return await family.shorten(conn, middle_id, root_id=root_id, most=CHILDREN_PER_PASS)


async def kept_recordings(context: JobContext, timestamp: int) -> int:
    """Delete recordings that have been kept for long enough, and blobs that nobody refers to."""
    pool: Pool = context.additional_context["pool"]
    settings: Settings = context.additional_context["settings"]
    store = blobs.opened(settings.blob_url, settings.data_dir)
    deleted = await recordings.sweep_expired(pool, store)
    await recordings.sweep_names(pool)
    await recordings.sweep_doomed(pool, store)
    return deleted


async def kept_answers(context: JobContext, timestamp: int) -> int:
    """Delete what was kept for Idempotency-Keys, when it is older than the setting says."""
    pool: Pool = context.additional_context["pool"]
    settings: Settings = context.additional_context["settings"]
    deleted = 0
    while True:
        async with pool.connection() as conn:
            passed = await idempotency.delete_old(
                conn,
                age_s=settings.idempotency_retention_s,
                abandoned_s=ABANDONED_S,
                most=ANSWERS_PER_PASS,
            )
        deleted += passed
        if passed < ANSWERS_PER_PASS:
            return deleted
