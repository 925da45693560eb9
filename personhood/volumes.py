"""How much room a ledger takes, beside one that kept the whole person with each change.

Measured on persons from all over: each change as the ledger has it, what was before and after of
each key, and as the whole properties after it, both as JSON.
"""

from contextlib import aclosing

from msgspec import Struct
from psycopg import AsyncConnection

from personhood.ledger import book
from personhood.store import size
from personhood.store import verification as store
from personhood.store.pool import encode
from personhood.store.size import Counts, TableSize

SAMPLE = 1_000  # persons
CHANGES_MAX = 100_000  # of them all


class Ledger(Struct, frozen=True, kw_only=True):
    """Bytes on disk of all, and bytes of JSON of a sample; None where there is nothing."""

    bytes_per_person: float | None
    sampled_persons: int
    sampled_changes: int
    bytes_per_100_changes: float | None
    snapshot_bytes_per_100_changes: float | None


class Volumes(Struct, frozen=True, kw_only=True):
    counts: Counts
    tables: list[TableSize]
    ledger: Ledger


async def volumes(conn: AsyncConnection) -> Volumes:
    counts, tables = await size.counts(conn), await size.tables(conn)
    return Volumes(counts=counts, tables=tables, ledger=await ledger(conn, counts, tables))


async def ledger(conn: AsyncConnection, counts: Counts, tables: list[TableSize]) -> Ledger:
    persons = counts.persons + counts.merged_persons
    on_disk = next((each.bytes for each in tables if each.table == "ledger"), 0)
    ids = await size.sample(conn, most=SAMPLE)
    changes = kept = whole = 0
    seen: set[int] = set()
    state = book.State()
    async with conn.transaction(), aclosing(store.entries(conn, ids)) as entries:
        async for entry in entries:
            if entry.person_id not in seen:
                seen.add(entry.person_id)
                state = book.State()
            book.turn(state, entry)
            changes += 1
            kept += sum(len(encode(each)) for each in (entry.before, entry.after) if each)
            whole += len(encode(state.properties))
            if changes == CHANGES_MAX:
                break
    return Ledger(
        bytes_per_person=on_disk / persons if persons else None,
        sampled_persons=len(seen),
        sampled_changes=changes,
        bytes_per_100_changes=100 * kept / changes if changes else None,
        snapshot_bytes_per_100_changes=100 * whole / changes if changes else None,
    )
