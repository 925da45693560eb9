"""POST /:id/delete_property (contract: persons-api, 1.5)."""

from typing import Any
from uuid import uuid4

import pytest

from tests.api.conftest import Client, People
from tests.api.test_persons_update import properties_of
from tests.api.test_update_property import missing

PATH = "/api/projects/@current/persons"


@pytest.mark.parametrize("prefix", ["projects", "environments"])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_key_goes_and_is_told_with_its_value(
    client: Client, people: People, prefix: str, slash: str
) -> None:
    person_id, uuid = await people.add("ada", plan=None, city="London", seats=2)
    for name, key, gone in ((person_id, "plan", {"plan": None}), (uuid, "seats", {"seats": 2})):
        answer = await client.post(
            f"/api/{prefix}/@current/persons/{name}/delete_property{slash}", json={"$unset": key}
        )
        assert answer.status_code == 200
        told = answer.json()
        person = told.pop("person")
        assert told == {"success": True, "dry_run": False, "deleted": gone}
        assert key not in person["properties"]
        read = await client.get(f"{PATH}/{name}")
        assert (read.json(), read.headers["etag"]) == (person, answer.headers["etag"])
    assert await properties_of(people, person_id) == {"city": "London"}


async def test_it_is_no_fault_if_the_key_is_not_there(client: Client, people: People) -> None:
    person_id, _ = await people.add("ada", city="London")
    answer = await client.post(f"{PATH}/{person_id}/delete_property", json={"$unset": "plan"})
    assert answer.status_code == 200
    assert (answer.json()["success"], answer.json()["deleted"]) == (True, {})
    assert await properties_of(people, person_id) == {"city": "London"}


@pytest.mark.parametrize("key", ["", "a.b", "$set", "ключ", "a\0b"])
async def test_any_text_is_a_key_in_body_and_query(
    client: Client, people: People, key: str
) -> None:
    stored = key.replace("\0", "\ufffd")
    person_id, _ = await people.add("ada", **{stored: 1, "city": "London"})
    path = f"{PATH}/{person_id}/delete_property"
    shown = await client.post(path, json={"$unset": key, "dry_run": True})
    assert shown.json()["deleted"] == {stored: 1}
    answer = await client.post(path, params={"$unset": key})
    assert answer.json()["deleted"] == {stored: 1}
    assert await properties_of(people, person_id) == {"city": "London"}


@pytest.mark.parametrize("how", ["?dry_run=true", "?dry_run", "?dry_run=1", {"dry_run": True}])
async def test_a_dry_run_tells_what_would_go(
    client: Client, people: People, how: str | dict[str, Any]
) -> None:
    person_id, _ = await people.add("ada", plan="free", city="London")
    path, body = f"{PATH}/{person_id}/delete_property", {"$unset": "plan"}
    before = (await client.get(f"{PATH}/{person_id}")).headers["etag"]
    if isinstance(how, str):
        answer = await client.post(path + how, json=body)
    else:
        answer = await client.post(path, json=body | how)
    assert answer.status_code == 200
    told = answer.json()
    assert (told["dry_run"], told["deleted"]) == (True, {"plan": "free"})
    assert told["person"]["properties"] == {"city": "London"}
    assert answer.headers["etag"] == before
    assert await properties_of(people, person_id) == {"plan": "free", "city": "London"}
    for table in ("event", "ledger", "activity"):
        cursor = await people.conn.execute(f"SELECT count(*) FROM {table}")
        assert await cursor.fetchall() == [(0,)], table
    assert (await client.post(path, json=body)).json()["person"] == told["person"]


async def test_a_dry_run_of_nobody(client: Client) -> None:
    answer = await client.post(f"{PATH}/999/delete_property?dry_run", json={"$unset": "a"})
    assert answer.status_code == 404


@pytest.mark.parametrize("person_id", ["1", "malformed", "999"])
@pytest.mark.parametrize("body", [None, {}, {"$unset": None}, {"key": "plan"}])
async def test_the_key_is_missed_before_the_person(
    client: Client, person_id: str, body: Any
) -> None:
    answer = await client.post(
        f"{PATH}/{person_id}/delete_property", **({} if body is None else {"json": body})
    )
    assert (answer.status_code, answer.json()) == (400, missing("$unset"))


@pytest.mark.parametrize("key", [1, True, False, ["plan"], {"plan": 1}, []])
async def test_a_key_that_is_no_text(client: Client, people: People, key: Any) -> None:
    person_id, _ = await people.add("ada", plan="free")
    answer = await client.post(f"{PATH}/{person_id}/delete_property", json={"$unset": key})
    assert (answer.status_code, answer.json()["attr"]) == (400, "$unset")
    assert answer.json()["detail"] == "Not a valid string."
    assert await properties_of(people, person_id) == {"plan": "free"}


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"[]", "application/json", 400),
        (b'"plan"', "application/json", 400),
        (b"{", "application/json", 400),
        (b'{"$unset": "plan", "dry_run": "perhaps"}', "application/json", 400),
        (b'{"$unset": "plan", "dry_run": 7}', "application/json", 400),
        (b'{"$unset": "plan"}', "text/plain", 415),
    ],
)
async def test_a_bad_body_changes_nothing(
    client: Client, people: People, body: bytes, content_type: str, status: int
) -> None:
    person_id, _ = await people.add("ada", plan="free")
    answer = await client.post(
        f"{PATH}/{person_id}/delete_property",
        content=body,
        headers={"Content-Type": content_type},
    )
    assert answer.status_code == status
    assert await properties_of(people, person_id) == {"plan": "free"}


async def test_nobody_is_there_to_change(client: Client, people: People, strangers: People) -> None:
    stranger, stranger_uuid = await strangers.add("ada", a=1)
    root, _ = await people.add("root")
    merged, _ = await people.add("leaf", merged_into=root)
    for text in (uuid4(), 999, stranger, stranger_uuid, merged, 2**70):
        answer = await client.post(f"{PATH}/{text}/delete_property", json={"$unset": "a"})
        assert (answer.status_code, answer.json()["detail"]) == (404, "Not found.")
    answer = await client.post(f"{PATH}/ada/delete_property", json={"$unset": "a"})
    assert answer.status_code == 400
    assert await properties_of(people, stranger) == {"a": 1}


async def test_no_key_not_the_scope_and_the_wrong_method(client: Client, people: People) -> None:
    person_id, _ = await people.add("ada", a=1)
    path, body = f"{PATH}/{person_id}/delete_property", {"$unset": "a"}
    answer = await client.post(path, json=body, headers={"Authorization": ""})
    assert answer.status_code == 401
    await people.conn.execute("UPDATE api_key SET scopes = '{person:read}'")
    assert (await client.post(path, json=body)).status_code == 403
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        assert (await client.request(method, path)).status_code == 405
    assert await properties_of(people, person_id) == {"a": 1}


async def test_it_is_an_event_of_the_first_distinct_id(client: Client, people: People) -> None:
    person_id, _ = await people.add("first", "second", plan="free")
    await client.post(f"{PATH}/{person_id}/delete_property", json={"$unset": "plan"})
    cursor = await people.conn.execute(
        """
        SELECT name, distinct_id, properties
          FROM event JOIN distinct_id ON distinct_id.id = distinct_id_id
        """
    )
    assert await cursor.fetchall() == [("$delete_person_property", "first", {"$unset": ["plan"]})]
    cursor = await people.conn.execute("SELECT kind, api_key_id, before, after FROM ledger")
    assert await cursor.fetchall() == [("set", 1, {"plan": "free"}, None)]
