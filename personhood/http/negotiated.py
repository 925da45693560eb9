"""Answers in the form that was asked for: no handler has to know that there is CSV.

`Negotiated` is around the application, because a suffix has to go before a route is looked for, and
because refusals come from everywhere; `in_form` is a router's `after_request`, where an answer is
still made of values. The contract (persons-api, 9) takes the `results` of an answer and drops the
rest: so a single object, a summary or a refusal has its status and an empty body.
"""

import re
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import msgspec
from litestar import Response
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from personhood.http import accept, sheet
from personhood.http.accept import Form
from personhood.http.streamed import Streamed
from personhood.model import JSON

PATHS = ("/api/projects/", "/api/environments/")
# Not of a distinct id in the path: that may end in anything, and is taken as it is.
SUFFIX = re.compile(r"/api/[^/]+/[^/]+/(?:.*/)?(?!distinct_id:)[^/]+(\.(json|csv))/?", re.DOTALL)
CELLS_HELD_MAX = 1_000_000

CONTENT_TYPE = (b"content-type", f"{sheet.MEDIA_TYPE}; charset=utf-8".encode())
VARY = (b"vary", b"accept")


class Negotiated:
    """An ASGI application whose paths may end in a form, and that refuses in that form."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PATHS):
            await self.app(scope, receive, send)
            return
        accept.wanted.set(Form.JSON)
        if match := SUFFIX.fullmatch(scope["path"]):
            scope["path"] = scope["path"][: match.start(1)]
            scope[accept.SUFFIX] = match[2]  # pyright: ignore[reportGeneralTypeIssues]
        emptied = False

        async def send_in_form(message: Message) -> None:
            nonlocal emptied
            if message["type"] == "http.response.start":
                headers = list(message["headers"])
                if accept.is_csv_wanted() and is_json(headers):
                    headers, emptied = without_body(headers), True
                message["headers"] = [*headers, VARY]
            elif message["type"] == "http.response.body" and emptied:
                message["body"] = b""
            await send(message)

        await self.app(scope, receive, send_in_form)


def is_json(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(b"application/json")
        for name, value in headers
    )


def without_body(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    kept = [each for each in headers if each[0].lower() not in (b"content-type", b"content-length")]
    return [*kept, CONTENT_TYPE, (b"content-length", b"0")]


async def in_form(response: Response[Any]) -> Response[Any]:
    """An answer that has `results`, or is a list, as CSV if that is wanted."""
    if not accept.is_csv_wanted() or response.media_type not in (None, "application/json"):
        return response
    results = results_of(response.content)
    if results is None:
        return response  # which `Negotiated` empties
    if neighbour := field(response.content, "next"):
        response.headers["Link"] = f'<{neighbour}>; rel="next"'
    rows = [sheet.flat(each) for each in results]
    columns = sheet.columns_of(rows)
    chunks = sheet.lines(columns, rows)
    if len(rows) * len(columns) > CELLS_HELD_MAX:
        return Streamed(one_by_one(chunks), headers=response.headers, media_type=sheet.MEDIA_TYPE)
    response.content, response.media_type = b"".join(chunks), sheet.MEDIA_TYPE
    return response


async def one_by_one(chunks: Iterator[bytes]) -> AsyncGenerator[bytes, None]:
    for chunk in chunks:
        yield chunk


def results_of(content: Any) -> list[JSON] | None:
    """The rows of an answer. Where they go by keys, each has its own in a column `key`."""
    found = content if isinstance(content, list) else field(content, "results")
    match sheet.plain(found):
        case list(rows):
            return rows
        case dict(rows):
            return [{"key": key, **of_row(value)} for key, value in rows.items()]
        case _:
            return None


def of_row(value: JSON) -> dict[str, JSON]:
    return value if isinstance(value, dict) else {"value": value}


def field(content: Any, name: str) -> Any:
    """A field of a struct or an object; None if it has no such."""
    if isinstance(content, dict):
        return content.get(name)
    return getattr(content, name, None) if isinstance(content, msgspec.Struct) else None
