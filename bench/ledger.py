"""What other ledgers would take: `python -m bench.ledger`, half a minute.

The same changes of the same persons are kept as differences (before and after of each key that
changed, as we do), as the whole person after each change, as what came alone, and as differences
with a whole person every 50 versions. Bytes are those of table, TOAST and index together.
"""

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from uuid import uuid4

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.types.json import Jsonb
from rich.console import Console
from rich.table import Table

from personhood import past
from personhood.model import Properties
from personhood.store import embedded, migrate
from personhood.store.past import At
from personhood.store.pool import pool

PERSONS = 500
CHANGES = 100
LONG_CHANGES = 10_000  # of a single person
KEYS_AT_ONCE = 2
EVERY = 50
READS = 100
DIFFERENCES, WHOLE, AFTER, MIXED = "ledger", "whole", "after_only", "mixed"
DESIGNS = {
    DIFFERENCES: "before and after of what changed",
    WHOLE: "the whole person each time",
    AFTER: "only what came",
    MIXED: f"differences, and a whole person every {EVERY} versions",
}
INSERT = """
    INSERT INTO {table} (project_id, person_id, version, kind, at, recorded_at, distinct_id_id,
                         event_uuid, before, after, is_identified, created_at)
    VALUES (1, %s, %s, 'set', %s, %s, %s, %s, %s, %s, %s, %s)
"""


def main() -> None:
    console = Console(width=None if sys.stdout.isatty() else 150)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("properties", "changes", "design", "bytes a person", "share", "ms to read one"):
        table.add_column(name, justify="left" if name == "design" else "right", no_wrap=True)
    with tempfile.TemporaryDirectory(prefix="personhood-") as folder:
        Path(folder).chmod(0o711)
        with embedded.running(Path(folder)) as url:
            for keys, persons, changes in (
                (12, PERSONS, CHANGES),
                (60, PERSONS, CHANGES),
                (12, 1, LONG_CHANGES),
            ):
                measure(url, table, keys=keys, persons=persons, changes=changes)
    console.print(table)


def measure(server: str, table: Table, *, keys: int, persons: int, changes: int) -> None:
    with psycopg.connect(server, autocommit=True) as conn:
        conn.execute("DROP DATABASE IF EXISTS measured")
        conn.execute("CREATE DATABASE measured")
    url = server.replace("/postgres?", "/measured?")
    migrate.migrate(url)
    with psycopg.connect(url, autocommit=True) as conn:
        fill(conn, keys=keys, persons=persons, changes=changes)
        bytes_of = {name: size(conn, name) / persons for name in DESIGNS}
    reading = asyncio.run(reads(url, persons=persons, changes=changes))
    for number, (name, told) in enumerate(DESIGNS.items()):
        table.add_row(
            str(keys) if number == 0 else "",
            f"{changes:,}" if number == 0 else "",
            told,
            f"{bytes_of[name]:,.0f}",
            f"{bytes_of[name] / bytes_of[DIFFERENCES]:.2f}",
            f"{reading[name]:.1f}" if name in reading else "",
        )
    table.add_section()


def fill(conn: psycopg.Connection, *, keys: int, persons: int, changes: int) -> None:
    for name in (WHOLE, AFTER, MIXED):
        statement = sql.SQL("CREATE TABLE {} (LIKE ledger INCLUDING ALL)")
        conn.execute(statement.format(sql.Identifier(name)))
    chance = random.Random(7)
    for person_id in range(1, persons + 1):
        rows: dict[str, list[Sequence[object]]] = {name: [] for name in DESIGNS}
        properties = {f"property_{key}": value(chance) for key in range(keys)}
        add(rows, (person_id, 0), {}, properties, properties)
        for version in range(1, changes + 1):
            changed = chance.sample(sorted(properties), KEYS_AT_ONCE)
            before = {key: properties[key] for key in changed}
            after = {key: value(chance) for key in changed}
            properties = properties | after
            add(rows, (person_id, version), before, after, properties)
        for name, lines in rows.items():
            with conn.cursor() as cursor, conn.transaction():
                statement = sql.SQL(INSERT).format(table=sql.Identifier(name))
                cursor.executemany(statement, lines)
        conn.execute(
            "INSERT INTO person (id, project_id, uuid, properties, is_identified, created_at, "
            "version) VALUES (%s, 1, %s, %s, false, to_timestamp(0), %s)",
            (person_id, uuid4(), Jsonb(properties), changes),
        )
    for name in DESIGNS:
        conn.execute(sql.SQL("VACUUM (FULL, ANALYZE) {}").format(sql.Identifier(name)))


def add(
    rows: dict[str, list[Sequence[object]]],
    entry: tuple[int, int],
    before: Properties,
    after: Properties,
    properties: Properties,
) -> None:
    person_id, version = entry
    moment = at(version)
    facts = (False, moment) if version == 0 else (None, None)
    head = (person_id, version, moment, moment, person_id, uuid4())
    old = Jsonb(before) if before else None
    rows[DIFFERENCES].append((*head, old, Jsonb(after), *facts))
    rows[WHOLE].append((*head, None, Jsonb(properties), *facts))
    rows[AFTER].append((*head, None, Jsonb(after), *facts))
    is_whole = version % EVERY == 0
    rows[MIXED].append((*head, old, Jsonb(properties if is_whole else after), *facts))


def at(version: int) -> datetime:
    return datetime.fromtimestamp(version, UTC)


def value(chance: random.Random) -> str:
    return f"{chance.getrandbits(96):024x}"


def size(conn: psycopg.Connection, table: str) -> int:
    row = conn.execute("SELECT pg_total_relation_size(%s)", [table]).fetchone()
    assert row is not None, "a row of values is always there"
    return row[0]


async def reads(url: str, *, persons: int, changes: int) -> dict[str, float]:
    """The median of some reads of one person at a random moment, in milliseconds."""
    chance = random.Random(8)
    taken: dict[str, list[float]] = {DIFFERENCES: [], WHOLE: []}
    async with pool(url, size=1) as opened, opened.connection() as conn:
        for _ in range(READS):
            person_id = chance.randint(1, persons)
            moment = at(chance.randint(0, changes))
            start = time.perf_counter()
            found = await past.states(conn, 1, [person_id], at=At(moment))
            middle = time.perf_counter()
            kept = await whole(conn, person_id, moment)
            end = time.perf_counter()
            assert found[person_id].properties == kept, "both tell the same person"
            taken[DIFFERENCES].append(middle - start)
            taken[WHOLE].append(end - middle)
    return {name: median(times) * 1000 for name, times in taken.items()}


async def whole(conn: AsyncConnection, person_id: int, moment: datetime) -> Properties:
    cursor = await conn.execute(
        """
        SELECT after
          FROM whole
         WHERE person_id = %s
           AND recorded_at <= %s
         ORDER BY version DESC
         LIMIT 1
        """,
        (person_id, moment),
    )
    row = await cursor.fetchone()
    assert row is not None, "it was there from the beginning"
    return row[0]


if __name__ == "__main__":
    main()
