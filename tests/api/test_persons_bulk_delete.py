"""POST /bulk_delete (contract: persons-api, 1.11 and 12)."""

import json
from typing import Any
from uuid import uuid4

import pytest

from personhood.model import Project
from personhood.store.pool import Pool
from tests.api.conftest import Client, People
from tests.api.skeleton import BROKEN_BODIES, needs, refuses_body
from tests.api.test_persons_delete_events import count
from tests.test_merges import identify, send, set_

PATH = "/api/projects/@current/persons"
BULK = f"{PATH}/bulk_delete"
NOTHING = {
    "persons_found": 0,
    "persons_deleted": 0,
    "persons_queued_for_deletion": 0,
    "events_queued_for_deletion": False,
    "recordings_queued_for_deletion": False,
    "deletion_errors": [],
}
BOTH = "You must provide either distinct_ids or ids, not both"
NEITHER = "You need to specify either distinct_ids or ids"


async def left(client: Client) -> set[str]:
    """The distinct ids of who is still there."""
    found = (await client.get(f"{PATH}/")).json()["results"]
    return {id for person in found for id in person["distinct_ids"]}


@pytest.mark.parametrize("prefix", ["projects", "environments"])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_persons_by_uuid(client: Client, people: People, prefix: str, slash: str) -> None:
    uuids = [str((await people.add(name))[1]) for name in ("ada", "bob", "cyd")]
    path = f"/api/{prefix}/@current/persons/bulk_delete{slash}"
    answer = await client.post(path, json={"ids": uuids[:2], "delete_events": True})
    assert answer.status_code == 200
    assert answer.json() == {
        "persons_found": 2,
        "persons_deleted": 2,
        "persons_queued_for_deletion": 0,
        "events_queued_for_deletion": True,
        "recordings_queued_for_deletion": False,
        "deletion_errors": [],
        "results": [{"id": uuid, "status": "deleted", "person_uuid": uuid} for uuid in uuids[:2]],
    }
    assert await left(client) == {"cyd"}
    status = (await client.get(f"{PATH}/deletion_status")).json()
    assert {each["person_uuid"] for each in status["results"]} == {*uuids[:2]}


async def test_whole_persons_by_any_of_their_distinct_ids(
    client: Client, people: People, pool: Pool, shop: Project
) -> None:
    await send(pool, shop, set_("anon"), set_("ada"), identify("ada", "anon"), set_("bob"))
    await people.add("cyd", "dan")
    names = ["anon", "dan", "cyd", "anon", "nobody"]
    answer = (await client.post(BULK, json={"distinct_ids": names})).json()
    assert (answer["persons_found"], answer["persons_deleted"]) == (2, 2)
    assert answer["events_queued_for_deletion"] is False
    assert [each["id"] for each in answer["results"]] == names
    assert [each["status"] for each in answer["results"]] == ["deleted"] * 4 + ["not_found"]
    uuids = [each["person_uuid"] for each in answer["results"]]
    assert uuids[0] == uuids[3] and uuids[1] == uuids[2] != uuids[0] and uuids[4] is None
    assert await left(client) == {"bob"}
    assert (await client.get(f"{PATH}/deletion_status")).json()["count"] == 0


@pytest.mark.parametrize("key", ["ids", "distinct_ids"])
async def test_nobody_is_found(client: Client, people: People, key: str) -> None:
    await people.add("ada")
    asked = [str(uuid4()), str(uuid4())]
    answer = await client.post(
        BULK, json={key: asked, "delete_events": True, "delete_recordings": True}
    )
    assert answer.status_code == 200
    results = [{"id": id, "status": "not_found", "person_uuid": None} for id in asked]
    assert answer.json() == {**NOTHING, "results": results}
    assert await left(client) == {"ada"}
    assert await count(people, "deletion") == 0


async def test_integer_ids_are_nobodys(client: Client, people: People) -> None:
    id, _ = await people.add("ada")
    answer = (await client.post(BULK, json={"ids": [id, -1, 2**70]})).json()
    assert [each["status"] for each in answer["results"]] == ["not_found"] * 3
    assert await left(client) == {"ada"}


async def test_numbers_are_distinct_ids_too(client: Client, people: People) -> None:
    await people.add("17")
    answer = (await client.post(BULK, json={"distinct_ids": [17]})).json()
    assert answer["persons_deleted"] == 1
    assert answer["results"][0]["id"] == 17


