"""An answer that is made while it is sent: it ends with its client, or visibly before its end.

The next chunk is made when the last one is taken: a slow client holds as little as a fast one.
"""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, TypeVar

import structlog
from litestar import Response
from litestar.exceptions import InternalServerException
from litestar.types import ASGIApp, Receive, Scope, Send

log = structlog.get_logger(__name__)

T = TypeVar("T")

STALL_S = 60  # that a client may leave a chunk waiting for


class CutOff(Exception):
    """The rest of an answer cannot be made: the server breaks the connection off."""


class Streamed(Response[bytes]):
    """Chunks as they come, after a `first` that is there already: so what is to be refused can be
    refused before."""

    def __init__(
        self,
        rest: AsyncGenerator[bytes, None],
        *,
        first: bytes = b"",
        headers: dict[str, str],
        media_type: str,
    ) -> None:
        super().__init__(first, headers=headers, media_type=media_type, status_code=200)
        self.rest = rest

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIApp:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.answer

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the end, or until the client leaves. Raises CutOff."""
        sending = asyncio.create_task(self.send_all(send))
        leaving = asyncio.create_task(left(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                log.info("client_left", path=scope["path"])
            else:
                sending.result()
        except Exception as error:
            # The traceback may hold somebody's data; the log is not the place for it.
            log.error("answer_cut_off", path=scope["path"], error=type(error).__name__)
            raise CutOff from None
        finally:
            leaving.cancel()
            sending.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
            await self.rest.aclose()

    async def send_all(self, send: Send) -> None:
        headers = [
            (b"content-type", f"{self.media_type}; charset=utf-8".encode()),
            *((name.lower().encode(), value.encode()) for name, value in self.headers.items()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if self.content:
            await self.send_chunk(send, self.content)
        async for chunk in self.rest:
            await self.send_chunk(send, chunk)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def send_chunk(self, send: Send, chunk: bytes) -> None:
        async with asyncio.timeout(STALL_S):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def unless_left(receive: Receive, making: Coroutine[Any, Any, T]) -> T:
    """What is made before there is an answer, given up when the client leaves."""
    made = asyncio.ensure_future(making)
    leaving = asyncio.create_task(left(receive))
    try:
        await asyncio.wait({made, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if made.done():
            return made.result()
        raise InternalServerException("client disconnected prematurely")  # as Litestar says it
    finally:
        leaving.cancel()
        made.cancel()
        await asyncio.gather(made, leaving, return_exceptions=True)


async def left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
