"""Looking for traces: that none in any table is overlooked."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import pytest
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from personhood import receipts
from personhood.model import Project, Wish
from personhood.store import deletion_check, event, receipt, trace
from personhood.store.pool import Pool
from personhood.store.registry import TABLES, Fate, Holds
from personhood.store.trace import Trace
from tests.test_deletion_runs import entangled, run
from tests.test_deletions import delete
from tests.test_merges import send, set_
from tests.test_persons import sent, shop

__all__ = ["shop"]

ALL = Wish(profile=True, events=True)
GONE = (777_001, UUID(int=777_001))


async def plant(conn: AsyncConnection, table: str, column: str, value: object) -> None:
    """A row that holds a value, and in all other columns that need one whatever fits."""
    cursor = await conn.execute(
        """
        SELECT attname, format_type(atttypid, NULL)
          FROM pg_attribute
          LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
         WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attnotnull
           AND adbin IS NULL AND attidentity <> 'a' AND attgenerated = ''
        """,
        (f'"{table}"',),
    )
    fitting = {
        "bigint": 888_001, "integer": 1, "smallint": 1, "uuid": UUID(int=888_001), "text": "x",
        "jsonb": Jsonb({}), "timestamp with time zone": datetime.now(UTC), "boolean": False,
        "bigint[]": [], "text[]": [], "bytea": b"",
    }  # fmt: skip
    row = {name: fitting[type] for name, type in await cursor.fetchall()} | {column: value}
    row |= {"ledger": {"kind": "set"}, "split_person": {"role": "kept"}}.get(table, {})
    names = ", ".join(f'"{name}"' for name in row)
    marks = ", ".join(["%s"] * len(row))
    insert = f'INSERT INTO "{table}" ({names}) VALUES ({marks})'
    await conn.execute(insert.encode(), [*row.values()])


def held(holds: Holds, type: str) -> object:
    id, uuid = GONE
    match holds:
        case Holds.PERSON | Holds.NAME:
            return id
        case Holds.PERSON_UUID:
            return uuid
        case Holds.NAMES:
            return [1, id]
        case _:
            return {
                "jsonb": Jsonb({"a": [{"b": str(uuid)}]}), "text[]": [str(uuid)], "bytea": b"",
            }.get(type, f'"{uuid}"')  # fmt: skip


@pytest.fixture
async def conn(pool: Pool) -> AsyncIterator[AsyncConnection]:
    async with pool.connection() as conn:
        await event.make_partition(conn, (datetime.now(UTC).year, datetime.now(UTC).month))
        # Rows are made up here, of nothing that is there.
        await conn.execute("SET session_replication_role = replica")
        yield conn
        await conn.execute("RESET session_replication_role")


async def completed(conn: AsyncConnection, project_id: int) -> int:
    """A receipt that says that all is gone, and whose names are still known."""
    id, uuid = GONE
    cursor = await conn.execute(
        """
        INSERT INTO deletion (project_id, person_id, person_uuid, profile, events, recordings,
                              requested_at, cutoff, state)
        VALUES (%s, %s, %s, true, true, false, now(), now(), 'completed')
        RETURNING id
        """,
        (project_id, id, uuid),
    )
    [deletion_id] = await cursor.fetchone() or []
    await conn.execute(
        "INSERT INTO deletion_target (deletion_id, distinct_id_id) VALUES (%s, %s)",
        (deletion_id, id),
    )
    return deletion_id


COLUMNS = [
    (table, column)
    for table, column, holds, fate in trace.columns()
    if holds in trace.OF_ONE and (fate in trace.GONE or trace.goes_later(holds))
]


@pytest.mark.parametrize(("table", "column"), COLUMNS)
async def test_a_trace_is_found_wherever_it_is(
    conn: AsyncConnection, shop: Project, table: str, column: str
) -> None:
    deletion_id = await completed(conn, shop.id)
    assert await trace.of_one(conn, deletion_id, events=True) == []
    cursor = await conn.execute(
        "SELECT format_type(atttypid, NULL) FROM pg_attribute "
        "WHERE attrelid = %s::regclass AND attname = %s",
        (f'"{table}"', column),
    )
    [type] = await cursor.fetchone() or []
    await plant(conn, table, column, held(TABLES[table].columns[column], type))
    assert await trace.of_one(conn, deletion_id, events=True) == [Trace(table, column, 1)]


@pytest.mark.parametrize(
    ("table", "column"),
    [
        (table, column)
        for table, column, holds, fate in trace.columns()
        if holds in trace.OF_NOBODY
        and (fate in trace.GONE or holds is not Holds.PERSON)
        and (table, column) not in (("person", "id"), ("distinct_id", "id"))
    ],
)
async def test_what_leads_to_nobody_is_found(
    conn: AsyncConnection, shop: Project, table: str, column: str
) -> None:
    assert await trace.of_nobody(conn) == []
    await plant(conn, table, column, held(TABLES[table].columns[column], ""))
    assert Trace(table, column, 1) in await trace.of_nobody(conn)


async def test_a_deletion_leaves_none(pool: Pool, shop: Project) -> None:
    await entangled(pool, shop)
    outcome = await delete(pool, shop, "ada", wish=ALL)
    [made] = outcome.receipts
    async with pool.connection() as conn:
        assert await receipts.traces(conn, made) == []
        assert await trace.of_nobody(conn) == []
        await run(pool, shop)
        done = await receipt.by_uuid(conn, shop.id, made.uuid)
        assert done is not None
        assert done.state == "completed"
        assert await receipts.traces(conn, done) == []
        assert await trace.of_nobody(conn) == []


async def test_who_has_the_name_next_is_no_trace(pool: Pool, shop: Project) -> None:
    await send(pool, shop, set_("ada"), sent("x", "ada"))
    [made] = (await delete(pool, shop, "ada", wish=ALL)).receipts
    await send(pool, shop, set_("ada", called="ada"), set_("bob", friend="ada"))
    async with pool.connection() as conn:
        assert await receipts.traces(conn, made) == []


async def test_a_name_that_nobody_has_is_a_trace(pool: Pool, shop: Project) -> None:
    await send(pool, shop, set_("ada"), sent("x", "ada"), set_("bob", friend="ada"))
    [made] = (await delete(pool, shop, "ada", wish=ALL)).receipts
    async with pool.connection() as conn:
        told = await receipts.traces(conn, made)
    assert told == [Trace("person", "properties", 1), Trace("ledger", "after", 1)]


@pytest.mark.parametrize(
    ("table", "column"),
    [
        (table, column)
        for table, column, holds, fate in trace.columns()
        if fate is Fate.AT_ONCE and holds is Holds.PERSON
    ],
)
async def test_the_end_of_a_deletion_finds_it_too(
    conn: AsyncConnection, shop: Project, table: str, column: str
) -> None:
    """By indexes, which the search through all rows does without."""
    deletion_id = await completed(conn, shop.id)
    await conn.execute(
        "INSERT INTO deletion_person (deletion_id, person_id, person_uuid) VALUES (%s, %s, %s)",
        (deletion_id, *GONE),
    )
    assert await deletion_check.left(conn, [deletion_id]) == {}
    await plant(conn, table, column, held(Holds.PERSON, ""))
    assert await deletion_check.left(conn, [deletion_id]) == {deletion_id: {table}}


@pytest.mark.parametrize(
    ("key", "value", "is_found"),
    [
        ("personId", str(GONE[1]), True),
        ("otherPersonId", str(GONE[1]), True),
        ("distinctId", "gone", True),
        ("sourcePersonDistinctId", "gone", True),
        ("targetPersonDistinctId", "gone", True),
        ("distinctId", "again", False),
        ("distinctId", str(GONE[1]), False),
    ],
)
async def test_the_end_of_a_deletion_finds_warnings(
    conn: AsyncConnection, shop: Project, key: str, value: str, is_found: bool
) -> None:
    """Of ids that nobody has meanwhile; and not those of other projects."""
    deletion_id = await completed(conn, shop.id)
    await conn.execute(
        """
        INSERT INTO distinct_id (id, project_id, distinct_id, ended_at)
        VALUES (%(id)s, %(project)s, 'gone', now()), (777002, %(project)s, 'again', now()),
               (777003, %(project)s, 'again', NULL)
        """,
        {"id": GONE[0], "project": shop.id},
    )
    await conn.execute(
        "INSERT INTO deletion_target (deletion_id, distinct_id_id) VALUES (%s, 777002)",
        [deletion_id],
    )
    await conn.execute(
        "INSERT INTO deletion_person (deletion_id, person_id, person_uuid) VALUES (%s, %s, %s)",
        [deletion_id, *GONE],
    )
    for project_id, of_ours in ((shop.id + 1, False), (shop.id, True)):
        await conn.execute(
            "INSERT INTO ingestion_warning (project_id, type, details) VALUES (%s, 'x', %s)",
            [project_id, Jsonb({key: value})],
        )
        found = await deletion_check.told_in_warnings(conn, [deletion_id])
        assert found == ({deletion_id} if is_found and of_ours else set())
