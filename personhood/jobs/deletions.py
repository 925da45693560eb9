"""The job that runs deletions, in the hours that are meant for it.

What there is to do stands on the receipts. A job only says of a project that there is something; so
one too many does nothing, and one that got lost is made again by a sweep.
"""

from datetime import UTC, datetime

from procrastinate import App, JobContext, RetryStrategy
from psycopg import AsyncConnection

from personhood import blobs, deletion_runs, off_peak
from personhood.deletion_runs import Runner
from personhood.deletions import Enqueue
from personhood.model import Project
from personhood.settings import Settings
from personhood.store import deletion_run, project
from personhood.store.pool import Pool

TASK = "deletions:run"
QUEUE = "deletions"  # with a worker of its own: they may run for hours
RETRY = RetryStrategy(max_attempts=10, exponential_wait=3)


def register(app: App) -> None:
    app.task(name=TASK, queue=QUEUE, pass_context=True, retry=RETRY)(run)
    task = app.task(name="sweep:lost_deletions", pass_context=True)(lost)
    app.periodic(cron="* * * * *")(task)


def enqueuing(app: App, settings: Settings) -> Enqueue:
    """What puts a job for a project into the queue, in the transaction that makes it necessary."""
    window = off_peak.window(settings.deletion_window)

    async def enqueue(conn: AsyncConnection, tenant: Project) -> None:
        now = datetime.now(UTC)
        opens = off_peak.opening(window, now, zone=tenant.timezone)
        # Without a lock of the queue: a job for tomorrow would hold up one for now.
        await app.configure_task(
            TASK, schedule_at=None if opens == now else opens, connection=conn
        ).defer_async(project_id=tenant.id)

    return enqueue


async def run(context: JobContext, project_id: int) -> None:
    """Run what is due, for as long as the window is open."""
    pool: Pool = context.additional_context["pool"]
    settings: Settings = context.additional_context["settings"]
    window = off_peak.window(settings.deletion_window)
    async with pool.connection() as conn:
        tenant = await project.by_id(conn, project_id)
    if tenant is None:
        return
    zone = tenant.timezone

    def may_go_on() -> bool:
        is_open = off_peak.is_open(window, datetime.now(UTC), zone=zone)
        return is_open and not context.should_abort()

    await deletion_runs.run_due(
        pool,
        project_id,
        Runner(may_go_on, storage=lambda: blobs.opened(settings.blob_url, settings.data_dir)),
    )


async def lost(context: JobContext, timestamp: int) -> None:
    """Make jobs for projects whose receipts are due and that have none: it was lost with a server,
    or the receipt is to be tried again."""
    pool: Pool = context.additional_context["pool"]
    settings: Settings = context.additional_context["settings"]
    enqueue = enqueuing(context.app, settings)
    async with pool.connection() as conn:
        for project_id in await deletion_run.idle_projects(conn):
            tenant = await project.by_id(conn, project_id)
            if tenant is not None and is_open(settings, tenant):
                await enqueue(conn, tenant)


def is_open(settings: Settings, tenant: Project) -> bool:
    window = off_peak.window(settings.deletion_window)
    return off_peak.is_open(window, datetime.now(UTC), zone=tenant.timezone)
