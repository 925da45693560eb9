"""Arrays that are packed by hand arrive as PostgreSQL would have read them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from psycopg import AsyncConnection

from personhood.store import arrays
from personhood.store.pool import Pool

FIRST = datetime(1, 1, 1, tzinfo=UTC)
LAST = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)


@pytest.mark.parametrize(
    ("packed", "type", "values"),
    [
        (arrays.int8s, "bigint", [1, None, -5, 2**63 - 1, -(2**63)]),
        (arrays.int8s, "bigint", [7]),
        (arrays.int4s, "integer", [1, -2]),
        (arrays.texts, "text", ["", None, "é \U0001f600", '{"a", NULL}']),
        (arrays.uuids, "uuid", [UUID(int=0), UUID(int=2**128 - 1)]),
        (arrays.times, "timestamptz", [FIRST, None, LAST]),
        (arrays.booleans, "boolean", [True, False]),
    ],
)
async def test_what_is_packed_arrives(pool: Pool, packed: Any, type: str, values: Any) -> None:
    async with pool.connection() as conn:
        assert await read(conn, packed(values), type) == values
        assert await read(conn, packed([]), type) == []


async def test_text_that_is_utf8_already(pool: Pool) -> None:
    async with pool.connection() as conn:
        assert await read(conn, arrays.raw_texts(["é".encode(), b"{}"]), "text") == ["é", "{}"]


async def read(conn: AsyncConnection, packed: arrays.Packed, type: str) -> Any:
    cursor = await conn.execute(
        f"SELECT %(packed)b::{type}[]".encode(), {"packed": packed}, binary=True
    )
    row = await cursor.fetchone()
    assert row is not None
    return row[0]
