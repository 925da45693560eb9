"""How much there is, and how much room it takes."""

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import class_row


class Counts(Struct, frozen=True, kw_only=True):
    """Roots, persons merged into others, distinct ids in use and ended, and what hangs on them."""

    persons: int
    merged_persons: int
    distinct_ids: int
    ended_distinct_ids: int
    events: int
    ledger_entries: int


class TableSize(Struct, frozen=True, kw_only=True):
    """Bytes on disk: with the indexes, and these alone; of `event` all months together."""

    table: str
    bytes: int
    index_bytes: int


async def counts(conn: AsyncConnection) -> Counts:
    """Exact, by reading an index or table of each through."""
    async with conn.cursor(row_factory=class_row(Counts)) as cursor:
        await cursor.execute(
            """
            SELECT (SELECT count(*) FROM person WHERE merged_into_id IS NULL) AS persons,
                   (SELECT count(*) FROM person WHERE merged_into_id IS NOT NULL)
                       AS merged_persons,
                   (SELECT count(*) FROM distinct_id WHERE ended_at IS NULL) AS distinct_ids,
                   (SELECT count(*) FROM distinct_id WHERE ended_at IS NOT NULL)
                       AS ended_distinct_ids,
                   (SELECT count(*) FROM event_key) AS events,
                   (SELECT count(*) FROM ledger) AS ledger_entries
            """
        )
        return (await cursor.fetchall())[0]


async def tables(conn: AsyncConnection) -> list[TableSize]:
    """The largest first."""
    async with conn.cursor(row_factory=class_row(TableSize)) as cursor:
        await cursor.execute(
            """
            SELECT root.relname AS table,
                   sum(pg_total_relation_size(part.relid))::bigint AS bytes,
                   sum(pg_indexes_size(part.relid))::bigint AS index_bytes
              FROM pg_class root
             CROSS JOIN LATERAL pg_partition_tree(root.oid) AS part
             WHERE root.relnamespace = current_schema()::regnamespace
               AND root.relkind = 'p'
               AND part.isleaf
             GROUP BY root.relname
             UNION ALL
            SELECT relname, pg_total_relation_size(oid), pg_indexes_size(oid)
              FROM pg_class
             WHERE relnamespace = current_schema()::regnamespace
               AND relkind = 'r'
               AND NOT relispartition
             ORDER BY bytes DESC, "table"
            """
        )
        return await cursor.fetchall()


async def sample(conn: AsyncConnection, *, most: int) -> list[int]:
    """Persons from all over, the same ones each time: up to `most`, each by a look-up."""
    cursor = await conn.execute(
        """
        SELECT DISTINCT found.id
          FROM (SELECT min(id) AS first, max(id) AS last FROM person) AS ends
         CROSS JOIN LATERAL generate_series(
                   first, last, greatest(1, (last - first + 1) / %(most)s)
               ) AS near (id)
         CROSS JOIN LATERAL (
               SELECT id
                 FROM person
                WHERE id >= near.id
                ORDER BY id
                LIMIT 1
               ) AS found
         ORDER BY found.id
         LIMIT %(most)s
        """,
        {"most": most},
    )
    return [row[0] for row in await cursor.fetchall()]
