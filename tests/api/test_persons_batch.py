"""POST /persons/batch_by_distinct_ids and /persons/batch_by_uuids (contract: persons-api, 2.6)."""

from typing import Any
from uuid import uuid4

import pytest

from personhood.store.pool import Pool
from tests.api.conftest import Client, People
from tests.api.skeleton import broken_bodies, needs, refuses_body

PERSONS = "/api/projects/@current/persons"
BY_IDS = f"{PERSONS}/batch_by_distinct_ids"
BY_UUIDS = f"{PERSONS}/batch_by_uuids"

each_endpoint = pytest.mark.parametrize("path", [BY_IDS, BY_UUIDS])


async def found(client: Client, path: str, **body: Any) -> dict[str, Any]:
    answer = await client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


@pytest.mark.parametrize("prefix", ["projects", "environments"])
async def test_a_person_is_told_under_each_id_that_leads_to_it(
    client: Client, people: People, prefix: str
) -> None:
    id, _ = await people.add("ada", "lovelace", plan="scale")
    await people.add("eve")
    persons = f"/api/{prefix}/1/persons"
    told = await found(
        client, f"{persons}/batch_by_distinct_ids/", distinct_ids=["lovelace", "none", "ada", "ada"]
    )
    ada = (await client.get(f"{persons}/{id}")).json()
    assert list(told.items()) == [("lovelace", ada), ("ada", ada)]


async def test_by_uuids_in_any_spelling(client: Client, people: People) -> None:
    _, uuid = await people.add("ada")
    await people.add("eve")
    spelled = str(uuid).upper()
    told = await found(
        client, BY_UUIDS, uuids=[spelled, f"{{{uuid}}}", uuid.hex, uuid.urn, str(uuid4())]
    )
    assert told == {str(uuid): (await client.get(f"{PERSONS}/{uuid}")).json()}


async def test_ids_of_merged_persons_lead_to_the_root(client: Client, people: People) -> None:
    root, uuid = await people.add("ada")
    _, merged = await people.add("anon", merged_into=root)
    told = await found(client, BY_IDS, distinct_ids=["anon"])
    assert told["anon"]["uuid"] == str(uuid)
    assert told["anon"]["distinct_ids"] == ["ada", "anon"]
    assert (await found(client, BY_UUIDS, uuids=[str(uuid), str(merged)])).keys() == {str(uuid)}


async def test_ten_distinct_ids_are_told_of_each(client: Client, people: People) -> None:
    first = "6e9a624b-9339-4d07-8c46-8cd05dfa04e1"
    names = [first, *(f"id-{n}" for n in range(11))]
    _, uuid = await people.add(*names)
    told = await found(client, BY_IDS, distinct_ids=["id-10"])
    assert told["id-10"]["distinct_ids"] == [*names[1:10], first]
    told = await found(client, BY_UUIDS, uuids=[str(uuid)])
    assert told[str(uuid)]["distinct_ids"] == [*names[1:10], first]


async def test_two_hundred_are_looked_up(client: Client, people: People) -> None:
    uuids = [str((await people.add(f"id-{n}"))[1]) for n in range(202)]
    ids = [f"id-{n}" for n in range(202)]
    assert list(await found(client, BY_IDS, distinct_ids=ids)) == ids[:200]
    assert list(await found(client, BY_UUIDS, uuids=uuids)) == uuids[:200]
    # What is beyond them is not read.
    assert len(await found(client, BY_UUIDS, uuids=[*uuids[:200], "x"])) == 200
    assert len(await found(client, BY_IDS, distinct_ids=[*ids[:200], 7])) == 200


@pytest.mark.parametrize("given", [None, [], {}, "ada", 7, True, {"0": "ada"}])
@each_endpoint
async def test_what_is_no_list_asks_for_nobody(client: Client, path: str, given: Any) -> None:
    answer = await client.post(path, json={"distinct_ids": given, "uuids": given})
    assert answer.status_code == 200
    assert answer.json() == {"results": {}}


@each_endpoint
async def test_no_body_asks_for_nobody(client: Client, path: str) -> None:
    assert (await client.post(path)).json() == {"results": {}}


@pytest.mark.parametrize("bad", [7, None, True, [], {}, 1.5, ["ada"], 10**30])
async def test_distinct_ids_are_strings(client: Client, people: People, bad: Any) -> None:
    answer = await client.post(BY_IDS, json={"distinct_ids": ["ada", bad]})
    assert answer.status_code == 400
    assert answer.json() == {
        "type": "validation_error",
        "code": "invalid_input",
        "detail": "Must be strings.",
        "attr": "distinct_ids",
    }


@pytest.mark.parametrize("bad", ["x", "", "\0", 7, None, True, [], {}, "0" * 31])
async def test_malformed_uuids(client: Client, bad: Any) -> None:
    answer = await client.post(BY_UUIDS, json={"uuids": [str(uuid4()), bad]})
    assert answer.status_code == 400
    assert answer.json() == {
        "type": "validation_error",
        "code": "invalid_input",
        "detail": "One or more UUIDs are invalid.",
        "attr": None,
    }


@pytest.mark.parametrize("odd", ["", "a\0b", "\ud800", "x" * 100_000, "💥"])
async def test_odd_ids_are_nobodys(client: Client, people: People, odd: str) -> None:
    await people.add("ada")
    body = b'{"distinct_ids": ["ada", %s]}' % ascii_json(odd)
    answer = await client.post(BY_IDS, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200
    assert answer.json()["results"].keys() == {"ada"}


def ascii_json(text: str) -> bytes:
    return ('"' + "".join(f"\\u{ord(c):04x}" if ord(c) < 65536 else c for c in text) + '"').encode(
        "utf-8", "surrogatepass"
    )


async def test_another_projects_persons_are_not_told(
    client: Client, people: People, strangers: People
) -> None:
    await people.add("ada")
    _, theirs = await strangers.add("eve")
    assert await found(client, BY_IDS, distinct_ids=["eve"]) == {}
    assert await found(client, BY_UUIDS, uuids=[str(theirs)]) == {}


@each_endpoint
async def test_it_needs_a_key_and_its_scope(client: Client, pool: Pool, path: str) -> None:
    await needs(client, pool, "person:read", method="POST", path=path)


@each_endpoint
@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
async def test_the_wrong_method(client: Client, path: str, method: str) -> None:
    assert (await client.request(method, path)).status_code == 405


@each_endpoint
@broken_bodies
async def test_a_bad_body(
    client: Client, path: str, content: str, type: str, status: int, code: str
) -> None:
    await refuses_body(client, path, content, type, status, code)
