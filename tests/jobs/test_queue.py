"""The queue's worker, and a database that goes away."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from procrastinate import App

from personhood.jobs import queue
from personhood.settings import Settings
from personhood.store.pool import Pool
from tests.conftest import named

GUARD_S = 30  # against hanging for ever; no test depends on its length


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "RESTART_PAUSE_S", 0.05)
    monkeypatch.setattr(queue, "WAIT_S", 0.5)


@pytest.fixture(autouse=True)
async def lost_jobs() -> AsyncIterator[None]:
    """A job whose end cannot be written down, as when a sweep is due now, is lost by procrastinate
    with an error of its own task; `stalled` finds it later."""
    loop = asyncio.get_running_loop()
    strict = loop.get_exception_handler()
    assert strict is not None

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), queue.ConnectorException):
            strict(loop, context)

    loop.set_exception_handler(handle)
    yield
    loop.set_exception_handler(strict)


@pytest.fixture
async def done() -> asyncio.Queue[int]:
    return asyncio.Queue()


@pytest.fixture
async def working(
    database: str, pool: Pool, done: asyncio.Queue[int], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[App]:
    """A worker that also has a job to tell that it works."""
    make = queue.queue

    def with_a_job(database_url: str) -> App:
        app = make(database_url)
        app.task(name="tell")(done.put)
        return app

    monkeypatch.setattr(queue, "queue", with_a_job)
    async with asyncio.timeout(GUARD_S), queue.working(Settings(), database, pool) as app:
        yield app


@contextmanager
def outage(postgres: str, database: str) -> Iterator[None]:
    """Nobody gets into the database, and the queue's own connections are cut."""
    name = psycopg.conninfo.conninfo_to_dict(database)["dbname"]
    with psycopg.connect(named(postgres, "template1"), autocommit=True) as conn:
        conn.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = %s AND application_name = 'personhood jobs'",
            [name],
        )
        try:
            yield
        finally:
            conn.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


async def tell(app: App, number: int) -> None:
    await app.configure_task("tell").defer_async(item=number)


async def until_nothing_is_left(pool: Pool) -> None:
    async with pool.connection() as conn:
        while await (await conn.execute("SELECT FROM procrastinate_jobs")).fetchone() is not None:
            await asyncio.sleep(0.01)


async def gave_up(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when a worker has ended because the database was away."""
    event = asyncio.Event()
    monkeypatch.setattr(queue.log, "warning", lambda *_: event.set(), raising=False)
    return event


async def test_jobs_go_on_when_the_database_is_back(
    postgres: str,
    database: str,
    pool: Pool,
    working: App,
    done: asyncio.Queue[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await tell(working, 1)
    assert await done.get() == 1
    await until_nothing_is_left(pool)
    ended = await gave_up(monkeypatch)
    with outage(postgres, database):
        await ended.wait()
    while True:
        try:
            await tell(working, 2)
            break
        except queue.ConnectorException:
            await asyncio.sleep(0.05)
    assert await done.get() == 2


async def test_a_server_can_stop_while_the_database_is_away(
    postgres: str, database: str, pool: Pool
) -> None:
    """Also while a worker that has just lost it tries to say good-bye."""
    stop = asyncio.Event()

    async def serve() -> None:
        async with queue.working(Settings(), database, pool):
            await stop.wait()

    server = asyncio.create_task(serve())
    async with pool.connection() as conn:
        while await (await conn.execute("SELECT FROM procrastinate_workers")).fetchone() is None:
            await asyncio.sleep(0.01)
    with outage(postgres, database):
        await asyncio.sleep(0.1)
        stop.set()
        ended, _ = await asyncio.wait([server], timeout=GUARD_S)
        assert ended
