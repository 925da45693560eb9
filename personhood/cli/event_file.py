"""A file of events as rows, each with its place: NDJSON or CSV, plain or gzip'd, of any size.

What the rows mean is read by `event_map`. A row that cannot be read is a `BadRow` in its place,
with the bytes it has in the file, so that it can be written down and mended.
"""

import gzip
import io
import json
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec

from personhood.cli import event_csv
from personhood.cli.event_csv import BadRow, Piece, Row
from personhood.errors import InvalidSetting, PersonhoodError

# An event has at most 1 MiB of properties; as JSON text in JSON text they take twice that, and an
# export repeats the person's properties beside them.
LINE_BYTES_MAX = 4 * 1024 * 1024
GZIP = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
BUFFER_BYTES = 64 * 1024

decode_object = msgspec.json.Decoder(dict[str, object]).decode

# Given the columns of a header, the fields that none of them can fill.
Lacking = Callable[[list[str]], list[str]]


class EventFile:
    """An open file. `header` and `extension` are those of a file of some of its rows."""

    def __init__(self, file: IO[bytes], *, path: Path, lacking: Lacking) -> None:
        self.file = file
        self.path = path
        self.bytes = os.fstat(file.fileno()).st_size
        self.header = b""
        self.extension = "ndjson"
        pieces = self.pieces(unpacked(file, path))
        first = next((piece for piece in pieces if piece.raw.strip()), None)
        if first is None:
            raise InvalidSetting(f"{path} is empty.")
        first = msgspec.structs.replace(first, raw=first.raw.removeprefix(BOM))
        check_is_text(first.raw, path)
        if first.raw.lstrip().startswith(b"{"):
            self.rows = json_rows(first, pieces)
        else:
            self.header, self.extension = first.raw, "csv"
            header = event_csv.header(first, path=path, lacking=lacking)
            self.rows = event_csv.rows(pieces, header, bytes_max=LINE_BYTES_MAX)

    @property
    def position(self) -> int:
        """How much of the file is read, in bytes on disk."""
        return self.file.tell()

    def pieces(self, stream: IO[bytes]) -> Iterator[Piece]:
        """The physical lines; one that is too long comes in several pieces of the same number."""
        number, inside = 0, False
        try:
            while raw := stream.readline(LINE_BYTES_MAX):
                number += not inside
                whole = raw.endswith(b"\n") or len(raw) < LINE_BYTES_MAX
                yield Piece(number, raw, too_long=inside or not whole, continued=inside)
                inside = not whole
        except (OSError, EOFError, zlib.error) as error:
            raise PersonhoodError(
                f"{self.path} cannot be read on after line {number}: {error}. "
                "What came before is imported; running it again adds only what is new."
            ) from error


@contextmanager
def opened(path: Path, lacking: Lacking) -> Iterator[EventFile]:
    """The file at `path`. Raises InvalidSetting when there is none, or nothing to be read in it."""
    if path.is_dir():
        raise InvalidSetting(f"{path} is a folder, not a file.")
    if path.exists() and not path.is_file():
        raise InvalidSetting(
            f"{path} is no file that can be gone back in, such as a pipe: save it as one first."
        )
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise InvalidSetting(f"There is no file {path}.") from None
    except OSError as error:
        raise InvalidSetting(f"{path} cannot be read: {error.strerror}.") from None
    with file:
        yield EventFile(file, path=path, lacking=lacking)


def unpacked(file: IO[bytes], path: Path) -> IO[bytes]:
    """The text in `file`, by its first bytes: a name may say anything."""
    start = file.read(len(GZIP))
    file.seek(0)
    if start != GZIP:
        return file
    return io.BufferedReader(gzip.GzipFile(fileobj=file), BUFFER_BYTES)


def check_is_text(start: bytes, path: Path) -> None:
    if b"\0" in start or start.startswith((b"PAR1", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7z")):
        raise InvalidSetting(
            f"{path} is neither UTF-8 text nor gzip'd; export it as JSON lines or CSV."
        )
    if start.lstrip().startswith(b"["):
        raise InvalidSetting(
            f"{path} is one JSON array; make it one object a line, as with `jq -c '.[]'`."
        )


def json_rows(first: Piece, rest: Iterator[Piece]) -> Iterator[Row | BadRow]:
    yield json_row(first)
    for piece in rest:
        if piece.too_long or not piece.raw.isspace():
            yield json_row(piece)


def json_row(piece: Piece) -> Row | BadRow:
    if piece.too_long:
        return piece.refused(event_csv.too_long(LINE_BYTES_MAX))
    try:
        return Row(piece.number, piece.raw, decode_object(piece.raw))
    except msgspec.ValidationError:
        is_object = piece.raw.lstrip().startswith(b"{")
        return piece.refused("a number out of range" if is_object else "not a JSON object")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return piece.refused(f"not JSON: {why(piece.raw)}")


def why(raw: bytes) -> str:
    """What is wrong with a line, in more words than a byte offset."""
    try:
        json.loads(raw.rstrip())
    except UnicodeDecodeError:
        return "it is not UTF-8"
    except json.JSONDecodeError as error:
        return f"{error.msg} at column {error.colno}"
    except (RecursionError, ValueError):
        return "it goes beyond what can be stored"
    return "it goes beyond what can be stored"
