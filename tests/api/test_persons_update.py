"""PATCH and PUT /api/projects/:project_id/persons/:id (contract: persons-api, 1.1)."""

from typing import Any
from uuid import uuid4

import pytest

from personhood.http.json_body import BODY_BYTES_MAX
from tests.api.conftest import Client, People

PATH = "/api/projects/@current/persons/"
MISSING = {
    "type": "validation_error",
    "code": "This field is required.",
    "detail": "required",
    "attr": "properties",
}


async def properties_of(people: People, person_id: int) -> dict[str, Any]:
    cursor = await people.conn.execute("SELECT properties FROM person WHERE id = %s", [person_id])
    row = await cursor.fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_listed_keys_are_replaced_whole_and_others_stay(
    client: Client, people: People, method: str
) -> None:
    person_id, uuid = await people.add("ada", plan={"name": "free", "seats": 1}, city="London")
    answer = await client.request(
        method, f"{PATH}{uuid}/", json={"properties": {"plan": {"name": "scale"}}, "name": "no"}
    )
    assert answer.status_code == 200
    person = answer.json()
    assert person["properties"] == {"plan": {"name": "scale"}, "city": "London"}
    assert (person["id"], person["uuid"], person["distinct_ids"]) == (
        person_id,
        str(uuid),
        ["ada"],
    )
    assert (await client.get(f"{PATH}{person_id}")).json() == person


async def test_a_person_can_be_sent_back_as_it_was_read(client: Client, people: People) -> None:
    person_id, _ = await people.add("ada", plan="free")
    read = (await client.get(f"{PATH}{person_id}")).json()
    answer = await client.patch(f"{PATH}{person_id}", json=read)
    assert (answer.status_code, answer.json()) == (200, read)


async def test_no_properties_at_all_change_nothing(client: Client, people: People) -> None:
    person_id, _ = await people.add("ada", plan="free")
    answer = await client.patch(f"{PATH}{person_id}", json={"properties": {}})
    assert (answer.status_code, answer.json()["properties"]) == (200, {"plan": "free"})


@pytest.mark.parametrize(
    "value",
    [
        None,
        -1,
        10**40,
        1e22,
        "",
        "a\0b",
        [],
        {"a": {"b": [1, "x", None]}},
        "😀",
        "x" * 100_000,
    ],
)
async def test_any_json_value_is_kept(client: Client, people: People, value: Any) -> None:
    person_id, _ = await people.add("ada")
    answer = await client.patch(f"{PATH}{person_id}", json={"properties": {"key": value}})
    assert answer.status_code == 200, answer.text
    expected = value.replace("\0", "\ufffd") if isinstance(value, str) else value
    assert answer.json()["properties"] == {"key": expected}
    assert await properties_of(people, person_id) == {"key": expected}


async def test_a_lone_surrogate_becomes_the_replacement_character(
    client: Client, people: People
) -> None:
    person_id, _ = await people.add("ada")
    answer = await client.patch(
        f"{PATH}{person_id}",
        content=rb'{"properties": {"key": "a\ud800b"}}',
        headers={"Content-Type": "application/json"},
    )
    assert answer.json()["properties"] == {"key": "a\ufffdb"}


@pytest.mark.parametrize("body", [{}, {"properties": None}, {"other": 1}])
@pytest.mark.parametrize("person_id", ["1", "malformed", "999"])
async def test_missing_properties_come_before_the_person(
    client: Client, body: dict[str, Any], person_id: str
) -> None:
    answer = await client.patch(PATH + person_id, json=body)
    assert (answer.status_code, answer.json()) == (400, MISSING)


async def test_an_empty_body_is_an_empty_object(client: Client) -> None:
    answer = await client.patch(f"{PATH}1", content=b"")
    assert (answer.status_code, answer.json()) == (400, MISSING)


@pytest.mark.parametrize("properties", ["text", 1, True, ["a"], [], False, 0, ""])
async def test_properties_that_are_no_object(
    client: Client, people: People, properties: Any
) -> None:
    person_id, _ = await people.add("ada")
    answer = await client.patch(f"{PATH}{person_id}", json={"properties": properties})
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_input"
    assert answer.json()["attr"] == "properties"


