"""Rows in the binary format of COPY (PostgreSQL manual, COPY, "Binary Format").

Packed by hand, because it is the hottest loop of all: the driver, which looks at the type of each
value of each row, takes five times as long.
"""

import struct
from collections.abc import Iterable
from datetime import UTC, datetime

from psycopg import AsyncConnection

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
CHUNK_BYTES = 256 * 1024

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
INT8 = struct.Struct("!iq").pack
INT4 = struct.Struct("!i").pack
JSONB = struct.Struct("!ib").pack
NULL = INT4(-1)
JSONB_VERSION = 1


async def copy_in(conn: AsyncConnection, statement: bytes, rows: Iterable[bytes]) -> None:
    """Run a `COPY … FROM STDIN (FORMAT BINARY)` with packed rows."""
    async with conn.cursor() as cursor, cursor.copy(statement) as copy:
        pieces, size = [HEADER], len(HEADER)
        for row in rows:
            pieces.append(row)
            size += len(row)
            if size >= CHUNK_BYTES:
                await copy.write(b"".join(pieces))
                pieces, size = [], 0
        pieces.append(TRAILER)
        await copy.write(b"".join(pieces))


def microseconds(at: datetime) -> int:
    """A timestamptz: microseconds since 2000."""
    since = at - EPOCH
    return (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds


def int8(value: int | None) -> bytes:
    return NULL if value is None else INT8(8, value)


def text(value: str | None) -> bytes:
    if value is None:
        return NULL
    raw = value.encode()
    return INT4(len(raw)) + raw


def jsonb(raw: bytes) -> bytes:
    return JSONB(len(raw) + 1, JSONB_VERSION) + raw
