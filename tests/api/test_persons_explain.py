"""GET /:id/explain."""

import random
from typing import Any

import pytest

from personhood.model import Project
from personhood.store.pool import Pool
from tests.api.conftest import Client
from tests.api.skeleton import needs
from tests.test_merges import identify, send, set_
from tests.test_persons import sent

PATH = "/api/projects/@current/persons"


async def explain(client: Client, a: str, b: str) -> list[dict[str, Any]]:
    answer = await client.get(f"{PATH}/distinct_id:{a}/explain?a={a}&b={b}")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["a"], told["b"]) == (a, b)
    return told["results"]


async def undo(client: Client, name: str, merge_id: int) -> None:
    done = await client.post(f"{PATH}/distinct_id:{name}/merges/{merge_id}/undo")
    assert done.status_code == 200, done.text


async def ids_of(client: Client, name: str) -> set[str]:
    return set((await client.get(f"{PATH}/distinct_id:{name}")).json()["distinct_ids"])


def dangerously(distinct_id: str, alias: str) -> Any:
    return sent("$merge_dangerously", distinct_id, alias=alias)


async def test_a_merge_is_told_with_its_event(client: Client, pool: Pool, shop: Project) -> None:
    claim = identify("u", "a")
    await send(pool, shop, set_("u"), set_("a"), claim)
    [link] = await explain(client, "a", "u")
    [merge] = (await client.get(f"{PATH}/distinct_id:u/merges")).json()["results"]
    assert link["merge_id"] == merge["id"]
    assert (link["kind"], link["can_be_undone"]) == ("merged", True)
    assert link["event"] == {"uuid": merge["event_uuid"], "name": "$identify"}
    assert link["distinct_id"] == "u"
    assert link["source"]["uuid"] == merge["source"]["uuid"]
    assert link["target"]["uuid"] == merge["target"]["uuid"]
    assert await explain(client, "a", "a") == []
    await undo(client, "u", merge["id"])
    assert (await ids_of(client, "a"), await ids_of(client, "u")) == ({"a"}, {"u"})
    answer = await client.get(f"{PATH}/distinct_id:a/explain?a=a&b=u")
    assert (answer.status_code, answer.json()["detail"]) == (404, "not on this person: 'u'")


@pytest.mark.parametrize("number", [0, 1, 2])
async def test_undoing_any_link_of_a_chain_parts_the_two(
    client: Client, pool: Pool, shop: Project, number: int
) -> None:
    await send(pool, shop, *(set_(name) for name in "abcdef"))
    claims = [("b", "a"), ("c", "b"), ("d", "c"), ("c", "e"), ("a", "f")]
    await send(pool, shop, *(dangerously(one, other) for one, other in claims))
    links = await explain(client, "a", "d")
    assert [link["can_be_undone"] for link in links] == [True] * 3
    assert [link["merge_id"] for link in await explain(client, "d", "a")] == [
        link["merge_id"] for link in reversed(links)
    ]
    await undo(client, "a", links[number]["merge_id"])
    parts = [{"a", "f"}, {"b"}, {"c", "e"}, {"d"}]
    assert await ids_of(client, "a") == set().union(*parts[: number + 1])
    assert await ids_of(client, "d") == set().union(*parts[number + 1 :])


async def test_in_any_history_undoing_a_link_parts_the_two(
    client: Client, pool: Pool, shop: Project
) -> None:
    chance = random.Random(7)
    names = [f"n{number}" for number in range(8)]
    await send(pool, shop, *(set_(name) for name in names))
    for turn in range(12):
        one, other = chance.sample(names, 2)
        await send(pool, shop, dangerously(one, other))
        if turn % 3 or other not in await ids_of(client, one):
            continue
        link = chance.choice(await explain(client, one, other))
        await undo(client, one, link["merge_id"])
        assert other not in await ids_of(client, one)


async def test_ids_that_came_without_a_merge(client: Client, pool: Pool, shop: Project) -> None:
    await send(pool, shop, identify("u", "a"), identify("u", "b"))
    [together] = await explain(client, "a", "u")
    assert (together["kind"], together["merge_id"]) == ("created", None)
    assert (together["event"]["name"], together["can_be_undone"]) == ("$identify", False)
    assert [link["kind"] for link in await explain(client, "u", "b")] == ["created", "attached"]


async def test_after_a_split_and_its_undoing(client: Client, pool: Pool, shop: Project) -> None:
    await send(pool, shop, set_("a"), set_("b"), set_("c"))
    await send(pool, shop, dangerously("b", "a"), dangerously("c", "b"))
    path = f"{PATH}/distinct_id:c"
    done = await client.post(f"{path}/split", json={"distinct_ids_to_split": ["b"]})
    assert done.status_code == 200
    assert all(link["can_be_undone"] for link in await explain(client, "a", "c"))
    split_id = done.json()["split_id"]
    assert (await client.post(f"{path}/splits/{split_id}/undo")).status_code == 200
    links = await explain(client, "a", "c")
    assert len(links) == 2
    await undo(client, "a", links[0]["merge_id"])
    assert await ids_of(client, "a") == {"a"}


@pytest.mark.parametrize(
    ("query", "status", "detail"),
    [
        ("a=u", 400, "Give a distinct id of this person."),
        ("b=u", 400, "Give a distinct id of this person."),
        ("a=u&b=", 400, "Give a distinct id of this person."),
        ("a=u&b=x", 404, "not on this person: 'x'"),
        ("a=bob&b=u", 404, "not on this person: 'bob'"),
        ("a=%00&b=u", 404, "not on this person: '\ufffd'"),
        ("a=theirs&b=u", 404, "not on this person: 'theirs'"),
    ],
)
async def test_ids_that_are_not_the_persons(
    client: Client, pool: Pool, shop: Project, other: Project, query: str, status: int, detail: str
) -> None:
    await send(pool, shop, set_("u"), set_("bob"))
    await send(pool, other, set_("theirs"))
    answer = await client.get(f"{PATH}/distinct_id:u/explain?{query}")
    assert (answer.status_code, answer.json()["detail"]) == (status, detail)


async def test_too_many_merges(
    client: Client, pool: Pool, shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("personhood.api.explain.MERGES_MAX", 0)
    await send(pool, shop, set_("u"), set_("a"), identify("u", "a"))
    answer = await client.get(f"{PATH}/distinct_id:u/explain?a=u&b=a")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")


@pytest.mark.parametrize("prefix", ["projects", "environments"])
async def test_skeleton(
    client: Client, pool: Pool, shop: Project, other: Project, prefix: str
) -> None:
    await send(pool, shop, set_("u"))
    path = f"/api/{prefix}/@current/persons/distinct_id:u/explain/"
    await needs(client, pool, "person:read", method="GET", path=path)
    assert (await client.get(f"{path}?a=u&b=u")).json()["results"] == []
    assert (await client.post(path)).status_code == 405
    for unknown in ("0", "distinct_id:nobody"):
        answer = await client.get(f"/api/{prefix}/@current/persons/{unknown}/explain?a=u&b=u")
        assert answer.status_code == 404
    answer = await client.get(f"/api/{prefix}/{other.id}/persons/distinct_id:u/explain?a=u&b=u")
    assert answer.status_code == 404
