"""GET /deletion_status (contract: persons-api, 2.8)."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from personhood.store.pool import Pool
from tests.api.conftest import Client, People
from tests.api.skeleton import needs

PATH = "/api/projects/@current/persons"
STATUS = f"{PATH}/deletion_status"


async def rows(client: Client, **query: Any) -> list[dict[str, Any]]:
    answer = await client.get(STATUS, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


async def ask(client: Client, people: People, *names: str) -> list[str]:
    """The uuids of new persons whose events are to be deleted, in the order of `names`."""
    uuids = [str((await people.add(name))[1]) for name in names]
    for uuid in uuids:
        assert (await client.post(f"{PATH}/{uuid}/delete_events")).status_code == 200
    return uuids


async def complete(people: People, uuid: str) -> None:
    await people.conn.execute(
        "UPDATE deletion SET state = 'completed', verified_at = now() WHERE person_uuid = %s",
        (UUID(uuid),),
    )


@pytest.mark.parametrize("prefix", ["projects", "environments"])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_the_newest_comes_first(
    client: Client, people: People, prefix: str, slash: str
) -> None:
    ada, bob = await ask(client, people, "ada", "bob")
    answer = await client.get(f"/api/{prefix}/@current/persons/deletion_status{slash}")
    assert answer.status_code == 200
    told = answer.json()
    assert (told["count"], told["next"], told["previous"]) == (2, None, None)
    assert [each["person_uuid"] for each in told["results"]] == [bob, ada]
    [row, _] = told["results"]
    assert row.keys() == {"person_uuid", "created_at", "status", "delete_verified_at"}
    assert row["created_at"].endswith("Z")
    assert (row["status"], row["delete_verified_at"]) == ("pending", None)


async def test_completed_means_that_it_was_verified(client: Client, people: People) -> None:
    ada, bob = await ask(client, people, "ada", "bob")
    await complete(people, ada)
    [done] = await rows(client, status="completed")
    assert (done["person_uuid"], done["status"]) == (ada, "completed")
    assert done["delete_verified_at"].endswith("Z")
    [pending] = await rows(client, status="pending")
    assert (pending["person_uuid"], pending["status"]) == (bob, "pending")
    assert await rows(client, status="all") == await rows(client) == [pending, done]


async def test_only_events_are_told_of(client: Client, people: People) -> None:
    uuids = [(await people.add(name))[1] for name in ("ada", "bob", "cyd")]
    await client.delete(f"{PATH}/{uuids[0]}")
    await client.post(f"{PATH}/{uuids[1]}/delete_recordings")
    await client.delete(f"{PATH}/{uuids[2]}?delete_events")
    assert [each["person_uuid"] for each in await rows(client)] == [str(uuids[2])]


async def test_what_was_cancelled_is_not_pending(client: Client, people: People) -> None:
    await ask(client, people, "ada")
    await people.conn.execute("UPDATE deletion SET state = 'cancelled'")
    assert await rows(client) == []


async def test_one_person(client: Client, people: People) -> None:
    ada, bob = await ask(client, people, "ada", "bob")
    for spelling in (bob, bob.upper(), bob.replace("-", "")):
        [row] = await rows(client, person_uuid=spelling)
        assert row["person_uuid"] == bob
    assert await rows(client, person_uuid=str(uuid4())) == []
    assert await rows(client, person_uuid=ada, status="completed") == []


async def test_pages(client: Client, people: People) -> None:
    uuids = await ask(client, people, *"abcde")
    found: list[str] = []
    url: str | None = f"{STATUS}?limit=2"
    while url is not None:
        page = (await client.get(url)).json()
        assert page["count"] == 5
        found += [each["person_uuid"] for each in page["results"]]
        url = page["next"]
    assert found == uuids[::-1]
    assert (await client.get(f"{STATUS}?limit=2&offset=2")).json()["previous"] is not None
    assert await rows(client, offset=99) == []


BAD = [
    ("status=done", "invalid_choice", '"done" is not a valid choice.', "status"),
    ("status=PENDING", "invalid_choice", '"PENDING" is not a valid choice.', "status"),
    ("person_uuid=ada", "invalid_input", "Must be a valid UUID.", "person_uuid"),
    ("person_uuid=17", "invalid_input", "Must be a valid UUID.", "person_uuid"),
    ("person_uuid=%00", "invalid_input", "Must be a valid UUID.", "person_uuid"),
    ("limit=x", "invalid_input", "A valid integer is required.", "limit"),
    ("offset=1.5", "invalid_input", "A valid integer is required.", "offset"),
]


async def test_bad_parameters(client: Client) -> None:
    for query, code, detail, attr in BAD:
        answer = await client.get(f"{STATUS}?{query}")
        assert answer.status_code == 400, query
        assert answer.json() == {
            "type": "validation_error",
            "code": code,
            "detail": detail,
            "attr": attr,
        }


async def test_extreme_numbers(client: Client, people: People) -> None:
    await ask(client, people, "ada")
    for query in ("limit=" + "9" * 400, "offset=" + "9" * 400, "limit=0"):
        assert (await client.get(f"{STATUS}?{query}")).status_code == 200


async def test_other_projects_rows_are_not_shown(
    client: Client, people: People, strangers: People
) -> None:
    _, uuid = await strangers.add("ada")
    path = f"/api/projects/{strangers.project_id}/persons"
    assert (await client.post(f"{path}/{uuid}/delete_events")).status_code == 200
    own = f"/api/projects/{people.project_id}/persons/deletion_status"
    assert (await client.get(own)).json()["count"] == 0
    assert (await client.get(f"{path}/deletion_status")).json()["count"] == 1


async def test_it_needs_a_key_that_may_read(client: Client, pool: Pool) -> None:
    await needs(client, pool, "person:read", method="GET", path=STATUS)


async def test_the_wrong_method(client: Client) -> None:
    assert (await client.post(STATUS)).status_code == 405
