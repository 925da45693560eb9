"""CSV of events: its delimiter is found out, and a record may go over several lines.

A record that does not end as it should costs its first line only: reading goes on in the next, so
that one missing quote does not swallow what follows.
"""

import csv
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from personhood.errors import InvalidSetting
from personhood.model import JSON

DELIMITERS = (",", ";", "\t", "|")
WHITESPACE = ""  # as a delimiter: any run of spaces and tabs, and no quotes
COLUMNS_SHOWN_MAX = 12
REASONS = {
    "unexpected end of data": "a quote is opened and never closed",
}


class Row(Struct, frozen=True):
    """A row that could be read: the line it begins at, its bytes, its cells by column."""

    line: int
    raw: bytes
    cells: dict[str, JSON]


class BadRow(Struct, frozen=True):
    """A row that is not taken. One that is too long goes on in rows that are `continued`."""

    line: int
    raw: bytes
    reason: str
    continued: bool = False


class Piece(Struct, frozen=True):
    """A physical line with its end, or a part of one that is too long."""

    number: int
    raw: bytes
    too_long: bool = False
    continued: bool = False

    def refused(self, reason: str) -> BadRow:
        return BadRow(self.number, self.raw, reason, continued=self.continued)


class Header(Struct, frozen=True):
    """What stands between the cells, and what each is called; None is a column to leave out."""

    delimiter: str
    names: list[str | None]


def header(line: Piece, *, path: Path, lacking: Callable[[list[str]], list[str]]) -> Header:
    """Read the header by the delimiter that gives it the columns which are needed.

    Raises InvalidSetting when none does, or when a column is there twice.
    """
    try:
        text = line.raw.decode()
    except UnicodeDecodeError:
        raise InvalidSetting(f"{path} is not UTF-8 text.") from None
    readings = [
        Header(delimiter, without_stars(names))
        for delimiter in (*DELIMITERS, WHITESPACE)
        if (names := split(text, delimiter)) is not None
    ]
    for each in readings:
        if not lacking(columns(each)):
            check_unique(each, path)
            return each
    found = columns(max(readings, key=lambda each: len(each.names)))
    shown = ", ".join(found[:COLUMNS_SHOWN_MAX]) + (", …" if len(found) > COLUMNS_SHOWN_MAX else "")
    raise InvalidSetting(
        f"{path} has no column {' and no column '.join(lacking(found))} (its first line names "
        f"{shown}). Say which is which with --map distinct_id=COLUMN,event=COLUMN,timestamp=COLUMN."
    )


def rows(pieces: Iterator[Piece], header: Header, *, bytes_max: int) -> Iterator[Row | BadRow]:
    """The rows under a header, each at the physical line where it begins."""
    csv.field_size_limit(bytes_max)  # of the whole process; our own check comes first
    waiting: deque[Piece] = deque()

    def following() -> Piece | None:
        return waiting.popleft() if waiting else next(pieces, None)

    while (first := following()) is not None:
        if first.too_long:
            yield first.refused(too_long(bytes_max))
        elif not first.raw.isspace():
            record = Record(first, following, bytes_max=bytes_max)
            yield record.row(header)
            waiting.extendleft(reversed(record.unused))


class Record:
    """One record in the making; `unused` are the lines that turned out not to be of it."""

    def __init__(
        self, first: Piece, following: Callable[[], Piece | None], *, bytes_max: int
    ) -> None:
        self.lines = [first]
        self.unused: list[Piece] = []
        self.following = following
        self.bytes_left = bytes_max - len(first.raw)

    def row(self, header: Header) -> Row | BadRow:
        try:
            cells = self.cells(header.delimiter)
        except csv.Error as error:
            [first, *self.unused] = self.lines
            return first.refused(REASONS.get(str(error), str(error)))
        first, raw = self.lines[0], b"".join(line.raw for line in self.lines)
        if len(cells) != len(header.names):
            reason = f"{len(cells)} columns where the first line has {len(header.names)}"
            return BadRow(first.number, raw, reason)
        return Row(
            first.number,
            raw,
            {name: cell for name, cell in zip(header.names, cells, strict=True) if name},
        )

    def cells(self, delimiter: str) -> list[str]:
        if delimiter == WHITESPACE:
            return next(self.texts()).split()
        return next(csv.reader(self.texts(), delimiter=delimiter, strict=True))

    def texts(self) -> Iterator[str]:
        """The first line, and as many more as are asked for."""
        yield decoded(self.lines[0])
        while (line := self.following()) is not None:
            self.lines.append(line)
            self.bytes_left -= len(line.raw)
            if line.too_long or self.bytes_left < 0:
                raise csv.Error("a quote is opened and not closed for too long")
            yield decoded(line)


def decoded(line: Piece) -> str:
    try:
        return line.raw.decode()
    except UnicodeDecodeError:
        raise csv.Error("not UTF-8") from None


def split(text: str, delimiter: str) -> list[str] | None:
    """The names in a header line, None where this delimiter cannot be meant."""
    if delimiter == WHITESPACE:
        return text.split()
    try:
        names = next(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    return [name.strip() for name in names]


def without_stars(names: list[str]) -> list[str | None]:
    """PostHog's own table exports an event as `*.event`, … and what else is shown beside it."""
    starred = {name.removeprefix("*.") for name in names if name.startswith("*.")}
    return [None if name in starred or not name else name.removeprefix("*.") for name in names]


def columns(header: Header) -> list[str]:
    return [name for name in header.names if name is not None]


def check_unique(header: Header, path: Path) -> None:
    names = columns(header)
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise InvalidSetting(f"{path} has the column {twice[0]} twice.")


def too_long(bytes_max: int) -> str:
    return f"longer than {bytes_max // (1024 * 1024)} MiB"
