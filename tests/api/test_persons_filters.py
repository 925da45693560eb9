"""Lists by property filters, by cursor and by a body (contract: persons-api, 2.1, 2.2)."""

import json
from typing import Any

import pytest

from personhood.model import Project
from personhood.store import api_key
from tests.api.conftest import Client, People

PATH = "/api/projects/@current/persons/"
SEARCH = "/api/projects/@current/persons/search/"
PREFIXES = ("/api/projects/1/persons/search", "/api/environments/1/persons/search/")


async def names(client: Client, properties: Any, **query: str) -> list[str]:
    query["properties"] = json.dumps(properties)
    answer = await client.get(PATH, params=query)
    assert answer.status_code == 200, answer.text
    body = {"properties": properties, "search": query.get("search")}
    twin = await client.post(SEARCH, json=body)
    assert twin.status_code == 200, twin.text
    assert twin.json()["results"] == answer.json()["results"]
    return [each["distinct_ids"][0] for each in answer.json()["results"]]


@pytest.fixture
async def crowd(people: People) -> dict[str, int]:
    """Ids of some persons by their distinct ids, the oldest first."""
    return {
        "ada": (await people.add("ada", plan="scale", seats=12, vip=True))[0],
        "bob": (await people.add("bob", plan="team", seats="3"))[0],
        "cyd": (await people.add("cyd", plan=None, born="1990-05-01"))[0],
    }


async def test_filters_of_a_list(client: Client, crowd: dict[str, int]) -> None:
    plan = {"key": "plan", "value": "scale", "operator": "exact", "type": "person"}
    assert await names(client, [plan]) == ["ada"]
    assert await names(client, [{**plan, "operator": "is_not"}]) == ["cyd", "bob"]
    assert await names(client, [plan, {"key": "seats", "value": 12, "operator": "gt"}]) == []
    assert await names(client, [{"key": "seats", "value": 2, "operator": "gt"}]) == ["bob", "ada"]
    assert await names(client, [{"key": "vip", "value": ["true"]}]) == ["ada"]
    assert await names(client, [{"key": "plan", "operator": "is_not_set"}]) == ["cyd"]
    born = {"key": "born", "value": "-20y", "operator": "is_date_before"}
    assert await names(client, [born]) == ["cyd"]
    either = {"type": "OR", "values": [plan, {"type": "AND", "values": [born]}]}
    assert await names(client, either) == ["cyd", "ada"]
    assert await names(client, [either], search="YD") == ["cyd"]
    assert await names(client, []) == ["cyd", "bob", "ada"]
    assert await names(client, [{"key": "plan"}]) == ["cyd", "bob", "ada"]


async def test_filters_count(client: Client, crowd: dict[str, int]) -> None:
    filters = json.dumps([{"key": "seats", "operator": "is_set"}])
    answer = await client.get(
        PATH, params={"properties": filters, "limit": "1", "include_total": ""}
    )
    assert answer.json()["count"] == 2
    assert "&offset=1" in answer.json()["next"]


async def test_members_of_a_cohort_also_those_who_were_merged(
    client: Client, people: People, crowd: dict[str, int]
) -> None:
    merged, _ = await people.add("dan", merged_into=crowd["bob"])
    await people.conn.execute(
        "INSERT INTO cohort (id, project_id, name) VALUES (5, %s, 'some')", (people.project_id,)
    )
    await people.conn.execute(
        "INSERT INTO cohort_person (cohort_id, person_id) VALUES (5, %s), (5, %s)",
        (merged, crowd["cyd"]),
    )
    cohort = {"type": "cohort", "key": "id", "value": 5}
    assert await names(client, [cohort]) == ["cyd", "bob"]
    assert await names(client, [{**cohort, "operator": "not_in"}]) == ["ada"]
    assert await names(client, [{**cohort, "negation": True}]) == ["ada"]
    either = {"type": "OR", "values": [cohort, {"key": "plan", "value": "scale"}]}
    assert await names(client, either) == ["cyd", "bob", "ada"]


async def test_a_cohort_of_another_project_is_refused(
    client: Client, people: People, strangers: People
) -> None:
    await people.conn.execute(
        "INSERT INTO cohort (id, project_id, name) VALUES (6, %s, 'theirs')",
        (strangers.project_id,),
    )
    filters = [{"type": "cohort", "key": "id", "value": 6}]
    answer = await client.post(SEARCH, json={"properties": filters})
    assert (answer.status_code, answer.json()["detail"]) == (400, "Cohort 6 does not exist.")


