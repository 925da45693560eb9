"""GET /:id/activity and GET /activity (contract: persons-api, 7)."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from personhood.http.numbered_page import ROWS_MAX
from personhood.model import Activity, ActivityKind, Cause, Project
from personhood.store import activity, activity_facts, api_key
from personhood.store.pool import Pool
from tests.api.conftest import Client, People
from tests.test_merges import identify, send, set_

PATH = "/api/projects/@current/persons"
NOBODY = Cause()


@pytest.fixture
async def keyed(client: Client, pool: Pool) -> Client:
    """The client, with a key that has an owner."""
    async with pool.connection() as conn:
        await api_key.insert(
            conn, "phx_ada", label="robot", scopes=["*"], project_id=None, owner="ada@example.com"
        )
    client.headers["Authorization"] = "Bearer phx_ada"
    return client


async def lines(client: Client, of: object = None, **params: object) -> list[dict[str, Any]]:
    path = f"{PATH}/activity" if of is None else f"{PATH}/{of}/activity"
    answer = await client.get(path, params={key: str(value) for key, value in params.items()})
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


async def log(pool: Pool, project: Project, *told: Activity) -> None:
    async with pool.connection() as conn:
        await activity.insert_all(conn, project.id, told)


def told(person_id: int, kind: ActivityKind = ActivityKind.UPDATED, **more: Any) -> Activity:
    facts: dict[str, Any] = {"person_uuid": UUID(int=person_id), "cause": NOBODY, **more}
    return Activity(kind=kind, person_id=person_id, **facts)


@pytest.mark.parametrize("prefix", ["projects", "environments"])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_an_update_is_told_with_who_and_what(
    keyed: Client, people: People, prefix: str, slash: str
) -> None:
    person_id, uuid = await people.add("ada", plan="free", city="London")
    await keyed.patch(f"{PATH}/{person_id}", json={"properties": {"plan": "scale", "seats": 2}})
    for name in (person_id, uuid):
        answer = await keyed.get(f"/api/{prefix}/@current/persons/{name}/activity{slash}")
        assert answer.status_code == 200
        body = answer.json()
        [line] = body.pop("results")
        assert body == {"next": None, "previous": None, "total_count": 1}
        assert UUID(line.pop("id"))
        assert line.pop("created_at").endswith("Z")
        assert line == {
            "user": {"first_name": "robot", "email": "ada@example.com"},
            "activity": "updated",
            "scope": "Person",
            "item_id": str(person_id),
            "detail": {
                "changes": [
                    {
                        "type": "Person",
                        "action": "changed",
                        "field": "properties",
                        "before": {"plan": "free"},
                        "after": {"plan": "scale", "seats": 2},
                    }
                ],
                "trigger": None,
                "type": None,
                "name": None,
                "short_id": None,
            },
        }


async def test_an_update_that_changes_nothing_is_told_as_that(
    client: Client, people: People
) -> None:
    person_id, _ = await people.add("ada", plan="free")
    for properties in ({}, {"plan": "free"}):
        await client.patch(f"{PATH}/{person_id}", json={"properties": properties})
    for line in await lines(client, person_id):
        assert line["user"] == {"first_name": "all", "email": None}
        [change] = line["detail"]["changes"]
        assert (change["before"], change["after"]) == ({}, {})


async def test_update_property_is_an_update(client: Client, people: People) -> None:
    person_id, _ = await people.add("ada")
    await client.post(f"{PATH}/{person_id}/update_property", json={"key": "a", "value": None})
    [line] = await lines(client, person_id)
    [change] = line["detail"]["changes"]
    assert (line["activity"], change["before"], change["after"]) == ("updated", {}, {"a": None})


async def test_a_deleted_property_has_no_field_but_its_value(
    client: Client, people: People
) -> None:
    person_id, uuid = await people.add("ada", plan="free")
    for _ in range(2):
        await client.post(f"{PATH}/{person_id}/delete_property", json={"$unset": "plan"})
    second, first = await lines(client, person_id)
    for line, before in ((first, {"plan": "free"}), (second, {})):
        assert line["activity"] == "delete_property"
        assert line["detail"]["name"] == str(uuid)
        assert line["detail"]["changes"] == [
            {"type": "Person", "action": "changed", "field": None, "before": before, "after": {}}
        ]


async def test_a_merge_by_an_event_is_the_systems(
    client: Client, pool: Pool, shop: Project
) -> None:
    await send(pool, shop, set_("anon", plan="free"), set_("ada", name="Ada"))
    claim = identify("ada", "anon")
    await send(pool, shop, claim)
    [line] = await lines(client)
    person = (await client.get(f"{PATH}/?distinct_id=ada")).json()["results"][0]
    assert line["user"] == {"first_name": "System", "email": None, "is_system": True}
    assert line["activity"] == "merged"
    assert line["detail"].keys() == {"changes", "trigger", "type", "name", "short_id"}
    assert line["detail"]["trigger"] == {
        "job_type": "event",
        "job_id": str(claim.uuid),
        "payload": {"event": "$identify", "distinct_id": "ada"},
    }
    assert line["detail"]["name"] == person["uuid"]
    joined, values = line["detail"]["changes"]
    assert (joined["action"], joined["field"], joined["before"]) == ("merged", None, None)
    assert joined["after"]["source"]["id"] != line["item_id"]
    assert UUID(joined["after"]["source"]["uuid"])
    assert (values["field"], values["before"]) == ("properties", {})
    assert values["after"] == {"plan": "free"}
    assert await lines(client, line["item_id"]) == [line]


async def test_what_is_forgotten_of_an_event_is_null(
    client: Client, pool: Pool, shop: Project
) -> None:
    await send(pool, shop, set_("anon"), set_("ada"), identify("ada", "anon"))
    async with pool.connection() as conn:
        await conn.execute("DELETE FROM event")
        await conn.execute("UPDATE distinct_id SET ended_at = now()")
        await conn.execute("DELETE FROM ledger")
        await conn.execute("DELETE FROM person")
    [line] = await lines(client)
    assert line["detail"]["trigger"]["payload"] == {"event": None, "distinct_id": None}
    [joined] = line["detail"]["changes"]
    assert joined["after"]["source"]["uuid"] is None


async def test_undoing_a_merge_is_told_on_both_sides(
    client: Client, pool: Pool, shop: Project
) -> None:
    await send(pool, shop, set_("anon", plan="free"), set_("ada"), identify("ada", "anon"))
    [root] = (await client.get(f"{PATH}/?distinct_id=ada")).json()["results"]
    [merge] = (await client.get(f"{PATH}/{root['uuid']}/merges")).json()["results"]
    undone = await client.post(f"{PATH}/{root['uuid']}/merges/{merge['id']}/undo")
    kept, freed = undone.json()["kept"], undone.json()["freed"]
    newest, _ = await lines(client, kept["id"])
    [other] = await lines(client, freed["id"])
    for line, person in ((newest, freed), (other, kept)):
        assert (line["activity"], line["user"]["first_name"]) == ("merge_undone", "all")
        assert line["detail"]["trigger"] is None
        told = line["detail"]["changes"][0]
        assert told["before"] == {"person": {"id": str(person["id"]), "uuid": person["uuid"]}}
    assert newest["detail"]["changes"][1]["before"] == {"plan": "free"}
    assert len(other["detail"]["changes"]) == 1, "it is what it was"


async def test_a_preview_of_an_undo_is_no_activity(
    client: Client, pool: Pool, shop: Project
) -> None:
    await send(pool, shop, set_("anon"), set_("ada"), identify("ada", "anon"))
    [root] = (await client.get(f"{PATH}/?distinct_id=ada")).json()["results"]
    [merge] = (await client.get(f"{PATH}/{root['uuid']}/merges")).json()["results"]
    await client.post(f"{PATH}/{root['uuid']}/merges/{merge['id']}/undo?preview")
    assert [line["activity"] for line in await lines(client)] == ["merged"]


async def test_a_persons_activity_covers_who_was_merged_into_it(
    client: Client, people: People
) -> None:
    root, _ = await people.add("root")
    leaf, _ = await people.add("leaf")
    await client.patch(f"{PATH}/{leaf}", json={"properties": {"a": 1}})
    await people.conn.execute("UPDATE person SET merged_into_id = %s WHERE id = %s", [root, leaf])
    await client.patch(f"{PATH}/{root}", json={"properties": {"b": 1}})
    assert [line["item_id"] for line in await lines(client, root)] == [str(root), str(leaf)]
    assert (await client.get(f"{PATH}/{leaf}/activity")).status_code == 404


async def test_what_sdks_set_is_no_activity(client: Client, pool: Pool, shop: Project) -> None:
    await send(pool, shop, set_("ada", plan="free"), set_("ada", plan="scale"))
    assert await lines(client) == []


async def test_of_a_deleted_person_the_values_are_gone(
    client: Client, people: People, pool: Pool, shop: Project
) -> None:
    person_id, uuid = await people.add("ada", plan="free")
    await client.patch(f"{PATH}/{person_id}", json={"properties": {"plan": "scale"}})
    for table, column in (("ledger", "person_id"), ("person", "id")):
        await people.conn.execute(f"DELETE FROM {table} WHERE {column} = %s", [person_id])
    await log(pool, shop, told(person_id, ActivityKind.DELETED, person_uuid=uuid))
    deleted, updated = await lines(client)
    assert deleted["detail"]["changes"] is None
    assert deleted["detail"]["name"] == str(uuid)
    [change] = updated["detail"]["changes"]
    assert (change["before"], change["after"]) == (None, None)
    assert (await client.get(f"{PATH}/{person_id}/activity")).status_code == 404


async def test_a_split_names_the_ids_there_were(
    client: Client, people: People, pool: Pool, shop: Project
) -> None:
    person_id, uuid = await people.add("b", "a", "c")
    cursor = await people.conn.execute("SELECT id FROM distinct_id ORDER BY id")
    ids = [row[0] for row in await cursor.fetchall()]
    split = told(person_id, ActivityKind.SPLIT, person_uuid=uuid, ids=ids)
    await log(pool, shop, split)
    [line] = await lines(client, person_id)
    assert (line["activity"], line["detail"]["name"]) == ("split_person", str(uuid))
    assert line["detail"]["changes"] == [
        {
            "type": "Person",
            "action": "split",
            "field": None,
            "before": None,
            "after": {"distinct_ids": ["b", "a", "c"]},
        }
    ]
    await log(pool, shop, told(person_id, ActivityKind.SPLIT, ids=ids, moved_ids=ids[1:]))
    line = (await lines(client, person_id))[0]
    assert line["detail"]["changes"][0]["after"] == {
        "distinct_ids": ["b", "a", "c"],
        "distinct_ids_to_split": ["a", "c"],
    }


async def test_of_very_many_ids_the_first_are_shown_and_all_counted(
    client: Client,
    people: People,
    pool: Pool,
    shop: Project,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(activity, "IDS_MAX", 20)
    person_id, _ = await people.add(*(f"id {number}" for number in range(activity.IDS_MAX + 1)))
    cursor = await people.conn.execute("SELECT array_agg(id ORDER BY id) FROM distinct_id")
    [[ids]] = await cursor.fetchall()
    await log(pool, shop, told(person_id, ActivityKind.SPLIT, ids=ids, moved_ids=ids))
    [line] = await lines(client, person_id)
    after = line["detail"]["changes"][0]["after"]
    assert len(after["distinct_ids"]) == len(after["distinct_ids_to_split"]) == activity.IDS_MAX
    assert after["distinct_ids_count"] == after["distinct_ids_to_split_count"] == len(ids)
    monkeypatch.setattr(activity_facts, "TEXTS_MAX", 5)
    [line] = await lines(client, person_id)
    after = line["detail"]["changes"][0]["after"]
    assert after["distinct_ids"] == [f"id {number}" for number in range(5)]
    assert after["distinct_ids_count"] == len(ids)


async def test_what_a_job_did_names_the_job(client: Client, pool: Pool, shop: Project) -> None:
    job = uuid4()
    await log(pool, shop, told(1, ActivityKind.DELETED, cause=Cause(request_id=job)), told(2))
    unexplained, by_job = await lines(client)
    assert by_job["user"]["is_system"] is True
    assert by_job["detail"]["trigger"] == {"job_type": "job", "job_id": str(job), "payload": {}}
    assert unexplained["detail"]["trigger"] is None


async def test_pages_lead_to_one_another(client: Client, pool: Pool, shop: Project) -> None:
    await log(pool, shop, *(told(number) for number in range(1, 26)))
    url = f"http://testserver{PATH}/activity"
    first = (await client.get(url)).json()
    assert [line["item_id"] for line in first["results"]] == [str(n) for n in range(25, 15, -1)]
    assert first["total_count"] == 25
    assert (first["next"], first["previous"]) == (f"{url}?page=2&limit=10", None)
    second = (await client.get(first["next"])).json()
    assert second["next"] == f"{url}?page=3&limit=10"
    assert second["previous"] == f"{url}?page=1&limit=10"
    third = (await client.get(second["next"])).json()
    assert [line["item_id"] for line in third["results"]] == ["5", "4", "3", "2", "1"]
    assert (third["next"], third["previous"]) == (None, f"{url}?page=2&limit=10")


async def test_pages_of_a_family_are_in_one_order(
    client: Client, people: People, pool: Pool, shop: Project
) -> None:
    root, _ = await people.add("root")
    leaf, _ = await people.add("leaf", merged_into=root)
    await log(pool, shop, *(told(leaf if number % 3 else root) for number in range(20)))
    pages = [await lines(client, root, page=page, limit=6) for page in (1, 2, 3, 4)]
    assert [len(page) for page in pages] == [6, 6, 6, 2]
    assert [line["id"] for page in pages for line in page] == [
        line["id"] for line in await lines(client, root, limit=100)
    ]
    answer = await client.get(f"{PATH}/{root}/activity?limit=6")
    assert answer.json()["total_count"] == 20


@pytest.mark.parametrize("page", ["2", "999", "99999999999999999999999"])
async def test_a_page_after_the_last_is_empty(
    client: Client, people: People, pool: Pool, shop: Project, page: str
) -> None:
    person_id, _ = await people.add("ada")
    await log(pool, shop, told(person_id))
    for path in (f"{PATH}/activity", f"{PATH}/{person_id}/activity"):
        body = (await client.get(path, params={"page": page})).json()
        assert (body["results"], body["next"], body["total_count"]) == ([], None, 1)
        assert body["previous"] is not None


@pytest.mark.parametrize("attr", ["page", "limit"])
@pytest.mark.parametrize(
    ("value", "detail"),
    [
        ("x", "A valid integer is required."),
        ("1.5", "A valid integer is required."),
        ("0", "Ensure this value is greater than or equal to 1."),
        ("-1", "Ensure this value is greater than or equal to 0."),
        ("\0", "A valid integer is required."),
    ],
)
async def test_a_bad_number(
    client: Client, people: People, attr: str, value: str, detail: str
) -> None:
    person_id, _ = await people.add("ada")
    for path in (f"{PATH}/activity", f"{PATH}/{person_id}/activity"):
        answer = await client.get(path, params={attr: value})
        assert (answer.status_code, answer.json()) == (
            400,
            {
                "type": "validation_error",
                "code": "invalid_input",
                "detail": detail,
                "attr": attr,
            },
        )


async def test_a_page_has_a_limit(client: Client, pool: Pool, shop: Project) -> None:
    await log(pool, shop, *(told(number) for number in range(ROWS_MAX + 5)))
    body = (await client.get(f"{PATH}/activity?limit=9999999")).json()
    assert len(body["results"]) == ROWS_MAX
    assert body["next"].endswith(f"?limit={ROWS_MAX}&page=2")


async def test_another_projects_activity_is_not_shown(
    client: Client, strangers: People, other: Project
) -> None:
    stranger, _ = await strangers.add("ada")
    path = f"/api/projects/{other.id}/persons"
    await client.patch(f"{path}/{stranger}", json={"properties": {"a": 1}})
    assert await lines(client) == []
    assert (await client.get(f"{PATH}/{stranger}/activity")).status_code == 404
    assert (await client.get(f"{path}/activity")).json()["total_count"] == 1


async def test_the_scope_of_its_own(client: Client, pool: Pool, people: People) -> None:
    person_id, _ = await people.add("ada")
    async with pool.connection() as conn:
        for scope in ("person:write", "activity_log:read", "activity_log:write"):
            await api_key.insert(conn, f"phx_{scope}", label="", scopes=[scope], project_id=None)
    for path in (f"{PATH}/activity", f"{PATH}/{person_id}/activity"):
        for scope, status in (
            ("person:write", 403),
            ("activity_log:read", 200),
            ("activity_log:write", 200),
        ):
            answer = await client.get(path, headers={"Authorization": f"Bearer phx_{scope}"})
            assert answer.status_code == status
        assert (await client.get(path, headers={"Authorization": ""})).status_code == 401
        assert (await client.post(path)).status_code == 405


async def test_an_unknown_or_malformed_person(client: Client) -> None:
    assert (await client.get(f"{PATH}/{uuid4()}/activity")).status_code == 404
    assert (await client.get(f"{PATH}/ada/activity")).status_code == 400


async def test_csv_has_the_page(client: Client, people: People) -> None:
    person_id, _ = await people.add("ada", plan="free")
    for plan in ("a", "b", "=1+1"):
        await client.patch(f"{PATH}/{person_id}", json={"properties": {"plan": plan}})
    answer = await client.get(f"{PATH}/activity?format=csv&limit=2")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    header, newest, older, end = answer.text.split("\r\n")
    assert "detail.changes.0.after.plan,detail.changes.0.before.plan" in header
    assert ",'=1+1," in newest
    assert ",b," in older
    assert end == ""


async def test_csv_of_all_lines(
    client: Client, people: People, pool: Pool, shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("personhood.api.activity.EXPORT_ROWS", 7)
    person_id, _ = await people.add("ada")
    await log(pool, shop, *(told(person_id) for _ in range(30)))
    await client.patch(f"{PATH}/{person_id}", json={"properties": {"oldest\r\nkey": 1}})
    await log(pool, shop, *(told(person_id) for _ in range(30)))
    whole = await client.get(f"{PATH}/activity?format=csv&limit=100")
    for path in (f"{PATH}/activity", f"{PATH}/{person_id}/activity", f"{PATH}/activity/"):
        answer = await client.get(f"{path}?all=true", headers={"Accept": "text/csv"})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert answer.text == whole.text
    assert (await client.get(f"{PATH}/activity?format=csv&all=maybe")).status_code == 400


async def test_csv_has_no_more_columns_than_a_spreadsheet(
    client: Client, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("personhood.http.export.COLUMNS_MAX", 20)
    person_id, _ = await people.add("ada")
    properties = {f"key {number}": number for number in range(20)}
    await client.patch(f"{PATH}/{person_id}", json={"properties": properties})
    answer = await client.get(f"{PATH}/activity?all=true", headers={"Accept": "text/csv"})
    assert (answer.status_code, answer.content) == (400, b"")


async def test_csv_of_no_lines_is_empty(client: Client) -> None:
    answer = await client.get(f"{PATH}/activity?format=csv&all=true")
    assert (answer.status_code, answer.content) == (200, b"")
