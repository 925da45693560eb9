"""Each refusal's status and body (contract: persons-api, 8.4)."""

import logging
from collections.abc import AsyncIterator

import httpx
import psycopg
import pytest
from litestar import Litestar, Request, get, post
from litestar.exceptions import ClientException, HTTPException, ImproperlyConfiguredException
from litestar.params import FromQuery
from psycopg_pool import PoolTimeout

from personhood import errors
from personhood.http.envelope import exception_handlers, status_of

ROWS = [
    (errors.NotAuthenticated(), 401, "authentication_error", "not_authenticated"),
    (errors.AuthenticationFailed(), 401, "authentication_error", "authentication_failed"),
    (errors.PermissionDenied(), 403, "authentication_error", "permission_denied"),
    (errors.NotFound("Project not found."), 404, "invalid_request", "not_found"),
    (errors.NotFound(), 404, "invalid_request", "not_found"),
    (errors.InvalidInput("Too many."), 400, "validation_error", "invalid_input"),
    (errors.BrokenJson("JSON parse error - x"), 400, "invalid_request", "parse_error"),
    (errors.UnsupportedMediaType(), 415, "invalid_request", "unsupported_media_type"),
    (errors.MethodNotAllowed("Not so."), 405, "invalid_request", "method_not_allowed"),
    (errors.NotAcceptable(), 406, "invalid_request", "not_acceptable"),
    (errors.Throttled(), 429, "throttled_error", "throttled"),
    (errors.ApiError(), 500, "server_error", "error"),
]


class Special(errors.NotFound):
    """A kind that the table does not name."""


raised: list[Exception] = []


@get("/raise")
async def fail() -> None:
    raise raised.pop()


@get("/number")
async def typed(count: FromQuery[int]) -> int:
    return count


@post("/body", request_max_body_size=10)
async def body(request: Request) -> int:
    return len(await request.body())


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = Litestar([fail, typed, body], exception_handlers=exception_handlers, logging_config=None)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


async def answer_to(error: Exception, client: httpx.AsyncClient) -> httpx.Response:
    raised.append(error)
    return await client.get("/raise")


@pytest.mark.parametrize(("error", "status", "kind", "code"), ROWS, ids=lambda each: str(each))
async def test_each_error_has_its_row(
    client: httpx.AsyncClient, error: errors.ApiError, status: int, kind: str, code: str
) -> None:
    answer = await answer_to(error, client)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"type": kind, "code": code, "detail": str(error), "attr": None}


def test_a_new_kind_has_the_status_of_its_parent() -> None:
    assert status_of(Special) == 404


async def test_code_and_attr_of_one_error(client: httpx.AsyncClient) -> None:
    error = errors.InvalidInput("required", code="This field is required.", attr="properties")
    assert (await answer_to(error, client)).json() == {
        "type": "validation_error",
        "code": "This field is required.",
        "detail": "required",
        "attr": "properties",
    }


async def test_throttling_says_when_to_come_back(client: httpx.AsyncClient) -> None:
    assert int((await answer_to(errors.Throttled(), client)).headers["retry-after"]) > 0


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError("connection to host db.internal failed"),
        PoolTimeout("no connection"),
        psycopg.errors.AdminShutdown("going down"),
    ],
)
async def test_a_database_that_is_away_is_503(client: httpx.AsyncClient, error: Exception) -> None:
    answer = await answer_to(error, client)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json() == {
        "type": "server_error",
        "code": "service_unavailable",
        "detail": "The database does not answer. Please try again.",
        "attr": None,
    }


async def test_a_full_disk_is_503_and_says_so(client: httpx.AsyncClient) -> None:
    answer = await answer_to(psycopg.errors.DiskFull("could not extend file base/5"), client)
    assert answer.status_code == 503
    assert answer.json()["detail"] == "The disk of the database is full. Please try again."


async def test_a_query_that_was_stopped_is_503_and_is_not_to_come_back_at_once(
    client: httpx.AsyncClient,
) -> None:
    answer = await answer_to(psycopg.errors.QueryCanceled("canceling statement"), client)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 1
    assert answer.json() == {
        "type": "server_error",
        "code": "query_timeout",
        "detail": "The query took too long and was stopped. Ask for less, or try again later.",
        "attr": None,
    }


async def test_a_lost_race_is_503_and_does_not_blame_the_database(
    client: httpx.AsyncClient,
) -> None:
    answer = await answer_to(errors.Overloaded(), client)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["code"] == "service_unavailable"
    assert answer.json()["detail"] == "Others write the same at this moment. Please try again."


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("secret"),
        KeyError("secret"),
        psycopg.DataError("secret"),
        HTTPException("secret", status_code=500),
        ImproperlyConfiguredException("secret"),
    ],
)
async def test_a_crash_tells_the_client_nothing(
    client: httpx.AsyncClient,
    error: Exception,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    answer = await answer_to(error, client)
    assert answer.status_code == 500
    assert answer.json() == {
        "type": "server_error",
        "code": "error",
        "detail": "A server error occurred.",
        "attr": None,
    }
    logged = capsys.readouterr().out + capsys.readouterr().err + caplog.text
    assert "secret" in logged


async def test_an_unknown_route(client: httpx.AsyncClient) -> None:
    answer = await client.get("/nowhere")
    assert answer.status_code == 404
    assert answer.json() == {
        "type": "invalid_request",
        "code": "not_found",
        "detail": "Endpoint not found.",
        "attr": None,
    }


async def test_a_wrong_method_is_named(client: httpx.AsyncClient) -> None:
    answer = await client.delete("/raise")
    assert answer.status_code == 405
    assert answer.json() == {
        "type": "invalid_request",
        "code": "method_not_allowed",
        "detail": 'Method "DELETE" not allowed.',
        "attr": None,
    }
    assert "GET" in answer.headers["allow"]


async def test_a_declared_parameter_of_the_wrong_type_is_named(client: httpx.AsyncClient) -> None:
    answer = await client.get("/number?count=x")
    assert answer.status_code == 400
    assert (answer.json()["code"], answer.json()["attr"]) == ("invalid_input", "count")


async def test_a_declared_parameter_that_is_missing(client: httpx.AsyncClient) -> None:
    answer = await client.get("/number")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")


async def test_a_body_that_is_too_large(client: httpx.AsyncClient) -> None:
    answer = await client.post("/body", content=b"x" * 11)
    assert answer.status_code == 413
    assert answer.json()["code"] == "request_too_large"


async def test_other_refusals_of_the_framework(client: httpx.AsyncClient) -> None:
    answer = await answer_to(ClientException("Odd header."), client)
    assert answer.status_code == 400
    assert answer.json() == {
        "type": "invalid_request",
        "code": "bad_request",
        "detail": "Odd header.",
        "attr": None,
    }