@pytest.mark.parametrize(
    ("body", "status", "code", "detail"),
    [
        (b"[]", 400, "invalid_input", "Invalid data. Expected a JSON object."),
        (b"1", 400, "invalid_input", "Invalid data. Expected a JSON object."),
        (b"null", 400, "invalid_input", "Invalid data. Expected a JSON object."),
        (
            b"x",
            400,
            "parse_error",
            "JSON parse error - Expecting value: line 1 column 1 (char 0)",
        ),
        (
            b'{"properties": {"a": NaN}}',
            400,
            "parse_error",
            "JSON parse error - Out of range float values are not JSON compliant",
        ),
        (b'{"properties": {"a": 1e400}}', 400, "parse_error", "JSON parse error - "),
        (b"\xff", 400, "parse_error", "JSON parse error - "),
        (b'{"properties"', 400, "parse_error", "JSON parse error - "),
        (b"[" * 100_000, 400, "parse_error", "JSON parse error - nested too deeply"),
        (
            b'{"properties": {"a": ' + b"[" * 300 + b"]" * 300 + b"}}",
            400,
            "parse_error",
            "JSON parse error - nested too deeply",
        ),
    ],
)
async def test_a_bad_body_changes_nothing(
    client: Client, people: People, body: bytes, status: int, code: str, detail: str
) -> None:
    person_id, _ = await people.add("ada", plan="free")
    answer = await client.patch(
        f"{PATH}{person_id}", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == status
    assert answer.json()["code"] == code
    assert answer.json()["detail"].startswith(detail)
    assert await properties_of(people, person_id) == {"plan": "free"}


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_another_content_type(client: Client, people: People, content_type: str) -> None:
    person_id, _ = await people.add("ada")
    answer = await client.patch(
        f"{PATH}{person_id}",
        content=b'{"properties": {"a": 1}}',
        headers={"Content-Type": content_type},
    )
    assert answer.status_code == 415
    assert answer.json() == {
        "type": "invalid_request",
        "code": "unsupported_media_type",
        "detail": f'Unsupported media type "{content_type}" in request.',
        "attr": None,
    }


async def test_a_charset_beside_the_content_type_is_fine(client: Client, people: People) -> None:
    person_id, _ = await people.add("ada")
    answer = await client.patch(
        f"{PATH}{person_id}",
        content=b'{"properties": {"a": 1}}',
        headers={"Content-Type": "Application/JSON; charset=utf-8"},
    )
    assert answer.status_code == 200


async def test_a_body_over_the_limit(client: Client, people: People) -> None:
    person_id, _ = await people.add("ada")
    body = b'{"properties": {"a": "' + b"x" * BODY_BYTES_MAX + b'"}}'
    answer = await client.patch(
        f"{PATH}{person_id}", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 413
    assert answer.json() == {
        "type": "invalid_request",
        "code": "request_too_large",
        "detail": "The request body is too large.",
        "attr": None,
    }


async def test_nobody_is_there_to_change(client: Client, people: People, strangers: People) -> None:
    stranger, stranger_uuid = await strangers.add("ada")
    root, _ = await people.add("root")
    merged, _ = await people.add("leaf", merged_into=root)
    for text in (uuid4(), 999, stranger, stranger_uuid, merged, 2**70):
        answer = await client.patch(f"{PATH}{text}", json={"properties": {"a": 1}})
        assert (answer.status_code, answer.json()["detail"]) == (404, "Not found.")
    assert await properties_of(people, stranger) == {}


async def test_a_malformed_id(client: Client) -> None:
    answer = await client.patch(f"{PATH}ada", json={"properties": {"a": 1}})
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("The ID provided does not look like a personID.")


async def test_no_key(client: Client, people: People) -> None:
    person_id, _ = await people.add("ada")
    answer = await client.patch(
        f"{PATH}{person_id}", json={"properties": {"a": 1}}, headers={"Authorization": ""}
    )
    assert answer.status_code == 401
    assert await properties_of(people, person_id) == {}


async def test_the_ledger_names_the_key(client: Client, people: People) -> None:
    person_id, _ = await people.add("ada", plan="free")
    await client.patch(f"{PATH}{person_id}", json={"properties": {"plan": "scale"}})
    cursor = await people.conn.execute(
        "SELECT kind, api_key_id, before, after FROM ledger WHERE person_id = %s", [person_id]
    )
    assert await cursor.fetchall() == [("set", 1, {"plan": "free"}, {"plan": "scale"})]
