"""POST /:id/split, GET /:id/splits and POST /:id/splits/:split_id/undo (persons-api, 5 and 12)."""

from typing import Any
from uuid import uuid4

import pytest
from psycopg import AsyncConnection

from personhood.identity.distinct_id import person_uuid
from personhood.model import Project
from personhood.store.pool import Pool
from tests.api.conftest import HEADERS, Client, People
from tests.api.skeleton import as_key, broken_bodies, needs, refuses_body
from tests.test_merges import identify, send, set_

PATH = "/api/projects/@current/persons"


async def found(client: Client, distinct_id: str) -> dict[str, Any]:
    answer = await client.get(f"{PATH}/?distinct_id={distinct_id}")
    [person] = answer.json()["results"]
    return person


async def own(client: Client, distinct_id: str) -> dict[str, Any]:
    """Its properties that somebody chose."""
    properties = (await found(client, distinct_id))["properties"]
    return {key: value for key, value in properties.items() if key[0] != "$"}


async def ask(client: Client, person: dict[str, Any], body: Any = None, **query: str) -> Any:
    return await client.post(f"{PATH}/{person['uuid']}/split", json=body or {}, params=query)


@pytest.fixture
async def merged(client: Client, pool: Pool, shop: Project) -> dict[str, Any]:
    """A person of two, as the API tells it."""
    await send(pool, shop, set_("ada", plan="paid"), set_("anon", plan="free"))
    await send(pool, shop, identify("ada", "anon", name="Ada"), set_("anon", color="red"))
    return await found(client, "ada")


@pytest.fixture
async def three(client: Client, pool: Pool, shop: Project) -> dict[str, Any]:
    await send(pool, shop, set_("id1", n=1), identify("id1", "id2"), identify("id1", "id3"))
    await send(pool, shop, set_("id2", two=2), set_("id3", three=3))
    return await found(client, "id1")


@pytest.mark.parametrize("prefix", ["projects", "environments"])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_split_answers_with_both_sides(
    client: Client, merged: dict[str, Any], prefix: str, slash: str
) -> None:
    path = f"/api/{prefix}/@current/persons/{merged['uuid']}/split{slash}"
    answer = await client.post(path, json={"main_distinct_id": "ada"})
    assert answer.status_code == 200
    told = answer.json()
    assert told["success"] is True
    assert told["kept"]["uuid"] == merged["uuid"]
    assert told["kept"]["distinct_ids"] == ["ada"]
    [made] = told["persons"]
    assert made["distinct_ids"] == ["anon"]
    for side in (told["kept"], made):
        person = await found(client, side["distinct_ids"][0])
        for key in ("uuid", "properties", "is_identified", "created_at", "last_seen_at"):
            assert person[key] == side[key]
    assert await own(client, "ada") == {"plan": "paid", "name": "Ada"}
    assert await own(client, "anon") == {"plan": "free", "color": "red"}


async def test_the_worked_example(
    client: Client, people: People, shop: Project, conn: AsyncConnection
) -> None:
    """5.2: a person at version 5 leaves one at version 106."""
    id, uuid = await people.add("id1", "id2", plan="kept")
    await conn.execute("UPDATE person SET version = 5 WHERE id = %s", (id,))
    answer = await ask(client, {"uuid": uuid}, {"main_distinct_id": "id1"})
    assert answer.status_code == 200
    made = person_uuid(shop.id, "id2")
    assert str(made) == "e8a832ab-87b2-55f0-8013-a923355bda62"
    [person] = answer.json()["persons"]
    assert person["uuid"] == str(made)
    assert person["properties"] == {}
    assert person["is_identified"] is False
    cursor = await conn.execute("SELECT version FROM person WHERE uuid = %s", (made,))
    assert await cursor.fetchone() == (106,)
    assert (await found(client, "id1"))["properties"] == {"plan": "kept"}


async def test_full_mode_keeps_the_main_id(client: Client, three: dict[str, Any]) -> None:
    told = (await ask(client, three, {"main_distinct_id": "id1"})).json()
    assert told["kept"]["distinct_ids"] == ["id1"]
    assert [each["distinct_ids"] for each in told["persons"]] == [["id2"], ["id3"]]
    assert await own(client, "id1") == {"n": 1}
    assert await own(client, "id2") == {"two": 2}
    assert await own(client, "id3") == {"three": 3}


