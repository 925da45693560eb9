"""Rows of an answer → CSV that a spreadsheet may open (contract: persons-api, 9).

Nested values are spread over columns `a.b` and `a.0`; the columns are those of all rows together,
in the order of their text. Pure.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from io import StringIO
from typing import Any

import msgspec

from personhood.model import JSON

MEDIA_TYPE = "text/csv"
CHUNK_CHARACTERS = 64 * 1024
# Values whose own text is their cell, beside those of JSON.
KEPT_TYPES = (datetime, date)

# What makes a spreadsheet read a text as a formula (OWASP, "CSV Injection").
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def plain(content: Any) -> JSON:
    """Structs as objects and so on; what `KEPT_TYPES` names stays."""
    return msgspec.to_builtins(content, builtin_types=KEPT_TYPES, str_keys=True)


def columns_of(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return sorted({name for row in rows for name in row})


def lines(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """Header and rows, in chunks; nothing at all if there is no column."""
    if columns:
        yield header(columns)
        yield from body(columns, rows)


def header(columns: Sequence[str]) -> bytes:
    text = StringIO()
    csv.writer(text).writerow(map(safe, columns))
    return text.getvalue().encode()


def body(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    text = StringIO()
    writer = csv.writer(text)
    for row in rows:
        writer.writerow([cell(row.get(name)) for name in columns])
        if text.tell() >= CHUNK_CHARACTERS:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


def flat(row: JSON) -> dict[str, Any]:
    """Every value that holds no others, by its path. Of two with one path, the last stays."""
    cells: dict[str, Any] = {}
    left: list[tuple[str | None, JSON]] = [(None, row)]
    while left:
        path, value = left.pop()
        if isinstance(value, dict):
            parts = list(value.items())
        elif isinstance(value, list | tuple):
            parts = list(enumerate(value))
        else:
            cells[path or ""] = value
            continue
        prefix = "" if path is None else f"{path}."
        left += [(f"{prefix}{key}", part) for key, part in reversed(parts)]
    return cells


def cell(value: Any) -> Any:
    """A value as `csv` is to write it: text made safe; of all else, its text in Python."""
    return safe(value) if isinstance(value, str) else value


def safe(text: str) -> str:
    """What a spreadsheet would run becomes text by an apostrophe; a number stays one."""
    if text.startswith(FORMULA_STARTS) and not NUMBER.fullmatch(text):
        return f"'{text}"
    return text
