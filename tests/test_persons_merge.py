"""A merge is one pointer: it costs the same however many ids and merges stand behind a person."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from psycopg import AsyncCursor

from personhood import persons
from personhood.model import Project
from personhood.store import person_lookup, project
from personhood.store.person_lookup import Name, Owner
from personhood.store.pool import Pool
from personhood.store.pool import pool as make_pool
from tests import laws
from tests.laws import Wire

IDS_OF_EACH = 200_000
CHAIN = 1000


@pytest.fixture
async def single(database: str) -> AsyncIterator[Pool]:
    """A pool of one connection, whose work can be counted."""
    async with make_pool(database, size=1) as opened:
        yield opened


@pytest.fixture
async def shop(single: Pool) -> Project:
    async with single.connection() as conn:
        return await project.insert(conn, name="Shop", token="phc_shop")


def sent(name: str, distinct_id: str, **properties: Any) -> Wire:
    return {"event": name, "distinct_id": distinct_id, "properties": properties}


async def apply(pool: Pool, shop: Project, *events: Wire) -> None:
    await persons.apply(pool, [laws.work(shop, events)])


async def owner_of(pool: Pool, shop: Project, name: str, *, limit: int | None = None) -> Owner:
    async with pool.connection() as conn:
        owner = await person_lookup.owner(conn, Name(shop.id, name, limit))
    assert owner is not None
    return owner


async def test_a_merge_of_persons_with_very_many_ids_touches_a_handful_of_rows(
    single: Pool, shop: Project, database: str
) -> None:
    await apply(single, shop, sent("e", "a 0"), sent("e", "b 0"))
    add_ids(database, shop)
    read, written = await rows_touched(single)
    await apply(single, shop, sent("$identify", "b 0", **{"$anon_distinct_id": "a 0"}))
    read_after, written_after = await rows_touched(single)
    assert written_after - written < 10
    assert read_after - read < 100

    target = await owner_of(single, shop, "b 0", limit=3)
    assert target.distinct_ids == ["a 0", "b 0", "a 1"]
    for name in ("a 0", "a 77777", f"b {IDS_OF_EACH}"):
        found = await owner_of(single, shop, name, limit=1)
        assert found.person == target.person
    await apply(single, shop, sent("$set", "a 199999", **{"$set": {"k": 1}}))
    assert (await owner_of(single, shop, "b 5", limit=1)).person.properties["k"] == 1
    _, written_again = await rows_touched(single)
    assert written_again - written_after < 10


def add_ids(database_url: str, shop: Project) -> None:
    """As if each of the two persons had been claimed to be so many others."""
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute(
            """
            INSERT INTO distinct_id (project_id, distinct_id, person_id)
            SELECT %(project_id)s, name || ' ' || number, person_id
              FROM (SELECT left(distinct_id, 1) AS name, person_id FROM distinct_id) AS existing,
                   generate_series(1, %(count)s) AS number
             ORDER BY number, name
            """,
            {"project_id": shop.id, "count": IDS_OF_EACH},
        )
        conn.execute("VACUUM ANALYZE distinct_id")


async def rows_touched(pool: Pool) -> tuple[int, int]:
    """How many rows of our tables were read, and how many written, until now."""
    async with pool.connection() as conn:
        await conn.execute("SELECT pg_stat_force_next_flush()")
        cursor = await conn.execute(
            """
            SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint,
                   sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint
              FROM pg_stat_user_tables
             WHERE relname IN ('person', 'distinct_id', 'merge', 'ledger', 'event_key')
                OR relname LIKE 'event%'
            """
        )
        row = await cursor.fetchone()
    assert row is not None
    return row


async def test_a_chain_of_merges_is_short_for_who_looks_up(
    single: Pool, shop: Project, database: str
) -> None:
    names = [f"p{number}" for number in range(CHAIN + 1)]
    await apply(single, shop, *(sent("e", name, **{"$set": {name: 1}}) for name in names))
    for source, target in pairwise(names):
        await apply(single, shop, sent("$merge_dangerously", target, alias=source))
    async with counted(single) as statements:
        owners = [await owner_of(single, shop, name) for name in (names[0], names[-1])]
    assert len(statements) < 50
    assert owners[0].person == owners[1].person
    assert set(owners[0].distinct_ids) == set(names)
    async with counted(single) as statements:
        await apply(single, shop, sent("$set", names[0], **{"$set": {"k": 1}}))
    assert len(statements) < 50
    [root] = laws.hold(database, shop.id).roots()
    assert root.properties.keys() == {*names, "k", "$creator_event_uuid"}
    assert root.version == CHAIN + 1


@asynccontextmanager
async def counted(pool: Pool) -> AsyncIterator[list[object]]:
    """The statements that the pool's one connection runs meanwhile."""
    statements: list[object] = []

    class Counting(AsyncCursor[Any]):
        async def execute(self, query: Any, *rest: Any, **options: Any) -> Any:
            statements.append(query)
            return await super().execute(query, *rest, **options)

    async with pool.connection() as conn:
        usual, conn.cursor_factory = conn.cursor_factory, Counting
    yield statements
    async with pool.connection() as conn:
        conn.cursor_factory = usual