@pytest.mark.parametrize("body", [{}, {"main_distinct_id": None}, {"main_distinct_id": ""}])
async def test_full_mode_keeps_the_first_stored_id(
    client: Client, three: dict[str, Any], body: dict[str, Any]
) -> None:
    told = (await ask(client, three, body)).json()
    assert told["kept"]["distinct_ids"] == ["id1"]
    assert told["kept"]["uuid"] == three["uuid"]


async def test_partial_mode_moves_the_listed_ids(client: Client, people: People) -> None:
    _, uuid = await people.add("keep1", "move1", "keep2", "move2", "keep3", email="e@example.com")
    body = {"distinct_ids_to_split": ["move2", "move1"]}
    told = (await ask(client, {"uuid": uuid}, body)).json()
    assert told["kept"]["distinct_ids"] == ["keep1", "keep2", "keep3"]
    assert told["kept"]["properties"] == {"email": "e@example.com"}
    assert [each["distinct_ids"] for each in told["persons"]] == [["move1"], ["move2"]]


async def test_duplicates_are_one_move(client: Client, three: dict[str, Any]) -> None:
    told = (await ask(client, three, {"distinct_ids_to_split": ["id2", "id2"]})).json()
    assert len(told["persons"]) == 1
    assert told["kept"]["distinct_ids"] == ["id1", "id3"]


async def test_a_hundred_and_one_ids_make_a_hundred_persons(client: Client, people: People) -> None:
    ids = [f"id{number}" for number in range(101)]
    _, uuid = await people.add(*ids)
    told = (await ask(client, {"uuid": uuid}, {"main_distinct_id": "id50"})).json()
    assert len(told["persons"]) == 100
    assert len({each["uuid"] for each in told["persons"]}) == 100
    page = (await client.get(f"{PATH}/?limit=200")).json()["results"]
    assert sorted(each["distinct_ids"] for each in page) == sorted([id] for id in ids)


async def test_the_id_that_made_the_person_can_leave(
    client: Client, shop: Project, three: dict[str, Any]
) -> None:
    told = (await ask(client, three, {"distinct_ids_to_split": ["id1"]})).json()
    assert told["kept"]["uuid"] == three["uuid"]
    assert told["kept"]["distinct_ids"] == ["id2", "id3"]
    [made] = told["persons"]
    assert made["uuid"] not in {three["uuid"], str(person_uuid(shop.id, "id1"))}
    assert await own(client, "id1") == {"n": 1}
    assert await own(client, "id2") == {"two": 2, "three": 3}


async def test_a_person_of_one_id_stays_as_it_is(client: Client, pool: Pool, shop: Project) -> None:
    await send(pool, shop, set_("solo", n=1))
    before = await found(client, "solo")
    answer = await ask(client, before)
    assert answer.status_code == 200
    told = answer.json()
    assert (told["success"], told["split_id"], told["persons"]) == (True, None, [])
    assert await found(client, "solo") == before
    log = (await client.get(f"{PATH}/{before['uuid']}/activity")).json()["results"]
    assert log[0]["activity"] == "split_person"


