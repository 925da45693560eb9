"""Health, and the page that tells a load balancer that somebody is at home."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from personhood.api import health
from personhood.settings import Settings
from personhood.store import embedded
from personhood.store.pool import Pool, pool
from tests.api.conftest import created
from tests.server import Server

Client = AsyncTestClient[Litestar]

LIVENESS = ["/_health", "/_liveness", "/_livez"]
READINESS = ["/_readiness", "/_readyz"]


@pytest.fixture
async def client(database: str) -> AsyncIterator[Client]:
    async with AsyncTestClient(created(database)) as client:
        yield client


@pytest.mark.parametrize("slash", ["", "/"])
async def test_all_of_them_say_ok_without_a_key(client: Client, slash: str) -> None:
    for path in LIVENESS + READINESS:
        answer = await client.get(path + slash)
        assert (answer.status_code, answer.text) == (200, "ok"), path
        assert answer.headers["content-type"].startswith("text/plain")


async def test_a_database_that_is_away_is_told_in_time_and_without_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "READINESS_TIMEOUT_S", 0.05)
    async with pool("postgresql://127.0.0.1:1/nowhere", size=1) as opened:
        assert await health.obstacle(opened) == "The database does not answer."


async def test_a_full_disk_is_told_as_the_cause(
    client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def away(_: Pool) -> str:
        return health.AWAY

    monkeypatch.setattr(health, "obstacle", away)
    monkeypatch.setattr(client.app.state, "settings", Settings(data_dir=tmp_path))
    assert (await client.get("/_readiness")).text == "The database does not answer."
    monkeypatch.setattr(embedded, "FREE_BYTES_MIN", 2**80)
    answer = await client.get("/_readiness")
    assert answer.status_code == 503
    assert answer.text == "The database does not answer; the disk of its data folder is full."


async def test_the_root_says_what_it_is(client: Client) -> None:
    answer = await client.get("/")
    assert (answer.status_code, answer.text) == (200, "capture")


async def test_another_method_is_refused(client: Client) -> None:
    assert (await client.post("/_health")).status_code == 405


async def test_metrics_are_in_the_prometheus_format(client: Client) -> None:
    answer = await client.get("/metrics/")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "# TYPE personhood_events_stored_total counter" in answer.text


async def test_a_body_over_every_limit_is_refused(client: Client) -> None:
    answer = await client.post("/batch/", content=b" " * (33 * 1024 * 1024))
    assert answer.status_code == 413


def test_a_served_request_is_counted_by_its_route_never_by_its_path(shared_server: Server) -> None:
    for path in ("/api/projects/1/persons/somebody", "/nowhere/somebody"):
        assert httpx.get(shared_server.url + path).status_code in (401, 404)
    httpx.request("BREW", f"{shared_server.url}/_health")
    figures = httpx.get(f"{shared_server.url}/metrics").text
    assert "somebody" not in figures
    assert "BREW" not in figures
    assert 'method="GET",route="unmatched",status="404"' in figures
    assert 'method="GET",route="/api/projects/{project_id}/persons/{person_id}"' in figures
