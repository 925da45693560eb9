"""POST /persons/reset_person_distinct_id (contract: persons-api, 2.9)."""

from typing import Any

import pytest

from personhood.store.pool import Pool
from tests.api.conftest import Client, People
from tests.api.skeleton import broken_bodies, needs, refuses_body

PERSONS = "/api/projects/@current/persons"
PATH = f"{PERSONS}/reset_person_distinct_id"


@pytest.mark.parametrize("prefix", ["projects", "environments"])
@pytest.mark.parametrize("distinct_id", ["ada", "nobody", " ", "a\0b", "x" * 10_000])
async def test_it_succeeds_and_changes_nothing(
    client: Client, people: People, prefix: str, distinct_id: str
) -> None:
    id, _ = await people.add("ada", plan="scale")
    before = (await client.get(f"{PERSONS}/{id}")).json()
    answer = await client.post(
        f"/api/{prefix}/1/persons/reset_person_distinct_id/", json={"distinct_id": distinct_id}
    )
    assert answer.status_code == 200
    assert answer.json() == {"success": True}
    assert (await client.get(f"{PERSONS}/{id}")).json() == before


async def test_another_projects_id_is_as_unknown(client: Client, strangers: People) -> None:
    await strangers.add("eve")
    assert (await client.post(PATH, json={"distinct_id": "eve"})).json() == {"success": True}


@pytest.mark.parametrize(
    "body", [{}, *({"distinct_id": bad} for bad in ("", None, 7, True, [], {}, ["ada"], 1.5))]
)
async def test_a_distinct_id_is_required(client: Client, body: dict[str, Any]) -> None:
    answer = await client.post(PATH, json=body)
    assert answer.status_code == 400
    assert answer.json() == {
        "type": "validation_error",
        "code": "invalid_input",
        "detail": "distinct_id is required",
        "attr": None,
    }


async def test_no_body(client: Client) -> None:
    assert (await client.post(PATH)).json()["detail"] == "distinct_id is required"


async def test_it_needs_a_key_and_its_scope(client: Client, pool: Pool) -> None:
    await needs(client, pool, "person:write", method="POST", path=PATH)


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
async def test_the_wrong_method(client: Client, method: str) -> None:
    assert (await client.request(method, PATH)).status_code == 405


@broken_bodies
async def test_a_bad_body(client: Client, content: str, type: str, status: int, code: str) -> None:
    await refuses_body(client, PATH, content, type, status, code)
