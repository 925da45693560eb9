"""The queue and its workers, which run inside every server process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import ConnectorException
from procrastinate.worker import Worker

from personhood.jobs import bulk_deletions, deletions, stalled, sweep
from personhood.jobs.stalled import pause
from personhood.settings import Settings
from personhood.store.pool import WAIT_S, Pool

log = structlog.get_logger(__name__)

CONNECTIONS_MAX = 5
DEFAULT = "default"
RESTART_PAUSE_S = 2
GRACE_S = 10  # how long a running job may go on when the server stops


def queue(database_url: str) -> App:
    """The queue of a database, not yet open; it knows every job."""
    connector = PsycopgConnector(
        conninfo=database_url,
        min_size=1,
        max_size=CONNECTIONS_MAX,
        timeout=WAIT_S,
        reconnect_timeout=WAIT_S,
        kwargs={"application_name": "personhood jobs"},
    )
    app = App(connector=connector)
    sweep.register(app)
    deletions.register(app)
    bulk_deletions.register(app)
    return app


@asynccontextmanager
async def working(settings: Settings, database_url: str, pool: Pool) -> AsyncIterator[App]:
    """Run workers for as long as the block lasts; their jobs use `pool`."""
    async with queue(database_url).open_async() as app:
        context = {"settings": settings, "pool": pool}
        stopping = asyncio.Event()
        workers = [
            worker(app, context, queue=name)
            for name in (DEFAULT, deletions.QUEUE, bulk_deletions.QUEUE)
        ]
        tasks = [asyncio.create_task(work(each, stopping), name="jobs") for each in workers]
        tasks.append(asyncio.create_task(stalled.watch(app, stopping), name="jobs: stalled ones"))
        try:
            yield app
        finally:
            stopping.set()
            for each in workers:
                each.stop()
            await end(tasks)


async def end(tasks: list[asyncio.Task[None]]) -> None:
    """Wait for tasks that were told to stop.

    They are not cancelled for that: on Python 3.11 `asyncio.wait_for` forgets a cancellation that
    comes together with what it waits for, as where a worker takes its first connection.
    """
    _, late = await asyncio.wait(tasks, timeout=GRACE_S + RESTART_PAUSE_S + WAIT_S)
    for task in late:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(ended, Exception) and not isinstance(ended, ConnectorException):
            raise ended


def worker(app: App, context: dict[str, Any], *, queue: str) -> Worker:
    return Worker(
        app,
        queues=[queue],
        install_signal_handlers=False,
        shutdown_graceful_timeout=GRACE_S,
        delete_jobs="successful",
        additional_context=context,
    )


async def work(worker: Worker, stopping: asyncio.Event) -> None:
    """Run a worker again and again: it ends for good when the database goes away."""
    while not stopping.is_set():
        try:
            await worker.run()
        except ConnectorException:
            log.warning("jobs wait for the database")
        await pause(stopping, RESTART_PAUSE_S)
