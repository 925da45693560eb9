"""A server killed in the middle of a job: the next one does it, and what waited behind it."""

import asyncio
import os
import signal
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime

import psycopg
import pytest
from procrastinate import App
from procrastinate.exceptions import AlreadyEnqueued
from procrastinate.jobs import Status

from personhood.jobs import queue, stalled
from personhood.store.pool import Pool
from tests.jobs.test_sweep import left, project_id, warn
from tests.server import DEADLINE_S, Server, serving

__all__ = ["project_id"]

SWEEP = "sweep:warnings"
OURS = f"SELECT FROM procrastinate_jobs WHERE task_name = '{SWEEP}'"


async def until(pool: Pool, condition: str) -> None:
    async with asyncio.timeout(DEADLINE_S), pool.connection() as conn:
        while await (await conn.execute(f"SELECT WHERE {condition}".encode())).fetchone() is None:
            await asyncio.sleep(0.05)


async def defer(database: str, task: str = SWEEP, number: int = 0) -> None:
    """Have one wait; a server does so too, when its hour has come."""
    async with queue.queue(database).open_async() as app:
        with suppress(AlreadyEnqueued):
            await app.configure_task(task).defer_async(timestamp=number)


async def age_workers(pool: Pool) -> None:
    """As if they were heard of a while ago."""
    async with pool.connection() as conn:
        await conn.execute(
            "UPDATE procrastinate_workers SET last_heartbeat = last_heartbeat - interval '1 minute'"
        )


async def test_a_killed_servers_job_is_done_by_the_next_and_holds_nobody_up(
    database: str, pool: Pool, project_id: int
) -> None:
    await warn(pool, project_id, 1, 40 * 86400)

    def start() -> AbstractContextManager[Server]:
        return serving(DATABASE_URL=database, PERSONHOOD_WARNING_RETENTION_S="3600")

    with start() as server, psycopg.connect(database) as blocking:
        blocking.execute("LOCK TABLE ingestion_warning IN EXCLUSIVE MODE")
        await defer(database)
        await until(pool, f"EXISTS ({OURS} AND status = 'doing')")
        await defer(database)  # waits for the lock of the first, and no third may wait
        os.killpg(server.process.pid, signal.SIGKILL)  # with its workers
        server.process.wait(DEADLINE_S)
        async with pool.connection() as conn:
            await conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() "
                "AND query LIKE '%DELETE FROM ingestion_warning%'"
            )
    await until(pool, f"EXISTS ({OURS} AND status = 'doing')")
    await age_workers(pool)
    assert await left(pool) == 2
    with start():
        await until(pool, f"NOT EXISTS ({OURS})")
    assert await left(pool) == 1


@pytest.fixture
async def app(database: str) -> App:
    return queue.queue(database)


async def start_and_die(app: App, task: str) -> int:
    """A job that a worker took, of which nothing was heard for a minute."""
    id = await app.configure_task(task).defer_async(timestamp=0)
    worker = await app.job_manager.register_worker()
    job = await app.job_manager.fetch_job(queues=None, worker_id=worker)
    assert job is not None
    assert job.id == id
    return id


async def status(app: App, id: int) -> Status | None:
    jobs = list(await app.job_manager.list_jobs_async(id=id))
    return Status(jobs[0].status) if jobs else None


async def test_a_job_of_a_worker_that_lives_is_left_alone(app: App, pool: Pool) -> None:
    async with app.open_async():
        id = await start_and_die(app, SWEEP)
        await stalled.put_back(app)
        assert await status(app, id) == Status.DOING
        await age_workers(pool)
        await stalled.put_back(app)
        await stalled.put_back(app)
        assert await status(app, id) == Status.TODO


async def test_a_job_whose_worker_was_forgotten_is_put_back(app: App, pool: Pool) -> None:
    async with app.open_async():
        id = await start_and_die(app, SWEEP)
        await age_workers(pool)
        assert await app.job_manager.prune_stalled_workers(stalled.SILENCE_S)
        await stalled.put_back(app)
        assert await status(app, id) == Status.TODO


async def test_a_job_whose_successor_waits_goes(app: App, pool: Pool) -> None:
    async with app.open_async():
        id = await start_and_die(app, SWEEP)
        next = await app.configure_task(SWEEP).defer_async(timestamp=1)
        await age_workers(pool)
        await stalled.put_back(app)
        assert (await status(app, id), await status(app, next)) == (None, Status.TODO)


async def test_nothing_stalled_is_nothing_to_do(app: App) -> None:
    async with app.open_async():
        id = await app.configure_task(SWEEP).defer_async(
            timestamp=int(datetime.now(UTC).timestamp())
        )
        await stalled.put_back(app)
        assert await status(app, id) == Status.TODO
