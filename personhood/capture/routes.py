"""Where SDKs send events (contract: capture-and-identity, 1.1 to 1.8). Errors are plain text."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, ParamSpec, TypeVar

import psycopg
import structlog
from litestar import HttpMethod, MediaType, Request, Response, route
from litestar.datastructures import State
from litestar.exceptions import ClientException, HTTPException
from litestar.handlers import HTTPRouteHandler
from psycopg_pool import PoolTimeout

from personhood.capture import claims, clock, docs
from personhood.capture.parse import Capture, parse
from personhood.errors import BadCapture, CaptureError, CaptureTooLarge, Overloaded, TokenRefused
from personhood.http import body

log = structlog.get_logger(__name__)

AnyRequest = Request[Any, Any, State]

P = ParamSpec("P")
T = TypeVar("T")

BODY_TIMEOUT_S = 60
THREAD_BYTES = 256 * 1024
RETRY_AFTER_S = 2
STATUSES: dict[type[CaptureError], int] = {
    BadCapture: HTTPStatus.BAD_REQUEST,
    TokenRefused: HTTPStatus.UNAUTHORIZED,
    CaptureTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Overloaded: HTTPStatus.SERVICE_UNAVAILABLE,
}
OK = b'{"status":"Ok"}'


async def capture(
    request: AnyRequest, *, legacy: bool = False, engage: bool = False
) -> Response[bytes]:
    """Decode, parse, read and ingest one request; its answer comes when it is durable."""
    received_at = datetime.now(UTC)
    query = request.query_params

    def unpack(payload: bytes) -> tuple[Capture, int]:
        text = body.decode(
            payload,
            query=query,
            content_type=request.headers.get("content-type"),
            content_encoding=request.headers.get("content-encoding"),
            legacy=legacy,
        )
        sent_at = clock.sent_at_of_query(query.get("_") or query.get("sent_at"))
        return parse(text, now=received_at, sent_at=sent_at, engage=engage), len(text)

    payload = await received(request)
    captured, size = await aside(len(payload), unpack, payload)
    project = await request.app.state.projects.by_token(captured.token)
    if project is not None:
        ip = client_address(request)

        def read() -> list[claims.Reading]:
            return [
                claims.read(sent, project, received_at=received_at, ip=ip)
                for sent in captured.events
            ]

        readings = await aside(size, read)
        await request.app.state.ingester.ingest(
            project,
            [reading.event for reading in readings if reading.event is not None],
            [warning for reading in readings for warning in reading.warnings],
            size=size,
        )
    if query.get("beacon") == "1":
        return Response(b"", status_code=HTTPStatus.NO_CONTENT)
    return Response(OK, media_type=MediaType.JSON, status_code=HTTPStatus.OK)


async def aside(size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do `work` on `size` bytes; in a thread if that is much, so that others are served too."""
    if size < THREAD_BYTES:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)


async def received(request: AnyRequest) -> bytes:
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.body()
    except TimeoutError:
        raise HTTPException(
            status_code=HTTPStatus.REQUEST_TIMEOUT, detail="client stopped sending data"
        ) from None


def client_address(request: AnyRequest) -> str | None:
    """Whom the request is from; what a proxy says of it counts only where that is set."""
    if request.app.state.settings.trust_forwarded_for:
        forwarded = request.headers.get("x-forwarded-for", "").partition(",")[0].strip()
        if forwarded:
            return forwarded
    return request.client.host if request.client else None


# Errors


def capture_error(_: AnyRequest, error: CaptureError) -> Response[str]:
    return plain(next(STATUSES[cls] for cls in type(error).__mro__ if cls in STATUSES), str(error))


def http_error(_: AnyRequest, error: HTTPException) -> Response[str]:
    """What the framework refuses: a body over the limit, one that does not come to its end."""
    return plain(error.status_code, error.detail)


def database_away(_: AnyRequest, error: Exception) -> Response[str]:
    log.warning("capture without a database", reason=type(error).__name__)
    return plain(HTTPStatus.SERVICE_UNAVAILABLE, str(Overloaded()))


def failed(request: AnyRequest, error: Exception) -> Response[str]:
    log.error("capture failed", path=request.scope["path"], exc_info=error)
    return plain(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error")


def plain(status: int, text: str) -> Response[str]:
    busy = status == HTTPStatus.SERVICE_UNAVAILABLE
    headers = {"retry-after": str(RETRY_AFTER_S)} if busy else {}
    return Response(text, status_code=status, media_type=MediaType.TEXT, headers=headers)


# Routes


def endpoint(
    *paths: str,
    methods: Sequence[HttpMethod] = (HttpMethod.POST, HttpMethod.GET),
    legacy: bool = False,
    engage: bool = False,
    shown: bool = False,
) -> HTTPRouteHandler:
    """One handler for `paths`, which differ in how far their bodies are unwrapped."""

    async def take(request: AnyRequest) -> Response[bytes]:
        return await capture(request, legacy=legacy, engage=engage)

    return route(
        list(paths),
        http_method=list(methods),
        status_code=HTTPStatus.OK,
        media_type=MediaType.JSON,
        request_max_body_size=body.RECEIVED_BYTES_MAX,
        # The API's own handlers are in force for whatever is more special than what stands here.
        exception_handlers={
            CaptureError: capture_error,
            Overloaded: capture_error,
            HTTPException: http_error,
            ClientException: http_error,
            psycopg.OperationalError: database_away,
            PoolTimeout: database_away,
            Exception: failed,
        },
        **(docs.SHOWN if shown else docs.HIDDEN),
    )(take)


route_handlers = [
    endpoint("/batch", methods=[HttpMethod.POST], shown=True),
    endpoint("/batch", methods=[HttpMethod.GET]),
    endpoint("/i/v0/e"),
    endpoint("/e", "/capture", "/track", legacy=True),
    endpoint("/engage", legacy=True, engage=True),
]
