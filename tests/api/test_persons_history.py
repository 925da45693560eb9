"""GET /:id/history."""

from typing import Any

import pytest

from personhood.model import Project
from personhood.store.pool import Pool
from tests.api.conftest import Client
from tests.api.skeleton import needs
from tests.test_merges import identify, send, set_
from tests.test_persons import sent

PATH = "/api/projects/@current/persons"


async def history(client: Client, name: str, query: str = "") -> list[dict[str, Any]]:
    answer = await client.get(f"{PATH}/distinct_id:{name}/history{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


@pytest.fixture
async def ada(client: Client, pool: Pool, shop: Project) -> str:
    await send(pool, shop, set_("ada", plan="free", x=None), set_("ada", plan="paid"))
    await client.patch(f"{PATH}/distinct_id:ada", json={"properties": {"plan": "gift", "y": 1}})
    await client.post(f"{PATH}/distinct_id:ada/delete_property", json={"$unset": "plan"})
    return "ada"


async def test_every_value_of_a_key_is_told_the_newest_first(client: Client, ada: str) -> None:
    rows = await history(client, ada, "?key=plan")
    assert [(row["action"], row["before"], row["value"]) for row in rows] == [
        ("removed", "gift", None),
        ("changed", "paid", "gift"),
        ("changed", "free", "paid"),
        ("added", None, "free"),
    ]
    deleted, updated, changed, created = rows
    assert deleted["api_key"]["label"] == updated["api_key"]["label"] == "all"
    assert updated["event"]["name"] == "$set"  # which the API writes as an SDK would
    assert (changed["event"]["name"], changed["distinct_id"]) == ("$set", "ada")
    assert changed["api_key"] is None
    assert (created["kind"], created["version"]) == ("created", 0)
    assert {row["person"]["merged"] for row in rows} == {False}


async def test_without_a_key_all_changes_are_told(client: Client, ada: str) -> None:
    rows = await history(client, ada)
    assert {row["key"] for row in rows} >= {"plan", "x", "y"}
    [null] = [row for row in rows if row["key"] == "x"]
    assert (null["action"], null["value"]) == ("added", None)
    assert await history(client, ada, "?key=nothing") == []
    assert await history(client, ada, "?key=a%00b") == []


@pytest.mark.parametrize("query", ["", "&key=n"])
async def test_pages_follow_one_another(
    client: Client, pool: Pool, shop: Project, query: str
) -> None:
    for number in range(4):
        await send(pool, shop, set_("u", n=number), set_("a", n=number), set_("b", n=number))
    await send(pool, shop, identify("u", "a"), set_("a", n=9))
    await send(pool, shop, identify("u", "b"), set_("b", n=10))
    whole = await history(client, "u", f"?limit=1000{query}")
    found: list[dict[str, Any]] = []
    url: str | None = f"{PATH}/distinct_id:u/history?limit=2{query}"
    while url is not None:
        page = (await client.get(url)).json()
        url = page["next"]
        found += page["results"]
    assert found == whole
    times = [row["recorded_at"] for row in whole]
    assert times == sorted(times, reverse=True)


async def test_persons_that_were_merged_bring_what_they_had(
    client: Client, pool: Pool, shop: Project
) -> None:
    await send(pool, shop, set_("u", n=1), set_("a", n=2), set_("a", n=3))
    await send(pool, shop, identify("u", "a"), set_("a", n=4))
    rows = await history(client, "u", "?key=n")
    assert [(row["value"], row["person"]["merged"]) for row in rows] == [
        (4, False),
        (3, True),
        (2, True),
        (1, False),
    ]
    [merge] = (await client.get(f"{PATH}/distinct_id:u/merges")).json()["results"]
    assert rows[1]["person"] == merge["source"] | {"merged": True}
    await client.post(f"{PATH}/distinct_id:u/merges/{merge['id']}/undo")
    kept = await history(client, "u", "?key=n")
    assert {row["person"]["merged"] for row in kept} == {False}
    assert [row["value"] for row in kept] == [1, 4, 1]
    assert [row["value"] for row in await history(client, "a", "?key=n")] == [4, 3, 2]


async def test_what_an_undone_merge_corrects_in_merged_persons_is_no_value(
    client: Client, pool: Pool, shop: Project
) -> None:
    await send(pool, shop, set_("a", n=1), set_("b", n=2), set_("c", n=3), identify("b", "a"))
    await send(pool, shop, set_("a", m=1))
    await send(pool, shop, sent("$merge_dangerously", "c", alias="b"))
    first = (await client.get(f"{PATH}/distinct_id:c/merges")).json()["results"][-1]
    done = await client.post(f"{PATH}/distinct_id:c/merges/{first['id']}/undo")
    assert done.status_code == 200
    merged = [row for row in await history(client, "c", "?key=m") if row["person"]["merged"]]
    assert [row["kind"] for row in merged] == ["set"]


async def test_of_who_was_erased_nothing_is_told(client: Client, pool: Pool, shop: Project) -> None:
    await send(pool, shop, set_("u", n=1), set_("a", secret="s"), identify("u", "a"))
    [merge] = (await client.get(f"{PATH}/distinct_id:u/merges")).json()["results"]
    await client.post(f"{PATH}/distinct_id:u/merges/{merge['id']}/undo")
    assert "secret" in {row["key"] for row in await history(client, "u")}
    assert (await client.delete(f"{PATH}/distinct_id:a")).status_code == 204
    rows = await history(client, "u")
    assert all(row["distinct_id"] != "a" for row in rows)
    assert "secret" not in {row["key"] for row in rows}


async def test_large_values_end_a_page_before_its_limit(
    client: Client, pool: Pool, shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("personhood.store.property_history.PAGE_BYTES", 1)
    await send(pool, shop, *(set_("u", n=number) for number in range(3)))
    values: list[int] = []
    url: str | None = f"{PATH}/distinct_id:u/history?key=n"
    while url is not None:
        page = (await client.get(url)).json()
        url = page["next"]
        assert len(page["results"]) == 1
        values += [row["value"] for row in page["results"]]
    assert values == [2, 1, 0]


async def test_as_csv(client: Client, ada: str) -> None:
    answer = await client.get(f"{PATH}/distinct_id:{ada}/history.csv?key=plan")
    assert answer.status_code == 200
    assert len(answer.text.splitlines()) == 5


@pytest.mark.parametrize(
    ("query", "attr"),
    [
        ("limit=x", "limit"),
        ("limit=-1", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=MS4y", "cursor"),
    ],
)
async def test_bad_parameters(client: Client, ada: str, query: str, attr: str) -> None:
    answer = await client.get(f"{PATH}/distinct_id:{ada}/history?{query}")
    assert (answer.status_code, answer.json()["attr"]) == (400, attr)


@pytest.mark.parametrize("prefix", ["projects", "environments"])
async def test_skeleton(client: Client, pool: Pool, other: Project, ada: str, prefix: str) -> None:
    root = (await client.get(f"{PATH}/distinct_id:{ada}")).json()
    path = f"/api/{prefix}/@current/persons/{root['uuid']}/history/"
    await needs(client, pool, "person:read", method="GET", path=path)
    assert (await client.post(path)).status_code == 405
    for unknown in ("0", "999999", "00000000-0000-0000-0000-000000000000"):
        answer = await client.get(f"/api/{prefix}/@current/persons/{unknown}/history")
        assert answer.status_code == 404
    assert (await client.get(f"{PATH}/x/history")).status_code == 400
    answer = await client.get(f"/api/{prefix}/{other.id}/persons/{root['uuid']}/history")
    assert answer.status_code == 404
