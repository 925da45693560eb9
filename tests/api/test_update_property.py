"""POST /:id/update_property (contract: persons-api, 1.9)."""

from typing import Any
from uuid import uuid4

import pytest

from tests.api.conftest import Client, People
from tests.api.test_persons_update import properties_of

PATH = "/api/projects/@current/persons"


def missing(attr: str) -> dict[str, Any]:
    return {
        "type": "validation_error",
        "code": "This field is required.",
        "detail": "required",
        "attr": attr,
    }


@pytest.mark.parametrize("prefix", ["projects", "environments"])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_one_key_is_set_and_others_stay(
    client: Client, people: People, prefix: str, slash: str
) -> None:
    person_id, uuid = await people.add("ada", plan={"name": "free", "seats": 1}, city="London")
    for name, value in ((person_id, {"name": "scale"}), (uuid, 7)):
        answer = await client.post(
            f"/api/{prefix}/@current/persons/{name}/update_property{slash}",
            json={"key": "plan", "value": value},
        )
        assert answer.status_code == 200
        person = answer.json()
        assert person["properties"] == {"plan": value, "city": "London"}
        assert (person["id"], person["uuid"]) == (person_id, str(uuid))
        read = await client.get(f"{PATH}/{name}")
        assert (read.json(), read.headers["etag"]) == (person, answer.headers["etag"])


@pytest.mark.parametrize(
    "value", [None, False, 0, "", [], {}, 1e22, 10**40, {"a": [{"b": None}]}, "😀"]
)
async def test_any_json_value_is_kept(client: Client, people: People, value: Any) -> None:
    person_id, _ = await people.add("ada", plan="free")
    answer = await client.post(
        f"{PATH}/{person_id}/update_property", json={"key": "plan", "value": value}
    )
    assert (answer.status_code, answer.json()["properties"]) == (200, {"plan": value})


@pytest.mark.parametrize("key", ["", " ", "$unset", "a.b", "x" * 1000, "ключ", "a/b?c&d"])
async def test_any_text_is_a_key(client: Client, people: People, key: str) -> None:
    person_id, _ = await people.add("ada")
    answer = await client.post(f"{PATH}/{person_id}/update_property", json={"key": key, "value": 1})
    assert (answer.status_code, answer.json()["properties"]) == (200, {key: 1})


async def test_both_may_be_in_the_query_as_texts(client: Client, people: People) -> None:
    person_id, _ = await people.add("ada")
    path = f"{PATH}/{person_id}/update_property"
    answer = await client.post(path, params={"key": "plan", "value": "7"})
    assert answer.json()["properties"] == {"plan": "7"}
    answer = await client.post(path, params={"key": "plan"}, json={"value": 7})
    assert answer.json()["properties"] == {"plan": 7}
    answer = await client.post(
        path, params={"key": "other", "value": "other"}, json={"key": "plan", "value": None}
    )
    assert answer.json()["properties"] == {"plan": None}, "the body goes first"
    answer = await client.post(path, params={"key": "a\0", "value": "b\0"})
    assert answer.json()["properties"] == {"plan": None, "a\ufffd": "b\ufffd"}


@pytest.mark.parametrize("person_id", ["1", "malformed", "999"])
@pytest.mark.parametrize(
    ("body", "attr"),
    [
        (None, "value"),
        ({}, "value"),
        ({"key": "a"}, "value"),
        ({"key": None}, "value"),
        ({"value": 1}, "key"),
        ({"value": None}, "key"),
        ({"key": None, "value": 1}, "key"),
    ],
)
async def test_value_is_missed_first_then_key_then_the_person(
    client: Client, person_id: str, body: Any, attr: str
) -> None:
    answer = await client.post(
        f"{PATH}/{person_id}/update_property", **({} if body is None else {"json": body})
    )
    assert (answer.status_code, answer.json()) == (400, missing(attr))


