"""Rate limits of keys."""

from collections.abc import AsyncIterator

import httpx
import pytest
from litestar import Litestar

from personhood import settings
from personhood.api import throttle
from personhood.api.throttle import Kind, parsed
from personhood.app import create_app
from personhood.model import Limit, Project
from personhood.store.pool import Pool
from personhood.store.rate import Counted
from tests.api.conftest import Client, People
from tests.api.skeleton import as_key

PATH = "/api/projects/@current/persons"


@pytest.fixture
async def app(database: str) -> AsyncIterator[Litestar]:
    environment = {
        "PERSONHOOD_RATE_LIMIT": "3/day",
        "PERSONHOOD_RATE_LIMIT_DELETION": "9/hour,2/day",
    }
    made = create_app(settings.read(environment), database)
    async with made.lifespan():
        yield made


def is_throttled(answer: httpx.Response) -> bool:
    if answer.status_code != 429:
        return False
    wait = int(answer.headers["retry-after"])
    assert answer.json() == {
        "type": "throttled_error",
        "code": "throttled",
        "detail": f"Request was throttled. Expected available in {wait} seconds.",
        "attr": None,
    }
    assert 86_400 * 59 // 60 <= wait <= 86_400 * 61 // 60
    return True


async def test_who_asks_too_often_is_told_to_wait(
    client: Client, pool: Pool, other: Project
) -> None:
    # One key counts in all of its projects, and on all endpoints.
    for path in (f"{PATH}/", f"/api/projects/{other.id}/persons", f"{PATH}/17"):
        assert (await client.get(path)).status_code in (200, 404)
    assert is_throttled(await client.get(f"{PATH}/"))
    assert is_throttled(await client.post("/api/environments/@current/cohorts", json={}))
    answer = await client.get(f"{PATH}/", headers=await as_key(pool, "person:read"))
    assert answer.status_code == 200


async def test_deletions_have_limits_of_their_own(client: Client, people: People) -> None:
    for name in ("a", "b", "c", "d"):
        await people.add(name)
    for _ in range(3):
        await client.get(f"{PATH}/")
    assert (await client.delete(f"{PATH}/distinct_id:a")).status_code == 204
    answer = await client.post(f"{PATH}/distinct_id:b/delete_events")
    assert answer.status_code == 200
    for method, path in [
        ("DELETE", "distinct_id:b"),
        ("POST", "distinct_id:b/delete_events"),
        ("POST", "distinct_id:b/delete_recordings"),
        ("POST", "bulk_delete"),
    ]:
        assert is_throttled(await client.request(method, f"{PATH}/{path}"))
    assert is_throttled(await client.get(f"{PATH}/"))


async def test_who_may_not_is_told_that_first(client: Client, pool: Pool) -> None:
    for _ in range(4):
        await client.get(f"{PATH}/")
    headers = await as_key(pool, "annotation:write")
    for _ in range(5):
        assert (await client.get(f"{PATH}/", headers=headers)).status_code == 403
    assert (await client.get(f"{PATH}/", headers={"Authorization": "x"})).status_code == 401
    assert (await client.get("/api/projects/999/persons")).status_code == 404


async def test_what_is_throttled_claims_no_idempotency_key(client: Client, pool: Pool) -> None:
    for _ in range(3):
        await client.get(f"{PATH}/")
    headers = {"Idempotency-Key": "a"}
    path = "/api/projects/@current/cohorts"
    assert is_throttled(await client.post(path, json={"name": "x"}, headers=headers))
    async with pool.connection() as conn:
        cursor = await conn.execute("SELECT count(*) FROM idempotency")
        assert await cursor.fetchone() == (0,)


async def test_health_is_not_counted(client: Client) -> None:
    for _ in range(5):
        assert (await client.get("/_liveness")).status_code == 200


def test_one_second_is_one_second() -> None:
    def counted(now: float) -> Counted:
        return Counted(60, 1, False, 1000, [0] * 60 + [1], now)

    for now, text in ((1000.5, "1 second."), (1000.0, "1 second."), (999.0, "2 seconds.")):
        refusal = throttle.refusal([counted(now)])
        assert str(refusal) == f"Request was throttled. Expected available in {text}"


def test_limits_are_read_from_the_setting() -> None:
    assert parsed("") == []
    assert parsed("240/minute") == [Limit(240, 60)]
    assert parsed("4800/hour,480/minute,7/second,9/day") == [
        Limit(7, 1),
        Limit(480, 60),
        Limit(4800, 3600),
        Limit(9, 86_400),
    ]
    assert parsed("1/hour,2/hour") == [Limit(2, 3600)]
    limits = throttle.limits_of(settings.read({"PERSONHOOD_RATE_LIMIT": "1/day"}))
    assert limits == {Kind.USUAL: [Limit(1, 86_400)], Kind.DELETION: []}


async def test_without_a_setting_nothing_is_counted(
    database: str, shop: Project, pool: Pool
) -> None:
    made = create_app(settings.read({}), database)
    async with made.lifespan():
        transport = httpx.ASGITransport(made)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            answer = await client.get(
                f"{PATH}/", headers={"Authorization": "Bearer phx_everything"}
            )
    assert answer.status_code == 200
    async with pool.connection() as conn:
        cursor = await conn.execute("SELECT count(*) FROM rate")
        assert await cursor.fetchone() == (0,)
