"""GET /api/(projects|environments)/:project_id/ingestion_warnings."""

import ast
import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import AsyncConnection

import personhood
from personhood.capture import v1
from personhood.identity.merge import Refusal
from personhood.model import Project, Warning
from personhood.store import api_key, warning
from personhood.warning_kinds import KINDS, OTHER, kind_of
from tests.api.conftest import Client

PATH = "/api/projects/@current/ingestion_warnings/"
AT = datetime(2024, 5, 1, 12, tzinfo=UTC)
UUID_1 = UUID("0190a1f2-7e2b-7c3d-9a4e-5f6071829304")

Warn = Callable[..., Awaitable[None]]


@pytest.fixture
async def warn(conn: AsyncConnection, shop: Project) -> Warn:
    """Records a warning of each type that it is given, one minute after the other from AT on."""
    minutes = iter(range(1_000_000))

    async def record(*types: str, project: Project = shop, **fields: Any) -> None:
        for type in types:
            at = AT + timedelta(minutes=next(minutes))
            recorded = Warning(**{"type": type, "at": at, **fields})
            await warning.insert_all(conn, project.id, [recorded])

    return record


async def types(client: Client, **query: str) -> list[str]:
    answer = await client.get(PATH, params=query)
    assert answer.status_code == 200, answer.text
    return [each["type"] for each in answer.json()["results"]]


async def test_a_row_has_exactly_the_documented_fields(client: Client, warn: Warn) -> None:
    await warn(
        "cannot_merge_already_identified",
        at=AT + timedelta(microseconds=20_000),
        event_uuid=UUID_1,
        details={"distinctId": "ada", "nested": [1, {"a": None}]},
    )
    answer = await client.get(PATH)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "results": [
            {
                "id": 1,
                "type": "cannot_merge_already_identified",
                "category": "merge",
                "severity": "warning",
                "details": {"distinctId": "ada", "nested": [1, {"a": None}]},
                "event_uuid": str(UUID_1),
                "timestamp": "2024-05-01T12:00:00.020000Z",
            }
        ],
        "next": None,
        "previous": None,
    }


async def test_a_warning_about_no_event_names_none(client: Client, warn: Warn) -> None:
    await warn("empty_batch")
    [row] = (await client.get(PATH)).json()["results"]
    assert (row["event_uuid"], row["severity"]) == (None, "error")


@pytest.mark.parametrize(
    "path",
    [
        "/api/projects/1/ingestion_warnings",
        "/api/projects/1/ingestion_warnings/",
        "/api/environments/1/ingestion_warnings",
        "/api/environments/@current/ingestion_warnings/",
    ],
)
async def test_both_prefixes_answer_without_a_redirect(
    client: Client, warn: Warn, path: str
) -> None:
    await warn("empty_batch")
    answer = await client.get(path, follow_redirects=False)
    assert answer.status_code == 200
    assert len(answer.json()["results"]) == 1


async def test_newest_first_and_by_number_where_times_tie(client: Client, warn: Warn) -> None:
    await warn("newest", at=AT + timedelta(days=1))
    await warn("a", "b", "c", at=AT)
    await warn("oldest", at=AT - timedelta(days=1))
    assert await types(client) == ["newest", "c", "b", "a", "oldest"]


async def test_pages_lead_on_and_what_comes_meanwhile_moves_nothing(
    client: Client, warn: Warn
) -> None:
    await warn("a", "b", "c", "d", "e", at=AT)
    url: str | None = PATH + "?limit=2&type="
    seen, lengths = [], []
    while url:
        page = (await client.get(url)).json()
        seen += [each["type"] for each in page["results"]]
        lengths.append(len(page["results"]))
        await warn("later")
        url = page["next"]
    assert (seen, lengths) == (list("edcba"), [2, 2, 1])


