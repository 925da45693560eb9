"""Reading persons for the API: what is found is tested there; here, that it is found by index."""

from typing import Any
from uuid import UUID

import pytest
from psycopg import AsyncConnection

from personhood.store import person_lookup, person_page
from personhood.store.person_lookup import Name
from personhood.store.person_page import Filter
from personhood.store.pool import Pool

PERSONS = 20_000


@pytest.fixture
async def uuid(pool: Pool) -> UUID:
    """Of person 7777, in a project of many; each has two ids, and each fifth was merged."""
    async with pool.connection() as conn:
        await conn.execute(
            """
            INSERT INTO person (project_id, uuid, properties, is_identified, created_at, version,
                                merged_into_id)
            SELECT 1, gen_random_uuid(), jsonb_build_object('filler', repeat('x', 300)), true,
                   now() - n * interval '1 minute', 1, CASE WHEN n %% 5 = 0 THEN n - 1 END
              FROM generate_series(1, %(persons)s) AS n
            """,
            {"persons": PERSONS},
        )
        await conn.execute(
            """
            INSERT INTO distinct_id (project_id, distinct_id, person_id)
            SELECT project_id, 'id-' || id || '-' || n, id
              FROM person, generate_series(1, 2) AS n
             ORDER BY id, n
            """
        )
        await conn.execute("ANALYZE person, distinct_id")
        cursor = await conn.execute("SELECT uuid FROM person WHERE id = 7777")
        row = await cursor.fetchone()
    assert row is not None
    return row[0]


async def sequential_scans(conn: AsyncConnection) -> dict[str, int]:
    await conn.execute("SELECT pg_stat_force_next_flush()")
    cursor = await conn.execute(
        """
        SELECT relname, seq_scan FROM pg_stat_user_tables WHERE relname IN ('person', 'distinct_id')
        """
    )
    return dict(await cursor.fetchall())


async def read(conn: AsyncConnection, how: str, uuid: UUID) -> Any:
    match how:
        case "by_id":
            return await person_lookup.owner(conn, Name(1, 7777))
        case "by_uuid":
            return await person_lookup.owner(conn, Name(1, uuid))
        case "by_distinct_id":
            return await person_lookup.owner(conn, Name(1, "id-7775-2"))
        case "distinct_ids_of":
            found = await person_lookup.distinct_ids_of(conn, range(101, 200), limit=1000)
            return found[104] == ["id-104-1", "id-104-2", "id-105-1", "id-105-2"]
        case "page":
            persons, more = await person_page.page(conn, 1, Filter(), limit=100, offset=500)
            return len(persons) == 100 and more
        case "page_of_distinct_id":
            filter = Filter(distinct_id="id-7775-2")
            persons, more = await person_page.page(conn, 1, filter, limit=100, offset=0)
            return [person.id for person in persons] == [7774] and not more
    raise AssertionError(how)


@pytest.mark.parametrize(
    "how",
    ["by_id", "by_uuid", "by_distinct_id", "distinct_ids_of", "page", "page_of_distinct_id"],
)
async def test_no_table_is_read_from_end_to_end(pool: Pool, uuid: UUID, how: str) -> None:
    async with pool.connection() as conn:
        before = await sequential_scans(conn)
        for _ in range(12):  # past the point from which PostgreSQL may use a generic plan
            assert await read(conn, how, uuid)
        assert await sequential_scans(conn) == before


async def test_an_id_leads_to_the_root_of_its_person(pool: Pool, uuid: UUID) -> None:
    async with pool.connection() as conn:
        owner = await person_lookup.owner(conn, Name(1, "id-7775-1"))
        assert owner is not None
        assert owner.person.id == 7774
        assert await person_lookup.owner(conn, Name(1, 7775)) is None
        assert await person_lookup.owner(conn, Name(2, "id-7775-1")) is None
