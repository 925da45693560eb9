"""DELETE /api/projects/:project_id/persons/:id (contract: persons-api, 1.2)."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from personhood.model import Project
from personhood.store.pool import Pool
from tests.api.conftest import Client, People
from tests.api.skeleton import BROKEN_BODIES, needs
from tests.test_merges import identify, send, set_

PATH = "/api/projects/@current/persons"
FLAGS = ("delete_events", "delete_recordings", "keep_person")


async def rows(people: People, statement: str) -> list[Any]:
    return [row[0] for row in await (await people.conn.execute(statement)).fetchall()]


async def receipts(people: People) -> list[tuple[Any, ...]]:
    cursor = await people.conn.execute(
        "SELECT person_uuid, profile, events, recordings, state FROM deletion ORDER BY id"
    )
    return await cursor.fetchall()


@pytest.mark.parametrize("prefix", ["projects", "environments"])
@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("by_uuid", [True, False])
async def test_a_person_is_gone_when_it_is_answered(
    client: Client, people: People, prefix: str, slash: str, by_uuid: bool
) -> None:
    id, uuid = await people.add("ada", "anon", plan="scale")
    _, other = await people.add("bob")
    path = f"/api/{prefix}/@current/persons/{uuid if by_uuid else id}{slash}"
    answer = await client.delete(path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-type" not in answer.headers
    for gone in (id, uuid):
        assert (await client.get(f"{PATH}/{gone}")).status_code == 404
        assert (await client.delete(f"{PATH}/{gone}")).status_code == 404
    assert [each["uuid"] for each in (await client.get(f"{PATH}/")).json()["results"]] == [
        str(other)
    ]
    assert await receipts(people) == [(uuid, True, False, False, "completed")]


async def test_it_goes_with_all_that_merged_into_it(
    client: Client, people: People, pool: Pool, shop: Project
) -> None:
    await send(pool, shop, set_("anon", plan="free"), set_("ada", plan="paid"))
    await send(pool, shop, identify("ada", "anon", name="Ada"))
    [person] = (await client.get(f"{PATH}/?distinct_id=anon")).json()["results"]
    assert (await client.delete(f"{PATH}/{person['uuid']}")).status_code == 204
    for table in ("person", "ledger", "merge"):
        assert await rows(people, f"SELECT count(*) FROM {table}") == [0]
    assert await rows(people, "SELECT count(*) FROM event") == [3]


async def test_its_ids_are_free_for_somebody_new(
    client: Client, people: People, pool: Pool, shop: Project
) -> None:
    await send(pool, shop, set_("ada", plan="paid", city="London"))
    [before] = (await client.get(f"{PATH}/?distinct_id=ada")).json()["results"]
    assert (await client.delete(f"{PATH}/{before['uuid']}")).status_code == 204
    assert (await client.get(f"{PATH}/?distinct_id=ada")).json()["results"] == []
    await send(pool, shop, set_("ada", plan="free"))
    [after] = (await client.get(f"{PATH}/?distinct_id=ada")).json()["results"]
    assert after["uuid"] != before["uuid"]
    assert {key for key in after["properties"] if key[0] != "$"} == {"plan"}
    assert after["properties"]["plan"] == "free"


async def test_events_are_queued_when_they_are_asked_for(client: Client, people: People) -> None:
    ways: list[tuple[str, Any]] = [
        ("delete_events", None),
        ("delete_events=true", None),
        ("delete_events=1", None),
        ("delete_events=TRUE", None),
        ("", {"delete_events": True}),
        ("", {"delete_events": "true"}),
        ("", {"delete_events": 1}),
        ("delete_events=false", {"delete_events": True}),
    ]
    for query, body in ways:
        _, uuid = await people.add("ada")
        answer = await client.request("DELETE", f"{PATH}/{uuid}?{query}", json=body)
        assert answer.status_code == 204
        assert (await receipts(people))[-1] == (uuid, True, True, False, "queued")
        [told, *_] = (await client.get(f"{PATH}/deletion_status")).json()["results"]
        assert (told["person_uuid"], told["status"]) == (str(uuid), "pending")


async def test_false_means_false(client: Client, people: People) -> None:
    for word in ("false", "0", "False"):
        _, uuid = await people.add("ada")
        query = "&".join(f"{flag}={word}" for flag in (*FLAGS, "dry_run"))
        assert (await client.delete(f"{PATH}/{uuid}?{query}")).status_code == 204
        assert (await receipts(people))[-1] == (uuid, True, False, False, "completed")


async def test_keep_person_leaves_the_profile_alone(client: Client, people: People) -> None:
    _, uuid = await people.add("ada", plan="scale")
    before = (await client.get(f"{PATH}/{uuid}")).json()
    path = f"{PATH}/{uuid}?keep_person=true&delete_events=true&delete_recordings=true"
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(f"{PATH}/{uuid}")).json() == before
    assert await receipts(people) == [(uuid, False, True, True, "queued")]
    assert await rows(people, "SELECT count(*) FROM activity") == [0]


async def test_keep_person_alone_does_nothing(client: Client, people: People) -> None:
    _, uuid = await people.add("ada")
    assert (await client.delete(f"{PATH}/{uuid}?keep_person")).status_code == 204
    assert (await client.get(f"{PATH}/{uuid}")).status_code == 200
    assert await receipts(people) == []


async def test_it_is_told_in_the_activity_log(client: Client, people: People) -> None:
    id, uuid = await people.add("ada")
    await client.delete(f"{PATH}/{uuid}?delete_events")
    [line] = (await client.get(f"{PATH}/activity")).json()["results"]
    assert (line["activity"], line["item_id"]) == ("deleted", str(id))
    assert line["detail"]["name"] == str(uuid)
    assert line["detail"]["changes"] is None


@pytest.mark.parametrize("how", ["dry_run", "dry_run=true", "dry_run=1&delete_recordings"])
async def test_a_dry_run_counts_and_changes_nothing(
    client: Client, people: People, pool: Pool, shop: Project, how: str
) -> None:
    await send(pool, shop, set_("anon", plan="free"), set_("ada", plan="paid"))
    await send(pool, shop, identify("ada", "anon", name="Ada"), identify("ada", "silent"))
    [person] = (await client.get(f"{PATH}/?distinct_id=ada")).json()["results"]
    answer = await client.delete(f"{PATH}/{person['uuid']}?{how}")
    assert answer.status_code == 200
    assert answer.json() == {
        "person_uuid": person["uuid"],
        "would_delete": {
            "persons": 1,
            "distinct_ids": 3,
            "ledger_entries": 5,
            "events": 0,
            "recordings": 0,
        },
        "dry_run": True,
    }
    path = f"{PATH}/{person['uuid']}?{how}&delete_events&keep_person"
    told = (await client.delete(path)).json()["would_delete"]
    assert (told["persons"], told["ledger_entries"], told["events"]) == (0, 0, 4)
    assert (await client.get(f"{PATH}/?distinct_id=ada")).json()["results"] == [person]
    assert await receipts(people) == []


async def test_another_projects_person_is_not_found(
    client: Client, strangers: People, people: People, shop: Project
) -> None:
    id, uuid = await strangers.add("ada")
    await people.add("ada")
    for name in (id, uuid):
        answer = await client.delete(f"/api/projects/{shop.id}/persons/{name}?delete_events")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert await rows(people, "SELECT count(*) FROM person") == [2]
    assert await receipts(people) == []


UNKNOWN = (uuid4(), UUID(int=0), "0", "-1", "9" * 40, str(2**63))
MALFORMED = ("ada", "1.5", "%00")


async def test_an_unknown_or_malformed_person(client: Client, people: People) -> None:
    await people.add("ada")
    for id in UNKNOWN:
        answer = await client.delete(f"{PATH}/{id}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    for id in MALFORMED:
        answer = await client.delete(f"{PATH}/{id}")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
    assert await rows(people, "SELECT count(*) FROM person") == [1]


@pytest.mark.parametrize("flag", [*FLAGS, "dry_run"])
async def test_a_flag_that_is_neither_changes_nothing(
    client: Client, people: People, flag: str
) -> None:
    _, uuid = await people.add("ada")
    for value in ("perhaps", "2", "null", "tru\x00e"):
        for answer in (
            await client.delete(f"{PATH}/{uuid}", params={flag: value}),
            await client.request("DELETE", f"{PATH}/{uuid}", json={flag: [value]}),
        ):
            assert answer.status_code == 400
            assert answer.json() == {
                "type": "validation_error",
                "code": "invalid_input",
                "detail": "Must be a valid boolean.",
                "attr": flag,
            }
    assert await rows(people, "SELECT count(*) FROM person") == [1]


async def test_a_bad_body_changes_nothing(client: Client, people: People) -> None:
    _, uuid = await people.add("ada")
    for row in BROKEN_BODIES:
        content, type, status, code = row.values
        answer = await client.request(
            "DELETE", f"{PATH}/{uuid}", content=str(content), headers={"Content-Type": str(type)}
        )
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert await rows(people, "SELECT count(*) FROM person") == [1]


async def test_it_needs_a_key_that_may_write(client: Client, people: People, pool: Pool) -> None:
    _, uuid = await people.add("ada")
    await needs(client, pool, "person:write", method="DELETE", path=f"{PATH}/{uuid}")


async def test_it_cannot_be_posted(client: Client, people: People) -> None:
    _, uuid = await people.add("ada")
    answer = await client.post(f"{PATH}/{uuid}")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
