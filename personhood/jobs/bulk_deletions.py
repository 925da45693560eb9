"""The job that deletes all persons that a filter found: as soon as it can, whatever the hour."""

from procrastinate import App, JobContext
from psycopg import AsyncConnection

from personhood import bulk_deletions
from personhood.bulk_deletions import EnqueueBulk
from personhood.jobs import deletions
from personhood.store import bulk_deletion, project
from personhood.store.pool import Pool

TASK = "deletions:bulk"
QUEUE = "bulk_deletions"  # with a worker of its own: they may run for minutes


def register(app: App) -> None:
    app.task(name=TASK, queue=QUEUE, pass_context=True)(run)
    task = app.task(name="sweep:lost_bulk_deletions", pass_context=True)(lost)
    app.periodic(cron="* * * * *")(task)


def enqueuing(app: App) -> EnqueueBulk:
    async def enqueue(conn: AsyncConnection, id: int) -> None:
        await app.configure_task(TASK, connection=conn).defer_async(bulk_id=id)

    return enqueue


async def run(context: JobContext, bulk_id: int) -> None:
    pool: Pool = context.additional_context["pool"]
    async with pool.connection() as conn:
        found = await bulk_deletion.by_id(conn, bulk_id)
        tenant = None if found is None else await project.by_id(conn, found.project_id)
    if tenant is not None:
        await bulk_deletions.run(
            pool,
            tenant,
            bulk_id,
            may_go_on=lambda: not context.should_abort(),
            enqueue=deletions.enqueuing(context.app, context.additional_context["settings"]),
        )


async def lost(context: JobContext, timestamp: int) -> None:
    """Make jobs for those that are open and have none: it was lost, or has failed. Forget what a
    server that was killed in cancelling has left."""
    pool: Pool = context.additional_context["pool"]
    enqueue = enqueuing(context.app)
    async with pool.connection() as conn:
        await bulk_deletion.drop_cancelled(conn)
        for id in await bulk_deletion.idle(conn):
            await enqueue(conn, id)
