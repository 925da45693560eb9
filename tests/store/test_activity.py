"""Reading the activity log: what is shown is tested by the API; here, what is touched for it."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from psycopg import AsyncConnection

from personhood.store import activity
from personhood.store.activity_facts import facts
from personhood.store.pool import Pool

LINES = 40_000
PERSONS = 400
TABLES = ("activity", "ledger", "event_key", "event_2024_05", "distinct_id", "person")
RUNS = 8  # enough for PostgreSQL to try a plan for any parameters


@pytest.fixture(params=["known statistics", "those of activity"])
async def conn(pool: Pool, request: pytest.FixtureRequest) -> Any:
    """Lines of two projects; each names a person, an entry, an event and a distinct id."""
    async with pool.connection() as opened:
        await fill(opened)
        await opened.execute("ANALYZE activity")
        if request.param == "known statistics":
            await opened.execute("ANALYZE")
        yield opened


async def fill(conn: AsyncConnection) -> None:
    await conn.execute(
        """
        CREATE TABLE event_2024_05 PARTITION OF event
            FOR VALUES FROM ('2024-05-01') TO ('2024-06-01')
        """
    )
    for statement in (
        """
        INSERT INTO activity (project_id, kind, person_id, person_uuid, version, other_id, ids,
                              event_uuid, distinct_id_id)
        SELECT 1 + n %% 2, 'merged', n %% %(persons)s, gen_random_uuid(), n, n, ARRAY[n],
               ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, n
          FROM generate_series(1, %(lines)s) AS n
        """,
        """
        INSERT INTO ledger (project_id, person_id, version, kind, at, after)
        SELECT project_id, person_id, version, 'merged', now(), '{"a": 1}' FROM activity
        """,
        """
        INSERT INTO event_key (project_id, uuid, distinct_id_id, timestamp)
        SELECT project_id, event_uuid, distinct_id_id, '2024-05-02' FROM activity
        """,
        """
        INSERT INTO event (project_id, distinct_id_id, timestamp, uuid, name, received_at,
                           person_mode, properties)
        SELECT project_id, distinct_id_id, '2024-05-02', event_uuid, 'e', now(), 0, '{}'
          FROM activity
        """,
        """
        INSERT INTO distinct_id (project_id, distinct_id, person_id)
        SELECT 1 + n %% 2, n, n FROM generate_series(1, %(lines)s) AS n
        """,
        """
        INSERT INTO person (project_id, uuid, properties, is_identified, created_at, version)
        SELECT 1 + n %% 2, gen_random_uuid(), '{}', true, now(), 1
          FROM generate_series(1, %(lines)s) AS n
        """,
    ):
        await conn.execute(statement, {"lines": LINES, "persons": PERSONS})


async def touched(conn: AsyncConnection) -> dict[str, tuple[int, int]]:
    """By table: scans from end to end, and rows read by index."""
    await conn.execute("SELECT pg_stat_force_next_flush()")
    cursor = await conn.execute(
        """
        SELECT t.relname, seq_scan, sum(i.idx_tup_read)
          FROM pg_stat_user_tables t JOIN pg_stat_user_indexes i USING (relid)
         WHERE t.relname = ANY(%s)
         GROUP BY 1, 2
        """,
        [list(TABLES)],
    )
    return {name: (scans, int(rows)) for name, scans, rows in await cursor.fetchall()}


Read = Callable[[AsyncConnection], Awaitable[list[activity.Line]]]
READS: dict[str, tuple[Read, int]] = {
    "project": (lambda conn: activity.of_project(conn, 1, limit=10), 10),
    "project, later": (lambda conn: activity.of_project(conn, 1, limit=10, offset=90), 100),
    "project, before": (lambda conn: activity.of_project(conn, 1, limit=10, before=500), 10),
    "person": (lambda conn: activity.of_persons(conn, 1, [8], limit=10), 10),
    "family": (lambda conn: activity.of_persons(conn, 1, [8, 10, 12, 14, 16], limit=10), 50),
    "before": (lambda conn: activity.of_persons(conn, 1, [8, 10], limit=10, before=30_000), 20),
}


@pytest.mark.parametrize("name", READS)
async def test_a_page_touches_little_more_than_it_shows(conn: AsyncConnection, name: str) -> None:
    read, most = READS[name]
    before = await touched(conn)
    for _ in range(RUNS):
        lines = await read(conn)
        assert len(lines) == 10
        assert [line.id for line in lines] == sorted((line.id for line in lines), reverse=True)
        told = await facts(conn, 1, lines)
        assert len(told.events) == len(told.texts) == len(told.changes) == len(told.uuids) == 10
    after = await touched(conn)
    for table in TABLES:
        (scans, rows), (scans_before, rows_before) = after[table], before[table]
        assert scans == scans_before, f"{table} was read from end to end"
        # What a page skips is read too; each line once more by its id; and the planner looks at
        # the ends of an index.
        assert rows - rows_before <= RUNS * (most + 10 + 3), table


async def test_the_lines_are_counted(conn: AsyncConnection) -> None:
    assert await activity.count_of_project(conn, 1) == LINES / 2
    assert await activity.count_of_persons(conn, [8, 10, 999_999]) == 2 * LINES / PERSONS
    assert await activity.count_of_persons(conn, []) == 0
    assert await activity.of_persons(conn, 1, [], limit=10) == []
