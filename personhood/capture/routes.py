"""What SDKs talk to: the route table, and protocol v0 (contract: capture-and-identity, 1.1 to 1.8).

Errors of v0 are plain text.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from http import HTTPStatus

import psycopg
import structlog
from litestar import HttpMethod, MediaType, Response, route
from litestar.exceptions import ClientException, HTTPException
from litestar.handlers import HTTPRouteHandler
from psycopg_pool import PoolTimeout

from personhood.capture import claims, clock, docs, flags, remote_config, scripts, v1_routes
from personhood.capture.parse import Capture, parse
from personhood.capture.receiving import (
    RETRY_AFTER_S,
    AnyRequest,
    aside,
    client_address,
    received,
)
from personhood.errors import BadCapture, CaptureError, CaptureTooLarge, Overloaded, TokenRefused
from personhood.http import body

log = structlog.get_logger(__name__)

STATUSES: dict[type[CaptureError], int] = {
    BadCapture: HTTPStatus.BAD_REQUEST,
    TokenRefused: HTTPStatus.UNAUTHORIZED,
    CaptureTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Overloaded: HTTPStatus.SERVICE_UNAVAILABLE,
}
OK = b'{"status":"Ok"}'
# posthog-js then keeps its recordings to itself for a minute.
NOT_RECORDED = b'{"status":"Ok","quota_limited":["recordings"]}'
AI_PREFIX = "$ai_"


async def capture(
    request: AnyRequest, *, legacy: bool = False, engage: bool = False, ai: bool = False
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
    if ai and not all(sent.name.startswith(AI_PREFIX) for sent in captured.events):
        raise BadCapture("this endpoint takes AI events only")
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
    ai: bool = False,
    shown: bool = False,
) -> HTTPRouteHandler:
    """One handler for `paths`, which differ in how far their bodies are unwrapped."""

    async def take(request: AnyRequest) -> Response[bytes]:
        return await capture(request, legacy=legacy, engage=engage, ai=ai)

    return taking(take, paths, methods=methods, shown=shown)


def sink(*paths: str, answer: bytes) -> HTTPRouteHandler:
    """Takes whatever comes, and keeps nothing of it."""

    async def take(request: AnyRequest) -> Response[bytes]:
        await received(request)
        return Response(answer, media_type=MediaType.JSON)

    return taking(take, paths)


def taking(
    take: Callable[[AnyRequest], Awaitable[Response[bytes]]],
    paths: Sequence[str],
    *,
    methods: Sequence[HttpMethod] = (HttpMethod.POST, HttpMethod.GET),
    shown: bool = False,
) -> HTTPRouteHandler:
    """A route that answers, and refuses, in the words of v0."""
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
    endpoint("/i/v0/ai/batch", methods=[HttpMethod.POST], ai=True),
    *v1_routes.route_handlers,  #     /i/v1/analytics/events
    sink("/s", answer=NOT_RECORDED),
    sink("/test/black_hole", answer=OK),
    *remote_config.route_handlers,  # /array/<token>/config, config.js, array.js
    *scripts.route_handlers,  #       /static/<file>, /static/<version>/<file>
    *flags.route_handlers,  #         /flags, /decide, /api/surveys, …
]
