"""GET /api/(projects|environments)/:project_id/persons (contract: persons-api, 2.1)."""

import pytest

from tests.api.conftest import CREATED_AT, KEY, Client, People

PATH = "/api/projects/@current/persons/"


async def names(client: Client, **query: str) -> list[str]:
    answer = await client.get(PATH, params=query)
    assert answer.status_code == 200, answer.text
    return [each["name"] for each in answer.json()["results"]]


async def test_a_row_has_exactly_the_documented_fields(client: Client, people: People) -> None:
    _, uuid = await people.add(
        "6e9a624b-9339-4d07-8c46-8cd05dfa04e1", "ada", created_at=CREATED_AT, plan="scale"
    )
    answer = await client.get(PATH)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "results": [
            {
                "type": "person",
                "id": str(uuid),
                "uuid": str(uuid),
                "created_at": "2021-08-25T22:09:14.252000Z",
                "last_seen_at": None,
                "properties": {"plan": "scale"},
                "is_identified": False,
                "name": "ada",
                "distinct_ids": ["ada", "6e9a624b-9339-4d07-8c46-8cd05dfa04e1"],
                "matched_recordings": [],
                "value_at_data_point": None,
                "recordings_count": 0,
            }
        ],
        "next": None,
        "previous": None,
    }


@pytest.mark.parametrize(
    "path",
    [
        "/api/projects/1/persons",
        "/api/projects/1/persons/",
        "/api/environments/1/persons",
        "/api/environments/1/persons/",
        "/api/environments/@current/persons",
    ],
)
async def test_both_prefixes_answer_without_a_redirect(
    client: Client, people: People, path: str
) -> None:
    await people.add("ada")
    answer = await client.get(path, follow_redirects=False)
    assert answer.status_code == 200
    assert len(answer.json()["results"]) == 1


async def test_whole_seconds_have_no_fraction(client: Client, people: People) -> None:
    await people.add("ada", created_at=CREATED_AT.replace(microsecond=0))
    answer = await client.get(PATH)
    assert answer.json()["results"][0]["created_at"] == "2021-08-25T22:09:14Z"


async def test_newest_first_and_by_uuid_where_times_tie(client: Client, people: People) -> None:
    await people.add("oldest")
    tied = [await people.add(f"tied-{n}", created_at=CREATED_AT.replace(year=2022)) for n in "abc"]
    await people.add("newest", created_at=CREATED_AT.replace(year=2023))
    answer = await client.get(PATH)
    found = [each["uuid"] for each in answer.json()["results"]]
    assert found[1:4] == sorted(str(uuid) for _, uuid in tied)
    assert await names(client, limit="1") == ["newest"]


async def test_a_page_of_persons_of_one_time_is_chosen_by_id(
    client: Client, people: People
) -> None:
    for name in "abcdef":
        await people.add(name, created_at=CREATED_AT)
    pages = [await names(client, limit="2", offset=offset) for offset in ("0", "2", "4")]
    assert [set(page) for page in pages] == [set("fe"), set("dc"), set("ba")]


async def test_pages_lead_to_one_another_and_the_last_leads_nowhere(
    client: Client, people: People
) -> None:
    for n in range(5):
        await people.add(f"id-{n}")
    url: str | None = PATH + "?limit=2"
    seen, lengths = [], []
    while url:
        page = (await client.get(url)).json()
        seen += [each["name"] for each in page["results"]]
        lengths.append(len(page["results"]))
        previous, url = page["previous"], page["next"]
    assert seen == [f"id-{n}" for n in reversed(range(5))]
    assert lengths == [2, 2, 1]
    assert previous == "http://testserver/api/projects/@current/persons/?limit=2&offset=2"


@pytest.mark.parametrize("query", ["?limit=2", "?distinct_id=a&limit=1"])
async def test_an_exactly_full_last_page_leads_to_an_empty_one(
    client: Client, people: People, query: str
) -> None:
    """2.1; with a cursor it does not."""
    await people.add("a")
    await people.add("b")
    following = (await client.get(PATH + query)).json()["next"]
    assert (await client.get(following)).json() | {"previous": None} == {
        "results": [], "next": None, "previous": None,
    }  # fmt: skip
    assert (await client.get(f"{PATH}{query}&cursor=")).json()["next"] is None


