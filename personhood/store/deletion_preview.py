"""What there is of persons: what a deletion would take, without taking it."""

from collections.abc import Collection

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import class_row


class Extent(Struct, frozen=True):
    """How much of each kind of data some persons have, with all that merged into them."""

    persons: int
    distinct_ids: int
    ledger_entries: int


async def extent(conn: AsyncConnection, project_id: int, roots: Collection[int]) -> Extent:
    async with conn.cursor(row_factory=class_row(Extent)) as cursor:
        await cursor.execute(
            """
            WITH RECURSIVE family (id) AS (
                SELECT id
                  FROM person
                 WHERE project_id = %(project_id)s
                   AND id = ANY(%(roots)b::bigint[])
                 UNION ALL
                SELECT child.id
                  FROM family
                 CROSS JOIN LATERAL (
                       SELECT id
                         FROM person
                        WHERE merged_into_id = family.id
                       OFFSET 0
                       ) AS child
            )
            SELECT count(*) FILTER (WHERE id = ANY(%(roots)b::bigint[])) AS persons,
                   coalesce(sum(counted.ids), 0)::bigint AS distinct_ids,
                   coalesce(sum(counted.entries), 0)::bigint AS ledger_entries
              FROM family
             CROSS JOIN LATERAL (
                   SELECT (SELECT count(*)
                             FROM distinct_id
                            WHERE person_id = family.id
                              AND ended_at IS NULL) AS ids,
                          (SELECT count(*)
                             FROM ledger
                            WHERE person_id = family.id) AS entries
                   ) AS counted
            """,
            {"project_id": project_id, "roots": list(roots)},
        )
        found = await cursor.fetchone()
    assert found is not None, "an aggregate gives its row"
    return found


async def events(conn: AsyncConnection, project_id: int, roots: Collection[int]) -> int:
    """How many events the persons' distinct ids have: what an index counts, a million in 0.1 s."""
    cursor = await conn.execute(
        """
        WITH RECURSIVE family (id) AS (
            SELECT id
              FROM person
             WHERE project_id = %(project_id)s
               AND id = ANY(%(roots)b::bigint[])
             UNION ALL
            SELECT child.id
              FROM family
             CROSS JOIN LATERAL (
                   SELECT id
                     FROM person
                    WHERE merged_into_id = family.id
                   OFFSET 0
                   ) AS child
        )
        SELECT coalesce(sum(counted.events), 0)::bigint
          FROM family
         CROSS JOIN LATERAL (
               SELECT id
                 FROM distinct_id
                WHERE person_id = family.id
                  AND ended_at IS NULL
               OFFSET 0
               ) AS owned
         CROSS JOIN LATERAL (
               SELECT count(*) AS events
                 FROM event
                WHERE distinct_id_id = owned.id
               ) AS counted
        """,
        {"project_id": project_id, "roots": list(roots)},
    )
    row = await cursor.fetchone()
    assert row is not None, "an aggregate gives its row"
    return row[0]


async def recordings(conn: AsyncConnection, project_id: int, roots: Collection[int]) -> int:
    """Of how many recordings the persons' distinct ids sent a part."""
    cursor = await conn.execute(
        """
        WITH RECURSIVE family (id) AS (
            SELECT id
              FROM person
             WHERE project_id = %(project_id)s
               AND id = ANY(%(roots)b::bigint[])
             UNION ALL
            SELECT child.id
              FROM family
             CROSS JOIN LATERAL (
                   SELECT id
                     FROM person
                    WHERE merged_into_id = family.id
                   OFFSET 0
                   ) AS child
        )
        SELECT count(DISTINCT sent.recording_id)
          FROM family
         CROSS JOIN LATERAL (
               SELECT id
                 FROM distinct_id
                WHERE person_id = family.id
                  AND ended_at IS NULL
               OFFSET 0
               ) AS owned
         CROSS JOIN LATERAL (
               SELECT recording_id
                 FROM recording_block
                WHERE distinct_id_id = owned.id
               OFFSET 0
               ) AS sent
        """,
        {"project_id": project_id, "roots": list(roots)},
    )
    row = await cursor.fetchone()
    assert row is not None, "an aggregate gives its row"
    return row[0]