@pytest.mark.parametrize("flag", ["delete_events", "delete_recordings", "keep_person"])
async def test_flags_are_on(client: Client, people: People, flag: str) -> None:
    for number, word in enumerate([True, 1, "true", "1", "yes", [0], {"a": 1}]):
        await people.add(f"{number}")
        told = (await client.post(BULK, json={"distinct_ids": [number], flag: word})).json()
        assert told["events_queued_for_deletion"] is (flag == "delete_events"), word
        assert told["recordings_queued_for_deletion"] is (flag == "delete_recordings"), word
        assert told["persons_deleted"] == (flag != "keep_person"), word


@pytest.mark.parametrize("flag", ["delete_events", "delete_recordings", "keep_person", "dry_run"])
async def test_flags_are_off(client: Client, people: People, flag: str) -> None:
    for number, word in enumerate([False, None, 0, "false", "False", "0", "", [], {}]):
        await people.add(f"{number}")
        told = (await client.post(BULK, json={"distinct_ids": [number], flag: word})).json()
        assert {key: told[key] for key in NOTHING} == {
            **NOTHING,
            "persons_found": 1,
            "persons_deleted": 1,
        }, word
        assert "dry_run" not in told


@pytest.mark.parametrize("keep", [False, True])
async def test_persons_that_stay_are_queued_for_their_recordings(
    client: Client, people: People, keep: bool
) -> None:
    await people.add("ada")
    body = {"distinct_ids": ["ada"], "keep_person": keep, "delete_recordings": True}
    told = (await client.post(BULK, json=body)).json()
    done = (told["persons_deleted"], told["persons_queued_for_deletion"])
    assert done == ((0, 1) if keep else (1, 0))


async def test_keep_person_only_finds(client: Client, people: People) -> None:
    await people.add("ada")
    body = {"distinct_ids": ["ada"], "keep_person": True, "delete_events": True}
    told = (await client.post(BULK, json=body)).json()
    assert (told["persons_found"], told["persons_deleted"]) == (1, 0)
    assert told["events_queued_for_deletion"] is True
    assert told["results"][0]["status"] == "found"
    assert await left(client) == {"ada"}
    assert await count(people, "activity") == 0


async def test_each_person_is_told_once_in_the_activity_log(client: Client, people: People) -> None:
    ids = {str((await people.add(name, f"{name}-2"))[0]) for name in ("ada", "bob")}
    await client.post(BULK, json={"distinct_ids": ["ada", "ada-2", "bob"]})
    lines = (await client.get(f"{PATH}/activity")).json()["results"]
    assert {(line["item_id"], line["activity"]) for line in lines} == {
        (id, "deleted") for id in ids
    }
    assert len(lines) == 2


@pytest.mark.parametrize("flag", [True, 1, "true"])
async def test_a_dry_run_counts_and_changes_nothing(
    client: Client, people: People, pool: Pool, shop: Project, flag: Any
) -> None:
    await send(pool, shop, set_("anon"), set_("ada"), identify("ada", "anon"), set_("bob"))
    body = {"distinct_ids": ["ada", "anon", "bob", "nobody"], "delete_events": 1, "dry_run": flag}
    told = (await client.post(BULK, json=body)).json()
    assert {key: told[key] for key in NOTHING} == {**NOTHING, "persons_found": 2}
    assert told["dry_run"] is True
    assert told["would_delete"] == {
        "persons": 2,
        "distinct_ids": 3,
        "ledger_entries": 4,
        "events": 4,
        "recordings": 0,
    }
    assert [each["status"] for each in told["results"]] == ["found"] * 3 + ["not_found"]
    assert await left(client) == {"ada", "anon", "bob"}
    assert await count(people, "deletion") == 0


@pytest.mark.parametrize(
    "query",
    [
        'distinct_ids=["ada","bob"]&delete_events',
        "distinct_ids=ada&distinct_ids=bob&delete_events=true",
        "distinct_ids=ada&distinct_ids=bob&delete_events=1&keep_person=false",
    ],
)
async def test_everything_may_stand_in_the_query(
    client: Client, people: People, query: str
) -> None:
    for name in ("ada", "bob", "cyd"):
        await people.add(name)
    answer = await client.post(f"{BULK}?{query}")
    assert answer.status_code == 200, answer.text
    assert answer.json()["persons_deleted"] == 2
    assert answer.json()["events_queued_for_deletion"] is True
    assert await left(client) == {"cyd"}


async def test_ids_may_stand_in_the_query(client: Client, people: People) -> None:
    _, uuid = await people.add("ada")
    assert (await client.post(f"{BULK}?ids={uuid}")).json()["persons_deleted"] == 1


