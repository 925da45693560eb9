"""Reading persons for the API: what is found is tested there; here, that it is found by index."""

from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import AsyncConnection

from personhood.filters import tree
from personhood.store import person_lookup, person_page
from personhood.store.person_filter import Filter
from personhood.store.person_lookup import Name
from personhood.store.pool import Pool
from personhood.store.pool import pool as make_pool
from tests.conftest import new_database

PERSONS = 20_000
COUNT = PERSONS * 4 // 5  # of roots


@pytest.fixture(scope="module")
def filled(postgres: str) -> Iterator[str]:
    """URL of a database with many persons, each with two ids; each fifth was merged."""
    with new_database(postgres) as url, psycopg.connect(url, autocommit=True) as conn:
        conn.execute(
            """
            INSERT INTO person (project_id, uuid, properties, is_identified, created_at, version,
                                merged_into_id)
            SELECT 1, gen_random_uuid(),
                   jsonb_build_object('filler', repeat('x', 300),
                                      'email', 'user-' || n || '@example.com',
                                      'name', 'Number ' || n || '.'),
                   true, now() - n * interval '1 minute', 1, CASE WHEN n %% 5 = 0 THEN n - 1 END
              FROM generate_series(1, %(persons)s) AS n
            """,
            {"persons": PERSONS},
        )
        conn.execute(
            """
            INSERT INTO distinct_id (project_id, distinct_id, person_id)
            SELECT project_id, 'id-' || id || '-' || n, id
              FROM person, generate_series(1, 2) AS n
             ORDER BY id, n
            """
        )
        conn.execute(
            """
            UPDATE distinct_id
               SET is_recorded = true
             WHERE mod(person_id, 5) <> 2 AND mod(id, 2) = 1
            """
        )
        conn.execute(
            """
            INSERT INTO recording (project_id, session_id, distinct_id_id, started_at, ended_at,
                                   received_at, expires_at, source, library, urls, blocks,
                                   next_block, events, bytes, clicks, keypresses, mouse_activity,
                                   console_logs, console_warnings, console_errors, active_ms)
            SELECT project_id, 's-' || id, id, now(), now(), now(), now(), 'web', 'web', '{}',
                   0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
              FROM distinct_id
             WHERE is_recorded
            """
        )
        conn.execute("VACUUM ANALYZE recording")
        conn.execute("INSERT INTO cohort (id, project_id, name) VALUES (1, 1, 'some')")
        conn.execute("INSERT INTO cohort_person (cohort_id, person_id) VALUES (1, 7775)")
        conn.execute("VACUUM ANALYZE person")
        conn.execute("VACUUM ANALYZE distinct_id")
        conn.execute("ANALYZE cohort_person")
        conn.execute("SELECT pg_stat_force_next_flush()")
        yield url


@pytest.fixture
async def pool(filled: str) -> AsyncIterator[Pool]:
    async with make_pool(filled, size=2) as opened:
        yield opened


@pytest.fixture
async def uuid(pool: Pool) -> UUID:
    """Of person 7777."""
    async with pool.connection() as conn:
        cursor = await conn.execute("SELECT uuid FROM person WHERE id = 7777")
        row = await cursor.fetchone()
    assert row is not None
    return row[0]


