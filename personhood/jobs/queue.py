"""The queue and its workers, which run inside every server process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog
from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import ConnectorException

from personhood.jobs import bulk_deletions, deletions, stalled, sweep
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
        tasks = [
            asyncio.create_task(work_on(app, context, queue=name), name=f"jobs: {name}")
            for name in (DEFAULT, deletions.QUEUE, bulk_deletions.QUEUE)
        ]
        tasks.append(asyncio.create_task(stalled.watch(app), name="jobs: stalled ones"))
        try:
            yield app
        finally:
            await end(tasks)


async def end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel workers until they have ended.

    Once is not enough: on Python 3.11 `asyncio.wait_for` forgets a cancellation that comes together
    with what it waits for, as where a worker that begins takes its first connection.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=GRACE_S + 1)
    for task in tasks:
        with suppress(asyncio.CancelledError, ConnectorException):
            await task


async def work_on(app: App, context: dict[str, Any], *, queue: str) -> None:
    """Run workers one after another: each ends for good when the database goes away."""
    task = asyncio.current_task()
    assert task is not None, "a coroutine runs in a task"
    # A worker that is cancelled while the database is away raises what that raised instead.
    while not task.cancelling():
        try:
            await app.run_worker_async(
                queues=[queue],
                install_signal_handlers=False,
                shutdown_graceful_timeout=GRACE_S,
                delete_jobs="successful",
                additional_context=context,
            )
        except ConnectorException:
            log.warning("jobs wait for the database")
        await asyncio.sleep(RESTART_PAUSE_S)