async def test_the_next_page_is_the_same_request_behind_the_last_row(
    client: Client, warn: Warn
) -> None:
    await warn("a", "b", "c", at=AT)
    page = (await client.get(PATH + "?type&limit=1")).json()
    at = "http://testserver/api/projects/@current/ingestion_warnings/?type&limit=1"
    assert page["next"] == f"{at}&cursor=2024-05-01T12:00:00.000000Z_3"
    page = (await client.get(page["next"])).json()
    assert page["next"] == f"{at}&cursor=2024-05-01T12:00:00.000000Z_2"
    assert page["previous"] is None


async def test_an_offset_is_paged_by_offsets(client: Client, warn: Warn) -> None:
    await warn("a", "b", "c", "d", "e")
    page = (await client.get(PATH + "?limit=2&offset=2")).json()
    assert [each["type"] for each in page["results"]] == ["c", "b"]
    at = "http://testserver/api/projects/@current/ingestion_warnings/?limit=2"
    assert (page["next"], page["previous"]) == (f"{at}&offset=4", f"{at}&offset=0")
    assert (await client.get(page["next"])).json()["next"] is None


async def test_an_exactly_full_last_page_has_no_next(client: Client, warn: Warn) -> None:
    await warn("a", "b")
    assert (await client.get(PATH + "?limit=2")).json()["next"] is None


async def test_the_total_is_counted_when_it_is_asked_for(client: Client, warn: Warn) -> None:
    await warn("a", "b", "a")
    assert "count" not in (await client.get(PATH)).json()
    assert (await client.get(PATH + "?include_total&limit=1")).json()["count"] == 3
    assert (await client.get(PATH + "?include_total&type=a&limit=1")).json()["count"] == 2


async def test_by_type(client: Client, warn: Warn) -> None:
    await warn("a", "b", "a")
    assert await types(client, type="a") == ["a", "a"]
    assert await types(client, type="A") == []
    assert await types(client, type="a\0") == []
    assert await types(client, type="") == ["a", "b", "a"]


async def test_by_event(client: Client, warn: Warn) -> None:
    await warn("a", event_uuid=UUID_1)
    await warn("b", event_uuid=uuid4())
    await warn("c")
    assert await types(client, event_uuid=str(UUID_1).upper()) == ["a"]
    assert await types(client, event_uuid=str(uuid4())) == []


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"after": "2024-05-01T12:01:00Z"}, "dc"),
        ({"before": "2024-05-01T12:01:00Z"}, "a"),
        ({"after": "2024-05-01T12:00:00Z", "before": "2024-05-01T12:03:00Z"}, "cb"),
        ({"after": "2024-05-01T14:01:00+02:00"}, "dc"),
        ({"after": "2024-05-01T14:01:00 02:00"}, "dc"),
        ({"after": "2024-05-01 12:01:00"}, "dc"),
        ({"after": "2024-05-01"}, "dcba"),
        ({"before": "20240501"}, ""),
        ({"after": "0001-01-01T00:00:00+14:00", "before": "9999-12-31T23:59:59-14:00"}, "dcba"),
        ({"after": "", "before": ""}, "dcba"),
    ],
)
async def test_by_time(client: Client, warn: Warn, query: dict[str, str], found: str) -> None:
    await warn("a", "b", "c", "d")
    assert await types(client, **query) == list(found)


async def test_a_time_without_a_zone_is_in_the_projects(
    client: Client, conn: AsyncConnection, warn: Warn
) -> None:
    await conn.execute("UPDATE project SET timezone = 'Asia/Tokyo'")
    await warn("a", "b")
    assert await types(client, after="2024-05-01T21:00:00") == ["b"]
    assert await types(client, before="0001-01-01") == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("after", "yesterday"),
        ("before", "2024-13-01"),
        ("event_uuid", "none"),
        ("limit", "many"),
        ("offset", "-1"),
        ("cursor", "2024-05-01T12:00:00Z"),
        ("cursor", "2024-05-01T12:00:00_7"),
        ("cursor", "2024-05-01T12:00:00Z_-7"),
        ("cursor", f"2024-05-01T12:00:00Z_{2**63}"),
        ("cursor", "\0_1"),
    ],
)
async def test_a_bad_parameter_is_named(client: Client, name: str, value: str) -> None:
    answer = await client.get(PATH, params={name: value})
    error = answer.json()
    assert (answer.status_code, error["attr"]) == (400, name)
    assert (error["type"], error["code"]) == ("validation_error", "invalid_input")


