"""The list of persons as one CSV file (contract: persons-api, 2.1 and 9)."""

import csv
import json
import os
import socket
import time
from collections.abc import Callable
from io import StringIO

import httpx
import psutil
import psycopg
import pytest

from tests.api.conftest import Client, People
from tests.server import DEADLINE_S, Server

PATH = "/api/projects/1/persons"
MANY = 50_000


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text, newline="")))


@pytest.mark.parametrize(
    ("url", "accept"),
    [
        (f"{PATH}?format=csv", "*/*"),
        (f"{PATH}/?format=csv", "application/json"),
        (f"{PATH}.csv", "*/*"),
        (PATH, "text/csv"),
        ("/api/environments/1/persons.csv", "*/*"),
    ],
)
async def test_header_and_row(client: Client, people: People, url: str, accept: str) -> None:
    anonymous = "17787c3099427b-0e8f6c86323ea9-33647309-1aeaa0-17787c30995b7c"
    properties = {"$browser": "Chrome", "$os": "Linux", "email": None}
    _, uuid = await people.add(anonymous, "user", **properties)
    answer = await client.get(url, headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="persons.csv"'
    header, row, rest = answer.text.split("\r\n")
    assert header == (
        "created_at,distinct_ids.0,distinct_ids.1,id,is_identified,last_seen_at,name,"
        "properties.$browser,properties.$os,properties.email,type,uuid,value_at_data_point"
    )
    assert row == (
        f"2021-08-25 22:10:14.252000+00:00,user,{anonymous},"
        f"{uuid},False,,user,Chrome,Linux,,person,{uuid},"
    )
    assert rest == ""


async def test_columns_are_sorted_as_text(client: Client, people: People) -> None:
    await people.add(*(f"id {n}" for n in range(11)))
    header = (await client.get(f"{PATH}.csv")).text.split("\r\n")[0].split(",")
    assert header == sorted(header)
    assert header.index("distinct_ids.10") < header.index("distinct_ids.2")


async def test_what_nests_is_spread_over_columns(client: Client, people: People) -> None:
    await people.add("a", plan={"name": "scale", "seats": [1, {"x": True}]}, none=[], empty={})
    await people.add("b", plan="free")
    found = rows((await client.get(f"{PATH}.csv")).text)
    assert [key for key in found[0] if key.startswith("properties.")] == [
        "properties.plan",
        "properties.plan.name",
        "properties.plan.seats.0",
        "properties.plan.seats.1.x",
    ]
    assert [each["properties.plan"] for each in found] == ["free", ""]
    assert found[1]["properties.plan.seats.1.x"] == "True"


async def test_a_spreadsheet_runs_nothing(client: Client, people: People) -> None:
    evil = "=HYPERLINK(A1)"
    await people.add(evil, **{evil: evil, "phone": "+49170", "debt": -5, "text": "-5-5"})
    answer = await client.get(f"{PATH}.csv")
    [row] = rows(answer.text)
    assert row["distinct_ids.0"] == row["name"] == row[f"properties.{evil}"] == f"'{evil}"
    assert (row["properties.phone"], row["properties.debt"]) == ("+49170", "-5")
    assert row["properties.text"] == "'-5-5"


async def test_all_of_the_list_is_in_it_whatever_the_page(client: Client, people: People) -> None:
    for n in range(120):
        await people.add(f"id {n}")
    for query in ("", "?limit=3&offset=50", "?all=true", "?limit=1&all=1", "?include_total"):
        answer = await client.get(f"{PATH}.csv{query}")
        assert [row["name"] for row in rows(answer.text)] == [f"id {n}" for n in range(119, -1, -1)]
        assert answer.text.count("\r\n") == 121
        assert "link" not in answer.headers


async def test_filters_hold(client: Client, people: People) -> None:
    await people.add("ada", email="ada@example.com", seats=5)
    await people.add("grace", email="grace@example.com", seats=50)
    filter = json.dumps([{"key": "seats", "value": 10, "operator": "gt", "type": "person"}])
    for query, name in (
        ({"email": "ada@example.com"}, "ada@example.com"),
        ({"distinct_id": "grace"}, "grace@example.com"),
        ({"search": "ADA@"}, "ada@example.com"),
        ({"search": "g"}, None),
        ({"properties": filter}, "grace@example.com"),
        ({"properties": filter, "search": "gra"}, "grace@example.com"),
    ):
        listed = (await client.get(PATH, params=query)).json()["results"]
        answer = await client.get(f"{PATH}.csv", params=query)
        names = [row["name"] for row in rows(answer.text)]
        assert names == [each["name"] for each in listed]
        assert name is None or names == [name]
    answer = await client.post(f"{PATH}/search.csv", json={"properties": json.loads(filter)})
    assert [row["name"] for row in rows(answer.text)] == ["grace@example.com"]


async def test_columns_are_those_of_the_persons_that_are_found(
    client: Client, people: People
) -> None:
    await people.add("ada", "ada 2", only_ada=1)
    await people.add("grace", only_grace={"x": 1})
    header = (await client.get(f"{PATH}.csv?distinct_id=grace")).text.split("\r\n")[0]
    assert "properties.only_grace.x" in header
    assert "only_ada" not in header and "distinct_ids.1" not in header


@pytest.mark.parametrize(
    "query", ["", "?search=nobody", "?email=x", "?distinct_id=x", "?search=%00", "?properties=[]"]
)
async def test_nobody_is_an_empty_file(client: Client, strangers: People, query: str) -> None:
    await strangers.add("stranger")
    answer = await client.get(f"{PATH}.csv{query}")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"


async def test_a_merged_person_is_not_in_it_but_its_ids_are(client: Client, people: People) -> None:
    target, _ = await people.add("target")
    source, _ = await people.add("source", merged_into=target)
    await people.add("deep", merged_into=source)
    [row] = rows((await client.get(f"{PATH}.csv")).text)
    assert [row[f"distinct_ids.{n}"] for n in range(3)] == ["target", "source", "deep"]


async def test_another_projects_persons_are_never_in_it(
    client: Client, people: People, strangers: People
) -> None:
    await people.add("ours", a=1)
    other, _ = await strangers.add("theirs", "theirs too", secret={"x": 1})
    await strangers.add("merged", merged_into=other)
    text = (await client.get(f"{PATH}.csv?all=true")).text
    assert len(rows(text)) == 1
    assert "theirs" not in text and "secret" not in text and "distinct_ids.1" not in text


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?all=perhaps", 400),
        ("?limit=x", 400),
        ("?properties=[", 400),
        ("?properties=" + json.dumps([{"type": "cohort", "key": "id", "value": 7}]), 400),
        ("?format=xml", 404),
    ],
)
async def test_what_does_not_fit_is_refused(client: Client, query: str, status: int) -> None:
    answer = await client.get(f"{PATH}{query}", headers={"Accept": "text/csv"})
    assert answer.status_code == status


