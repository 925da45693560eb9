"""POST /:id/delete_events (contract: persons-api, 1.4)."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from personhood.model import Project
from personhood.store.pool import Pool
from tests.api.conftest import Client, People
from tests.api.skeleton import BROKEN_BODIES, needs, refuses_body
from tests.test_merges import identify, send, set_

PATH = "/api/projects/@current/persons"


async def targets(people: People) -> dict[str, datetime]:
    cursor = await people.conn.execute(
        """
        SELECT distinct_id, cutoff
          FROM deletion_target
          JOIN distinct_id ON distinct_id.id = distinct_id_id
        """
    )
    return dict(await cursor.fetchall())


async def count(people: People, table: str) -> int:
    row = await (await people.conn.execute(f"SELECT count(*) FROM {table}")).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize("prefix", ["projects", "environments"])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_the_answer_is_the_receipt(
    client: Client, people: People, prefix: str, slash: str
) -> None:
    id, uuid = await people.add("ada")
    answer = await client.post(f"/api/{prefix}/@current/persons/{id}/delete_events{slash}")
    assert answer.status_code == 200
    told = answer.json()
    assert UUID(told.pop("id"))
    assert told.pop("waiting_until") > told["requested_at"]
    assert told.pop("requested_at") == told.pop("cutoff")
    assert told == {
        "person_uuid": str(uuid),
        "profile": False,
        "events": True,
        "recordings": False,
        "state": "waiting",
    }


async def test_the_person_stays_and_nothing_is_logged(client: Client, people: People) -> None:
    _, uuid = await people.add("ada", plan="scale")
    before = (await client.get(f"{PATH}/{uuid}")).json()
    await client.post(f"{PATH}/{uuid}/delete_events")
    assert (await client.get(f"{PATH}/{uuid}")).json() == before
    assert await count(people, "activity") == 0
    [told] = (await client.get(f"{PATH}/deletion_status")).json()["results"]
    assert (told["person_uuid"], told["status"]) == (str(uuid), "pending")


async def test_it_is_about_the_ids_that_the_person_has_now(
    client: Client, people: People, pool: Pool, shop: Project
) -> None:
    await send(pool, shop, set_("anon"), set_("ada"), set_("bob"), identify("ada", "anon"))
    [person] = (await client.get(f"{PATH}/?distinct_id=ada")).json()["results"]
    await client.post(f"{PATH}/{person['uuid']}/delete_events")
    await send(pool, shop, identify("ada", "bob"), identify("ada", "late"))
    assert (await targets(people)).keys() == {"ada", "anon"}


async def test_asked_again_it_is_the_same_receipt_and_counts_from_now(
    client: Client, people: People, pool: Pool, shop: Project
) -> None:
    await send(pool, shop, set_("ada"), set_("anon"), identify("ada", "anon"))
    [person] = (await client.get(f"{PATH}/?distinct_id=ada")).json()["results"]
    path = f"{PATH}/{person['uuid']}/delete_events"
    first = (await client.post(path)).json()
    # The merge is undone: `anon` is somebody else's when it is asked for again.
    [merge] = (await client.get(f"{PATH}/{person['uuid']}/merges")).json()["results"]
    await client.post(f"{PATH}/{person['uuid']}/merges/{merge['id']}/undo")
    await send(pool, shop, identify("ada", "late"))
    again = (await client.post(path)).json()
    assert again["id"] == first["id"]
    assert again["requested_at"] == first["requested_at"] < again["cutoff"]
    told = {name: at.isoformat() for name, at in (await targets(people)).items()}
    assert told == {
        "ada": again["cutoff"].replace("Z", "+00:00"),
        "late": again["cutoff"].replace("Z", "+00:00"),
        "anon": first["cutoff"].replace("Z", "+00:00"),
    }
    assert (await client.get(f"{PATH}/deletion_status")).json()["count"] == 1


@pytest.mark.parametrize("state", ["running", "completed", "failed", "cancelled"])
async def test_what_came_to_run_is_asked_for_anew(
    client: Client, people: People, state: str
) -> None:
    _, uuid = await people.add("ada")
    first = (await client.post(f"{PATH}/{uuid}/delete_events")).json()
    await people.conn.execute("UPDATE deletion SET state = %s", (state,))
    again = (await client.post(f"{PATH}/{uuid}/delete_events")).json()
    assert again["id"] != first["id"]


async def test_another_wish_has_another_receipt(client: Client, people: People) -> None:
    _, uuid = await people.add("ada")
    told = [
        (await client.post(f"{PATH}/{uuid}/{each}")).json()["id"]
        for each in ("delete_events", "delete_recordings", "delete_events", "delete_recordings")
    ]
    assert told[:2] == told[2:]
    assert len({*told}) == 2


async def test_what_the_body_says_does_not_matter(client: Client, people: People) -> None:
    _, uuid = await people.add("ada")
    bodies: list[Any] = [{}, {"anything": [1]}, {"delete_events": "perhaps"}]
    for body in bodies:
        answer = await client.post(f"{PATH}/{uuid}/delete_events", json=body)
        assert answer.status_code == 200


async def test_a_dry_run_counts_and_changes_nothing(
    client: Client, people: People, pool: Pool, shop: Project
) -> None:
    await send(pool, shop, set_("ada"), set_("anon"), identify("ada", "anon"))
    [person] = (await client.get(f"{PATH}/?distinct_id=ada")).json()["results"]
    path = f"{PATH}/{person['uuid']}/delete_events"
    for answer in (
        await client.post(f"{path}?dry_run"),
        await client.post(path, json={"dry_run": 1}),
    ):
        assert answer.status_code == 200
        told = answer.json()
        assert (told["dry_run"], told["would_delete"]["events"]) == (True, 3)
        assert told["would_delete"]["persons"] == 0
    assert await count(people, "deletion") == 0


async def test_an_unknown_or_malformed_person(client: Client, people: People) -> None:
    for id, status in ((uuid4(), 404), ("999", 404), ("ada", 400)):
        assert (await client.post(f"{PATH}/{id}/delete_events")).status_code == status
    assert await count(people, "deletion") == 0


async def test_another_projects_person_is_not_found(client: Client, strangers: People) -> None:
    id, uuid = await strangers.add("ada")
    for name in (id, uuid):
        assert (await client.post(f"{PATH}/{name}/delete_events")).status_code == 404
    assert await count(strangers, "deletion") == 0


async def test_a_bad_body_changes_nothing(client: Client, people: People) -> None:
    _, uuid = await people.add("ada")
    for row in BROKEN_BODIES:
        await refuses_body(client, f"{PATH}/{uuid}/delete_events", *row.values)
    assert await count(people, "deletion") == 0


async def test_it_needs_a_key_that_may_write(client: Client, people: People, pool: Pool) -> None:
    _, uuid = await people.add("ada")
    await needs(client, pool, "person:write", method="POST", path=f"{PATH}/{uuid}/delete_events")


async def test_the_wrong_method(client: Client, people: People) -> None:
    _, uuid = await people.add("ada")
    for method in ("GET", "DELETE", "PATCH"):
        answer = await client.request(method, f"{PATH}/{uuid}/delete_events")
        assert answer.status_code == 405
