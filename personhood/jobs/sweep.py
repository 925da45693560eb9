"""Sweeping: what is only of use for a while goes when it is old, and the next month is laid out."""

from datetime import UTC, datetime, timedelta

from procrastinate import App, JobContext

from personhood import deletions
from personhood.settings import Settings
from personhood.store import event, idempotency, warning
from personhood.store.pool import Pool

WARNINGS_PER_PASS = 10_000
ANSWERS_PER_PASS = 1000  # each of which may be large
ABANDONED_S = 3600


def register(app: App) -> None:
    """Make the sweeps known to `app`, and when they are due (UTC)."""
    task = app.task(
        name="sweep:warnings",
        pass_context=True,
        queueing_lock="sweep:warnings",
        lock="sweep:warnings",
    )(warnings)
    app.periodic(cron="17 * * * *")(task)

    task = app.task(
        name="sweep:idempotency",
        pass_context=True,
        queueing_lock="sweep:idempotency",
        lock="sweep:idempotency",
    )(kept_answers)
    app.periodic(cron="27 * * * *")(task)

    task = app.task(name="sweep:months", pass_context=True, queueing_lock="sweep:months")(months)
    app.periodic(cron="41 3 * * *")(task)

    task = app.task(
        name="sweep:deletions",
        pass_context=True,
        queueing_lock="sweep:deletions",
        lock="sweep:deletions",
    )(unsettled)
    app.periodic(cron="* * * * *")(task)


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
