"""All rows of a list as one CSV, however many: made and sent a page at a time (persons-api, 9)."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeAlias

import msgspec
from litestar.response import Stream
from litestar.response.base import ASGIResponse

from personhood.http import sheet

# Begins anew each time it is called, and gives the same rows: values of an answer's `results`.
Pages: TypeAlias = Callable[[], AsyncIterator[Sequence[Any]]]


class CsvStream(Stream):
    """A stream keeps its own media type, whatever its handler usually answers in."""

    def to_asgi_response(self, app: Any, request: Any, **given: Any) -> ASGIResponse:
        return super().to_asgi_response(app, request, **{**given, "media_type": sheet.MEDIA_TYPE})


async def csv(pages: Pages) -> CsvStream:
    """The rows are gone through twice: the columns are those of all rows, and come first."""
    columns = sorted({name async for page in pages() for row in flat(page) for name in row})
    return CsvStream(chunks(pages, columns), media_type=sheet.MEDIA_TYPE)


async def chunks(pages: Pages, columns: Sequence[str]) -> AsyncIterator[bytes]:
    header = b"".join(sheet.lines(columns, ()))
    yield header
    async for page in pages():
        yield b"".join(sheet.lines(columns, flat(page)))[len(header) :]


def flat(page: Sequence[Any]) -> list[dict[str, Any]]:
    plain = msgspec.to_builtins(page, builtin_types=sheet.KEPT_TYPES, str_keys=True)
    return [sheet.flat(row) for row in plain]
