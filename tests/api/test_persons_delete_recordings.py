"""POST /:id/delete_recordings (contract: persons-api, 1.6)."""

from uuid import uuid4

import pytest

from personhood.store.pool import Pool
from tests.api.conftest import Client, People
from tests.api.skeleton import BROKEN_BODIES, needs, refuses_body
from tests.api.test_persons_delete_events import count, targets

PATH = "/api/projects/@current/persons"


@pytest.mark.parametrize("prefix", ["projects", "environments"])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_the_answer_is_the_receipt(
    client: Client, people: People, prefix: str, slash: str
) -> None:
    id, uuid = await people.add("ada", "anon")
    path = f"/api/{prefix}/@current/persons/{id}/delete_recordings{slash}"
    answer = await client.post(path)
    assert answer.status_code == 200
    told = answer.json()
    assert (told["person_uuid"], told["state"]) == (str(uuid), "waiting")
    assert (told["profile"], told["events"], told["recordings"]) == (False, False, True)
    assert (await targets(people)).keys() == {"ada", "anon"}


async def test_the_person_stays_and_nothing_else_tells_of_it(
    client: Client, people: People
) -> None:
    _, uuid = await people.add("ada")
    await client.post(f"{PATH}/{uuid}/delete_recordings")
    assert (await client.get(f"{PATH}/{uuid}")).status_code == 200
    assert await count(people, "activity") == 0
    assert (await client.get(f"{PATH}/deletion_status")).json()["results"] == []


async def test_how_many_there_are_is_not_made_up(client: Client, people: People) -> None:
    _, uuid = await people.add("ada")
    await client.post(f"{PATH}/{uuid}/delete_recordings")
    cursor = await people.conn.execute(
        "SELECT kind, before, removed, remaining FROM deletion_count ORDER BY kind"
    )
    assert await cursor.fetchall() == [("blobs", None, 0, None), ("recordings", None, 0, None)]


async def test_a_dry_run_changes_nothing(client: Client, people: People) -> None:
    _, uuid = await people.add("ada")
    answer = await client.post(f"{PATH}/{uuid}/delete_recordings?dry_run=true")
    assert answer.json()["would_delete"] == {
        "persons": 0,
        "distinct_ids": 0,
        "ledger_entries": 0,
        "events": 0,
        "recordings": 0,
    }
    assert await count(people, "deletion") == 0


async def test_an_unknown_or_malformed_person(client: Client, people: People) -> None:
    for id, status in ((uuid4(), 404), ("999", 404), ("ada", 400)):
        assert (await client.post(f"{PATH}/{id}/delete_recordings")).status_code == status
    assert await count(people, "deletion") == 0


async def test_another_projects_person_is_not_found(client: Client, strangers: People) -> None:
    id, uuid = await strangers.add("ada")
    for name in (id, uuid):
        assert (await client.post(f"{PATH}/{name}/delete_recordings")).status_code == 404
    assert await count(strangers, "deletion") == 0


async def test_a_bad_body_changes_nothing(client: Client, people: People) -> None:
    _, uuid = await people.add("ada")
    for row in BROKEN_BODIES:
        await refuses_body(client, f"{PATH}/{uuid}/delete_recordings", *row.values)
    assert await count(people, "deletion") == 0


async def test_it_needs_a_key_that_may_write(client: Client, people: People, pool: Pool) -> None:
    _, uuid = await people.add("ada")
    path = f"{PATH}/{uuid}/delete_recordings"
    await needs(client, pool, "person:write", method="POST", path=path)


async def test_the_wrong_method(client: Client, people: People) -> None:
    _, uuid = await people.add("ada")
    assert (await client.get(f"{PATH}/{uuid}/delete_recordings")).status_code == 405
