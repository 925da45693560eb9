"""What the parts of one process do not take from one another."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import psycopg
import pytest
from litestar import Litestar

from personhood import settings
from personhood.app import create_app
from personhood.model import Project
from personhood.store import api_key, project
from personhood.store.pool import Pool

TOKEN, KEY = "phc_shop", "phx_everything"
EVENT = {"api_key": TOKEN, "event": "signed up", "distinct_id": "ada"}


@pytest.fixture
async def shop(pool: Pool) -> Project:
    async with pool.connection() as conn:
        await api_key.insert(conn, KEY, label="all", scopes=["*"], project_id=None)
        return await project.insert(conn, name="Shop", token=TOKEN)


@pytest.fixture
async def app(database: str, shop: Project) -> AsyncIterator[Litestar]:
    given = {"PERSONHOOD_POOL_SIZE": "2", "PERSONHOOD_STATEMENT_TIMEOUT_S": "1"}
    made = create_app(settings.read(given), database)
    async with made.lifespan():
        yield made


@pytest.fixture
async def client(app: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test", headers={"Authorization": f"Bearer {KEY}"}
    ) as opened:
        yield opened


async def test_events_are_taken_while_the_api_has_no_connection_left(
    app: Litestar, client: httpx.AsyncClient, shop: Project
) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(app.state.pool.connection())
        app.state.pool.timeout = 0.1
        persons = f"/api/projects/{shop.id}/persons/"
        assert (await client.get(persons)).status_code == 503
        assert (await client.post("/batch/", json=EVENT)).status_code == 200
        assert (await client.get("/_readiness")).status_code == 200, "it can take events"
    found = await client.get(persons)
    assert [row["distinct_ids"] for row in found.json()["results"]] == [["ada"]]


async def test_a_query_of_the_api_that_takes_too_long_is_stopped(
    client: httpx.AsyncClient, shop: Project, database: str
) -> None:
    persons = f"/api/projects/{shop.id}/persons/"
    with psycopg.connect(database) as stranger:
        stranger.execute("LOCK TABLE person")
        answer = await client.get(persons)
        assert answer.status_code == 503
        assert answer.json()["code"] == "query_timeout"
        assert int(answer.headers["retry-after"]) > 1
    assert (await client.get(persons)).status_code == 200
