"""What the handlers of every capture protocol do with a request before they read it."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, ParamSpec, TypeVar

from litestar import Request
from litestar.datastructures import State
from litestar.exceptions import HTTPException

AnyRequest = Request[Any, Any, State]

P = ParamSpec("P")
T = TypeVar("T")

BODY_TIMEOUT_S = 60
THREAD_BYTES = 256 * 1024
RETRY_AFTER_S = 2


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
