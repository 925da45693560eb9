"""GET /:id/merges and POST /:id/merges/:merge_id/undo."""

from typing import Any
from uuid import uuid4

import pytest

from personhood.model import Project
from personhood.store import api_key
from personhood.store.pool import Pool
from tests.api.conftest import HEADERS, Client
from tests.test_merges import identify, send, set_

PATH = "/api/projects/@current/persons"


@pytest.fixture
async def merged(client: Client, pool: Pool, shop: Project) -> dict[str, Any]:
    """A person of two, as the API tells it."""
    await send(pool, shop, set_("anon", plan="free"), set_("ada", plan="paid"))
    await send(pool, shop, identify("ada", "anon", name="Ada"), set_("anon", color="red"))
    answer = await client.get(f"{PATH}/?distinct_id=ada")
    [person] = answer.json()["results"]
    return person


async def merges_of(client: Client, person: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await client.get(f"{PATH}/{person['id']}/merges/")
    assert answer.status_code == 200
    return answer.json()["results"]


async def test_the_merges_of_a_person_are_told(client: Client, merged: dict[str, Any]) -> None:
    [merge] = await merges_of(client, merged)
    assert merge["target"]["uuid"] == merged["uuid"]
    assert merge["source"]["uuid"] != merged["uuid"]
    assert merge.keys() == {"id", "source", "target", "timestamp", "recorded_at", "event_uuid"}


async def test_a_page_of_merges_leads_to_the_next(
    client: Client, pool: Pool, shop: Project, merged: dict[str, Any]
) -> None:
    for number in range(3):
        await send(pool, shop, set_(f"x{number}"), identify("ada", f"x{number}"))
    first = (await client.get(f"{PATH}/{merged['id']}/merges?limit=3")).json()
    second = (await client.get(first["next"])).json()
    ids = [row["id"] for row in first["results"] + second["results"]]
    assert ids == sorted(ids, reverse=True)
    assert len(ids) == 4
    assert second["next"] is None


@pytest.mark.parametrize("how", ["?preview=true", "?preview", "?preview=1", {"preview": True}])
async def test_a_preview_changes_nothing(
    client: Client, merged: dict[str, Any], how: str | dict[str, Any]
) -> None:
    [merge] = await merges_of(client, merged)
    path = f"{PATH}/{merged['id']}/merges/{merge['id']}/undo"
    answer = await (
        client.post(path + how) if isinstance(how, str) else client.post(path, json=how)
    )
    assert answer.status_code == 200
    assert answer.json()["preview"] is True
    assert answer.json()["freed"]["distinct_ids"] == ["anon"]
    assert await merges_of(client, merged) == [merge]


@pytest.mark.parametrize("prefix", ["projects", "environments"])
async def test_undoing_gives_both_persons_back(
    client: Client, merged: dict[str, Any], prefix: str
) -> None:
    [merge] = await merges_of(client, merged)
    path = f"/api/{prefix}/@current/persons/{merged['id']}/merges/{merge['id']}/undo/"
    answer = await client.post(path, params={"preview": "false"})
    assert answer.status_code == 200
    told = answer.json()
    assert told["preview"] is False
    assert told["kept"]["distinct_ids"] == ["ada"]
    assert told["freed"]["distinct_ids"] == ["anon"]
    assert told["freed"]["uuid"] == merge["source"]["uuid"]
    kept, freed = (
        {key: value for key, value in person["properties"].items() if key[0] != "$"}
        for person in (told["kept"], told["freed"])
    )
    assert kept == {"plan": "paid", "name": "Ada"}
    assert freed == {"plan": "free", "color": "red"}
    for person in (told["kept"], told["freed"]):
        read = (await client.get(f"{PATH}/{person['id']}")).json()
        assert read == {**person, "recordings_count": 0}
    assert await merges_of(client, merged) == []
    assert (await client.post(path)).status_code == 404


@pytest.mark.parametrize("merge_id", ["0", "999999", "x", "-1", "9" * 40, "1.5"])
async def test_an_unknown_merge_is_not_found(
    client: Client, merged: dict[str, Any], merge_id: str
) -> None:
    answer = await client.post(f"{PATH}/{merged['id']}/merges/{merge_id}/undo")
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


async def test_the_merge_of_another_person_is_not_found(
    client: Client, pool: Pool, shop: Project, merged: dict[str, Any]
) -> None:
    await send(pool, shop, set_("bob"))
    [bob] = (await client.get(f"{PATH}/?distinct_id=bob")).json()["results"]
    [merge] = await merges_of(client, merged)
    answer = await client.post(f"{PATH}/{bob['id']}/merges/{merge['id']}/undo")
    assert answer.status_code == 404
    assert await merges_of(client, merged) == [merge]


async def test_another_projects_person_is_not_found(
    client: Client, other: Project, merged: dict[str, Any]
) -> None:
    [merge] = await merges_of(client, merged)
    path = f"/api/projects/{other.id}/persons/{merged['id']}/merges"
    assert (await client.get(path)).status_code == 404
    assert (await client.post(f"{path}/{merge['id']}/undo")).status_code == 404


async def test_an_unknown_or_malformed_person(client: Client, merged: dict[str, Any]) -> None:
    assert (await client.get(f"{PATH}/{uuid4()}/merges")).status_code == 404
    assert (await client.get(f"{PATH}/not-an-id/merges")).status_code == 400


async def test_no_key_and_not_the_scope(client: Client, pool: Pool, merged: dict[str, Any]) -> None:
    [merge] = await merges_of(client, merged)
    path = f"{PATH}/{merged['id']}/merges"
    assert (await client.get(path, headers={"Authorization": ""})).status_code == 401
    async with pool.connection() as conn:
        await api_key.insert(conn, "phx_reader", label="r", scopes=["person:read"], project_id=None)
    reader = {"Authorization": "Bearer phx_reader"}
    assert (await client.get(path, headers=reader)).status_code == 200
    assert (await client.post(f"{path}/{merge['id']}/undo", headers=reader)).status_code == 403


async def test_the_wrong_method(client: Client, merged: dict[str, Any]) -> None:
    answer = await client.delete(f"{PATH}/{merged['id']}/merges", headers=HEADERS)
    assert answer.status_code == 405


@pytest.mark.parametrize("body", ['{"preview": "perhaps"}', "[]", "{", '{"preview": 7}'])
async def test_a_bad_body_changes_nothing(
    client: Client, merged: dict[str, Any], body: str
) -> None:
    [merge] = await merges_of(client, merged)
    answer = await client.post(
        f"{PATH}/{merged['id']}/merges/{merge['id']}/undo",
        content=body,
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 400
    assert await merges_of(client, merged) == [merge]
