"""An answer that is made while it is sent: to its end, or visibly not to its end."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from litestar.types import Message

from personhood.http import streamed
from personhood.http.streamed import CutOff, Streamed

SCOPE: Any = {"type": "http", "path": "/file"}
ended: list[str] = []


@pytest.fixture(autouse=True)
def nothing_ended() -> None:
    ended.clear()


async def chunks(*texts: bytes | Exception) -> AsyncGenerator[bytes, None]:
    try:
        for text in texts:
            if isinstance(text, Exception):
                raise text
            yield text
    finally:
        ended.append("chunks")


def answer(rest: AsyncGenerator[bytes, None], first: bytes = b"") -> Streamed:
    return Streamed(rest, first=first, headers={"X-A": "b"}, media_type="text/csv")


async def stays() -> Any:
    await asyncio.Event().wait()


async def leaves() -> Any:
    return {"type": "http.disconnect"}


class Client:
    def __init__(self, *, taking: int | None = None) -> None:
        self.taking = taking
        self.got: list[Message] = []

    async def __call__(self, message: Message) -> None:
        if self.taking is not None and len(self.got) >= self.taking:
            await asyncio.Event().wait()
        self.got.append(message)

    def text(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.got)  # type: ignore[misc]


async def test_chunks_are_sent_as_they_come() -> None:
    client = Client()
    await answer(chunks(b"b", b"c"), first=b"a").answer(SCOPE, stays, client)
    assert client.got[0]["headers"] == [
        (b"content-type", b"text/csv; charset=utf-8"),
        (b"x-a", b"b"),
    ]
    assert client.text() == b"abc"
    assert client.got[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
    assert ended == ["chunks"]


async def test_what_cannot_be_finished_is_cut_off() -> None:
    client = Client()
    with pytest.raises(CutOff) as caught:
        await answer(chunks(b"b", ValueError("of ada@example.com"))).answer(SCOPE, stays, client)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
    assert client.got[-1]["more_body"] is True
    assert ended == ["chunks"]


async def test_a_client_that_leaves_ends_it() -> None:
    client = Client(taking=2)
    rest = chunks(b"b", b"c")
    await anext(rest)
    await answer(rest, first=b"a").answer(SCOPE, leaves, client)
    assert ended == ["chunks"]


async def test_a_client_that_takes_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "STALL_S", 0.01)
    with pytest.raises(CutOff):
        await answer(chunks(b"b", b"c")).answer(SCOPE, stays, Client(taking=2))
    assert ended == ["chunks"]


async def test_a_server_that_stops_ends_it() -> None:
    running = asyncio.create_task(answer(chunks(b"b", b"c")).answer(SCOPE, stays, Client(taking=2)))
    await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended == ["chunks"]
