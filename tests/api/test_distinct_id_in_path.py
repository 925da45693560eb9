"""`distinct_id:<value>` wherever a path or a query names a person."""

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from personhood.model import Project
from personhood.store.pool import Pool
from tests.api.conftest import Client, People
from tests.server import Server
from tests.test_merges import identify, send, set_

PATH = "/api/projects/@current/persons"
VALUES = [
    "ada",
    "a/b",
    "/a//b/",
    "a%2Fb",
    "50%",
    "a?b=c&d#e",
    "a:b",
    "distinct_id:a",
    " a ",
    "a+b",
    "x.csv",
    "x.json/",
    "17",
    "b44cfe84-13e5-55bd-9d93-03bf32d61790",
    "..",
    "Zoë \N{OWL}",
    "e" * 400,
]


def path(value: str, rest: str = "") -> str:
    return f"{PATH}/distinct_id:{quote(value, safe='')}{rest}"


async def test_a_person_is_read_by_it(client: Client, people: People) -> None:
    for value in VALUES:
        id, _ = await people.add(value, f"another of {value}")
        for end in ("", "/"):
            answer = await client.get(path(value, end))
            assert (answer.status_code, answer.json().get("id")) == (200, id), value
        answer = await client.get(f"{PATH}/cohorts", params={"person_id": f"distinct_id:{value}"})
        assert answer.status_code == 200, value


async def test_a_suffix_of_the_value_is_the_values(client: Client, people: People) -> None:
    for value in ("a/b.csv", "x.csv", "y"):
        await people.add(value)
        assert (await client.get(path(value))).headers["content-type"] == "application/json"
        answer = await client.get(path(value, "/merges.csv"))
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/csv")


ENDPOINTS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "", None),
    ("PATCH", "", {"properties": {"a": 1}}),
    ("PUT", "", {"properties": {"a": 1}}),
    ("GET", "/activity", None),
    ("GET", "/merges", None),
    ("GET", "/splits", None),
    ("POST", "/update_property", {"key": "a", "value": 2}),
    ("POST", "/delete_property", {"$unset": "plan", "dry_run": True}),
    ("POST", "/delete_property", {"$unset": "plan"}),
    ("POST", "/split", {"dry_run": True}),
    ("POST", "/split", {"distinct_ids_to_split": ["a/b%2F"]}),
    ("POST", "/delete_events", {"dry_run": True}),
    ("POST", "/delete_events", None),
    ("POST", "/delete_recordings", None),
    ("DELETE", "", {"dry_run": True}),
    ("DELETE", "", None),
]


@pytest.mark.parametrize(("method", "rest", "body"), ENDPOINTS)
async def test_every_endpoint_of_a_person_takes_it(
    client: Client,
    pool: Pool,
    shop: Project,
    strangers: People,
    method: str,
    rest: str,
    body: dict[str, Any] | None,
) -> None:
    await strangers.add("elsewhere")
    await send(pool, shop, set_("ada", plan="free"), set_("a/b%2F"), identify("ada", "a/b%2F"))

    async def ask(value: str) -> httpx.Response:
        return await client.request(method, path(value, rest), json=body or {})

    assert (await ask("nobody")).status_code == 404
    assert (await ask("elsewhere")).status_code == 404
    answer = await ask("a/b%2F")
    assert answer.status_code in (200, 204), answer.text


async def test_a_merge_and_a_split_are_undone_by_it(
    client: Client, pool: Pool, shop: Project
) -> None:
    await send(pool, shop, set_("ada"), set_("a/b"), identify("ada", "a/b"))
    [merge] = (await client.get(path("a/b", "/merges"))).json()["results"]
    answer = await client.post(path("a/b", f"/merges/{merge['id']}/undo"))
    assert answer.status_code == 200, answer.text
    one, other = (await client.get(path("ada"))).json(), (await client.get(path("a/b"))).json()
    assert one["id"] != other["id"]


async def test_properties_at_a_moment(client: Client, pool: Pool, shop: Project) -> None:
    await send(pool, shop, set_("50%25", plan="free"))
    params = {"person_id": "distinct_id:50%25", "timestamp": "2999-01-01T00:00:00Z"}
    answer = await client.get(f"{PATH}/properties_at_time", params=params)
    assert answer.status_code == 200, answer.text
    assert answer.json()["distinct_ids"] == ["50%25"]


async def test_what_names_nobody(client: Client, people: People) -> None:
    await people.add("ada")
    for raw in ("distinct_id:", "Distinct_id:ada", "ada"):
        assert (await client.get(f"{PATH}/{raw}")).status_code == 400
    for raw in ("distinct_id:%00", "distinct_id:%ff", "distinct_id:" + "e" * 5000):
        assert (await client.get(f"{PATH}/{raw}")).status_code == 404


def test_a_real_server_keeps_slashes_in_the_value(shared_server: Server) -> None:
    # Clients take dots out of a path; of what SDKs send, 200 characters are kept.
    values = [value[:200] for value in VALUES if value != ".."]
    with httpx.Client(base_url=shared_server.url, headers=shared_server.headers) as client:
        events = [{"event": "$set", "distinct_id": v, "$set": {"v": v}} for v in values]
        answer = client.post("/batch", json={"api_key": shared_server.token, "batch": events})
        assert answer.status_code == 200
        for value in values:
            answer = client.get(path(value))
            assert answer.status_code == 200, value
            assert answer.json()["properties"]["v"] == value