@pytest.mark.parametrize(
    ("body", "attr", "detail"),
    [
        ({"distinct_ids_to_split": "ada"}, "distinct_ids_to_split", "must be a list of strings"),
        ({"distinct_ids_to_split": {}}, "distinct_ids_to_split", "must be a list of strings"),
        ({"distinct_ids_to_split": 0}, "distinct_ids_to_split", "must be a list of strings"),
        ({"distinct_ids_to_split": ["a", 1]}, "distinct_ids_to_split", "must be a list of strings"),
        ({"distinct_ids_to_split": [None]}, "distinct_ids_to_split", "must be a list of strings"),
        ({"distinct_ids_to_split": []}, "distinct_ids_to_split", "must not be empty"),
        (
            {"distinct_ids_to_split": [], "main_distinct_id": "ada"},
            "distinct_ids_to_split",
            "must not be empty",
        ),
        (
            {"distinct_ids_to_split": ["nobody"], "main_distinct_id": "ada"},
            None,
            "main_distinct_id cannot be combined with distinct_ids_to_split",
        ),
        (
            {"distinct_ids_to_split": ["y", "anon", "x'"]},
            "distinct_ids_to_split",
            "not on this person: [\"x'\", 'y']",
        ),
        ({"distinct_ids_to_split": ["other"]}, "distinct_ids_to_split", "['other']"),
        ({"distinct_ids_to_split": ["\0"]}, "distinct_ids_to_split", "not on this person"),
        (
            {"distinct_ids_to_split": ["ada", "anon"]},
            "distinct_ids_to_split",
            "must leave at least one distinct id on this person",
        ),
        (
            {"distinct_ids_to_split": [f"x{number}" for number in range(10_001)]},
            "distinct_ids_to_split",
            "must not be more than 10,000",
        ),
        ({"main_distinct_id": "x"}, "main_distinct_id", "not on this person: ['x']"),
        ({"main_distinct_id": 1}, "main_distinct_id", "must be a string"),
        ({"main_distinct_id": ["ada"]}, "main_distinct_id", "must be a string"),
        ({"dry_run": "maybe"}, "dry_run", "Must be a valid boolean."),
    ],
)
async def test_what_does_not_fit_is_refused_and_changes_nothing(
    client: Client,
    pool: Pool,
    shop: Project,
    merged: dict[str, Any],
    body: dict[str, Any],
    attr: str | None,
    detail: str,
) -> None:
    await send(pool, shop, set_("other"))
    answer = await ask(client, merged, body)
    assert answer.status_code == 400
    told = answer.json()
    assert (told["type"], told["code"]) == ("validation_error", "invalid_input")
    assert told["attr"] == attr
    assert told["detail"].endswith(detail) or told["detail"].startswith(detail)
    assert await found(client, "ada") == merged


async def test_the_person_is_looked_for_before_the_body_is_checked(client: Client) -> None:
    body = {"distinct_ids_to_split": []}
    assert (await ask(client, {"uuid": uuid4()}, body)).status_code == 404
    assert (await ask(client, {"uuid": "not-an-id"}, body)).status_code == 400


async def test_parameters_may_be_in_the_query(client: Client, three: dict[str, Any]) -> None:
    path = f"{PATH}/{three['uuid']}/split"
    both = await client.post(f"{path}?distinct_ids_to_split=id2&distinct_ids_to_split=id3&dry_run")
    assert [each["distinct_ids"] for each in both.json()["persons"]] == [["id2"], ["id3"]]
    main = await client.post(f"{path}?main_distinct_id=id3&dry_run=true", content=b"")
    assert main.json()["kept"]["distinct_ids"] == ["id3"]
    assert await found(client, "id1") == three


@pytest.mark.parametrize("how", [{"json": {"dry_run": True}}, {"params": {"dry_run": "1"}}])
async def test_a_dry_run_shows_each_side_and_changes_nothing(
    client: Client, merged: dict[str, Any], how: dict[str, Any]
) -> None:
    path = f"{PATH}/{merged['uuid']}/split"
    shown = (await client.post(path, **how)).json()
    assert shown["dry_run"] is True
    assert shown["split_id"] is None
    assert await found(client, "ada") == merged
    assert (await client.get(f"{PATH}/{merged['uuid']}/splits")).json()["results"] == []
    log = (await client.get(f"{PATH}/{merged['uuid']}/activity")).json()["results"]
    assert "split_person" not in {each["activity"] for each in log}
    done = (await client.post(path, json={})).json()
    assert shown["kept"] == done["kept"]
    assert shown["persons"] == done["persons"]


async def test_a_dry_run_does_not_know_what_is_yet_to_be_made(
    client: Client, three: dict[str, Any]
) -> None:
    body = {"distinct_ids_to_split": ["id1", "id2"], "dry_run": True}
    first, second = (await ask(client, three, body)).json()["persons"]
    assert (first["id"], first["uuid"]) == (None, None)
    assert second["id"] is None
    assert second["uuid"] is not None


