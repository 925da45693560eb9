"""Sweeping: what is only of use for a while goes when it is old."""

from procrastinate import App, JobContext

from personhood.settings import Settings
from personhood.store import warning
from personhood.store.pool import Pool

WARNINGS_PER_PASS = 10_000


def register(app: App) -> None:
    """Make the sweeps known to `app`, and when they are due (UTC)."""
    task = app.task(
        name="sweep:warnings",
        pass_context=True,
        queueing_lock="sweep:warnings",
        lock="sweep:warnings",
    )(warnings)
    app.periodic(cron="17 * * * *")(task)


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
