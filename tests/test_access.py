"""Who may: keys, projects, scopes (contract: persons-api, 8.1 to 8.3)."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from litestar import Litestar, Request, route
from psycopg import AsyncConnection

from personhood import access
from personhood.http.envelope import exception_handlers
from personhood.model import ApiKey, Project
from personhood.store import api_key, project
from personhood.store.lookups import lookups
from personhood.store.pool import Pool

KEY = "phx_key"
BEARER = {"Authorization": f"Bearer {KEY}"}
INVALID = "Personal API key found in request {} is invalid."


def whoami(path: str, **opt: Any) -> Any:
    @route(path, http_method=["GET", "POST"], status_code=200, guards=[access.guard], opt=opt)
    async def handler(request: Request[Any, access.Access, Any]) -> dict[str, int]:
        return {"key": request.auth.key.id, "project": request.auth.project.id}

    return handler


@pytest.fixture
async def conn(pool: Pool) -> AsyncIterator[AsyncConnection]:
    async with pool.connection() as opened:
        yield opened


@pytest.fixture
async def shop(conn: AsyncConnection) -> Project:
    return await project.insert(conn, name="Shop", token="phc_shop")


@pytest.fixture
async def other(conn: AsyncConnection, shop: Project) -> Project:
    return await project.insert(conn, name="Other", token="phc_other")


@pytest.fixture
async def client(pool: Pool, shop: Project) -> AsyncIterator[httpx.AsyncClient]:
    handlers = [
        whoami("/{project_id:str}/read", scope="person:read"),
        whoami("/{project_id:str}/write", scope="person:write"),
        whoami("/{project_id:str}/both", scope=("person:read", "cohort:read")),
        whoami("/{project_id:str}/none"),
    ]
    app = Litestar(handlers, exception_handlers=exception_handlers, logging_config=None)
    app.state.pool = pool
    app.state.lookups = lookups(pool)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


async def add_key(
    conn: AsyncConnection, *scopes: str, key: str = KEY, project_id: int | None = None
) -> ApiKey:
    return await api_key.insert(conn, key, label="test", scopes=list(scopes), project_id=project_id)


def refusal(answer: httpx.Response) -> tuple[int, str, str]:
    return answer.status_code, answer.json()["code"], answer.json()["detail"]


async def test_a_bearer_key_is_let_in(client: httpx.AsyncClient, conn: AsyncConnection) -> None:
    key = await add_key(conn, "*")
    answer = await client.get("/1/read", headers=BEARER)
    assert (answer.status_code, answer.json()) == (200, {"key": key.id, "project": 1})


async def test_a_key_in_the_body(client: httpx.AsyncClient, conn: AsyncConnection) -> None:
    await add_key(conn, "*")
    answer = await client.post("/1/read", json={"personal_api_key": KEY})
    assert answer.status_code == 200


async def test_a_key_in_the_query(client: httpx.AsyncClient, conn: AsyncConnection) -> None:
    await add_key(conn, "*")
    assert (await client.get(f"/1/read?personal_api_key={KEY}")).status_code == 200


async def test_the_header_goes_before_the_body_and_the_body_before_the_query(
    client: httpx.AsyncClient, conn: AsyncConnection
) -> None:
    await add_key(conn, "*")
    query, body = f"/1/read?personal_api_key={KEY}", {"personal_api_key": "phx_wrong"}
    assert refusal(await client.post(query, json=body)) == (
        401,
        "authentication_failed",
        INVALID.format("body"),
    )
    headers = {"Authorization": "Bearer phx_wrong"}
    assert refusal(await client.post(query, json={"personal_api_key": KEY}, headers=headers)) == (
        401,
        "authentication_failed",
        INVALID.format("Authorization header"),
    )


async def test_a_wrong_key_in_the_query(client: httpx.AsyncClient) -> None:
    for value in ("phx_wrong", "", "%00"):
        answer = await client.get(f"/1/read?personal_api_key={value}")
        assert refusal(answer) == (401, "authentication_failed", INVALID.format("query string"))


@pytest.mark.parametrize("value", [1, True, ["phx_key"], {"a": 1}, ""])
async def test_a_key_in_the_body_that_is_no_text(client: httpx.AsyncClient, value: Any) -> None:
    answer = await client.post("/1/read", json={"personal_api_key": value})
    assert refusal(answer) == (401, "authentication_failed", INVALID.format("body"))


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Bearer x", f"bearer {KEY}", f"Token {KEY}", KEY]
)
async def test_what_is_no_bearer_key_is_no_key(
    client: httpx.AsyncClient, conn: AsyncConnection, header: str
) -> None:
    await add_key(conn, "*")
    answer = await client.get("/1/read", headers={"Authorization": header})
    assert refusal(answer) == (
        401,
        "not_authenticated",
        "Authentication credentials were not provided.",
    )
    assert answer.json()["type"] == "authentication_error"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 5000, b"null"])
async def test_a_body_that_cannot_be_read_names_nobody(
    client: httpx.AsyncClient, body: bytes
) -> None:
    answer = await client.post(
        "/1/read", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.json()["code"] == "not_authenticated"


async def test_a_project_token_is_no_key(client: httpx.AsyncClient) -> None:
    answer = await client.get("/1/read", headers={"Authorization": "Bearer phc_shop"})
    assert refusal(answer)[0] == 401


async def test_a_revoked_key_stops_at_once(
    client: httpx.AsyncClient, conn: AsyncConnection
) -> None:
    key = await add_key(conn, "*")
    assert (await client.get("/1/read", headers=BEARER)).status_code == 200
    await api_key.revoke(conn, key.id)
    assert refusal(await client.get("/1/read", headers=BEARER)) == (
        401,
        "authentication_failed",
        INVALID.format("Authorization header"),
    )


async def test_the_use_of_a_key_is_noted_once_a_minute(
    client: httpx.AsyncClient, conn: AsyncConnection
) -> None:
    await add_key(conn, "*")

    async def last_used() -> Any:
        [key] = await api_key.all_keys(conn)
        return key.last_used_at

    assert await last_used() is None
    await client.get("/1/read", headers=BEARER)
    first = await last_used()
    assert first is not None
    await conn.execute("UPDATE api_key SET last_used_at = NULL")
    await client.get("/1/read", headers=BEARER)
    assert await last_used() is None, "the process remembers that it told already"


def test_a_minute_later_it_is_noted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(access.time, "monotonic", lambda: now)
    touched: dict[int, float] = {}
    assert access.is_stale(1, touched)
    assert not access.is_stale(1, touched)
    assert access.is_stale(2, touched)
    now += access.TOUCH_EVERY_S
    assert access.is_stale(1, touched)


@pytest.mark.parametrize(
    "text",
    ["99", "0", "-1", "abc", "1.0", "@Current", "%00", "9223372036854775808", "9" * 5000, "١"],
)
async def test_an_unknown_project(
    client: httpx.AsyncClient, conn: AsyncConnection, text: str
) -> None:
    await add_key(conn, "person:read")
    assert refusal(await client.get(f"/{text}/read", headers=BEARER)) == (
        404,
        "not_found",
        "Project not found.",
    )
    assert (await client.get(f"/{text}/read")).status_code == 401


async def test_the_current_project_is_the_keys_own(
    client: httpx.AsyncClient, conn: AsyncConnection, shop: Project, other: Project
) -> None:
    await add_key(conn, "*", project_id=other.id)
    await add_key(conn, "*", key="phx_both")
    mine = await client.get("/@current/read", headers=BEARER)
    assert mine.json()["project"] == other.id
    both = await client.get("/@current/read", headers={"Authorization": "Bearer phx_both"})
    assert both.json()["project"] == shop.id


async def test_a_key_of_another_project_before_its_missing_scope(
    client: httpx.AsyncClient, conn: AsyncConnection, other: Project
) -> None:
    await add_key(conn, "cohort:read", project_id=other.id)
    assert refusal(await client.get("/1/read", headers=BEARER)) == (
        403,
        "permission_denied",
        "API key does not have access to the requested project: ID 1.",
    )


@pytest.mark.parametrize("where", ["query", "token", "api_key"])
async def test_a_token_decides_the_project(
    client: httpx.AsyncClient, conn: AsyncConnection, other: Project, where: str
) -> None:
    await add_key(conn, "*")
    for path in ("/1/read", "/999/read", "/abc/read"):
        if where == "query":
            answer = await client.get(f"{path}?token=phc_other", headers=BEARER)
        else:
            answer = await client.post(path, json={where: "phc_other"}, headers=BEARER)
        assert answer.json()["project"] == other.id


@pytest.mark.parametrize("token", ["phc_nobody", "x", "%00"])
async def test_an_unknown_token(
    client: httpx.AsyncClient, conn: AsyncConnection, token: str
) -> None:
    await add_key(conn, "*")
    answer = await client.get(f"/1/read?token={token}", headers=BEARER)
    assert refusal(answer) == (
        401,
        "authentication_failed",
        "Incorrect authentication credentials.",
    )


async def test_a_token_does_not_open_another_project(
    client: httpx.AsyncClient, conn: AsyncConnection, shop: Project, other: Project
) -> None:
    await add_key(conn, "*", project_id=shop.id)
    answer = await client.get("/1/read?token=phc_other", headers=BEARER)
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("scopes", "path", "missing"),
    [
        (["person:read"], "read", None),
        (["person:write"], "read", None),
        (["person:read"], "write", "person:write"),
        (["person:write"], "write", None),
        (["*"], "write", None),
        ([], "write", None),
        ([], "none", None),
        (["cohort:read"], "read", "person:read"),
        (["person"], "read", "person:read"),
        (["person:read"], "both", "cohort:read"),
        (["cohort:read"], "both", "person:read"),
        (["cohort:write", "person:read"], "both", None),
    ],
)
async def test_scopes(
    client: httpx.AsyncClient,
    conn: AsyncConnection,
    scopes: list[str],
    path: str,
    missing: str | None,
) -> None:
    await add_key(conn, *scopes)
    answer = await client.get(f"/1/{path}", headers=BEARER)
    if missing is None:
        assert answer.status_code == 200
    else:
        detail = f"API key missing required scope '{missing}'"
        assert refusal(answer) == (403, "permission_denied", detail)
        assert answer.json()["type"] == "authentication_error"


@pytest.mark.parametrize("scope", ["*", "person:write"])
async def test_an_action_without_a_scope_is_not_for_keys_with_scopes(
    client: httpx.AsyncClient, conn: AsyncConnection, scope: str
) -> None:
    await add_key(conn, scope)
    assert refusal(await client.get("/1/none", headers=BEARER)) == (
        403,
        "permission_denied",
        "This action does not support Personal API Key access",
    )


def test_nothing_is_read_into_a_scope_that_looks_like_one() -> None:
    assert not access.holds(["person:readwrite", "persons:read"], "person:read")