async def test_what_was_split_is_listed_and_can_be_undone(
    client: Client, pool: Pool, shop: Project, merged: dict[str, Any]
) -> None:
    told = (await ask(client, merged)).json()
    splits = f"{PATH}/{merged['uuid']}/splits"
    [row] = (await client.get(splits)).json()["results"]
    assert row["id"] == told["split_id"]
    [made] = told["persons"]
    assert row["moved"] == [
        {"distinct_id": "anon", "person_id": made["id"], "person_uuid": made["uuid"]}
    ]
    await send(pool, shop, set_("anon", size="L"))
    path = f"{splits}/{row['id']}/undo"
    shown = (await client.post(f"{path}?preview=true")).json()
    assert shown["preview"] is True
    assert len((await client.get(splits)).json()["results"]) == 1
    answer = await client.post(path + "/")
    assert answer.status_code == 200
    whole = answer.json()
    assert whole["person"] == shown["person"]
    assert whole["returned"] == ["anon"]
    after = await found(client, "anon")
    assert after["properties"] == {**merged["properties"], "size": "L"}
    assert (await client.get(splits)).json()["results"] == []
    assert (await client.get(f"{PATH}/{made['uuid']}")).status_code == 404
    assert (await client.post(path)).status_code == 404


async def test_a_page_of_splits_leads_to_the_next(client: Client, three: dict[str, Any]) -> None:
    for name in ("id2", "id3"):
        await ask(client, three, {"distinct_ids_to_split": [name]})
    first = (await client.get(f"{PATH}/{three['uuid']}/splits?limit=1")).json()
    second = (await client.get(first["next"])).json()
    names = [row["moved"][0]["distinct_id"] for row in first["results"] + second["results"]]
    assert names == ["id3", "id2"]
    assert second["next"] is None


async def test_only_the_newest_split_can_be_undone(client: Client, three: dict[str, Any]) -> None:
    first, second = [
        (await ask(client, three, {"distinct_ids_to_split": [name]})).json()["split_id"]
        for name in ("id2", "id3")
    ]
    path = f"{PATH}/{three['uuid']}/splits"
    answer = await client.post(f"{path}/{first}/undo")
    assert answer.status_code == 409
    assert answer.json()["detail"] == (
        f"Split {second} of this person is newer. Undo that one first."
    )
    assert (await client.post(f"{path}/{second}/undo")).status_code == 200
    assert (await client.post(f"{path}/{first}/undo")).status_code == 200
    assert (await found(client, "id1"))["distinct_ids"] == ["id1", "id2", "id3"]


async def test_what_stands_in_the_way_is_told(
    client: Client, pool: Pool, shop: Project, merged: dict[str, Any]
) -> None:
    told = (await ask(client, merged)).json()
    path = f"{PATH}/{merged['uuid']}/splits/{told['split_id']}/undo"
    await send(pool, shop, set_("bob"), identify("bob", "anon"))
    answer = await client.post(path)
    assert answer.status_code == 409
    assert answer.json()["detail"].endswith("has been merged since. Undo that merge first.")
    bob = await found(client, "bob")
    [merge] = (await client.get(f"{PATH}/{bob['uuid']}/merges")).json()["results"]
    assert (await client.post(f"{PATH}/{bob['uuid']}/merges/{merge['id']}/undo")).status_code == 200
    await send(pool, shop, identify("anon", "bob"))
    answer = await client.post(path)
    assert answer.status_code == 409
    assert "has absorbed another person since" in answer.json()["detail"]


async def test_a_merge_whose_side_was_split_off_cannot_be_undone(
    client: Client, pool: Pool, shop: Project
) -> None:
    await send(pool, shop, set_("root"), set_("leaf"), identify("root", "leaf"))
    person = await found(client, "root")
    await ask(client, person, {"main_distinct_id": "leaf"})
    [merge] = (await client.get(f"{PATH}/{person['uuid']}/merges")).json()["results"]
    answer = await client.post(f"{PATH}/{person['uuid']}/merges/{merge['id']}/undo")
    assert answer.status_code == 409
    assert answer.json()["detail"].startswith("On one side of this merge no distinct id is left")


@pytest.mark.parametrize("split_id", ["0", "999999", "x", "-1", "9" * 40, "1.5"])
async def test_an_unknown_split_is_not_found(
    client: Client, merged: dict[str, Any], split_id: str
) -> None:
    answer = await client.post(f"{PATH}/{merged['uuid']}/splits/{split_id}/undo")
    assert answer.status_code == 404


async def test_the_split_of_another_person_is_not_found(
    client: Client, pool: Pool, shop: Project, merged: dict[str, Any]
) -> None:
    await send(pool, shop, set_("bob"))
    bob = await found(client, "bob")
    told = (await ask(client, merged)).json()
    answer = await client.post(f"{PATH}/{bob['uuid']}/splits/{told['split_id']}/undo")
    assert answer.status_code == 404


