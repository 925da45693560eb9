"""What went wrong → the JSON that API clients are told (contract: persons-api, 8.4).

Only this module knows a status code. A client never sees a traceback: that goes to the log.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import psycopg
import structlog
from litestar import Request, Response
from litestar.exceptions import (
    ClientException,
    HTTPException,
    InternalServerException,
    MethodNotAllowedException,
    NotFoundException,
    SerializationException,
    ValidationException,
)
from litestar.status_codes import HTTP_413_REQUEST_ENTITY_TOO_LARGE
from litestar.types import ExceptionHandlersMap
from msgspec import Struct

from personhood import errors

log = structlog.get_logger(__name__)

STATUSES: dict[type[errors.ApiError], int] = {
    errors.ApiError: 500,
    errors.InvalidInput: 400,
    errors.BrokenJson: 400,
    errors.NotAuthenticated: 401,
    errors.AuthenticationFailed: 401,
    errors.PermissionDenied: 403,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.NotAcceptable: 406,
    errors.Conflict: 409,
    errors.PreconditionFailed: 412,
    errors.UnsupportedMediaType: 415,
    errors.Unprocessable: 422,
    errors.Throttled: 429,
}
RETRY_AFTER_S = {429: 60, 503: 1}
TOO_SLOW_RETRY_AFTER_S = 30


class Error(Struct, frozen=True):
    """The body of every refusal. `attr` is the field at fault, if it is one field."""

    type: str
    code: str
    detail: str
    attr: str | None = None


def status_of(error: type[errors.ApiError]) -> int:
    """The status of an error class: its own, or that of the nearest class it derives from."""
    return next(STATUSES[cls] for cls in error.__mro__ if cls in STATUSES)


def api_error(_: Request[Any, Any, Any], error: errors.ApiError) -> Response[Any]:
    body = error.body or Error(error.type, error.code, str(error), error.attr)
    answer = respond(status_of(type(error)), body)
    if error.retry_after_s is not None:
        answer.headers["Retry-After"] = str(error.retry_after_s)
    return answer


def method_not_allowed(
    request: Request[Any, Any, Any], error: MethodNotAllowedException
) -> Response[Error]:
    answer = api_error(request, errors.MethodNotAllowed(f'Method "{request.method}" not allowed.'))
    answer.headers.update(error.headers or {})
    return answer


def unknown_route(request: Request[Any, Any, Any], _: NotFoundException) -> Response[Error]:
    return api_error(request, errors.NotFound("Endpoint not found."))


def validation_failed(
    request: Request[Any, Any, Any], error: ValidationException
) -> Response[Error]:
    """The first complaint of Litestar about a declared parameter."""
    first = error.extra[0] if isinstance(error.extra, list) and error.extra else {}
    message, attr = first.get("message", error.detail), first.get("key")
    return api_error(request, errors.InvalidInput(message, attr=attr))


def broken_json(request: Request[Any, Any, Any], error: SerializationException) -> Response[Error]:
    return api_error(request, errors.BrokenJson(f"JSON parse error - {error}"))


def http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[Error]:
    """Whatever else Litestar refuses, with the status it chose."""
    status = error.status_code
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return crash(request, error)
    code = HTTPStatus(status).phrase.lower().replace(" ", "_")
    detail = str(error.detail)
    if status == HTTP_413_REQUEST_ENTITY_TOO_LARGE:
        code, detail = "request_too_large", "The request body is too large."
    return respond(status, Error("invalid_request", code, detail))


def unavailable(
    request: Request[Any, Any, Any], error: psycopg.OperationalError | errors.Overloaded
) -> Response[Error]:
    """No database, or no free connection to it in time: the same request may work in a moment."""
    if isinstance(error, psycopg.errors.QueryCanceled):
        return too_slow(request)
    log.warning("unavailable", path=request.scope["path"], error=repr(error))
    match error:
        case errors.StorageAway():
            return respond(503, Error("server_error", "service_unavailable", str(error)))
        case errors.Overloaded() | psycopg.errors.LockNotAvailable():
            detail = "Others write the same at this moment."
        case psycopg.errors.DiskFull():
            detail = "The disk of the database is full."
        case _:
            detail = "The database does not answer."
    return respond(503, Error("server_error", "service_unavailable", f"{detail} Please try again."))


def too_slow(request: Request[Any, Any, Any]) -> Response[Error]:
    """PostgreSQL stopped a query at its `statement_timeout`. At once it would only take as long."""
    log.warning("query_timeout", path=request.scope["path"])
    detail = "The query took too long and was stopped. Ask for less, or try again later."
    answer = respond(503, Error("server_error", "query_timeout", detail))
    answer.headers["Retry-After"] = str(TOO_SLOW_RETRY_AFTER_S)
    return answer


def crash(request: Request[Any, Any, Any], error: Exception) -> Response[Error]:
    log.error("request_failed", method=request.method, path=request.scope["path"], exc_info=error)
    return respond(500, Error("server_error", "error", "A server error occurred."))


def disconnected(
    request: Request[Any, Any, Any], error: InternalServerException
) -> Response[Error]:
    """Litestar's own 500; one that only says that the client left is no crash of ours."""
    if error.detail != "client disconnected prematurely":
        return crash(request, error)
    log.info("client_left", path=request.scope["path"])
    return respond(400, Error("invalid_request", "client_disconnected", "The client left."))


def respond(status: int, body: Error | Mapping[str, str]) -> Response[Any]:
    wait = RETRY_AFTER_S.get(status)
    headers = {} if wait is None else {"Retry-After": str(wait)}
    return Response(body, status_code=status, headers=headers, media_type="application/json")


exception_handlers: ExceptionHandlersMap = {
    errors.ApiError: api_error,
    NotFoundException: unknown_route,
    MethodNotAllowedException: method_not_allowed,
    ValidationException: validation_failed,
    SerializationException: broken_json,
    ClientException: http_exception,
    HTTPException: http_exception,
    InternalServerException: disconnected,
    psycopg.OperationalError: unavailable,
    errors.Overloaded: unavailable,
    Exception: crash,
}
