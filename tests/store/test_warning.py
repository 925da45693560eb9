"""Reading warnings: what is found is tested with the API; here, that it is found by index."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from psycopg import AsyncConnection
from psycopg.errors import Diagnostic

from personhood.model import Warning
from personhood.store import warning
from personhood.store.pool import Pool
from personhood.store.warning import Filter, Mark

AT = datetime(2024, 5, 1, tzinfo=UTC)
WARNINGS = 50_000  # of project 1, in groups of ten at a time; another has as many
MIDDLE = AT + timedelta(minutes=WARNINGS // 20)
ROWS_READ_MAX = 500


@contextmanager
def plans(conn: AsyncConnection) -> Iterator[list[dict[str, Any]]]:
    """Gathers the plans that statements really took (PostgreSQL manual, auto_explain)."""
    taken: list[dict[str, Any]] = []

    def note(diagnostic: Diagnostic) -> None:
        _, found, plan = (diagnostic.message_primary or "").partition("plan:\n")
        if found:
            taken.append(json.loads(plan)["Plan"])

    conn.add_notice_handler(note)
    yield taken
    conn.remove_notice_handler(note)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


@pytest.fixture
async def conn(pool: Pool) -> Any:
    async with pool.connection() as opened:
        await opened.execute(
            """
            INSERT INTO ingestion_warning (project_id, type, event_uuid, details, at)
            SELECT project, 'type-' || n %% 5, gen_random_uuid(), '{}',
                   %(at)s::timestamptz + n / 10 * interval '1 minute'
              FROM generate_series(1, %(warnings)s) AS n, generate_series(1, 2) AS project
            """,
            {"at": AT, "warnings": WARNINGS},
        )
        await opened.execute("ANALYZE ingestion_warning")
        await opened.execute("LOAD 'auto_explain'")
        for setting in (
            "log_min_duration = 0",
            "log_analyze = on",
            "log_format = 'json'",
            "log_level = 'notice'",
        ):
            await opened.execute(f"SET auto_explain.{setting}")
        yield opened


@pytest.mark.parametrize("kept", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize(
    ("filter", "more"),
    [
        (Filter(), {}),
        (Filter(), {"offset": 100}),
        (Filter(), {"behind": Mark(MIDDLE, 50_000)}),
        (Filter(type="type-3"), {}),
        (Filter(type="type-3"), {"behind": Mark(MIDDLE, 50_000)}),
        (Filter(before=MIDDLE), {}),
        (Filter(after=MIDDLE, before=MIDDLE + timedelta(minutes=9)), {}),
    ],
)
async def test_a_page_is_read_by_index_and_no_more_than_it(
    conn: AsyncConnection, kept: str, filter: Filter, more: dict[str, Any]
) -> None:
    await conn.execute(f"SET plan_cache_mode = {kept}")
    with plans(conn) as taken:
        found, _ = await warning.page(conn, 1, filter, limit=50, **more)
    assert len(found) == 50
    [plan] = taken
    scans = [node for node in nodes(plan) if "Relation Name" in node]
    assert [node.get("Index Name") for node in scans] == ["ingestion_warning_at"], plan
    assert sum(rows_read(node) for node in scans) < ROWS_READ_MAX, plan


def rows_read(scan: dict[str, Any]) -> float:
    removed = scan.get("Rows Removed by Filter", 0) + scan.get("Rows Removed by Index Recheck", 0)
    return scan["Actual Rows"] + removed


async def test_what_was_told_of_an_event_is_not_told_again_and_found_by_index(
    conn: AsyncConnection,
) -> None:
    async def told(project_id: int, **change: Any) -> int:
        """How many warnings come of one that was told before, but for the `change`."""
        each = Warning(**{"type": "odd", "at": AT, "event_uuid": UUID(int=1), **change})
        with plans(conn) as taken:
            await warning.insert_all(conn, project_id, [each])
        scans = [node for plan in taken for node in nodes(plan) if "Relation Name" in node]
        used = [node["Index Name"] for node in scans if "Index Name" in node]
        assert used == ["ingestion_warning_event"], taken
        cursor = await conn.execute("SELECT count(*) FROM ingestion_warning WHERE type <> 'type-1'")
        row = await cursor.fetchone()
        assert row is not None
        new, counted[0] = row[0] - counted[0], row[0]
        return new

    cursor = await conn.execute("SELECT count(*) FROM ingestion_warning WHERE type <> 'type-1'")
    counted = list(await cursor.fetchone() or ())
    assert await told(1) == 1
    assert await told(1) == 0
    assert await told(1, at=AT + timedelta(days=1)) == 0
    assert await told(1, type="other") == 1
    assert await told(1, details={"key": "value"}) == 1
    assert await told(1, event_uuid=UUID(int=2)) == 1
    assert await told(1, event_uuid=None) == 1
    assert await told(1, event_uuid=None) == 1
    assert await told(2) == 1
