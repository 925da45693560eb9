"""GET /api/projects/:project_id/persons/:id (contract: persons-api, 2.3, 3.1 to 3.5)."""

from typing import Any
from uuid import uuid4

import pytest

from tests.api.conftest import CREATED_AT, Client, People

PATH = "/api/projects/@current/persons/"
MALFORMED = {
    "type": "validation_error",
    "code": "invalid_input",
    "detail": (
        "The ID provided does not look like a personID. If you are using a distinctId, please use "
        "/persons?distinct_id=<id> instead."
    ),
    "attr": None,
}
NOT_FOUND = {"type": "invalid_request", "code": "not_found", "detail": "Not found.", "attr": None}


async def test_a_person_has_exactly_the_documented_fields(client: Client, people: People) -> None:
    person_id, uuid = await people.add("0190-a-b-c-d", "ada", created_at=CREATED_AT, plan="scale")
    answer = await client.get(f"{PATH}{person_id}/")
    assert answer.status_code == 200
    assert answer.json() == {
        "id": person_id,
        "name": "ada",
        "distinct_ids": ["ada", "0190-a-b-c-d"],
        "properties": {"plan": "scale"},
        "created_at": "2021-08-25T22:09:14.252000Z",
        "uuid": str(uuid),
        "last_seen_at": None,
        "recordings_count": 0,
    }
    assert list(answer.json())[:3] == ["id", "name", "distinct_ids"]


async def test_every_spelling_of_the_uuid_is_taken(client: Client, people: People) -> None:
    person_id, uuid = await people.add("ada")
    for text in (str(uuid), str(uuid).upper(), uuid.hex, f"urn:uuid:{uuid}", f"{{{uuid}}}"):
        for path in (f"{PATH}{text}", f"/api/environments/1/persons/{text}/"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["id"]) == (200, person_id)


async def test_all_distinct_ids_of_all_merged_persons_are_there(
    client: Client, people: People
) -> None:
    root, _ = await people.add("z")
    middle, middle_uuid = await people.add("y", merged_into=root)
    leaf, leaf_uuid = await people.add("x", merged_into=middle)
    await people.give(leaf, [f"id-{n}" for n in range(1100)])
    answer = await client.get(f"{PATH}{root}")
    assert answer.json()["distinct_ids"] == ["z", "y", "x", *(f"id-{n}" for n in range(1100))]
    for gone in (middle, middle_uuid, leaf, leaf_uuid):
        assert (await client.get(f"{PATH}{gone}")).status_code == 404


@pytest.mark.parametrize(
    "text",
    ["ada@example.com", "not-a-uuid", "1.5", "1e3", "0x10", "%00", "1%00", "a" * 3000, "١٢", "-"],
)
async def test_a_malformed_id_is_told_so(client: Client, text: str) -> None:
    answer = await client.get(PATH + text)
    assert (answer.status_code, answer.json()) == (400, MALFORMED)


@pytest.mark.parametrize(
    "text",
    ["0", "-1", "2147483648", "9223372036854775807", "9223372036854775808", "9" * 31, "9" * 5000],
)
async def test_an_id_of_nobody_is_not_found(client: Client, text: str) -> None:
    answer = await client.get(PATH + text)
    assert (answer.status_code, answer.json()) == (404, NOT_FOUND)


async def test_an_unknown_uuid_is_not_found(client: Client) -> None:
    answer = await client.get(f"{PATH}{uuid4()}")
    assert (answer.status_code, answer.json()) == (404, NOT_FOUND)


async def test_32_digits_are_a_uuid(client: Client) -> None:
    assert (await client.get(PATH + "1" * 32)).json() == NOT_FOUND


async def test_another_projects_person_is_not_found(
    client: Client, people: People, strangers: People
) -> None:
    for name in await strangers.add("ada"):
        answer = await client.get(f"{PATH}{name}")
        assert (answer.status_code, answer.json()) == (404, NOT_FOUND)


@pytest.mark.parametrize(
    ("properties", "name"),
    [
        ({"email": "a@b.c", "name": "Ada", "username": "ada1"}, "a@b.c"),
        ({"email": "", "name": "Ada"}, "Ada"),
        ({"email": None, "name": 0, "username": ["x"]}, ["x"]),
        ({"email": {"home": "a@b.c"}}, {"home": "a@b.c"}),
        ({"name": 42}, 42),
        ({"Email": "a@b.c", "email": False}, "chosen"),
    ],
)
async def test_the_name_is_the_first_property_that_is_not_empty(
    client: Client, people: People, properties: dict[str, Any], name: Any
) -> None:
    person_id, _ = await people.add("a-b-c-d-e", "chosen", **properties)
    assert (await client.get(f"{PATH}{person_id}")).json()["name"] == name


async def test_configured_display_names_replace_the_usual_ones(
    client: Client, people: People
) -> None:
    await people.conn.execute("UPDATE project SET display_name_properties = '{handle,email}'")
    await people.conn.execute("UPDATE project SET display_name_properties = '{handle}'")
    with_handle, _ = await people.add("one", handle="@ada", email="a@b.c")
    without, _ = await people.add("two", email="a@b.c")
    assert (await client.get(f"{PATH}{with_handle}")).json()["name"] == "@ada"
    assert (await client.get(f"{PATH}{without}")).json()["name"] == "two"


async def test_without_any_id_the_name_is_the_number(client: Client, people: People) -> None:
    person_id, _ = await people.add()
    assert (await client.get(f"{PATH}{person_id}")).json()["name"] == str(person_id)


async def test_properties_come_back_as_they_are(client: Client, people: People) -> None:
    properties = {
        "text": "ä€😀\u2028",
        "number": -0.125,
        "big": 123456789012345678901234567890,
        "nested": {"list": [1, None, {"deep": [[]]}], "": True},
    }
    person_id, _ = await people.add("ada", **properties)
    assert (await client.get(f"{PATH}{person_id}")).json()["properties"] == properties


async def test_a_wrong_method_is_not_allowed(client: Client) -> None:
    answer = await client.post(f"{PATH}1", json={})
    assert answer.status_code == 405
    assert answer.json() == {
        "type": "invalid_request",
        "code": "method_not_allowed",
        "detail": 'Method "POST" not allowed.',
        "attr": None,
    }


async def test_no_key(client: Client, people: People) -> None:
    person_id, _ = await people.add("ada")
    answer = await client.get(f"{PATH}{person_id}", headers={"Authorization": ""})
    assert answer.status_code == 401


async def test_an_unknown_path_below_a_person_is_no_endpoint(client: Client) -> None:
    answer = await client.get(f"{PATH}1/nothing")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
