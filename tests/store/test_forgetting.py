"""Forgetting persons: that all is found by index, among many others."""

from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from psycopg import AsyncConnection

from personhood import deletions
from personhood.deletions import Request
from personhood.model import Cause, Project, Wish
from personhood.store import deletion, event, project
from personhood.store.pool import Pool

PERSONS = 20_000
MONTH = (2024, 3)


@pytest.fixture
async def shop(pool: Pool) -> Project:
    """A project of many persons; each fifth was merged, each has two ids, entries and events."""
    async with pool.connection() as conn:
        made = await project.insert(conn, name="Shop", token="phc_shop")
        await event.make_partition(conn, MONTH)
        await conn.execute(
            """
            INSERT INTO person (project_id, uuid, properties, is_identified, created_at, version,
                                merged_into_id)
            SELECT %(project)s, gen_random_uuid(), jsonb_build_object('filler', repeat('x', 300)),
                   true, now(), 1, CASE WHEN n %% 5 = 0 THEN n - 1 END
              FROM generate_series(1, %(persons)s) AS n
            """,
            {"project": made.id, "persons": PERSONS},
        )
        for statement in FILL:
            await conn.execute(statement)
        await conn.execute("ANALYZE")
        # What was read to make them is not to be counted while others are watched.
        await conn.execute("SELECT pg_stat_force_next_flush()")
    return made


FILL = [
    """
    INSERT INTO distinct_id (project_id, distinct_id, person_id)
    SELECT project_id, 'id-' || id || '-' || n, id FROM person, generate_series(1, 2) AS n
    """,
    """
    INSERT INTO ledger (project_id, person_id, version, kind, at)
    SELECT project_id, id, n, 'set', now() FROM person, generate_series(0, 1) AS n
    """,
    """
    INSERT INTO event (project_id, distinct_id_id, timestamp, uuid, name, received_at, person_mode,
                       properties)
    SELECT project_id, id, '2024-03-05', gen_random_uuid(), 'page', now(), 0, '{}' FROM distinct_id
    """,
    """
    INSERT INTO merge (project_id, source_id, target_id, source_leaf_id, target_leaf_id,
                       source_version, target_version, at, undone_at)
    SELECT project_id, id, coalesce(merged_into_id, id - 2), id, coalesce(merged_into_id, id - 2),
           1, 1, now(),
           CASE WHEN merged_into_id IS NULL THEN now() END
      FROM person
    """,
    """
    INSERT INTO ingestion_warning (project_id, type, details)
    SELECT project_id, 't', jsonb_build_object('distinctId', distinct_id) FROM distinct_id
    """,
    """
    INSERT INTO deletion (project_id, person_id, person_uuid, profile, events, recordings,
                          requested_at, cutoff, state)
    SELECT project_id, -id, gen_random_uuid(), id % 2 = 0, true, false, now(), now(), 'completed'
      FROM person
    """,
]


async def sequential_scans(conn: AsyncConnection) -> dict[str, int]:
    await conn.execute("SELECT pg_stat_force_next_flush()")
    cursor = await conn.execute(
        """
        SELECT relname, seq_scan FROM pg_stat_user_tables
         WHERE relname IN ('person', 'distinct_id', 'ledger', 'event_2024_03', 'merge',
                           'ingestion_warning', 'deletion')
        """
    )
    return dict(await cursor.fetchall())


def request(*names: Any, events: bool = True, profile: bool = True) -> Request:
    wish = Wish(profile=profile, events=events)
    return Request(names=names, wish=wish, by=Cause(), at=datetime.now(UTC))


async def run(pool: Pool, shop: Project, how: str, turn: int) -> Any:
    person = 501 + 5 * turn + 100 * WAYS.index(how)
    match how:
        case "foresee":
            return await deletions.foresee(pool, shop, request(f"id-{person}-1"))
        case "events only":
            wanted = request(f"id-{person}-1", profile=False)
            return (await deletions.delete(pool, shop, wanted)).receipts
        case "one":
            return (await deletions.delete(pool, shop, request(f"id-{person}-1"))).receipts
        case "merged":
            wanted = request(f"id-{person + 4}-1", events=False)
            return (await deletions.delete(pool, shop, wanted)).receipts
        case "ten":
            names = [f"id-{id}-2" for id in range(5001 + 10 * turn, 5011 + 10 * turn)]
            return len((await deletions.delete(pool, shop, request(*names))).receipts) == 8
        case "unsettled":
            async with pool.connection() as conn:
                return await deletion.unsettled(conn, age_s=60, most=10) == []
        case "status":
            async with pool.connection() as conn:
                return await deletion.event_page(
                    conn, shop.id, verified=None, person_uuid=None, limit=100, offset=0
                )
        case "status of one":
            async with pool.connection() as conn:
                uuid = UUID(int=turn)
                return not await deletion.event_page(
                    conn, shop.id, verified=False, person_uuid=uuid, limit=100, offset=0
                )
    raise AssertionError(how)


WAYS = (
    "foresee",
    "events only",
    "one",
    "merged",
    "ten",
    "unsettled",
    "status",
    "status of one",
)


async def test_no_table_is_read_from_end_to_end(pool: Pool, shop: Project) -> None:
    async with pool.connection() as conn:
        before = await sequential_scans(conn)
    for how in WAYS:
        for turn in range(12):  # past the point from which PostgreSQL may use a generic plan
            assert await run(pool, shop, how, turn)
        assert await flushed(pool) == before, how


async def flushed(pool: Pool) -> dict[str, int]:
    """The count once every connection of the pool has reported."""
    async with AsyncExitStack() as stack:
        for _ in range(pool.max_size - 1):
            conn = await stack.enter_async_context(pool.connection())
            await conn.execute("SELECT pg_stat_force_next_flush()")
    async with pool.connection() as conn:
        return await sequential_scans(conn)
