"""GET /deletions/, GET /deletions/:id, POST /deletions/:id/cancel."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from personhood.store.pool import Pool
from tests.api.conftest import Client, People
from tests.api.skeleton import needs

PERSONS = "/api/projects/@current/persons"
PATH = "/api/projects/@current/deletions"


async def ask(client: Client, people: People, name: str) -> dict[str, Any]:
    """The receipt of a new person's events."""
    _, uuid = await people.add(name)
    answer = await client.post(f"{PERSONS}/{uuid}/delete_events")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def rows(client: Client, **query: Any) -> list[dict[str, Any]]:
    answer = await client.get(f"{PATH}/", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


async def put(people: People, receipt: dict[str, Any], column: str, value: Any) -> None:
    await people.conn.execute(
        f"UPDATE deletion SET {column} = %s WHERE uuid = %s",
        (value, UUID(receipt["id"])),
    )


@pytest.mark.parametrize("prefix", ["projects", "environments"])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_the_newest_comes_first(
    client: Client, people: People, prefix: str, slash: str
) -> None:
    ada, bob = await ask(client, people, "ada"), await ask(client, people, "bob")
    answer = await client.get(f"/api/{prefix}/@current/deletions{slash}")
    told = answer.json()
    assert (told["count"], told["next"], told["previous"]) == (2, None, None)
    assert [each["id"] for each in told["results"]] == [bob["id"], ada["id"]]
    one = await client.get(f"/api/{prefix}/@current/deletions/{ada['id']}{slash}")
    assert one.json() == told["results"][1]


async def test_a_receipt_tells_all_of_it(client: Client, people: People) -> None:
    asked = await ask(client, people, "ada")
    [told] = await rows(client)
    assert told == asked | {
        "requested_by": "all",
        "started_at": None,
        "completed_at": None,
        "verified_at": None,
        "failure": None,
        "counts": {"events": {"before": None, "removed": 0, "left": None}},
    }
    assert told["state"] == "waiting"
    assert told["waiting_until"] > told["requested_at"]


async def test_a_deleted_profile_is_counted(client: Client, people: People) -> None:
    _, uuid = await people.add("ada", "ada-2")
    await client.delete(f"{PERSONS}/{uuid}")
    [told] = await rows(client)
    assert (told["state"], told["person_uuid"]) == ("completed", str(uuid))
    assert told["counts"] == {
        "profile": {"before": 1, "removed": 1, "left": 0},
        "ids": {"before": 2, "removed": 2, "left": 0},
        "ledger": {"before": 0, "removed": 0, "left": 0},
    }


async def test_by_state(client: Client, people: People) -> None:
    by_state = {
        name: await ask(client, people, name)
        for name in ("waiting", "running", "completed", "failed", "cancelled")
    }
    for name, receipt in by_state.items():
        await put(people, receipt, "state", name)
    for name, receipt in by_state.items():
        [row] = await rows(client, state=name)
        assert (row["id"], row["state"]) == (receipt["id"], name)
    assert await rows(client, state="queued") == [], "nothing runs outside of the window"
    assert len(await rows(client, state="")) == 5


async def test_by_person(client: Client, people: People) -> None:
    await ask(client, people, "ada")
    bob = await ask(client, people, "bob")
    [row] = await rows(client, person_uuid=bob["person_uuid"])
    assert row["id"] == bob["id"]
    assert await rows(client, person_uuid=str(uuid4())) == []


async def test_pages(client: Client, people: People) -> None:
    made = [(await ask(client, people, f"p{n}"))["id"] for n in range(5)]
    seen: list[str] = []
    url: str | None = f"{PATH}/?limit=2"
    while url:
        told = (await client.get(url)).json()
        assert told["count"] == 5
        seen += [each["id"] for each in told["results"]]
        url = told["next"]
    assert seen == made[::-1]


async def test_cancelled_before_it_ran(client: Client, people: People) -> None:
    asked = await ask(client, people, "ada")
    for _ in range(2):
        answer = await client.post(f"{PATH}/{asked['id']}/cancel")
        assert answer.status_code == 200, answer.text
        assert answer.json()["state"] == "cancelled"
    cursor = await people.conn.execute("SELECT FROM deletion_target")
    assert await cursor.fetchall() == []
    again = await client.post(f"{PERSONS}/{asked['person_uuid']}/delete_events")
    assert again.json()["id"] != asked["id"]


@pytest.mark.parametrize("state", ["running", "completed", "failed"])
async def test_too_late_to_cancel(client: Client, people: People, state: str) -> None:
    asked = await ask(client, people, "ada")
    await put(people, asked, "state", state)
    answer = await client.post(f"{PATH}/{asked['id']}/cancel")
    assert answer.status_code == 409
    assert answer.json()["code"] == "conflict"
    assert [each["state"] for each in await rows(client)] == [state]


async def test_what_has_begun_and_waits_is_not_cancelled(client: Client, people: People) -> None:
    asked = await ask(client, people, "ada")
    await put(people, asked, "started_at", "2026-01-01T00:00:00Z")
    assert (await client.post(f"{PATH}/{asked['id']}/cancel")).status_code == 409


async def test_a_deleted_person_stays_deleted(client: Client, people: People) -> None:
    _, uuid = await people.add("ada")
    await client.delete(f"{PERSONS}/{uuid}?delete_events=true")
    [row] = await rows(client)
    answer = await client.post(f"{PATH}/{row['id']}/cancel")
    assert answer.json()["state"] == "cancelled"
    assert (await client.get(f"{PERSONS}/{uuid}")).status_code == 404


@pytest.mark.parametrize(
    ("query", "attr", "code"),
    [
        ("state=x", "state", "invalid_choice"),
        ("state=%00", "state", "invalid_choice"),
        ("person_uuid=x", "person_uuid", "invalid_input"),
        ("limit=x", "limit", "invalid_input"),
        ("offset=-1", "offset", "invalid_input"),
    ],
)
async def test_bad_parameters(client: Client, query: str, attr: str, code: str) -> None:
    answer = await client.get(f"{PATH}/?{query}")
    assert answer.status_code == 400
    assert (answer.json()["attr"], answer.json()["code"]) == (attr, code)


@pytest.mark.parametrize("id", ["x", "17", "%00", str(UUID(int=7))])
async def test_unknown_ids(client: Client, people: People, id: str) -> None:
    assert (await client.get(f"{PATH}/{id}")).status_code == 404
    assert (await client.post(f"{PATH}/{id}/cancel")).status_code == 404


async def test_other_projects_are_not_seen(
    client: Client, people: People, strangers: People
) -> None:
    asked = await ask(client, people, "ada")
    path = f"/api/projects/{strangers.project_id}/deletions"
    assert (await client.get(f"{path}/")).json()["results"] == []
    assert (await client.get(f"{path}/{asked['id']}")).status_code == 404
    assert (await client.post(f"{path}/{asked['id']}/cancel")).status_code == 404
    assert [each["state"] for each in await rows(client)] == ["waiting"]


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/", "person:read"),
        ("GET", "/{id}", "person:read"),
        ("POST", "/{id}/cancel", "person:write"),
    ],
)
async def test_keys_and_scopes(
    client: Client, people: People, pool: Pool, method: str, path: str, scope: str
) -> None:
    asked = await ask(client, people, "ada")
    path = PATH + path.format(id=asked["id"])
    await needs(client, pool, scope, method=method, path=path)


async def test_wrong_methods(client: Client, people: People) -> None:
    asked = await ask(client, people, "ada")
    for method, path in (
        ("POST", f"{PATH}/"),
        ("DELETE", f"{PATH}/{asked['id']}"),
        ("GET", f"{PATH}/{asked['id']}/cancel"),
    ):
        assert (await client.request(method, path)).status_code == 405
