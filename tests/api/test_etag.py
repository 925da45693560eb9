"""ETag, If-None-Match and If-Match of a person (RFC 9110, 13.1)."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from personhood.model import Project
from personhood.store.pool import Pool
from tests.api.conftest import Client, People
from tests.api.test_persons_update import properties_of
from tests.server import Server, serving
from tests.test_merges import identify, send, set_

PATH = "/api/projects/@current/persons"
RACERS = 40
FAILED = {
    "type": "invalid_request",
    "code": "precondition_failed",
    "detail": "The person has changed since it was read. Read it again, and decide anew.",
    "attr": None,
}
WRITES: list[tuple[str, str, dict[str, Any]]] = [
    ("PATCH", "", {"properties": {"plan": "scale"}}),
    ("PUT", "", {"properties": {"plan": "scale"}}),
    ("POST", "/update_property", {"key": "plan", "value": "scale"}),
    ("POST", "/delete_property", {"$unset": "plan"}),
]
each_write = pytest.mark.parametrize(
    ("method", "suffix", "body"), WRITES, ids=["patch", "put", "update", "delete"]
)


async def tag_of(client: Client, person: object) -> str:
    answer = await client.get(f"{PATH}/{person}")
    assert answer.status_code == 200
    return answer.headers["etag"]


async def only_person(client: Client, distinct_id: str) -> str:
    [person] = (await client.get(f"{PATH}/?distinct_id={distinct_id}")).json()["results"]
    return person["uuid"]


async def test_the_tag_stays_while_nothing_changes(client: Client, people: People) -> None:
    person_id, uuid = await people.add("ada", plan="free")
    tag = await tag_of(client, person_id)
    assert tag.startswith('"')
    assert await tag_of(client, uuid) == tag
    await client.patch(f"{PATH}/{person_id}", json={"properties": {"plan": "free"}})
    assert await tag_of(client, person_id) == tag
    other, _ = await people.add("bob", plan="free")
    assert await tag_of(client, other) != tag


async def test_whatever_changes_what_is_shown_changes_the_tag(
    client: Client, people: People, pool: Pool, shop: Project
) -> None:
    await send(pool, shop, set_("ada", plan="free"))
    person, seen = await only_person(client, "ada"), set[tuple[str, str]]()

    async def look() -> None:
        answer = await client.get(f"{PATH}/{person}")
        seen.add((answer.headers["etag"], answer.text))

    await look()
    for change in (
        lambda: send(pool, shop, set_("ada", plan="scale")),
        lambda: send(pool, shop, set_("ada", plan="enterprise")),
        lambda: send(pool, shop, identify("ada", "another id")),
        lambda: send(pool, shop, set_("anon", city="London")),
        lambda: send(pool, shop, identify("ada", "anon")),
        lambda: people.conn.execute("UPDATE person SET last_seen_at = '2030-01-01 10:00Z'"),
        lambda: people.conn.execute("UPDATE project SET display_name_properties = '{city}'"),
        lambda: client.post(f"{PATH}/{person}/delete_property", json={"$unset": "city"}),
    ):
        await change()
        await look()
    # The unrelated person's event is the one step that changed nothing here.
    assert len(seen) == len({tag for tag, _ in seen}) == len({text for _, text in seen}) == 8


async def test_who_has_seen_it_is_told_so(client: Client, people: People) -> None:
    person_id, _ = await people.add("ada", plan="free")
    tag = await tag_of(client, person_id)
    for header in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        answer = await client.get(f"{PATH}/{person_id}", headers={"If-None-Match": header})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == tag
    for header in ('"x"', "", tag[1:-1]):
        answer = await client.get(f"{PATH}/{person_id}", headers={"If-None-Match": header})
        assert answer.status_code == 200
        assert answer.json()["properties"] == {"plan": "free"}
    await client.patch(f"{PATH}/{person_id}", json={"properties": {"plan": "scale"}})
    answer = await client.get(f"{PATH}/{person_id}", headers={"If-None-Match": tag})
    assert answer.status_code == 200
    answer = await client.get(f"{PATH}/999", headers={"If-None-Match": "*"})
    assert answer.status_code == 404


@each_write
async def test_a_write_that_expects_what_is_there(
    client: Client, people: People, method: str, suffix: str, body: dict[str, Any]
) -> None:
    person_id, _ = await people.add("ada", plan="free")
    url, tag = f"{PATH}/{person_id}{suffix}", await tag_of(client, person_id)
    for header in ("{}", '"x", {}, W/"y"', "*"):
        headers = {"If-Match": header.format(tag)}
        answer = await client.request(method, url, json=body, headers=headers)
        assert answer.status_code == 200, header
        assert answer.headers["etag"] != tag
        await people.conn.execute(
            """UPDATE person SET properties = '{"plan": "free"}' WHERE id = %s""", [person_id]
        )
        tag = answer.headers["etag"]
        assert await tag_of(client, person_id) == tag


@each_write
async def test_a_write_that_expects_another_person_changes_nothing(
    client: Client, people: People, method: str, suffix: str, body: dict[str, Any]
) -> None:
    person_id, _ = await people.add("ada", plan="free")
    url, old = f"{PATH}/{person_id}{suffix}", await tag_of(client, person_id)
    await client.patch(f"{PATH}/{person_id}", json={"properties": {"city": "London"}})
    tag = await tag_of(client, person_id)
    for header in (old, f"W/{tag}", "", '"*"', tag[1:-1]):
        answer = await client.request(method, url, json=body, headers={"If-Match": header})
        assert (answer.status_code, answer.json()) == (412, FAILED), header
    assert await properties_of(people, person_id) == {"plan": "free", "city": "London"}
    assert (await client.get(f"{PATH}/activity")).json()["total_count"] == 1


@each_write
async def test_other_refusals_come_before_the_precondition(
    client: Client, people: People, method: str, suffix: str, body: dict[str, Any]
) -> None:
    person_id, _ = await people.add("ada")
    headers = {"If-Match": '"x"'}
    answer = await client.request(method, f"{PATH}/{person_id}{suffix}", json={}, headers=headers)
    assert answer.status_code == 400
    for header in ('"x"', "*"):
        answer = await client.request(
            method, f"{PATH}/999{suffix}", json=body, headers={"If-Match": header}
        )
        assert answer.status_code == 404


async def test_a_dry_run_has_the_same_precondition(client: Client, people: People) -> None:
    person_id, _ = await people.add("ada", plan="free")
    url = f"{PATH}/{person_id}/delete_property?dry_run"
    answer = await client.post(url, json={"$unset": "plan"}, headers={"If-Match": '"x"'})
    assert answer.status_code == 412


@pytest.mark.parametrize(
    ("method", "suffix", "body"),
    [
        ("DELETE", "", {}),
        ("DELETE", "?keep_person&delete_events", {}),
        ("POST", "/delete_events", {}),
        ("POST", "/delete_recordings", {}),
        ("POST", "/split", {"main_distinct_id": "ada"}),
    ],
)
async def test_who_has_changed_is_neither_deleted_nor_split(
    client: Client, people: People, method: str, suffix: str, body: dict[str, Any]
) -> None:
    person_id, _ = await people.add("ada", "eve", plan="free")
    url, old = f"{PATH}/{person_id}{suffix}", await tag_of(client, person_id)
    await client.patch(f"{PATH}/{person_id}", json={"properties": {"city": "London"}})
    tag = await tag_of(client, person_id)
    for dry_run in (False, True):
        answer = await client.request(
            method, url, json=body | {"dry_run": dry_run}, headers={"If-Match": old}
        )
        assert (answer.status_code, answer.json()) == (412, FAILED)
    assert await tag_of(client, person_id) == tag
    assert (await client.get("/api/projects/@current/deletions")).json()["count"] == 0
    assert (await client.get(f"{PATH}/activity")).json()["total_count"] == 1
    answer = await client.request(method, url, json=body, headers={"If-Match": tag})
    assert answer.status_code in (200, 204)
    answer = await client.request(method, f"{PATH}/999{suffix}", headers={"If-Match": "*"})
    assert answer.status_code == 404


async def test_several_headers_are_one_list(client: Client, people: People) -> None:
    person_id, _ = await people.add("ada", plan="free")
    tag = await tag_of(client, person_id)
    answer = await client.patch(
        f"{PATH}/{person_id}",
        json={"properties": {"plan": "scale"}},
        headers=[("If-Match", '"x"'), ("If-Match", tag)],
    )
    assert answer.status_code == 200


async def test_the_headers_are_described(client: Client) -> None:
    paths = (await client.get("/api/schema/")).json()["paths"]
    person = "/api/projects/{project_id}/persons/{person_id}"
    read = paths[person]["get"]
    assert "ETag" in read["responses"]["200"]["headers"]
    assert "304" in read["responses"]
    assert "ETag" in read["responses"]["304"]["headers"]
    assert ("If-None-Match", "header") in [
        (each["name"], each["in"]) for each in read["parameters"]
    ]
    for path, method in (
        (person, "patch"),
        (person, "put"),
        (f"{person}/update_property", "post"),
        (f"{person}/delete_property", "post"),
    ):
        write = paths[path][method]
        assert "ETag" in write["responses"]["200"]["headers"]
        assert "412" in write["responses"]
        assert "If-Match" in [each["name"] for each in write["parameters"]]


# Many at once, through two processes


@pytest.fixture
def servers(database: str) -> Iterator[Server]:
    with serving("--workers", "2", DATABASE_URL=database) as running:
        yield running


async def test_of_many_who_expect_the_same_person_one_wins(servers: Server) -> None:
    # A connection for each: they are spread over both workers.
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(
        base_url=servers.url, headers=servers.headers, limits=limits, timeout=60
    ) as client:
        sent = {"api_key": servers.token, "event": "$set", "distinct_id": "ada"}
        assert (await client.post("/capture/", json=sent)).status_code == 200
        person = await only_person(client, "ada")
        wins: list[int] = []
        for turn in range(3):
            tag = await tag_of(client, person)
            method, suffix, _ = WRITES[(0, 2, 0)[turn]]
            answers = await asyncio.gather(
                *(
                    client.request(
                        method,
                        f"{PATH}/{person}{suffix}",
                        json={"properties": {"winner": n}, "key": "winner", "value": n},
                        headers={"If-Match": tag},
                    )
                    for n in range(turn * 100, turn * 100 + RACERS)
                )
            )
            statuses = sorted(answer.status_code for answer in answers)
            assert statuses == [200] + [412] * (RACERS - 1)
            [won] = [answer for answer in answers if answer.status_code == 200]
            wins.append(won.json()["properties"]["winner"])
            assert await tag_of(client, person) == won.headers["etag"]
        log = (await client.get(f"{PATH}/{person}/activity")).json()
    told = [line["detail"]["changes"][0]["after"]["winner"] for line in log["results"]]
    assert told == wins[::-1]
    assert log["total_count"] == len(wins)
