"""GET /persons/values (contract: persons-api, 2.4)."""

from typing import Any

import pytest

from personhood.model import Project
from personhood.store import property_value
from personhood.store.pool import Pool
from tests.api.conftest import Client, People
from tests.api.skeleton import needs

PATH = "/api/projects/@current/persons/values"


async def values(client: Client, **query: str) -> dict[str, int]:
    answer = await client.get(PATH, params=query)
    assert answer.status_code == 200, answer.text
    return {each["name"]: each["count"] for each in answer.json()["results"]}


@pytest.mark.parametrize("prefix", ["projects", "environments"])
async def test_values_are_counted(client: Client, people: People, prefix: str) -> None:
    for plan in ("asdf", "qwerty", "asdf"):
        await people.add(plan=plan)
    answer = await client.get(f"/api/{prefix}/1/persons/values/?key=plan")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "max-age=10"
    assert answer.json() == {
        "results": [{"name": "asdf", "count": 2}, {"name": "qwerty", "count": 1}],
        "refreshing": False,
    }


async def test_a_name_is_text(client: Client, people: People) -> None:
    for value in (True, False, 12, 1.5, ["a"], {"b": 1}):
        await people.add(x=value)
    assert (await values(client, key="x")).keys() == {
        *("true", "false", "12", "1.5", '["a"]', '{"b": 1}')
    }


async def test_null_and_the_empty_text_are_no_values(client: Client, people: People) -> None:
    for value in (None, "", " "):
        await people.add(x=value)
    await people.add(y=1)
    assert await values(client, key="x") == {" ": 1}


async def test_the_twenty_most_frequent_are_told(client: Client, people: People) -> None:
    for n in range(25):
        for _ in range(1 + (n >= 20)):
            await people.add(x=f"v{n:02}")
    found = list((await values(client, key="x")).items())
    assert found[:5] == [(f"v{n}", 2) for n in range(20, 25)]
    assert found[5:] == [(f"v{n:02}", 1) for n in range(15)]


async def test_only_the_newest_persons_are_counted(
    client: Client, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    for plan in ("old", "new", "new", "other"):
        await people.add(plan=plan)
    monkeypatch.setattr(property_value, "PERSONS_MAX", 2)
    assert await values(client, key="plan") == {"new": 1, "other": 1}


async def test_merged_persons_are_not_counted(client: Client, people: People) -> None:
    root, _ = await people.add("a", plan="x")
    await people.add("b", plan="x", merged_into=root)
    assert await values(client, key="plan") == {"x": 1}


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ("SCA", ["scale"]),
        ("a", ["100%_a\\b", "scale"]),
        ("%", ["100%_a\\b"]),
        ("_", ["100%_a\\b"]),
        ("\\", ["100%_a\\b"]),
        ("0%_A\\B", ["100%_a\\b"]),
        ("none", []),
        ("", ["100%_a\\b", "free", "scale"]),
        ("\0", []),
    ],
)
async def test_value_is_a_part_of_it(
    client: Client, people: People, part: str, found: list[str]
) -> None:
    for plan in ("scale", "free", "100%_a\\b"):
        await people.add(plan=plan)
    assert list(await values(client, key="plan", value=part)) == found


async def test_distinct_ids_are_values_too(
    client: Client, people: People, strangers: People
) -> None:
    await people.add("ada", "Adam", "eve", distinct_id="a property")
    await strangers.add("adams")
    assert await values(client, key="distinct_id", value="ada") == {"Adam": 1, "ada": 1}
    assert (await values(client, key="distinct_id")).keys() == {"Adam", "ada", "eve"}
    assert await values(client, key="distinct_id", value="\0") == {}


@pytest.mark.parametrize("query", ["", "?key=", "?key=%24virt_x", "?key=%24virt", "?value=x"])
async def test_no_key_or_a_virtual_one_has_no_values(
    client: Client, people: People, query: str
) -> None:
    await people.add(**{"$virt_x": "y"})
    answer = await client.get(PATH + query)
    assert answer.status_code == 200
    assert answer.json() == {"results": [], "refreshing": False}


@pytest.mark.parametrize("name", ["refresh", "force_refresh"])
async def test_a_refresh_is_accepted(client: Client, people: People, name: str) -> None:
    await people.add(plan="x")
    assert await values(client, key="plan", **{name: "true"}) == {"x": 1}


@pytest.mark.parametrize("key", ["\0", "a\0b", "x" * 5000, "'; DROP TABLE person; --", "{", "a.b"])
async def test_odd_keys_have_no_values(client: Client, people: People, key: str) -> None:
    await people.add(a={"b": 1})
    assert await values(client, key=key) == {}


async def test_another_projects_values_are_not_told(
    client: Client, people: People, strangers: People, other: Project
) -> None:
    await people.add(plan="mine")
    await strangers.add(plan="theirs")
    assert await values(client, key="plan") == {"mine": 1}
    answer = await client.get(f"/api/projects/{other.id}/persons/values?key=plan")
    assert [each["name"] for each in answer.json()["results"]] == ["theirs"]


async def test_it_needs_a_key_and_its_scope(client: Client, pool: Pool) -> None:
    await needs(client, pool, "person:read", method="GET", path=PATH)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_the_wrong_method(client: Client, method: str) -> None:
    answer: Any = await client.request(method, PATH)
    assert answer.status_code == 405