async def test_page_two_leads_back_to_offset_0(client: Client, people: People) -> None:
    page = (await client.get(PATH + "?limit=2&offset=2")).json()
    assert page["previous"] == ("http://testserver/api/projects/@current/persons/?limit=2&offset=0")


async def test_limit_0_is_the_default_of_100(client: Client, people: People) -> None:
    for n in range(101):
        await people.add(f"id-{n}")
    assert len(await names(client, limit="0")) == 100
    assert len(await names(client)) == 100
    assert len(await names(client, limit="101")) == 101


@pytest.mark.parametrize(
    ("query", "attr", "detail"),
    [
        ("limit=ten", "limit", "A valid integer is required."),
        ("limit=1.5", "limit", "A valid integer is required."),
        ("limit=-1", "limit", "Ensure this value is greater than or equal to 0."),
        ("offset=x", "offset", "A valid integer is required."),
        ("offset=-1", "offset", "Ensure this value is greater than or equal to 0."),
        ("limit=%00", "limit", "A valid integer is required."),
    ],
)
async def test_a_bad_number_is_named(client: Client, query: str, attr: str, detail: str) -> None:
    answer = await client.get(f"{PATH}?{query}")
    assert answer.status_code == 400
    assert answer.json() == {
        "type": "validation_error",
        "code": "invalid_input",
        "detail": detail,
        "attr": attr,
    }


@pytest.mark.parametrize("offset", ["9" * 18, "9" * 30, "9" * 5000])
async def test_an_offset_beyond_every_person_is_an_empty_page(
    client: Client, people: People, offset: str
) -> None:
    await people.add("ada")
    assert await names(client, offset=offset) == []


@pytest.mark.parametrize("query", ["include_total", "include_total=", "include_total=true"])
async def test_the_total_counts_all_pages(client: Client, people: People, query: str) -> None:
    for name in "abc":
        await people.add(name)
    page = (await client.get(f"{PATH}?limit=1&{query}")).json()
    assert list(page) == ["results", "next", "previous", "count"]
    assert page["count"] == 3
    assert (await client.get(f"{PATH}?distinct_id=a&{query}")).json()["count"] == 1


async def test_email_is_matched_exactly(client: Client, people: People) -> None:
    await people.add("a", email="ada@example.com")
    await people.add("b", email="Ada@example.com")
    assert await names(client, email="ada@example.com") == ["ada@example.com"]
    assert await names(client, email="ada@") == []


async def test_a_distinct_id_finds_its_person_through_every_merge(
    client: Client, people: People
) -> None:
    root, _ = await people.add("root")
    middle, _ = await people.add("middle", merged_into=root)
    await people.add("leaf", merged_into=middle)
    await people.add("somebody else")
    for text in ("root", "middle", "leaf"):
        answer = await client.get(PATH, params={"distinct_id": text})
        [found] = answer.json()["results"]
        assert found["distinct_ids"] == ["root", "middle", "leaf"]
    assert await names(client, distinct_id="nobody") == []
    assert len(await names(client)) == 2


async def test_a_distinct_id_that_ended_finds_nobody(client: Client, people: People) -> None:
    await people.add("ada", "gone")
    await people.conn.execute("UPDATE distinct_id SET ended_at = now() WHERE distinct_id = 'gone'")
    assert await names(client, distinct_id="gone") == []
    assert await names(client, search="gone") == []
    assert (await client.get(PATH)).json()["results"][0]["distinct_ids"] == ["ada"]


@pytest.mark.parametrize(
    "search", ["LOVE", "  ada@Example ", "distinct-one", "ISTINCT-MERGED", "a_a@", "ada%com"]
)
async def test_a_search_finds_parts_in_any_letter_case(
    client: Client, people: People, search: str
) -> None:
    root, _ = await people.add("distinct-one", email="ada@example.com", name="Ada Lovelace")
    await people.add("distinct-merged", merged_into=root)
    await people.add("somebody", email="grace@example.org", other="love")
    assert await names(client, search=search) == ["ada@example.com"]


async def test_a_search_finds_part_of_a_uuid(client: Client, people: People) -> None:
    _, uuid = await people.add("ada")
    await people.add("grace")
    assert await names(client, search=str(uuid)[4:20].upper()) == ["ada"]


