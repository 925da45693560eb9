"""All rows of a list as one CSV, however many: made and sent a page at a time (persons-api, 9)."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, TypeAlias

import msgspec

from personhood.errors import InvalidInput
from personhood.http import sheet
from personhood.http.streamed import Streamed

COLUMNS_MAX = 16_384  # what spreadsheets hold

# Begins anew each time it is called, and gives the same rows: values of an answer's `results`.
Pages: TypeAlias = Callable[[], AsyncGenerator[Sequence[Any], None]]


async def csv(pages: Pages, *, filename: str) -> Streamed:
    """The rows are gone through twice: the columns are those of all rows, and come first.

    Raises InvalidInput when they are too many.
    """
    columns: set[str] = set()
    async with aclosing(pages()) as first:
        async for page in first:
            columns.update(name for row in flat(page) for name in row)
            refuse_above(COLUMNS_MAX, len(columns))
    headers = {"content-disposition": f'attachment; filename="{filename}"'}
    return Streamed(chunks(pages, sorted(columns)), headers=headers, media_type=sheet.MEDIA_TYPE)


async def chunks(pages: Pages, columns: Sequence[str]) -> AsyncGenerator[bytes, None]:
    header = b"".join(sheet.lines(columns, ()))
    yield header
    async with aclosing(pages()) as second:
        async for page in second:
            yield b"".join(sheet.lines(columns, flat(page)))[len(header) :]


def refuse_above(most: int, columns: int) -> None:
    if columns > most:
        raise InvalidInput(
            f"This makes more than {most:,} columns, which no spreadsheet holds. Please read JSON.",
            code="too_many_columns",
        )


def flat(page: Sequence[Any]) -> list[dict[str, Any]]:
    plain = msgspec.to_builtins(page, builtin_types=sheet.KEPT_TYPES, str_keys=True)
    return [sheet.flat(row) for row in plain]