async def test_a_split_is_logged(client: Client, three: dict[str, Any]) -> None:
    whole = three["distinct_ids"]
    await ask(client, three, {"distinct_ids_to_split": ["id3"]})
    told = (await ask(client, three, {"main_distinct_id": "id2"})).json()
    path = f"{PATH}/{three['uuid']}/splits/{told['split_id']}/undo"
    await client.post(path)
    log = (await client.get(f"{PATH}/{three['uuid']}/activity")).json()["results"]
    undone, full, partial = (each for each in log if each["activity"] != "split_off")
    assert [each["activity"] for each in (undone, full, partial)] == [
        "split_undone",
        *2 * ["split_person"],
    ]
    assert partial["detail"]["name"] == three["uuid"]
    assert partial["detail"]["changes"][0] == {
        "type": "Person",
        "action": "split",
        "field": None,
        "before": None,
        "after": {"distinct_ids": whole, "distinct_ids_to_split": ["id3"]},
    }
    assert full["detail"]["changes"][0]["after"] == {"distinct_ids": ["id1", "id2"]}
    assert undone["detail"]["changes"][0]["after"]["distinct_ids"] == ["id1", "id2"]


async def test_a_split_is_logged_on_the_other_side_too(
    client: Client, merged: dict[str, Any]
) -> None:
    told = (await ask(client, merged)).json()
    kept = told["kept"]
    for made in told["persons"]:
        [line, *_] = (await client.get(f"{PATH}/{made['uuid']}/activity")).json()["results"]
        assert (line["activity"], line["item_id"]) == ("split_off", str(made["id"]))
        assert line["detail"]["name"] == made["uuid"]
        assert line["detail"]["changes"][0] == {
            "type": "Person",
            "action": "split_off",
            "field": None,
            "before": None,
            "after": {
                "source": {"id": str(kept["id"]), "uuid": kept["uuid"]},
                "distinct_ids": made["distinct_ids"],
            },
        }
    newest = (await client.get(f"{PATH}/activity")).json()["results"][0]
    assert (newest["activity"], newest["item_id"]) == ("split_person", str(kept["id"]))


async def test_another_projects_person_is_not_found(
    client: Client, other: Project, merged: dict[str, Any]
) -> None:
    path = f"/api/projects/{other.id}/persons/{merged['uuid']}"
    assert (await client.post(f"{path}/split", json={})).status_code == 404
    assert (await client.get(f"{path}/splits")).status_code == 404
    told = (await ask(client, merged)).json()
    assert (await client.post(f"{path}/splits/{told['split_id']}/undo")).status_code == 404


async def test_another_projects_ids_are_not_on_this_person(
    client: Client, strangers: People, merged: dict[str, Any]
) -> None:
    await strangers.add("foreign")
    answer = await ask(client, merged, {"distinct_ids_to_split": ["foreign"]})
    assert answer.status_code == 400


async def test_keys_and_scopes(client: Client, pool: Pool, merged: dict[str, Any]) -> None:
    path = f"{PATH}/{merged['uuid']}"
    await needs(client, pool, "person:write", method="POST", path=f"{path}/split?dry_run=1")
    reader = await as_key(pool, "person:read")
    assert (await client.get(f"{path}/splits", headers=reader)).status_code == 200
    assert (await client.post(f"{path}/splits/1/undo", headers=reader)).status_code == 403


@pytest.mark.parametrize("path", ["split", "splits", "splits/1/undo"])
async def test_the_wrong_method(client: Client, merged: dict[str, Any], path: str) -> None:
    answer = await client.delete(f"{PATH}/{merged['uuid']}/{path}", headers=HEADERS)
    assert answer.status_code == 405


@broken_bodies
async def test_a_broken_body(
    client: Client, merged: dict[str, Any], *, content: Any, type: Any, status: Any, code: Any
) -> None:
    path = f"{PATH}/{merged['uuid']}"
    await refuses_body(client, f"{path}/split", content, type, status, code)
    await refuses_body(client, f"{path}/splits/1/undo", content, type, status, code)


async def test_a_misspelt_field_parts_nobody(client: Client, three: dict[str, Any]) -> None:
    answer = await ask(client, three, {"distinct_ids": ["id2"]})
    assert answer.status_code == 400
    assert "distinct_ids_to_split" in answer.json()["detail"]
    assert (await found(client, "id2"))["uuid"] == three["uuid"]