async def test_a_backslash_in_a_search_is_itself(client: Client, people: People) -> None:
    await people.add("a\\b")
    await people.add("a%b")
    assert await names(client, search="a\\b") == ["a\\b"]
    assert await names(client, search="\\") == ["a\\b"]


async def test_a_blank_search_is_none(client: Client, people: People) -> None:
    await people.add("ada")
    assert await names(client, search="  ") == ["ada"]


async def test_filters_must_all_hold(client: Client, people: People) -> None:
    await people.add("a", email="ada@example.com")
    assert await names(client, distinct_id="a", email="grace@example.com") == []


@pytest.mark.parametrize("parameter", ["email", "distinct_id", "search"])
async def test_a_nul_matches_nothing(client: Client, people: People, parameter: str) -> None:
    await people.add("ada")
    answer = await client.get(f"{PATH}?{parameter}=a%00da&include_total")
    assert (answer.status_code, answer.json()["results"]) == (200, [])
    assert answer.json()["count"] == 0


async def test_bytes_that_are_no_text_do_no_harm(client: Client, people: People) -> None:
    answer = await client.get(f"{PATH}?search=%ff%fe&limit=1")
    assert (answer.status_code, answer.json()["results"]) == (200, [])


async def test_another_projects_persons_are_not_there(
    client: Client, people: People, strangers: People
) -> None:
    await strangers.add("ada", email="ada@example.com")
    assert await names(client) == []
    assert await names(client, distinct_id="ada") == []
    assert await names(client, search="ada") == []
    there = await client.get(f"/api/projects/{strangers.project_id}/persons")
    assert len(there.json()["results"]) == 1


async def test_no_more_than_1000_distinct_ids_are_shown(client: Client, people: People) -> None:
    person, _ = await people.add("first")
    await people.conn.execute(
        """
        INSERT INTO distinct_id (project_id, distinct_id, person_id)
        SELECT %s, 'id-' || n, %s FROM generate_series(1, 1005) n
        """,
        (people.project_id, person),
    )
    [row] = (await client.get(PATH)).json()["results"]
    assert len(row["distinct_ids"]) == 1000


async def test_without_any_id_the_name_is_the_uuid(client: Client, people: People) -> None:
    _, uuid = await people.add()
    assert await names(client) == [str(uuid)]


async def test_creating_a_person_is_not_allowed(client: Client) -> None:
    answer = await client.post(PATH, json={"properties": {}})
    assert answer.status_code == 405
    assert answer.json() == {
        "type": "invalid_request",
        "code": "method_not_allowed",
        "detail": (
            "Creating persons via this API is not allowed. Please create persons by sending an "
            "$identify event. See https://posthog.com/docs/product-analytics/identify for details."
        ),
        "attr": None,
    }


async def test_a_wrong_method_is_not_allowed(client: Client) -> None:
    answer = await client.put(PATH, json={})
    assert answer.status_code == 405
    assert answer.json()["detail"] == 'Method "PUT" not allowed.'
    assert "GET" in answer.headers["allow"]


async def test_no_key(client: Client) -> None:
    answer = await client.get(PATH, headers={"Authorization": ""})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("*/*", 200),
        ("application/json", 200),
        ("application/*;q=0.5", 200),
        ("text/html,application/xhtml+xml,*/*;q=0.8", 200),
        ("text/html", 406),
        ("image/png, text/xml", 406),
        ("\x7f;;;,,", 406),
    ],
)
async def test_only_json_and_csv_are_made_here(client: Client, accept: str, status: int) -> None:
    answer = await client.get(PATH, headers={"Accept": accept})
    assert answer.status_code == status
    if status == 406:
        assert answer.json() == {
            "type": "invalid_request",
            "code": "not_acceptable",
            "detail": "Could not satisfy the request Accept header.",
            "attr": None,
        }


async def test_an_unknown_format_is_not_found(client: Client) -> None:
    assert (await client.get(f"{PATH}?format=json")).status_code == 200
    answer = await client.get(f"{PATH}?format=xml")
    assert (answer.status_code, answer.json()["detail"]) == (404, "Not found.")


async def test_the_key_stays_out_of_reach_of_other_projects(client: Client) -> None:
    answer = await client.get(f"/api/projects/99/persons?personal_api_key={KEY}")
    assert (answer.status_code, answer.json()["detail"]) == (404, "Project not found.")
