from datetime import UTC, datetime, timedelta

import pytest

from personhood.jobs import queue, sweep
from personhood.model import Warning
from personhood.settings import Settings
from personhood.store import project, warning
from personhood.store.pool import Pool

SETTINGS = Settings(warning_retention_s=3600)


@pytest.fixture
async def project_id(pool: Pool) -> int:
    async with pool.connection() as conn:
        return (await project.insert(conn, name="Shop", token="phc_shop")).id


async def warn(pool: Pool, project_id: int, *ages_s: float) -> None:
    async with pool.connection() as conn:
        await warning.insert_all(
            conn,
            project_id,
            [Warning(type="odd", at=datetime.now(UTC) - timedelta(seconds=age)) for age in ages_s],
        )


async def left(pool: Pool) -> int:
    async with pool.connection() as conn:
        row = await (await conn.execute("SELECT count(*) FROM ingestion_warning")).fetchone()
    assert row is not None
    return row[0]


async def run(database: str, pool: Pool, task: str = "sweep:warnings", timestamp: int = 0) -> None:
    """Put a sweep into the queue and let a worker empty it."""
    async with queue.queue(database).open_async() as app:
        await app.configure_task(task).defer_async(timestamp=timestamp)
        await app.run_worker_async(
            wait=False,
            install_signal_handlers=False,
            delete_jobs="successful",
            additional_context={"settings": SETTINGS, "pool": pool},
        )


async def test_old_warnings_go_and_young_ones_stay(
    database: str, pool: Pool, project_id: int
) -> None:
    await warn(pool, project_id, 10, 3000, 3700, 90_000)
    await run(database, pool)
    assert await left(pool) == 2


async def test_with_nothing_to_do_and_twice_it_changes_nothing(
    database: str, pool: Pool, project_id: int
) -> None:
    await run(database, pool)
    await warn(pool, project_id, 5, 4000)
    await run(database, pool)
    await run(database, pool)
    assert await left(pool) == 1


async def test_it_goes_on_until_all_are_gone(
    database: str, pool: Pool, project_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "WARNINGS_PER_PASS", 3)
    await warn(pool, project_id, *[5000] * 8, 1)
    await run(database, pool)
    assert await left(pool) == 1


async def test_a_finished_job_leaves_nothing_in_the_queue(
    database: str, pool: Pool, project_id: int
) -> None:
    await run(database, pool)
    async with pool.connection() as conn:
        row = await (await conn.execute("SELECT count(*) FROM procrastinate_jobs")).fetchone()
    assert row == (0,)


async def test_this_month_and_the_next_are_laid_out(database: str, pool: Pool) -> None:
    for _ in range(2):
        end_of_year = int(datetime(2031, 12, 31, 3, 41, tzinfo=UTC).timestamp())
        await run(database, pool, "sweep:months", end_of_year)
    async with pool.connection() as conn:
        cursor = await conn.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits "
            "WHERE inhparent = 'event'::regclass ORDER BY 1"
        )
        made = [row[0] for row in await cursor.fetchall()]
    assert made == ["event_2031_12", "event_2032_01", "event_before_1990"]


async def test_long_ways_to_a_root_are_shortened(
    database: str, pool: Pool, project_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1 <- 2 <- 3 <- 4 and five that merged into 4: all merged into 1 now, and nobody else did."""
    monkeypatch.setattr(sweep, "CHILDREN_PER_PASS", 2)
    monkeypatch.setattr(sweep, "MIDDLES_PER_PASS", 2)
    parents = {1: None, 2: 1, 3: 2, 4: 3, **dict.fromkeys(range(5, 10), 4), 10: None, 11: 10}
    async with pool.connection() as conn:
        for id, parent in parents.items():
            await conn.execute(
                """
                INSERT INTO person (id, project_id, uuid, properties, is_identified, created_at,
                                    version, merged_into_id)
                VALUES (%s, %s, gen_random_uuid(), '{}', false, now(), 1, %s)
                """,
                (id, project_id, parent),
            )
    await run(database, pool, "sweep:families")
    async with pool.connection() as conn:
        cursor = await conn.execute("SELECT id, merged_into_id FROM person")
        assert dict(await cursor.fetchall()) == {
            1: None,
            **dict.fromkeys(range(2, 10), 1),
            10: None,
            11: 10,
        }