@pytest.mark.parametrize(
    "text", ["{", "[", "nonsense", "5", '"x"', '{"email": "ada"}', "\x00", "[" * 9999]
)
async def test_properties_that_are_no_filters_are_unparsable(client: Client, text: str) -> None:
    answer = await client.get(PATH, params={"properties": text})
    assert answer.status_code == 400
    assert answer.json() == {
        "type": "validation_error",
        "code": "invalid_input",
        "detail": "Properties are unparsable!",
        "attr": None,
    }


@pytest.mark.parametrize(
    ("filter", "detail"),
    [
        ({"key": "x", "value": "1", "type": "event"},
         'Filters of type "event" do not apply here, only "person".'),
        ({"key": "1 = 1", "type": "hogql"}, "HogQL filters are not supported."),
        ({"key": "x", "value": "(", "operator": "regex"},
         '"(": invalid regular expression: parentheses () not balanced'),
        ({"key": "x", "value": "(a{1,255}){1,255}" * 9, "operator": "regex"}, None),
        ({"key": "x", "value": 1, "operator": "between"},
         "between requires a two-element array [min, max]"),
        ({"type": "cohort", "key": "id", "value": 99}, "Cohort 99 does not exist."),
    ],
)  # fmt: skip
async def test_a_filter_that_is_wrong_is_refused(
    client: Client, people: People, filter: Any, detail: str | None
) -> None:
    await people.add("ada")
    answer = await client.get(PATH, params={"properties": json.dumps([filter])})
    refusal = answer.json()
    assert answer.status_code == 400
    assert (refusal["code"], refusal["attr"]) == ("invalid_input", "properties")
    assert detail in (None, refusal["detail"])


@pytest.mark.parametrize("text", ["", "null", "[]", "{}"])
async def test_no_properties_ask_for_nothing(client: Client, people: People, text: str) -> None:
    await people.add("ada")
    answer = await client.get(PATH, params={"properties": text})
    assert len(answer.json()["results"]) == 1


async def test_cursors_lead_through_all_pages(client: Client, people: People) -> None:
    for n in range(7):
        await people.add(f"id-{n}", even=n % 2 == 0)
    filters = json.dumps([{"key": "even", "value": True}])
    url: str | None = f"{PATH}?properties={filters}&limit=2&include_total&cursor="
    seen, lengths = [], []
    while url:
        page = (await client.get(url)).json()
        assert (page["count"], page["previous"]) == (4, None)
        seen += [each["name"] for each in page["results"]]
        lengths.append(len(page["results"]))
        url = page["next"]
        assert url is None or "offset" not in url
    assert seen == ["id-6", "id-4", "id-2", "id-0"]
    assert lengths == [2, 2]


async def test_a_person_that_a_merge_makes_older_is_listed_once(
    client: Client, people: People
) -> None:
    old, _ = await people.add("old")
    await people.add("middle")
    new, _ = await people.add("new")
    page = (await client.get(f"{PATH}?limit=1&cursor=")).json()
    await people.conn.execute("UPDATE person SET merged_into_id = %s WHERE id = %s", (new, old))
    await people.conn.execute(
        """
        UPDATE person SET created_at = (SELECT created_at FROM person WHERE id = %s) WHERE id = %s
        """,
        (old, new),
    )
    rest = (await client.get(page["next"])).json()
    assert [each["name"] for each in page["results"] + rest["results"]] == ["new", "middle"]
    assert rest["next"] is None


@pytest.mark.parametrize(
    "cursor",
    ["x", "%00", "ÿ", "MTYyOTky", "LTEuLTE", "OS45OTk5OTk5OTk5OTk5OTk5OTk5OTk5", "a" * 200],
)
async def test_a_cursor_that_is_none_of_ours_is_refused(client: Client, cursor: str) -> None:
    for answer in (
        await client.get(f"{PATH}?cursor={cursor}"),
        await client.post(SEARCH, json={"cursor": cursor}),
    ):
        assert answer.status_code == 400
        assert (answer.json()["detail"], answer.json()["attr"]) == ("Invalid cursor", "cursor")


async def test_a_cursor_and_an_offset_do_not_go_together(client: Client) -> None:
    answers = [
        await client.get(f"{PATH}?cursor=&offset=5"),
        await client.post(SEARCH, json={"cursor": "", "offset": 5}),
    ]
    for answer in answers:
        assert (answer.status_code, answer.json()["attr"]) == (400, "cursor")


