"""The persons behind insights: nobody, in the envelopes of old (contract: persons-api, 2.11)."""

from datetime import datetime

import pytest

from personhood.store.pool import Pool
from tests.api.conftest import Client, People
from tests.api.skeleton import broken_bodies, needs, refuses_body

PERSONS = "/api/projects/@current/persons"
CACHED = [
    ("GET", "funnel"),
    ("POST", "funnel"),
    ("GET", "funnel/correlation"),
    ("POST", "funnel/correlation"),
    ("GET", "trends"),
]
LIFECYCLE = "lifecycle?target_date=2026-05-04&lifecycle_type=new"


@pytest.mark.parametrize(("method", "name"), CACHED)
@pytest.mark.parametrize("prefix", ["projects", "environments"])
async def test_nobody_is_behind_a_funnel_or_a_trend(
    client: Client, people: People, method: str, name: str, prefix: str
) -> None:
    await people.add("ada")
    path = f"/api/{prefix}/1/persons/{name}/"
    answer = await client.request(method, path, params={"limit": "5"})
    assert answer.status_code == 200
    told = answer.json()
    assert datetime.fromisoformat(told.pop("last_refresh")).tzinfo
    assert told == {
        "results": [{"people": [], "count": 0}],
        "next": None,
        "initial": f"http://testserver{path}?limit=5&offset=0",
        "missing_persons": 0,
        "is_cached": False,
    }


@pytest.mark.parametrize("name", [LIFECYCLE, "stickiness", "lifecycle?target_date=&lifecycle_type"])
async def test_nobody_is_behind_a_lifecycle_or_stickiness(
    client: Client, people: People, name: str
) -> None:
    await people.add("ada")
    answer = await client.get(f"{PERSONS}/{name}")
    assert answer.status_code == 200
    assert answer.json() == {"results": [{"people": [], "count": 0}], "next": None}


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("", "Must include specified date"),
        ("?lifecycle_type=new", "Must include specified date"),
        ("?target_date=2026-05-04", "Must include lifecycle type"),
    ],
)
async def test_a_lifecycle_needs_a_date_and_a_type(client: Client, query: str, detail: str) -> None:
    answer = await client.get(f"{PERSONS}/lifecycle{query}")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"message": "Missing parameter", "detail": detail}


@pytest.mark.parametrize(("method", "name"), [*CACHED, ("GET", "lifecycle"), ("GET", "stickiness")])
async def test_they_need_a_key_and_its_scope(
    client: Client, pool: Pool, method: str, name: str
) -> None:
    await needs(client, pool, "person:read", method=method, path=f"{PERSONS}/{name}")


@pytest.mark.parametrize(
    ("method", "name"),
    [("POST", "trends"), ("POST", "lifecycle"), ("POST", "stickiness"), ("DELETE", "funnel")],
)
async def test_the_wrong_method(client: Client, method: str, name: str) -> None:
    assert (await client.request(method, f"{PERSONS}/{name}")).status_code == 405


@pytest.mark.parametrize("name", ["funnel", "funnel/correlation"])
@broken_bodies
async def test_a_bad_body(
    client: Client, name: str, content: str, type: str, status: int, code: str
) -> None:
    await refuses_body(client, f"{PERSONS}/{name}", content, type, status, code)