async def test_cursor_and_offset_exclude_one_another(client: Client) -> None:
    cursor = "2024-05-01T12:00:00Z_7"
    assert (await client.get(PATH, params={"cursor": cursor, "offset": "1"})).status_code == 400
    assert (await client.get(PATH, params={"cursor": "", "offset": "1"})).status_code == 200


async def test_a_wrong_method_is_refused(client: Client) -> None:
    answer = await client.post(PATH, json={})
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


async def test_no_key_is_refused(client: Client) -> None:
    assert (await client.get(PATH, headers={"Authorization": ""})).status_code == 401


@pytest.mark.parametrize(
    ("scope", "status"),
    [("ingestion_warning:read", 200), ("ingestion_warning:write", 200), ("person:write", 403)],
)
async def test_the_scope_is_required(
    client: Client, conn: AsyncConnection, scope: str, status: int
) -> None:
    await api_key.insert(conn, "phx_scoped", label="one", scopes=[scope], project_id=None)
    answer = await client.get(PATH, headers={"Authorization": "Bearer phx_scoped"})
    assert answer.status_code == status
    if status == 403:
        assert "'ingestion_warning:read'" in answer.json()["detail"]


async def test_another_projects_warnings_are_not_seen(
    client: Client, other: Project, warn: Warn
) -> None:
    await warn("ours", event_uuid=UUID_1)
    await warn("theirs", project=other, event_uuid=UUID_1)
    assert await types(client) == ["ours"]
    assert await types(client, event_uuid=str(UUID_1)) == ["ours"]
    answer = await client.get(PATH + "?include_total")
    assert answer.json()["count"] == 1
    answer = await client.get(f"/api/projects/{other.id}/ingestion_warnings/")
    assert [each["type"] for each in answer.json()["results"]] == ["theirs"]


async def test_an_unknown_project_is_not_found(client: Client) -> None:
    answer = await client.get("/api/projects/99/ingestion_warnings/")
    assert (answer.status_code, answer.json()["detail"]) == (404, "Project not found.")


def test_every_type_that_is_warned_of_has_a_kind() -> None:
    types = {*written_types(), *Refusal, *v1.BATCH_WARNINGS, *returned(v1.flaw_of)}
    assert {type for type in types if kind_of(type) == OTHER} == set()
    assert kind_of("never heard of") == OTHER
    assert {kind.severity for kind in KINDS.values()} == {"error", "warning", "info"}


def written_types() -> Iterator[str]:
    """What the source calls `warn` with, and makes a `Warning` of."""
    for module in Path(personhood.__file__).parent.rglob("*.py"):
        for call in ast.walk(ast.parse(module.read_text())):
            if isinstance(call, ast.Call) and name_of(call.func) in ("warn", "Warning"):
                named = [each.value for each in call.keywords if each.arg == "type"]
                yield from texts(named or call.args[:1])


def returned(function: Callable[..., Any]) -> Iterator[str]:
    tree = ast.parse(inspect.getsource(function))
    return texts([each.value for each in ast.walk(tree) if isinstance(each, ast.Return)])


def texts(expressions: Iterable[ast.expr | None]) -> Iterator[str]:
    for expression in expressions:
        for each in ast.walk(expression) if expression else ():
            if isinstance(each, ast.Constant) and isinstance(each.value, str) and each.value:
                yield each.value


def name_of(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""
