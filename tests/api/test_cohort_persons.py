"""Who is in a cohort: /cohorts/:id/persons, /add_…, /remove_…; and GET /persons/cohorts (2.5)."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from personhood.model import Project
from personhood.store.pool import Pool
from tests.api.conftest import Client, People
from tests.api.skeleton import broken_bodies, needs, refuses_body
from tests.api.test_cohorts import PATH, make, members

PERSONS = "/api/projects/@current/persons"
OF_PERSON = f"{PERSONS}/cohorts"
NOBODY = "5f0c2f3e-9c3d-4f57-8a52-2f2b0c9d1e77"


@pytest.mark.parametrize("prefix", ["projects", "environments"])
async def test_the_persons_of_a_cohort_are_rows(
    client: Client, people: People, prefix: str
) -> None:
    await people.add("ada", plan="scale")
    await people.add("eve")
    made = await make(client, distinct_ids=["ada"])
    answer = await client.get(f"/api/{prefix}/1/cohorts/{made['id']}/persons/")
    assert answer.status_code == 200
    rows = (await client.get(f"{PERSONS}/?distinct_id=ada")).json()["results"]
    assert answer.json() == {"results": rows, "next": None, "previous": None}


async def test_pages_of_persons_lead_to_one_another(client: Client, people: People) -> None:
    names = [f"id-{n}" for n in range(5)]
    for name in names:
        await people.add(name)
    made = await make(client, distinct_ids=names)
    url, found = f"{PATH}/{made['id']}/persons?limit=2", []
    while url:
        page = (await client.get(url)).json()
        found += [row["name"] for row in page["results"]]
        url = page["next"]
    assert found == names[::-1]


async def test_the_persons_of_a_cohort_are_searched_and_filtered(
    client: Client, people: People
) -> None:
    await people.add("ada", plan="free", email="ada@a.b")
    await people.add("eve", plan="scale", email="eve@a.b")
    await people.add("adam", plan="free", email="adam@a.b")
    made = await make(client, distinct_ids=["ada", "eve"])
    path = f"{PATH}/{made['id']}/persons"

    async def names(**query: str) -> list[str]:
        answer = await client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return [row["name"] for row in answer.json()["results"]]

    assert await names(search="ada@") == ["ada@a.b"]
    assert await names(search="a.b", limit="1") == ["eve@a.b"]
    free = '[{"key": "plan", "value": "free", "type": "person"}]'
    assert await names(properties=free) == ["ada@a.b"]
    assert await names(properties=free, search="eve@") == []
    assert (await client.get(path, params={"properties": "{"})).status_code == 400
    page = (await client.get(path, params={"search": "a.b", "limit": "1"})).json()
    assert [row["name"] for row in (await client.get(page["next"])).json()["results"]] == [
        "ada@a.b"
    ]


async def test_ten_distinct_ids_are_told_of_a_person(client: Client, people: People) -> None:
    await people.add(*(f"id-{n}" for n in range(12)))
    made = await make(client, distinct_ids=["id-0"])
    [row] = (await client.get(f"{PATH}/{made['id']}/persons")).json()["results"]
    assert row["distinct_ids"] == [f"id-{n}" for n in range(10)]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_persons_are_put_in_and_taken_out(
    client: Client, people: People, method: str
) -> None:
    _, ada = await people.add("ada")
    await people.add("eve")
    made = await make(client, distinct_ids=["ada"])
    path = f"{PATH}/{made['id']}"
    unknown = str(uuid4())
    answer = await client.request(
        method,
        f"{path}/add_persons_to_static_cohort/",
        json={"person_ids": [str(ada), unknown], "distinct_ids": ["eve", "nobody"]},
    )
    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "unknown_persons": [unknown],
        "unknown_distinct_ids": ["nobody"],
    }
    assert await members(client, made["id"]) == ["eve", "ada"]
    for _ in range(2):  # the second time it is out already
        answer = await client.request(
            method, f"{path}/remove_person_from_static_cohort/", json={"person_id": str(ada)}
        )
        assert answer.status_code == 200
        assert answer.json() == {"success": True}
        assert await members(client, made["id"]) == ["eve"]


async def test_a_person_is_taken_out_under_every_name_it_was_put_in(
    client: Client, people: People
) -> None:
    root, uuid = await people.add("root")
    middle, _ = await people.add("middle", merged_into=root)
    await people.add("leaf", merged_into=middle)
    made = await make(client, distinct_ids=["root", "leaf", "middle"])
    answer = await client.post(
        f"{PATH}/{made['id']}/remove_person_from_static_cohort", json={"person_id": str(uuid)}
    )
    assert answer.status_code == 200
    assert await members(client, made["id"]) == []


async def test_many_put_the_same_persons_in_at_once(client: Client, people: People) -> None:
    names = [f"id-{n}" for n in range(30)]
    for name in names:
        await people.add(name)
    made = await make(client)
    path = f"{PATH}/{made['id']}/add_persons_to_static_cohort"
    answers = await asyncio.gather(
        *(
            client.post(path, json={"distinct_ids": names[::step]})
            for step in (1, -1, 2, -2, 3, -3, 1, -1)
        )
    )
    assert {answer.status_code for answer in answers} == {200}
    assert (await client.get(f"{PATH}/{made['id']}")).json()["count"] == 30


async def test_who_is_deleted_while_being_put_in_leaves_nothing(
    client: Client, people: People
) -> None:
    made = await make(client)
    path = f"{PATH}/{made['id']}/add_persons_to_static_cohort"
    for n in range(10):
        id, uuid = await people.add(f"id-{n}")
        added, deleted = await asyncio.gather(
            client.post(path, json={"person_ids": [str(uuid)]}),
            client.delete(f"{PERSONS}/{id}"),
        )
        assert added.status_code in (200, 400)
        assert deleted.status_code == 204
    cursor = await people.conn.execute("SELECT count(*) FROM cohort_person")
    assert await cursor.fetchone() == (0,)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({}, "person_ids must be a list"),
        ({"person_ids": None}, "person_ids must be a list"),
        ({"person_ids": "x"}, "person_ids must be a list"),
        ({"person_ids": {}}, "person_ids must be a list"),
        ({"person_ids": []}, "person_ids cannot be empty"),
        ({"person_ids": ["x"]}, "One or more UUIDs are invalid."),
        ({"person_ids": [7]}, "One or more UUIDs are invalid."),
        ({"person_ids": [NOBODY]}, "No valid users to add to cohort"),
        ({"distinct_ids": ["nobody", "a\0b"]}, "No valid users to add to cohort"),
        ({"distinct_ids": [7]}, "must be a list of strings"),
        ({"distinct_ids": "ada"}, "must be a list of strings"),
    ],
)
async def test_bad_additions_change_nothing(
    client: Client, people: People, body: dict[str, Any], detail: str
) -> None:
    await people.add("ada")
    made = await make(client)
    path = f"{PATH}/{made['id']}/add_persons_to_static_cohort"
    answer = await client.post(path, json=body)
    assert answer.status_code == 400
    assert answer.json()["detail"] == detail
    assert await members(client, made["id"]) == []


@pytest.mark.parametrize(
    ("person_id", "status", "detail"),
    [
        (None, 400, "person_id is required"),
        ("", 400, "person_id is required"),
        (7, 400, "person_id must be a string"),
        (["x"], 400, "person_id must be a string"),
        ("x", 400, "person_id must be a valid UUID"),
        ("\0", 400, "person_id must be a valid UUID"),
        (NOBODY, 404, "Person with this UUID does not exist in the cohort's team"),
    ],
)
async def test_bad_removals(client: Client, person_id: Any, status: int, detail: str) -> None:
    made = await make(client)
    path = f"{PATH}/{made['id']}/remove_person_from_static_cohort"
    answer = await client.post(path, json={"person_id": person_id})
    assert answer.status_code == status
    assert answer.json()["detail"] == detail


async def test_another_projects_persons_stay_out(
    client: Client, people: People, strangers: People, other: Project
) -> None:
    _, eve = await strangers.add("eve")
    made = await make(client)
    path = f"{PATH}/{made['id']}"
    added = await client.post(
        f"{path}/add_persons_to_static_cohort", json={"person_ids": [str(eve)]}
    )
    assert added.status_code == 400
    removed = await client.post(
        f"{path}/remove_person_from_static_cohort", json={"person_id": str(eve)}
    )
    assert removed.status_code == 404
    # Nor does the other project reach into the cohort.
    theirs = f"/api/projects/{other.id}/cohorts/{made['id']}"
    assert (await client.get(f"{theirs}/persons")).status_code == 404
    added = await client.post(
        f"{theirs}/add_persons_to_static_cohort", json={"person_ids": [str(eve)]}
    )
    assert added.status_code == 404


@broken_bodies
@pytest.mark.parametrize("verb", ["add_persons_to", "remove_person_from"])
async def test_a_bad_body(
    client: Client, verb: str, content: str, type: str, status: int, code: str
) -> None:
    made = await make(client)
    path = f"{PATH}/{made['id']}/{verb}_static_cohort"
    await refuses_body(client, path, content, type, status, code)


async def cohorts_of(client: Client, person_id: object) -> list[dict[str, Any]]:
    answer = await client.get(OF_PERSON, params={"person_id": str(person_id)})
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


async def test_the_cohorts_of_a_person(client: Client, people: People) -> None:
    id, uuid = await people.add("ada")
    other_id, _ = await people.add("eve")
    first = await make(client, name="First", distinct_ids=["ada", "eve"])
    second = await make(client, name="Second", distinct_ids=["ada"])
    told = [
        {"id": first["id"], "name": "First", "count": 2},
        {"id": second["id"], "name": "Second", "count": 1},
    ]
    assert await cohorts_of(client, id) == await cohorts_of(client, uuid) == told
    assert await cohorts_of(client, other_id) == told[:1]
    path = f"/api/environments/1/persons/cohorts/?person_id={id}"
    assert (await client.get(path)).json() == {"results": told}


async def test_a_root_is_in_the_cohorts_of_who_merged_into_it(
    client: Client, people: People
) -> None:
    root, _ = await people.add("root")
    middle, uuid = await people.add("middle", merged_into=root)
    await people.add("leaf", merged_into=middle)
    made = await make(client, distinct_ids=["leaf", "root"])
    assert await cohorts_of(client, root) == [{"id": made["id"], "name": "Testers", "count": 1}]
    answer = await client.get(OF_PERSON, params={"person_id": str(uuid)})
    assert answer.status_code == 404


@pytest.mark.parametrize("query", ["", "?person_id=", "?person_id"])
async def test_a_person_is_required(client: Client, query: str) -> None:
    answer = await client.get(OF_PERSON + query)
    assert answer.status_code == 400
    assert answer.json() == {
        "type": "validation_error",
        "code": "required",
        "detail": "This query parameter is required.",
        "attr": "person_id",
    }


@pytest.mark.parametrize(
    ("person_id", "status"),
    [("7777777", 404), (NOBODY, 404), ("9" * 40, 404), ("x", 400), ("\0", 400), ("1.5", 400)],
)
async def test_an_unknown_or_malformed_person(client: Client, person_id: str, status: int) -> None:
    answer = await client.get(OF_PERSON, params={"person_id": person_id})
    assert answer.status_code == status


async def test_another_projects_person_is_unknown(client: Client, strangers: People) -> None:
    id, _ = await strangers.add("eve")
    answer = await client.get(OF_PERSON, params={"person_id": str(id)})
    assert answer.status_code == 404
    assert answer.json()["detail"] == "Not found."


async def test_the_cohorts_of_a_person_need_both_scopes(client: Client, pool: Pool) -> None:
    await needs(client, pool, "person:read", "cohort:read", method="GET", path=OF_PERSON)


@pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH"])
async def test_the_wrong_method(client: Client, method: str) -> None:
    assert (await client.request(method, OF_PERSON)).status_code == 405
