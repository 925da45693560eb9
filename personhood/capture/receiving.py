"""What the handlers of every capture protocol do with a request before they read it."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, ParamSpec, TypeVar

from litestar import Request
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.types import HTTPScope, Receive

AnyRequest = Request[Any, Any, State]

P = ParamSpec("P")
T = TypeVar("T")

BODY_TIMEOUT_S = 60
THREAD_BYTES = 256 * 1024
RETRY_AFTER_S = 2


class Stalled(HTTPException):
    status_code = HTTPStatus.REQUEST_TIMEOUT
    detail = "client stopped sending data"


class TooLarge(HTTPException):
    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    detail = "Request Entity Too Large"


class Left(HTTPException):
    """Nobody is there any more to read this."""

    status_code = HTTPStatus.BAD_REQUEST
    detail = "client disconnected prematurely"


async def aside(size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do `work` on `size` bytes; in a thread if that is much, so that others are served too."""
    if size < THREAD_BYTES:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)


async def received(request: AnyRequest) -> bytes:
    """The body, up to the route's limit."""
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.body()
    except TimeoutError:
        raise Stalled from None


async def body_of(scope: HTTPScope, receive: Receive, *, bytes_max: int) -> bytes:
    """The body, for those that stand outside the framework."""
    if int(header(scope, b"content-length") or 0) > bytes_max:
        raise TooLarge
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await chunks_of(receive, bytes_max)
    except TimeoutError:
        raise Stalled from None


async def chunks_of(receive: Receive, bytes_max: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Left
        chunk = message.get("body", b"")
        chunks.append(chunk)
        size += len(chunk)
        if size > bytes_max:
            raise TooLarge
        if not message.get("more_body", False):
            return b"".join(chunks)


def header(scope: HTTPScope, name: bytes) -> str | None:
    """The first of the headers with that (lower-case) name."""
    for each, value in scope["headers"]:
        if each == name:
            return value.decode("latin-1")
    return None


def client_address(scope: HTTPScope) -> str | None:
    """Whom the request is from; what a proxy says of it counts only where that is set."""
    if scope["litestar_app"].state.settings.trust_forwarded_for:
        forwarded = (header(scope, b"x-forwarded-for") or "").partition(",")[0].strip()
        if forwarded:
            return forwarded
    client = scope["client"]
    return client[0] if client else None
