"""Cohorts: GET, POST /cohorts; GET, PATCH, PUT, DELETE /cohorts/:id."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from personhood import cohorts
from personhood.model import Project
from personhood.store.pool import Pool
from tests.api.conftest import Client, People
from tests.api.skeleton import broken_bodies, needs, refuses_body

PATH = "/api/projects/@current/cohorts"


async def make(client: Client, **body: Any) -> dict[str, Any]:
    answer = await client.post(PATH + "/", json={"name": "Testers", **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def members(client: Client, id: int) -> list[str]:
    answer = await client.get(f"{PATH}/{id}/persons")
    assert answer.status_code == 200, answer.text
    return [row["name"] for row in answer.json()["results"]]


@pytest.mark.parametrize("prefix", ["projects", "environments"])
async def test_a_cohort_is_made_of_lists(client: Client, people: People, prefix: str) -> None:
    _, ada = await people.add("ada")
    await people.add("eve", "eve2")
    await people.add("bob")
    unknown = uuid4()
    path = f"/api/{prefix}/1/cohorts"
    answer = await client.post(
        path + "/",
        json={
            "name": " Testers ",
            "description": "All of them.",
            "is_static": True,
            "persons": [str(ada).upper(), str(unknown), str(ada)],
            "distinct_ids": ["eve", "nobody", "eve2", "ada"],
        },
    )
    assert answer.status_code == 200
    made = answer.json()
    assert datetime.fromisoformat(made["created_at"]).tzinfo
    assert made == {
        "id": made["id"],
        "name": "Testers",
        "description": "All of them.",
        "groups": [],
        "deleted": False,
        "filters": None,
        "query": None,
        "version": None,
        "pending_version": None,
        "is_calculating": False,
        "created_by": {"id": made["created_by"]["id"], "first_name": "all", "email": None},
        "created_at": made["created_at"],
        "last_calculation": None,
        "errors_calculating": 0,
        "last_error_message": None,
        "count": 2,
        "is_static": True,
        "cohort_type": "static",
        "experiment_set": [],
        "unknown_persons": [str(unknown)],
        "unknown_distinct_ids": ["nobody"],
    }
    told = {key: value for key, value in made.items() if not key.startswith("unknown")}
    assert (await client.get(f"{path}/{made['id']}/")).json() == told
    assert await members(client, made["id"]) == ["eve", "ada"]


async def test_the_list_may_have_the_name_that_clients_give_it(
    client: Client, people: People
) -> None:
    _, ada = await people.add("ada")
    made = await make(client, _create_static_person_ids=[str(ada)], groups=[], query=None)
    assert made["count"] == 1


@pytest.mark.parametrize(
    "body",
    [{}, {"persons": []}, {"persons": None, "distinct_ids": None, "is_static": None}],
)
async def test_without_members_it_is_empty(client: Client, body: dict[str, Any]) -> None:
    made = await make(client, **body)
    assert made["count"] == 0
    assert await members(client, made["id"]) == []


async def test_a_long_list_goes_in_by_batches(
    client: Client, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cohorts, "BATCH", 3)
    uuids = [str((await people.add(f"id-{n}"))[1]) for n in range(10)]
    made = await make(client, persons=uuids, distinct_ids=[f"id-{n}" for n in range(5, 12)])
    assert made["count"] == 10
    assert made["unknown_distinct_ids"] == ["id-10", "id-11"]


async def test_a_list_of_fifty_thousand_is_no_trouble(client: Client, people: People) -> None:
    await people.add("id-7")
    texts = [f"id-{n}" for n in range(50_000)]
    made = await make(client, distinct_ids=texts, persons=[str(UUID(int=n)) for n in range(9000)])
    assert made["count"] == 1
    assert made["unknown_distinct_ids"] == [text for text in texts if text != "id-7"]
    assert len(made["unknown_persons"]) == 9000


async def test_a_merged_member_counts_as_its_root(client: Client, people: People) -> None:
    root, uuid = await people.add("root")
    middle, merged = await people.add("middle", merged_into=root)
    await people.add("leaf", merged_into=middle)
    cohort = await make(client, distinct_ids=["leaf"], persons=[str(merged)])
    assert cohort["unknown_persons"] == []
    assert cohort["count"] == 1
    assert await members(client, cohort["id"]) == ["root"]
    cohort = await make(client, distinct_ids=["leaf", "root"], persons=[str(uuid)])
    assert cohort["count"] == 1
    assert await members(client, cohort["id"]) == ["root"]


async def test_members_that_merge_become_one_and_part_again(client: Client, people: People) -> None:
    a, _ = await people.add("a")
    b, _ = await people.add("b")
    await people.add("c")
    cohort = await make(client, distinct_ids=["a", "b"])
    path = f"{PATH}/{cohort['id']}"
    sql = "UPDATE person SET merged_into_id = %s WHERE id = %s"
    await people.conn.execute(sql, (a, b))
    assert (await client.get(path)).json()["count"] == 1
    assert await members(client, cohort["id"]) == ["a"]
    await people.conn.execute(sql, (None, b))
    assert (await client.get(path)).json()["count"] == 2
    assert await members(client, cohort["id"]) == ["b", "a"]


async def test_a_deleted_person_is_no_member(client: Client, people: People) -> None:
    await people.add("a")
    b, _ = await people.add("b")
    await people.add("leaf", merged_into=b)
    cohort = await make(client, distinct_ids=["a", "b", "leaf"])
    assert cohort["count"] == 2
    answer = await client.delete(f"/api/projects/@current/persons/{b}")
    assert answer.status_code == 204
    assert (await client.get(f"{PATH}/{cohort['id']}")).json()["count"] == 1
    assert await members(client, cohort["id"]) == ["a"]


async def test_another_projects_persons_are_unknown(
    client: Client, people: People, strangers: People
) -> None:
    _, eve = await strangers.add("eve")
    made = await make(client, persons=[str(eve)], distinct_ids=["eve"])
    assert made["count"] == 0
    assert made["unknown_persons"] == [str(eve)]
    assert made["unknown_distinct_ids"] == ["eve"]


FREE = {"key": "plan", "value": "free", "type": "person"}


@pytest.mark.parametrize(
    "properties", [[FREE], {"type": "AND", "values": [{"type": "OR", "values": [FREE]}]}]
)
async def test_a_cohort_is_made_of_a_filter(
    client: Client, people: People, strangers: People, properties: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(cohorts, "BATCH", 2)
    for n in range(7):
        await people.add(f"id-{n}", plan="free" if n != 3 else "scale")
    await strangers.add("eve", plan="free")
    made = await make(client, filters={"properties": properties})
    assert made["filters"] == {"properties": properties}
    assert made["count"] == 6
    assert (made["unknown_persons"], made["unknown_distinct_ids"]) == ([], [])
    await people.add("late", plan="free")
    assert await members(client, made["id"]) == ["id-6", "id-5", "id-4", "id-2", "id-1", "id-0"]


async def test_a_cohort_of_a_cohort(client: Client, people: People) -> None:
    await people.add("ada")
    await people.add("eve")
    first = await make(client, distinct_ids=["ada"])
    member = {"key": "id", "type": "cohort", "value": first["id"]}
    second = await make(client, filters={"properties": [member]})
    assert await members(client, second["id"]) == ["ada"]


@pytest.mark.parametrize("filters", [None, {}, {"properties": {"type": "OR", "values": []}}])
async def test_a_filter_of_nothing_chooses_nobody(
    client: Client, people: People, filters: Any
) -> None:
    await people.add("ada")
    assert (await make(client, filters=filters))["count"] == 0
    assert (await make(client, filters=filters, distinct_ids=["ada"]))["count"] == 1


@pytest.mark.parametrize(
    "body",
    [
        {"filters": []},
        {"filters": "x"},
        {"filters": {"properties": "{"}},
        {"filters": {"properties": 7}},
        {"filters": {"properties": [{"key": "plan", "type": "person"}]}},
        {"filters": {"properties": [{"key": "x", "type": "behavioral", "value": "y"}]}},
        {"filters": {"properties": [{**FREE, "operator": "nonsense"}]}},
        {"filters": {"properties": [{**FREE, "operator": "regex", "value": "("}]}},
        {"filters": {"properties": [FREE]}, "distinct_ids": ["ada"]},
    ],
)
async def test_bad_filters_make_nothing(
    client: Client, people: People, body: dict[str, Any]
) -> None:
    await people.add("ada", plan="free")
    answer = await client.post(PATH, json={"name": "Testers", **body})
    assert answer.status_code == 400, answer.text
    assert (await client.get(PATH)).json()["count"] == 0


async def test_the_list_of_cohorts(client: Client, people: People) -> None:
    await people.add("ada")
    for n in range(3):
        await make(client, name=f"Cohort {n}", distinct_ids=["ada"][: n % 2])
    page = (await client.get(PATH)).json()
    assert (page["count"], page["next"], page["previous"]) == (3, None, None)
    assert [(row["name"], row["count"]) for row in page["results"]] == [
        ("Cohort 2", 0),
        ("Cohort 1", 1),
        ("Cohort 0", 0),
    ]
    assert page["results"][1] == (await client.get(f"{PATH}/{page['results'][1]['id']}")).json()


async def test_pages_of_cohorts_lead_to_one_another(client: Client) -> None:
    for n in range(5):
        await make(client, name=str(n))
    url, names = f"{PATH}/?limit=2", []
    while url:
        page = (await client.get(url)).json()
        assert page["count"] == 5
        names += [row["name"] for row in page["results"]]
        url = page["next"]
    assert names == ["4", "3", "2", "1", "0"]


@pytest.mark.parametrize(
    ("search", "found"),
    [("BETA", ["Beta"]), ("%", ["100%"]), ("t", ["Beta"]), ("x", []), ("", ["100%", "Beta"])],
)
async def test_cohorts_are_found_by_name(client: Client, search: str, found: list[str]) -> None:
    await make(client, name="Beta")
    await make(client, name="100%")
    page = (await client.get(PATH, params={"search": search})).json()
    assert [row["name"] for row in page["results"]] == found
    assert page["count"] == len(found)


async def test_a_nul_in_a_search_finds_nothing(client: Client) -> None:
    await make(client)
    assert (await client.get(PATH, params={"search": "\0"})).json()["count"] == 0


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_a_cohort_is_renamed(client: Client, people: People, method: str) -> None:
    await people.add("ada")
    made = await make(client, distinct_ids=["ada"], description="old")
    path = f"{PATH}/{made['id']}/"
    answer = await client.request(method, path, json={"name": "New"})
    assert answer.status_code == 200
    assert answer.json()["name"] == "New"
    assert answer.json()["description"] == "old"
    assert answer.json()["count"] == 1
    # As it was read, it can be sent back.
    again = await client.request(method, path, json={**answer.json(), "description": ""})
    assert again.json() == {**answer.json(), "description": ""}
    assert (await client.get(path)).json() == again.json()


async def test_a_cohort_is_deleted(client: Client, people: People) -> None:
    await people.add("ada")
    first, second = [await make(client, distinct_ids=["ada"]) for _ in range(2)]
    answer = await client.delete(f"{PATH}/{first['id']}/")
    assert answer.status_code == 204
    assert answer.content == b""
    answer = await client.patch(f"{PATH}/{second['id']}", json={"deleted": True})
    assert answer.status_code == 200
    assert answer.json()["deleted"] is True
    for cohort in (first, second):
        for method in ("GET", "DELETE", "PATCH"):
            answer = await client.request(method, f"{PATH}/{cohort['id']}")
            assert answer.status_code == 404
    assert (await client.get(PATH)).json()["count"] == 0
    cursor = await people.conn.execute("SELECT count(*) FROM cohort_person")
    assert await cursor.fetchone() == (0,)


@pytest.mark.parametrize("id", ["0", "999999", "x", "-1", "1.5", "9" * 40, "١", "%00"])
async def test_an_unknown_cohort(client: Client, id: str) -> None:
    for method, path in (
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("GET", "/persons"),
        ("POST", "/add_persons_to_static_cohort"),
        ("POST", "/remove_person_from_static_cohort"),
    ):
        answer = await client.request(method, f"{PATH}/{id}{path}")
        assert answer.status_code == 404, (method, path)
        assert answer.json()["code"] == "not_found"


async def test_another_projects_cohort_is_unknown(client: Client, other: Project) -> None:
    made = await make(client)
    theirs = f"/api/projects/{other.id}/cohorts"
    for method in ("GET", "PATCH", "DELETE"):
        answer = await client.request(
            method, f"{theirs}/{made['id']}", json={"name": "x", "deleted": True}
        )
        assert answer.status_code == 404
    assert (await client.get(theirs)).json()["results"] == []
    assert (await client.get(f"{PATH}/{made['id']}")).json()["name"] == "Testers"


BAD = [
    ({"name": None}, "name", "required"),
    ({"name": ""}, "name", "blank"),
    ({"name": "  "}, "name", "blank"),
    ({"name": 7}, "name", "invalid_input"),
    ({"name": ["x"]}, "name", "invalid_input"),
    ({"name": "x" * 401}, "name", "max_length"),
    ({"description": 7}, "description", "invalid_input"),
    ({"description": "x" * 1001}, "description", "max_length"),
    ({"is_static": False}, "is_static", "invalid_input"),
    ({"is_static": "true"}, "is_static", "invalid_input"),
    ({"persons": "x"}, "persons", "invalid_input"),
    ({"persons": {}}, "persons", "invalid_input"),
    ({"persons": ["x"]}, "persons", "invalid_input"),
    ({"persons": [7]}, "persons", "invalid_input"),
    ({"persons": [None]}, "persons", "invalid_input"),
    ({"persons": [[]]}, "persons", "invalid_input"),
    ({"distinct_ids": "x"}, "distinct_ids", "invalid_input"),
    ({"distinct_ids": [7]}, "distinct_ids", "invalid_input"),
    ({"distinct_ids": [None]}, "distinct_ids", "invalid_input"),
]


@pytest.mark.parametrize(("body", "attr", "code"), BAD)
async def test_bad_fields_make_nothing(
    client: Client, body: dict[str, Any], attr: str, code: str
) -> None:
    answer = await client.post(PATH, json={"name": "Testers", **body})
    assert answer.status_code == 400
    assert (answer.json()["attr"], answer.json()["code"]) == (attr, code)
    assert (await client.get(PATH)).json()["count"] == 0


@pytest.mark.parametrize(
    "body",
    [{"name": ""}, {"name": 7}, {"description": []}, {"deleted": "yes"}, {"is_static": False}],
)
async def test_bad_fields_change_nothing(client: Client, body: dict[str, Any]) -> None:
    made = await make(client)
    answer = await client.patch(f"{PATH}/{made['id']}", json={"name": "New", **body})
    assert answer.status_code == 400
    assert (await client.get(f"{PATH}/{made['id']}")).json()["name"] == "Testers"


async def test_nul_in_texts_is_kept_as_a_replacement(client: Client) -> None:
    made = await make(client, name="a\0b", description="c\0d", distinct_ids=["e\0f"])
    assert made["name"] == "a\ufffdb"
    assert made["unknown_distinct_ids"] == ["e\ufffdf"]


@pytest.mark.parametrize("query", ["limit=x", "offset=-1", "limit=1.5"])
async def test_bad_pages(client: Client, query: str) -> None:
    answer = await client.get(f"{PATH}?{query}")
    assert answer.status_code == 400
    assert answer.json()["attr"] == query.partition("=")[0]


@pytest.mark.parametrize(
    ("method", "path", "scopes"),
    [
        ("GET", "", ["cohort:read"]),
        ("POST", "", ["cohort:write"]),
        ("GET", "/1", ["cohort:read"]),
        ("PATCH", "/1", ["cohort:write"]),
        ("PUT", "/1", ["cohort:write"]),
        ("DELETE", "/1", ["cohort:write"]),
        ("GET", "/1/persons", ["cohort:read", "person:read"]),
        ("POST", "/1/add_persons_to_static_cohort", ["cohort:write"]),
        ("PATCH", "/1/remove_person_from_static_cohort", ["cohort:write"]),
    ],
)
async def test_they_need_a_key_and_its_scopes(
    client: Client, pool: Pool, method: str, path: str, scopes: list[str]
) -> None:
    await needs(client, pool, *scopes, method=method, path=PATH + path)


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", ""), ("PATCH", ""), ("POST", "/1"), ("POST", "/1/persons")],
)
async def test_the_wrong_method(client: Client, method: str, path: str) -> None:
    assert (await client.request(method, PATH + path)).status_code == 405


@broken_bodies
async def test_a_bad_body(client: Client, content: str, type: str, status: int, code: str) -> None:
    await refuses_body(client, PATH, content, type, status, code)
    assert (await client.get(PATH)).json()["count"] == 0