@pytest.mark.parametrize("key", ["ids", "distinct_ids"])
async def test_a_thousand_at_once_and_no_more(client: Client, people: People, key: str) -> None:
    await people.conn.execute(
        """
        WITH made AS (
            INSERT INTO person (project_id, uuid, properties, is_identified, created_at, version)
            SELECT %s, gen_random_uuid(), '{}', false, now(), 1 FROM generate_series(1, 1001)
            RETURNING id, project_id
        )
        INSERT INTO distinct_id (project_id, distinct_id, person_id)
        SELECT project_id, 'id-' || id, id FROM made
        """,
        (people.project_id,),
    )
    column = "uuid::text" if key == "ids" else "'id-' || id"
    cursor = await people.conn.execute(f"SELECT {column} FROM person ORDER BY id")
    asked = [row[0] for row in await cursor.fetchall()]
    answer = await client.post(BULK, json={key: asked})
    assert answer.status_code == 400
    assert answer.json() == {
        "type": "validation_error",
        "code": "invalid_input",
        "detail": f"You can only pass 1000 {key} in one call",
        "attr": None,
    }
    assert await count(people, "person") == 1001
    answer = (await client.post(BULK, json={key: asked[:1000]})).json()
    assert answer["persons_deleted"] == 1000
    assert await count(people, "person") == 1


async def test_whom_it_is_about_must_be_said_in_one_way(client: Client, people: People) -> None:
    await people.add("ada")
    bodies = [
        ({}, NEITHER),
        ({"ids": []}, NEITHER),
        ({"ids": None, "distinct_ids": []}, NEITHER),
        ({"ids": [str(uuid4())], "distinct_ids": ["ada"]}, BOTH),
        ({"ids": ["x"] * 1001, "distinct_ids": ["ada"] * 1001}, BOTH),
    ]
    for body, detail in bodies:
        answer = await client.post(BULK, json=body)
        assert answer.status_code == 400
        assert answer.json() == {
            "type": "validation_error",
            "code": "invalid_input",
            "detail": detail,
            "attr": None,
        }
    assert await left(client) == {"ada"}


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("ids", [["ada"], ["17"], [None], [True], [1.5], [{}], str(uuid4()), {"a": 1}, 17]),
        ("distinct_ids", [[None], [["ada"]], [True], "ada", ["ada", None]]),
    ],
)
async def test_what_is_no_list_of_ids_is_refused_whole(
    client: Client, people: People, key: str, values: list[Any]
) -> None:
    await people.add("ada")
    for value in values:
        answer = await client.post(BULK, json={key: value})
        assert answer.status_code == 400, value
        assert (answer.json()["code"], answer.json()["attr"]) == ("invalid_input", key)
    assert await left(client) == {"ada"}


async def test_strange_names_are_nobodys(client: Client, people: People) -> None:
    await people.add("ada")
    json_type = {"Content-Type": "application/json"}
    for name in ("a\0da", "\ud800", "x" * 100_000, ""):
        content = json.dumps({"distinct_ids": [name]})
        answer = await client.post(BULK, content=content, headers=json_type)
        assert answer.status_code == 200, answer.text
        assert answer.json()["results"][0]["status"] == "not_found"
    for query in ("distinct_ids=a%00da", "distinct_ids=%ED%A0%80", 'distinct_ids=["\\u0000"]'):
        assert (await client.post(f"{BULK}?{query}")).json()["persons_found"] == 0
    assert (await client.post(f"{BULK}?distinct_ids=[")).status_code == 400
    assert await left(client) == {"ada"}


async def test_another_projects_persons_are_not_found(
    client: Client, people: People, strangers: People
) -> None:
    _, uuid = await strangers.add("ada")
    await people.add("bob")
    for body in ({"ids": [str(uuid)]}, {"distinct_ids": ["ada"]}):
        path = f"/api/projects/{people.project_id}/persons/bulk_delete"
        told = (await client.post(path, json={**body, "delete_events": True})).json()
        assert {key: told[key] for key in NOTHING} == NOTHING
    assert await count(people, "person") == 2


async def test_a_bad_body_changes_nothing(client: Client, people: People) -> None:
    await people.add("ada")
    for row in BROKEN_BODIES:
        await refuses_body(client, BULK, *row.values)
    assert await left(client) == {"ada"}


async def test_it_needs_a_key_that_may_write(client: Client, pool: Pool) -> None:
    await needs(client, pool, "person:write", method="POST", path=BULK)


async def test_the_wrong_method(client: Client) -> None:
    for method in ("PATCH", "PUT", "DELETE", "GET"):
        answer = await client.request(method, BULK)
        assert answer.status_code == 405, method
        assert answer.json()["detail"] == f'Method "{method}" not allowed.'
        assert "POST" in answer.headers["allow"]