async def test_no_key(client: Client) -> None:
    answer = await client.get(f"{PATH}.csv", headers={"Authorization": ""})
    assert (answer.status_code, answer.content) == (401, b"")


async def test_too_many_columns_are_refused(client: Client, people: People) -> None:
    await people.add("x", items=list(range(17_000)))
    answer = await client.get(f"{PATH}.csv")
    assert (answer.status_code, answer.content) == (400, b"")
    assert (await client.get(PATH)).status_code == 200


@pytest.fixture(scope="module")
def filled(shared_server: Server) -> Server:
    server = shared_server
    with psycopg.connect(server.database_url, autocommit=True) as conn:
        conn.execute(
            """
            INSERT INTO person (id, project_id, uuid, properties, is_identified, created_at,
                                version)
            SELECT n, %s, gen_random_uuid(),
                   jsonb_build_object('n', n, 'text', repeat(n::text || ' ', 200))
                   || CASE n WHEN 7 THEN '{"list": [1, 2]}' ELSE '{}' END::jsonb,
                   false, timestamptz '2024-01-01Z' + n * interval '1 s', 0
              FROM generate_series(1, %s) AS n
            """,
            (server.project_id, MANY),
        )
        conn.execute(
            """
            INSERT INTO distinct_id (project_id, distinct_id, person_id)
            SELECT project_id, 'id ' || id, id FROM person
            """
        )
    return server


@pytest.fixture
def full(filled: Server) -> Server:
    """A server with 50,000 persons of a kilobyte each, one of them with a list.

    It makes no file, and its log has nothing of another test.
    """
    wait_until(lambda: copies(filled) == 0)
    os.truncate(filled.log_file, 0)
    return filled


def memory(server: Server) -> int:
    parent = psutil.Process(server.process.pid)
    own = [parent, *parent.children(recursive=True)]
    return sum(each.memory_info().rss for each in own if each.name() != "postgres")


