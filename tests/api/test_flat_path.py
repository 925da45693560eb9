"""`/api/person`, the resource's oldest path: no project in it."""

from uuid import uuid4

import pytest

from personhood.model import Project
from tests.api.conftest import Client, People

PATH = "/api/person"


async def test_every_endpoint_is_there_too(client: Client, people: People) -> None:
    id, uuid = await people.add("ada", "a/b", email="ada@example.com")
    for end in ("", "/"):
        listed = (await client.get(PATH + end)).json()
        assert [row["uuid"] for row in listed["results"]] == [str(uuid)]
        for reference in (id, uuid, "distinct_id:a%2Fb"):
            read = await client.get(f"{PATH}/{reference}{end}")
            assert (read.status_code, read.json()["id"]) == (200, id)
    written = await client.patch(f"{PATH}/{id}/", json={"properties": {"plan": "pro"}})
    assert written.json()["properties"]["plan"] == "pro"
    assert (await client.get(f"{PATH}/activity")).json()["total_count"] == 1
    assert (await client.post(f"{PATH}/", json={})).status_code == 405
    assert (await client.delete(f"{PATH}/{id}")).status_code == 204


async def test_pages_stay_under_the_path_that_was_asked_for(client: Client, people: People) -> None:
    for name in ("ada", "bob", "eve"):
        await people.add(name)
    page = (await client.get(f"{PATH}/?limit=2")).json()
    assert page["next"] == f"http://testserver{PATH}/?limit=2&offset=2"
    assert len((await client.get(page["next"])).json()["results"]) == 1


@pytest.mark.parametrize("path", [f"{PATH}.csv", f"{PATH}/?format=csv"])
async def test_csv(client: Client, people: People, path: str) -> None:
    await people.add("ada")
    answer = await client.get(path)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert len(answer.text.splitlines()) == 2


async def test_a_token_names_the_project(client: Client, people: People, other: Project) -> None:
    id, _ = await people.add("ada")
    assert (await client.get(f"{PATH}/{id}")).status_code == 200
    assert (await client.get(f"{PATH}/{id}?token={other.token}")).status_code == 404
    assert (await client.get(PATH, params={"token": other.token})).json()["results"] == []


async def test_nobody_and_nothing(client: Client) -> None:
    bare = await client.get(PATH, headers={"Authorization": ""})
    assert (bare.status_code, bare.json()["code"]) == (401, "not_authenticated")
    assert (await client.get(f"{PATH}/{uuid4()}")).json()["detail"] == "Not found."
    assert (await client.get(f"{PATH}x")).json()["detail"] == "Endpoint not found."