@pytest.mark.parametrize("path", PREFIXES)
async def test_a_search_by_body(client: Client, crowd: dict[str, int], path: str) -> None:
    body: dict[str, Any] = {"search": " YD", "limit": 1, "include_total": True}
    answer = await client.post(path, json=body)
    assert answer.status_code == 200
    page = answer.json()
    assert list(page) == ["results", "next_cursor", "next_offset", "count"]
    assert (page["count"], page["next_offset"]) == (1, None)
    assert [each["name"] for each in page["results"]] == ["cyd"]
    assert page["next_cursor"] is None
    everybody: dict[str, Any] = {"limit": 2}
    first = (await client.post(path, json=everybody)).json()
    assert "count" not in first
    rest = (await client.post(path, json={**everybody, "cursor": first["next_cursor"]})).json()
    found = [each["distinct_ids"][0] for each in first["results"] + rest["results"]]
    assert (found, rest["next_cursor"]) == (["cyd", "bob", "ada"], None)


async def test_a_search_by_body_pages_by_offset_as_well(
    client: Client, crowd: dict[str, int]
) -> None:
    first = (await client.post(SEARCH, json={"limit": 2, "offset": 0})).json()
    assert (first["next_offset"], first["next_cursor"]) == (2, None)
    rest = (await client.post(SEARCH, json={"limit": "2", "offset": "2"})).json()
    assert [each["distinct_ids"] for each in rest["results"]] == [["ada"]]
    assert rest["next_offset"] is None


async def test_the_other_fields_of_a_body(client: Client, people: People) -> None:
    await people.add("ada", email="ada@example.com")
    await people.add("bob", email="bob@example.com")
    for body in ({"email": "ada@example.com"}, {"distinct_id": "ada"}):
        page = (await client.post(SEARCH, json=body)).json()
        assert [each["distinct_ids"] for each in page["results"]] == [["ada"]]
    assert len((await client.post(SEARCH)).json()["results"]) == 2


@pytest.mark.parametrize(
    ("body", "attr"),
    [
        ({"search": 5}, "search"),
        ({"search": "x" * 1001}, "search"),
        ({"email": ["a"]}, "email"),
        ({"distinct_id": {}}, "distinct_id"),
        ({"limit": 1.5}, "limit"),
        ({"limit": True}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"limit": -1}, "limit"),
        ({"offset": 10**30}, "offset"),
        ({"cursor": 5}, "cursor"),
        ({"include_total": "perhaps"}, "include_total"),
        ({"properties": 5}, None),
        ([], None),
    ],
)
async def test_a_body_that_does_not_fit(client: Client, body: Any, attr: str | None) -> None:
    answer = await client.post(SEARCH, json=body)
    assert (answer.status_code, answer.json()["attr"]) == (400, attr)


async def test_a_body_that_is_no_json(client: Client) -> None:
    headers = {"Content-Type": "application/json"}
    assert (await client.post(SEARCH, content="{", headers=headers)).status_code == 400
    assert (await client.post(SEARCH, content="x=1")).status_code == 415


async def test_a_search_needs_only_to_read(client: Client, people: People, shop: Project) -> None:
    for key, scope in (("phx_reader", "person:read"), ("phx_cohorts", "cohort:read")):
        await api_key.insert(people.conn, key, label=key, scopes=[scope], project_id=shop.id)
    status = {
        key: (
            await client.post(SEARCH, json={}, headers={"Authorization": f"Bearer {key}"})
        ).status_code
        for key in ("phx_reader", "phx_cohorts", "phx_nobody")
    }
    assert status == {"phx_reader": 200, "phx_cohorts": 403, "phx_nobody": 401}
    assert (await client.get(SEARCH)).status_code == 405


async def test_another_projects_persons_are_not_found(
    client: Client, people: People, strangers: People
) -> None:
    await strangers.add("ada", email="ada@example.com", plan="scale")
    for body in (
        {"search": "ada"},
        {"email": "ada@example.com"},
        {"properties": [{"key": "email", "value": "ada@example.com"}]},
        {"properties": [{"key": "plan", "operator": "is_set"}]},
    ):
        assert (await client.post(SEARCH, json=body)).json()["results"] == []


async def test_an_email_longer_than_its_index(client: Client, people: People) -> None:
    long = "a" * 900 + "@example.com"
    await people.add("ada", email=long)
    await people.add("bob", email="a" * 900)
    for body in ({"email": long}, {"properties": [{"key": "email", "value": long}]}):
        page = (await client.post(SEARCH, json=body)).json()
        assert [each["distinct_ids"] for each in page["results"]] == [["ada"]]
