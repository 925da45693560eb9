"""Protocol v0, from the request to the answer (contract: capture-and-identity, 1.2 to 1.8).

Plain ASGI, for most of what a server is asked is this, and the way through the framework takes as
long as all the rest of one event. `capture.routes` gives it its paths. Errors are plain text.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, cast

import psycopg
import structlog
from litestar import Request
from litestar.exceptions import HTTPException
from litestar.types import HTTPScope, Receive, Scope, Send
from msgspec import Struct
from psycopg_pool import PoolTimeout

from personhood import metrics
from personhood.capture import claims, clock, heatmap
from personhood.capture.parse import Capture, parse
from personhood.capture.receiving import RETRY_AFTER_S, aside, body_of, client_address, header
from personhood.errors import BadCapture, CaptureError, CaptureTooLarge, Overloaded, TokenRefused
from personhood.http import body

log = structlog.get_logger(__name__)

STATUSES: dict[type[Exception], int] = {
    BadCapture: HTTPStatus.BAD_REQUEST,
    TokenRefused: HTTPStatus.UNAUTHORIZED,
    CaptureTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Overloaded: HTTPStatus.SERVICE_UNAVAILABLE,
}
AI_PREFIX = "$ai_"


class Answer(Struct):
    """What is sent back. Without a `media_type` it has no body."""

    status: int
    body: bytes
    media_type: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


OK = Answer(HTTPStatus.OK, b'{"status":"Ok"}', b"application/json")
BEACON = Answer(HTTPStatus.NO_CONTENT, b"", b"")


class Endpoint(ABC):
    """An ASGI application that answers, and refuses, in the words of v0."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope = cast(HTTPScope, scope)
        try:
            answer = await self.answer(scope, receive)
        except Exception as error:
            answer = refusal(scope, error)
        headers = [(b"content-length", b"%d" % len(answer.body)), *answer.headers]
        if answer.media_type:
            headers.append((b"content-type", answer.media_type))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body, "more_body": False})

    @abstractmethod
    async def answer(self, scope: HTTPScope, receive: Receive) -> Answer: ...


class Events(Endpoint):
    """Takes events; the paths differ in how far their bodies are unwrapped."""

    def __init__(self, *, legacy: bool = False, engage: bool = False, ai: bool = False) -> None:
        self.legacy = legacy
        self.engage = engage
        self.ai = ai

    async def answer(self, scope: HTTPScope, receive: Receive) -> Answer:
        """Decode, parse, read and ingest one request; the answer comes when it is durable."""
        received_at = datetime.now(UTC)
        state = scope["litestar_app"].state
        query: Mapping[str, str] = {}
        if scope["query_string"]:
            query = Request[Any, Any, Any](scope).query_params

        def unpack(payload: bytes) -> tuple[Capture, int]:
            text = body.decode(
                payload,
                query=query,
                content_type=header(scope, b"content-type"),
                content_encoding=header(scope, b"content-encoding"),
                legacy=self.legacy,
            )
            sent_at = clock.sent_at_of_query(query.get("_") or query.get("sent_at"))
            return parse(text, now=received_at, sent_at=sent_at, engage=self.engage), len(text)

        payload = await body_of(scope, receive, bytes_max=body.RECEIVED_BYTES_MAX)
        captured, size = await aside(len(payload), unpack, payload)
        if self.ai and not all(sent.name.startswith(AI_PREFIX) for sent in captured.events):
            raise BadCapture("this endpoint takes AI events only")
        project = await state.projects.by_token(captured.token)
        if project is None:
            # Its SDK tells nobody of a 401, and would send it again for ever.
            metrics.events_of_no_project.inc(len(captured.events))
        else:
            ip = client_address(scope)

            def read() -> list[claims.Reading]:
                return [
                    claims.read(sent, project, received_at=received_at, ip=ip)
                    for event in captured.events
                    for sent in heatmap.parted(event)
                ]

            readings = await aside(size, read)
            await state.ingester.ingest(
                project,
                [reading.event for reading in readings if reading.event is not None],
                [warning for reading in readings for warning in reading.warnings],
                size=size,
            )
        return BEACON if query.get("beacon") == "1" else OK


class Sink(Endpoint):
    """Takes whatever comes, and keeps nothing of it."""

    def __init__(self, answer: Answer) -> None:
        self.always = answer

    async def answer(self, scope: HTTPScope, receive: Receive) -> Answer:
        await body_of(scope, receive, bytes_max=body.RECEIVED_BYTES_MAX)
        return self.always


# Errors


def refusal(scope: HTTPScope, error: Exception) -> Answer:
    match error:
        case CaptureError() | Overloaded():
            status = next(STATUSES[cls] for cls in type(error).__mro__ if cls in STATUSES)
            return plain(status, str(error))
        case HTTPException():
            # Of the body: it is over the limit, or does not come to its end.
            return plain(error.status_code, error.detail)
        case psycopg.OperationalError() | PoolTimeout():
            log.warning("capture without a database", reason=type(error).__name__)
            return plain(HTTPStatus.SERVICE_UNAVAILABLE, str(Overloaded()))
        case _:
            log.error("capture failed", path=scope["path"], exc_info=error)
            return plain(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error")


def plain(status: int, text: str) -> Answer:
    busy = status == HTTPStatus.SERVICE_UNAVAILABLE
    wait = ((b"retry-after", b"%d" % RETRY_AFTER_S),) if busy else ()
    return Answer(status, text.encode(), b"text/plain; charset=utf-8", wait)
