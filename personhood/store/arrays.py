"""Lists as parameters, packed by hand in PostgreSQL's binary format of one-dimensional arrays.

The driver looks at the type of each element and calls a dumper for it; where a group of events
gives a statement ten lists, that takes longer than to send it. Any element but a uuid or a smallint
may be None.
"""

import struct
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from psycopg import adapters
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

from personhood.store.copying import INT4, INT8, NULL, int8, microseconds, text

HEADER = struct.Struct("!iiIii").pack  # dimensions, any null, type, length, lower bound
BYTE = struct.Struct("!i?").pack
TRUE, FALSE = BYTE(1, True), BYTE(1, False)
UUID_LENGTH = INT4(16)


class Packed(bytes):
    """An array's bytes; each type of array is a class, for the driver goes by class."""


class Int4s(Packed):
    pass


class Int8s(Packed):
    pass


class Texts(Packed):
    pass


class Uuids(Packed):
    pass


class Times(Packed):
    pass


class Booleans(Packed):
    pass


def int4s(values: Sequence[int]) -> Int4s:
    return Int4s(array(23, [INT4(4) + INT4(value) for value in values]))


def int8s(values: Sequence[int | None]) -> Int8s:
    if None in values:
        return Int8s(array(20, [int8(value) for value in values], nulls=True))
    return Int8s(array(20, [INT8(8, value) for value in values]))


def texts(values: Iterable[str | None]) -> Texts:
    return Texts(array(25, [text(value) for value in values], nulls=True))


def raw_texts(values: Iterable[bytes]) -> Texts:
    """Texts that are UTF-8 already."""
    return Texts(array(25, [INT4(len(value)) + value for value in values]))


def uuids(values: Iterable[UUID]) -> Uuids:
    return Uuids(array(2950, [UUID_LENGTH + value.bytes for value in values]))


def times(values: Iterable[datetime | None]) -> Times:
    packed = [NULL if at is None else INT8(8, microseconds(at)) for at in values]
    return Times(array(1184, packed, nulls=True))


def booleans(values: Iterable[bool]) -> Booleans:
    return Booleans(array(16, [TRUE if value else FALSE for value in values]))


def array(oid: int, elements: Sequence[bytes], *, nulls: bool = False) -> bytes:
    """`nulls` is whether there may be one."""
    if not elements:
        return HEADER(0, 0, oid, 0, 0)[:12]
    return HEADER(1, nulls, oid, len(elements), 1) + b"".join(elements)


class PackedDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Packed) -> Buffer:
        return obj


def register(cls: type[Packed], array_oid: int) -> None:
    adapters.register_dumper(
        cls, type(f"{cls.__name__}Dumper", (PackedDumper,), {"oid": array_oid})
    )


register(Int4s, 1007)
register(Int8s, 1016)
register(Texts, 1009)
register(Uuids, 2951)
register(Times, 1185)
register(Booleans, 1000)
