"""The registry of what tables hold of persons, held against the catalogue."""

import re

from personhood.store.pool import Pool
from personhood.store.registry import NOTHING, TABLES

REFERRING = re.compile(r"(^|_)(id|ids|uuid|uuids|key|text|name)$")
OUTRIGHT = re.compile(r"(^|_)(person|distinct_id|event)_(id|ids|uuid)$|^distinct_id")
HOLDING = {"uuid", "jsonb", "json", "bytea", "bigint[]", "text[]", "uuid[]"}
# What a row belongs to, who made it, and in which request.
OWN = {"project_id", "api_key_id", "request_id"}


async def catalogue(pool: Pool) -> dict[str, dict[str, str]]:
    """The columns of each table, with their types; a partition is no table of its own."""
    async with pool.connection() as conn:
        cursor = await conn.execute(
            """
            SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod)
              FROM pg_class c
              JOIN pg_attribute a ON a.attrelid = c.oid
             WHERE c.relnamespace = 'public'::regnamespace
               AND c.relkind IN ('r', 'p')
               AND NOT c.relispartition
               AND a.attnum > 0
               AND NOT a.attisdropped
               AND a.attgenerated = ''
            """
        )
        found: dict[str, dict[str, str]] = {}
        for table, column, type in await cursor.fetchall():
            found.setdefault(table, {})[column] = type
        return found


async def test_every_table_is_told_of(pool: Pool) -> None:
    """If this fails: say in `store.registry` what the table holds of persons, and let
    `store.forgetting` take it away with them.
    """
    assert {*(await catalogue(pool))} == TABLES.keys() | NOTHING.keys()
    assert not TABLES.keys() & NOTHING.keys()


async def test_every_column_that_could_refer_to_a_person_is_told_of(pool: Pool) -> None:
    for table, columns in (await catalogue(pool)).items():
        if table in NOTHING:
            continue
        told = TABLES[table].columns.keys() | {*TABLES[table].others}
        assert told <= columns.keys(), table
        suspects = {
            name for name, type in columns.items() if REFERRING.search(name) or type in HOLDING
        }
        assert suspects - OWN - told == set(), table


async def test_tables_with_nothing_refer_to_nobody(pool: Pool) -> None:
    for table, columns in (await catalogue(pool)).items():
        if table in NOTHING:
            refer = {name for name in columns if OUTRIGHT.search(name)}
            assert not refer, table