@pytest.mark.parametrize("key", [1, 1.5, True, False, ["a"], {"a": 1}, []])
async def test_a_key_that_is_no_text(client: Client, people: People, key: Any) -> None:
    person_id, _ = await people.add("ada", plan="free")
    answer = await client.post(f"{PATH}/{person_id}/update_property", json={"key": key, "value": 1})
    assert (answer.status_code, answer.json()) == (
        400,
        {
            "type": "validation_error",
            "code": "invalid_input",
            "detail": "Not a valid string.",
            "attr": "key",
        },
    )
    assert await properties_of(people, person_id) == {"plan": "free"}


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"[]", "application/json", 400),
        (b"null", "application/json", 400),
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b'{"key": "a", "value": NaN}', "application/json", 400),
        (b'{"key": "a", "value": ' + b"[" * 300 + b"]" * 300 + b"}", "application/json", 400),
        (b'{"key": "a", "value": 1}', "text/plain", 415),
        (b"key=a&value=1", "application/x-www-form-urlencoded", 415),
    ],
)
async def test_a_bad_body_changes_nothing(
    client: Client, people: People, body: bytes, content_type: str, status: int
) -> None:
    person_id, _ = await people.add("ada", plan="free")
    answer = await client.post(
        f"{PATH}/{person_id}/update_property",
        content=body,
        headers={"Content-Type": content_type},
    )
    assert answer.status_code == status
    assert await properties_of(people, person_id) == {"plan": "free"}
    assert (await client.get(f"{PATH}/activity")).json()["total_count"] == 0


async def test_a_person_is_not_made_too_large(client: Client, people: People) -> None:
    person_id, _ = await people.add("ada", plan="free")
    answer = await client.post(
        f"{PATH}/{person_id}/update_property", json={"key": "plan", "value": "x" * 700_000}
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
    assert "655360 bytes" in answer.json()["detail"]
    assert await properties_of(people, person_id) == {"plan": "free"}
    for table in ("event", "ledger", "activity", "ingestion_warning"):
        cursor = await people.conn.execute(f"SELECT count(*) FROM {table}")
        assert await cursor.fetchall() == [(0,)], table


async def test_nobody_is_there_to_change(client: Client, people: People, strangers: People) -> None:
    stranger, stranger_uuid = await strangers.add("ada")
    root, _ = await people.add("root")
    merged, _ = await people.add("leaf", merged_into=root)
    for text in (uuid4(), 999, stranger, stranger_uuid, merged, 2**70):
        answer = await client.post(f"{PATH}/{text}/update_property", json={"key": "a", "value": 1})
        assert (answer.status_code, answer.json()["detail"]) == (404, "Not found.")
    answer = await client.post(f"{PATH}/ada/update_property", json={"key": "a", "value": 1})
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("The ID provided does not look like a personID.")
    assert await properties_of(people, stranger) == {}


async def test_a_person_without_distinct_ids_cannot_be_spoken_of(
    client: Client, people: People
) -> None:
    person_id, _ = await people.add()
    answer = await client.post(f"{PATH}/{person_id}/update_property", json={"key": "a", "value": 1})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_no_key_not_the_scope_and_the_wrong_method(client: Client, people: People) -> None:
    person_id, _ = await people.add("ada")
    path, body = f"{PATH}/{person_id}/update_property", {"key": "a", "value": 1}
    answer = await client.post(path, json=body, headers={"Authorization": ""})
    assert answer.status_code == 401
    await people.conn.execute("UPDATE api_key SET scopes = '{person:read}'")
    assert (await client.post(path, json=body)).status_code == 403
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        assert (await client.request(method, path)).status_code == 405
    assert await properties_of(people, person_id) == {}


async def test_it_is_an_event_of_the_first_distinct_id(client: Client, people: People) -> None:
    person_id, _ = await people.add("0190a1f2-7e2b-7c3d-9a4e-5f6071829304", "ada", plan="free")
    await client.post(f"{PATH}/{person_id}/update_property", json={"key": "plan", "value": "scale"})
    cursor = await people.conn.execute(
        """
        SELECT name, distinct_id, properties, event.person_id
          FROM event JOIN distinct_id ON distinct_id.id = distinct_id_id
        """
    )
    assert await cursor.fetchall() == [
        ("$set", "0190a1f2-7e2b-7c3d-9a4e-5f6071829304", {"$set": {"plan": "scale"}}, person_id)
    ]
    cursor = await people.conn.execute("SELECT kind, api_key_id, before, after FROM ledger")
    assert await cursor.fetchall() == [("set", 1, {"plan": "free"}, {"plan": "scale"})]