async def sequential_scans(conn: AsyncConnection) -> dict[str, int]:
    await conn.execute("SELECT pg_stat_force_next_flush()")
    cursor = await conn.execute(
        """
        SELECT relname, seq_scan
          FROM pg_stat_user_tables
         WHERE relname IN ('person', 'distinct_id', 'recording')
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
        case "owned_by":
            found = await person_lookup.owned_by(conn, range(101, 200), limit=1000)
            return (found[104].recordings, found[107].recordings) == (2, 0)
        case "page":
            page = await person_page.page(conn, 1, Filter(), limit=100, offset=500)
            return len(page.persons) == 100 and page.mark is not None
        case "page_behind":
            page = await person_page.page_behind(conn, 1, Filter(), limit=100)
            page = await person_page.page_behind(conn, 1, Filter(), limit=100, behind=page.mark)
            return len(page.persons) == 100 and page.mark is not None
    raise AssertionError(how)


@pytest.mark.parametrize(
    "how",
    ["by_id", "by_uuid", "by_distinct_id", "distinct_ids_of", "owned_by", "page", "page_behind"],
)
async def test_no_table_is_read_from_end_to_end(pool: Pool, uuid: UUID, how: str) -> None:
    async with pool.connection() as conn:
        before = await sequential_scans(conn)
        for _ in range(12):  # past the point from which PostgreSQL may use a generic plan
            assert await read(conn, how, uuid)
        assert await sequential_scans(conn) == before


FOUND: list[tuple[str, Filter, list[int] | int]] = [
    ("distinct id", Filter(distinct_id="id-7775-2"), [7774]),
    ("e-mail", Filter(email="user-7777@example.com"), [7777]),
    (
        "e-mail by a property filter",
        Filter(properties=tree.Equals(tree.Property("person", "email"), ("user-77@example.com",))),
        [77],
    ),
    ("cohort", Filter(properties=tree.Member(1)), [7774]),
    ("search in e-mails", Filter(search="R-7777@EX"), [7777]),
    ("search in names", Filter(search="number 7777."), [7777]),
    ("search in distinct ids", Filter(search="id-7775-2"), [7774]),
    ("search of nobody", Filter(search="nobody"), []),
    ("search of everybody", Filter(search="user"), COUNT),
    ("search of the oldest", Filter(search="r-19_"), 889),
    ("search of two letters", Filter(search="us"), COUNT),
    ("search of two letters that nobody has", Filter(search="zq"), []),
    (
        "search of everybody, and more that nobody has",
        Filter(search="user", properties=tree.Matches(tree.Property("person", "name"), ("^x",))),
        [],
    ),
]


@pytest.mark.parametrize(
    ("filter", "expected"), [row[1:] for row in FOUND], ids=[r[0] for r in FOUND]
)
async def test_no_list_reads_a_table_from_end_to_end(
    pool: Pool, filter: Filter, expected: list[int] | int
) -> None:
    async with pool.connection() as conn:
        before = await sequential_scans(conn)
        for _ in range(8):  # past the point from which PostgreSQL may use a generic plan
            page = await person_page.page(conn, 1, filter, limit=100, counted=True)
            if isinstance(expected, list):
                assert [person.id for person in page.persons] == expected
                assert (page.count, page.mark) == (len(expected), None)
                assert await person_page.ids(conn, 1, filter, limit=100) == (expected, None)
            else:
                assert (len(page.persons), page.count) == (100, expected)
                assert page.mark is not None
        assert await sequential_scans(conn) == before


async def test_part_of_a_uuid_is_found_by_index(pool: Pool, uuid: UUID) -> None:
    async with pool.connection() as conn:
        before = await sequential_scans(conn)
        page = await person_page.page(conn, 1, Filter(search=str(uuid)[9:30]), limit=100)
        assert [person.id for person in page.persons] == [7777]
        assert await sequential_scans(conn) == before


async def test_settings_of_a_search_end_with_it(pool: Pool) -> None:
    """Also in a transaction of somebody who goes on."""
    async with pool.connection() as conn, conn.transaction():
        await conn.execute("SET LOCAL work_mem = '7MB'")
        assert await person_page.count(conn, 1, Filter(search="nobody")) == 0
        cursor = await conn.execute(
            "SELECT current_setting('work_mem'), current_setting('enable_seqscan')"
        )
        assert await cursor.fetchone() == ("7MB", "on")


async def test_an_id_leads_to_the_root_of_its_person(pool: Pool, uuid: UUID) -> None:
    async with pool.connection() as conn:
        owner = await person_lookup.owner(conn, Name(1, "id-7775-1"))
        assert owner is not None
        assert owner.person.id == 7774
        assert await person_lookup.owner(conn, Name(1, 7775)) is None
        assert await person_lookup.owner(conn, Name(2, "id-7775-1")) is None


@pytest.mark.parametrize("limit,offset", [(3, 0), (50, 0), (10, 45), (400, 0)])
async def test_a_large_cohort_gives_the_page_that_a_small_one_gives(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, limit: int, offset: int
) -> None:
    """Among the newest some are members, so that walking ends early, in its last part, or never."""
    some = Filter(properties=tree.Member(2))
    async with pool.connection() as conn, conn.transaction(force_rollback=True):
        await conn.execute("INSERT INTO cohort (id, project_id, name) VALUES (2, 1, 'more')")
        await conn.execute(
            "INSERT INTO cohort_person SELECT 2, n * 63 FROM generate_series(1, 300) AS n"
        )
        small = await person_page.page(conn, 1, some, limit=limit, offset=offset)
        monkeypatch.setattr(person_page, "FEW", 10)
        monkeypatch.setattr(person_page, "WINDOW", 100)
        monkeypatch.setattr(person_page, "WALK_MAX", 2000)
        large = await person_page.page(conn, 1, some, limit=limit, offset=offset)
    assert large == small
    assert len(large.persons) == min(limit, 300 - offset)
