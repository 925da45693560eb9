"""CSV of any endpoint, without work of its own (contract: persons-api, 8.4 and 9)."""

import pytest
from litestar import Litestar

from personhood.model import Project
from tests.api.conftest import HEADERS, Client, People

EMPTY = (b"", "text/csv; charset=utf-8")


@pytest.fixture
async def merged(people: People) -> int:
    """The integer id of a person that two others were merged into, all of it in the merge list."""
    target, _ = await people.add("target")
    for name in ("one", "two"):
        source, _ = await people.add(name, merged_into=target)
        await people.conn.execute(
            """
            INSERT INTO merge (project_id, source_id, target_id, source_leaf_id, target_leaf_id,
                               source_version, target_version, at)
            VALUES (%s, %s, %s, %s, %s, 1, 1, '2024-05-01 12:00:00.5Z')
            """,
            (people.project_id, source, target, source, target),
        )
    return target


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("merges?format=csv", "*/*"),
        ("merges/?format=csv", "application/json"),
        ("merges.csv", "application/json"),
        ("merges.csv/", "*/*"),
        ("merges.csv?format=json", "*/*"),
        ("merges", "text/csv"),
        ("merges", "text/csv, application/json;q=0.9"),
    ],
)
@pytest.mark.parametrize("prefix", ["projects", "environments"])
async def test_each_way_to_ask_for_csv(
    client: Client, merged: int, path: str, accept: str, prefix: str
) -> None:
    url = f"/api/{prefix}/1/persons/{merged}/{path}"
    answer = await client.get(url, headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == EMPTY[1]
    assert answer.headers["vary"].lower() == "accept"
    header, *rows = answer.text.split("\r\n")
    assert header == (
        "event_uuid,id,recorded_at,source.id,source.uuid,target.id,target.uuid,timestamp"
    )
    assert len(rows) == 3
    assert all(row.endswith(",2024-05-01 12:00:00.500000+00:00") for row in rows[:2])


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("merges", "*/*"),
        ("merges?format=json", "text/csv"),
        ("merges.json", "text/csv"),
        ("merges.json?format=csv", "*/*"),
        ("merges", "text/csv, */*"),
    ],
)
async def test_each_way_to_ask_for_json(
    client: Client, merged: int, path: str, accept: str
) -> None:
    url = f"/api/projects/1/persons/{merged}/{path}"
    answer = await client.get(url, headers={"Accept": accept})
    assert answer.status_code == 200
    assert len(answer.json()["results"]) == 2


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        ("merges?format=xml", "*/*", 404),
        ("merges?format=xml", "text/csv", 404),
        ("merges.csv?format=xml", "image/png", 406),
        ("merges.xml", "*/*", 404),
        ("merges", "image/png", 406),
        ("merges?format=csv", "image/png", 406),
    ],
)
async def test_what_is_not_made_is_refused_in_json(
    client: Client, merged: int, path: str, accept: str, status: int
) -> None:
    url = f"/api/projects/1/persons/{merged}/{path}"
    answer = await client.get(url, headers={"Accept": accept})
    assert answer.status_code == status
    assert answer.json()["code"] == {404: "not_found", 406: "not_acceptable"}[status]


async def test_the_next_page_is_told_by_a_header(client: Client, merged: int) -> None:
    answer = await client.get(f"/api/projects/1/persons/{merged}/merges.csv?limit=1")
    assert len(answer.text.splitlines()) == 2
    url = answer.links["next"]["url"]
    assert url == f"http://testserver/api/projects/1/persons/{merged}/merges.csv?limit=1&offset=1"
    last = await client.get(url)
    assert len(last.text.splitlines()) == 2
    assert "link" not in last.headers


async def test_no_rows_are_an_empty_file(client: Client, people: People) -> None:
    id, _ = await people.add("alone")
    for path in (f"persons/{id}/merges", "ingestion_warnings"):
        answer = await client.get(f"/api/projects/1/{path}.csv")
        assert (answer.content, answer.headers["content-type"]) == EMPTY
        assert answer.status_code == 200


async def test_an_answer_without_results_is_an_empty_body(client: Client, people: People) -> None:
    id, uuid = await people.add("ada", email="ada@example.com")
    for path in (f"persons/{id}.csv", f"persons/{uuid}.csv", f"persons/{id}?format=csv"):
        answer = await client.get(f"/api/projects/1/{path}")
        assert (answer.content, answer.headers["content-type"]) == EMPTY
        assert answer.status_code == 200
        assert answer.headers["content-length"] == "0"
    answer = await client.patch(
        f"/api/projects/1/persons/{id}.csv", json={"properties": {"plan": "free"}}
    )
    assert (answer.content, answer.status_code) == (b"", 200)
    shown = await client.get(f"/api/projects/1/persons/{id}.json")
    assert shown.json()["properties"]["plan"] == "free"


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("persons/0.csv", True, 404),
        ("persons/nobody.csv", True, 400),
        ("persons/0/merges.csv?limit=x", True, 400),
        ("persons/0?format=csv", False, 401),
    ],
)
async def test_a_refusal_is_its_status_and_an_empty_body(
    client: Client, path: str, key: bool, status: int
) -> None:
    headers = {} if key else {"Authorization": ""}
    answer = await client.get(f"/api/projects/1/{path}", headers=headers)
    assert answer.status_code == status
    assert (answer.content, answer.headers["content-type"]) == EMPTY


async def test_one_answer_in_csv_leaves_the_next_in_json(client: Client) -> None:
    assert (await client.get("/api/projects/1/persons/0.csv")).content == b""
    for path in ("persons/0", "nothing/at/all", "persons"):
        answer = await client.get(f"/api/projects/1/{path}")
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()


@pytest.mark.parametrize(
    "path",
    ["/api/schema/openapi.json", "/_liveness"],
)
async def test_paths_outside_the_api_keep_their_names(client: Client, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 200
    assert "vary" not in answer.headers


async def test_flag_definitions_are_json_only(client: Client, shop: Project) -> None:
    path = f"/api/feature_flag/local_evaluation?token={shop.token}"
    assert (await client.get(path)).status_code == 200
    for ask, headers, status in (("", {"Accept": "text/csv"}, 406), ("&format=csv", {}, 404)):
        answer = await client.get(path + ask, headers={**HEADERS, **headers})
        assert answer.status_code == status
        assert answer.json()["code"]


async def test_another_project_keeps_its_rows(
    client: Client, merged: int, strangers: People, app: Litestar
) -> None:
    url = f"/api/projects/{strangers.project_id}/persons/{merged}/merges.csv"
    answer = await client.get(url)
    assert (answer.status_code, answer.content) == (404, b"")
