"""Cohorts of many persons: what is found is tested with the API; here, how."""

import pytest
from psycopg import AsyncConnection

from personhood.store import cohort_person
from personhood.store.pool import Pool
from tests.store.test_person_page import sequential_scans

PERSONS = 30_000
SMALL, LARGE = 1, 2


@pytest.fixture
async def conn(pool: Pool) -> AsyncConnection:
    """A small cohort and a large one, in a project where each fifth person was merged."""
    async with pool.connection() as opened:
        await opened.execute(
            """
            INSERT INTO person (project_id, uuid, properties, is_identified, created_at, version,
                                merged_into_id)
            SELECT 1, gen_random_uuid(), jsonb_build_object('filler', repeat('x', 300)), true,
                   now() - n * interval '1 minute', 1, CASE WHEN n %% 5 = 0 THEN n - 1 END
              FROM generate_series(1, %(persons)s) AS n
            """,
            {"persons": PERSONS},
        )
        await opened.execute("INSERT INTO cohort (project_id, name) VALUES (1, 's'), (1, 'l')")
        await opened.execute(
            """
            INSERT INTO cohort_person
            SELECT %(small)s, id FROM person WHERE id %% 1000 IN (1, 4, 5, 10)
             UNION ALL
            SELECT %(large)s, id FROM person WHERE id %% 10 IN (0, 1, 2, 4, 5)
            """,
            {"small": SMALL, "large": LARGE},
        )
        await opened.execute("VACUUM ANALYZE person, cohort_person")
    async with pool.connection() as opened:
        yield opened


@pytest.mark.parametrize(("cohort", "members"), [(SMALL, 90), (LARGE, 12_000)])
async def test_members_that_are_one_are_counted_once(
    conn: AsyncConnection, cohort: int, members: int
) -> None:
    assert await cohort_person.size(conn, cohort) == members
    roots = await cohort_person.merged_roots(conn, cohort)
    assert len(roots) == len(set(roots)) == (60 if cohort == SMALL else 6000)


@pytest.mark.parametrize("cohort", [SMALL, LARGE])
@pytest.mark.parametrize(("limit", "offset"), [(10, 0), (7, 80), (100, 5000)])
async def test_both_ways_find_the_same_page(
    conn: AsyncConnection, monkeypatch: pytest.MonkeyPatch, cohort: int, limit: int, offset: int
) -> None:
    monkeypatch.setattr(cohort_person, "FEW", PERSONS)
    few = await cohort_person.page(conn, 1, cohort, limit=limit, offset=offset)
    monkeypatch.setattr(cohort_person, "FEW", 0)
    many = await cohort_person.page(conn, 1, cohort, limit=limit, offset=offset)
    assert [person.id for person in many] == [person.id for person in few]
    assert all(person.merged_into_id is None for person in few)
    assert len(few) == min(limit, max(0, (90 if cohort == SMALL else 12_000) - offset))


async def test_no_person_is_read_from_end_to_end(conn: AsyncConnection) -> None:
    before = await sequential_scans(conn)
    for _ in range(6):
        await cohort_person.size(conn, SMALL)
        await cohort_person.size(conn, LARGE)
        await cohort_person.page_of_few(conn, SMALL, limit=10, offset=0)
        await cohort_person.page_of_many(conn, 1, LARGE, merged_roots=[7, 8], limit=10, offset=0)
    assert await sequential_scans(conn) == before