def copies(server: Server) -> int:
    with psycopg.connect(server.database_url, autocommit=True) as conn:
        row = conn.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE query ILIKE '%COPY (%'"
            " AND state = 'active' AND pid <> pg_backend_pid()"
        ).fetchone()
    assert row is not None
    return row[0]


def url_of(server: Server) -> str:
    return f"{server.url}/api/projects/{server.project_id}/persons.csv?all=true"


def test_memory_stays_bounded_whatever_the_size(full: Server) -> None:
    with httpx.Client(headers=full.headers, timeout=60) as client:
        client.get(url_of(full) + "&distinct_id=id%207")
        before = most = memory(full)
        size = lines = 0
        with client.stream("GET", url_of(full)) as answer:
            assert answer.headers["transfer-encoding"] == "chunked"
            for number, chunk in enumerate(answer.iter_bytes()):
                size += len(chunk)
                lines += chunk.count(b"\n")
                if number % 50 == 0:
                    most = max(most, memory(full))
    assert lines == MANY + 1
    assert size > 50_000_000
    assert most - before < 20_000_000


def begun(server: Server) -> socket.socket:
    """A client that has read the beginning of a file, and waits while it is made."""
    before = copies(server)
    opened = socket.create_connection(("127.0.0.1", server.port))
    path = url_of(server).removeprefix(server.url)
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\n\r\n"
    opened.sendall(head.encode())
    assert opened.recv(1000).startswith(b"HTTP/1.1 200")
    wait_until(lambda: copies(server) > before)
    return opened


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_client_that_leaves_stops_the_query(full: Server) -> None:
    for _ in range(3):
        begun(full).close()
        wait_until(lambda: copies(full) == 0)
    assert httpx.get(f"{full.url}/_liveness").status_code == 200
    assert "client_left" in full.log()
    assert "Traceback" not in full.log()


def waiting(server: Server) -> int:
    with psycopg.connect(server.database_url, autocommit=True) as conn:
        row = conn.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        ).fetchone()
    assert row is not None
    return row[0]


def test_a_client_that_leaves_before_the_answer_stops_its_queries(full: Server) -> None:
    head = f"GET {url_of(full).removeprefix(full.url)} HTTP/1.1\r\nHost: x\r\n"
    with psycopg.connect(full.database_url) as conn:
        httpx.get(url_of(full) + "&distinct_id=id%207", headers=full.headers)
        conn.execute("LOCK TABLE person")
        client = socket.create_connection(("127.0.0.1", full.port))
        client.sendall(f"{head}Authorization: Bearer {full.key}\r\n\r\n".encode())
        wait_until(lambda: waiting(full) == 1)
        client.close()
        wait_until(lambda: waiting(full) == 0)
    assert "Traceback" not in full.log()
    answer = httpx.get(url_of(full) + "&distinct_id=id%207", headers=full.headers)
    assert answer.text.count("\r\n") == 2


def test_a_search_by_body_is_a_file_too(full: Server) -> None:
    url = f"{full.url}/api/projects/{full.project_id}/persons/search.csv"
    answer = httpx.post(url, headers=full.headers, json={"distinct_id": "id 7"})
    assert (answer.status_code, answer.text.count("\r\n")) == (200, 2)


def test_a_file_that_cannot_be_finished_breaks_off(full: Server) -> None:
    client = begun(full)
    with psycopg.connect(full.database_url, autocommit=True) as conn:
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ILIKE '%COPY (%'"
            " AND pid <> pg_backend_pid()"
        )
    client.settimeout(30)
    end = b""
    try:
        while chunk := client.recv(1_000_000):
            end = (end + chunk)[-100:]
    except ConnectionError:
        pass
    client.close()
    assert not end.endswith(b"\r\n0\r\n\r\n"), "that is how a whole file ends"
    wait_until(lambda: "answer_cut_off" in full.log())
    assert "id 49999" not in full.log()
    # What comes after gets a connection that works.
    assert (
        httpx.get(url_of(full) + "&distinct_id=id%207", headers=full.headers).text.count("\r\n")
        == 2
    )


def test_more_than_two_at_once_have_to_wait(full: Server) -> None:
    clients = [begun(full), begun(full)]
    answer = httpx.get(url_of(full), headers=full.headers)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
    for client in clients:
        client.close()
    wait_until(lambda: copies(full) == 0)
    answer = httpx.get(url_of(full) + "&distinct_id=id%207", headers=full.headers)
    assert answer.status_code == 200
