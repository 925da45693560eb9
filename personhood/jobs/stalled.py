"""Jobs of killed servers: they are being done by nobody, and hold up those that share their lock.

Whoever does a job tells every few seconds that it lives. What one of whom nothing is heard was at
is put back into the queue; so a job may run twice, which each of them has to bear anyway.
"""

import asyncio
from contextlib import suppress

import structlog
from procrastinate import App
from procrastinate.exceptions import ConnectorException, UniqueViolation
from procrastinate.jobs import Status

log = structlog.get_logger(__name__)

SILENCE_S = 30.0  # three times as long as workers take to be heard of again
PERIOD_S = 10.0


async def watch(app: App, stopping: asyncio.Event) -> None:
    """Put back what is stalled, at once and again and again."""
    while not stopping.is_set():
        # The database is away, or another server was faster: then it is done the next time.
        with suppress(ConnectorException):
            await put_back(app)
        await pause(stopping, PERIOD_S)


async def pause(stopping: asyncio.Event, seconds: float) -> None:
    """Sleep, unless it is time to stop."""
    waiting = asyncio.create_task(stopping.wait())
    await asyncio.wait({waiting}, timeout=seconds)
    waiting.cancel()


async def put_back(app: App) -> None:
    """Let all jobs that are stalled now be done again. Raises ConnectorException."""
    manager = app.job_manager
    for job in await manager.get_stalled_jobs(seconds_since_heartbeat=SILENCE_S):
        assert job.id is not None, "it comes from the database"
        log.warning("a job was left by its server", job=job.id, task=job.task_name)
        try:
            await manager.retry_job(job)
        except UniqueViolation:
            # One that waits already does the same, and not both may wait.
            await manager.finish_job_by_id_async(job.id, Status.ABORTED, delete_job=True)
