"""Persons that were once one with somebody who is being forgotten, and live on."""

from collections.abc import Collection, Sequence

from psycopg import AsyncConnection


async def note(conn: AsyncConnection, deletions: Sequence[int]) -> None:
    """Whoever was parted from one of the persons or ids by an undone merge or a split, and all that
    these have been merged into. While merges, splits and ledgers are still there to tell: a split
    goes with the first of its persons that is forgotten, after that only the ledgers of the others
    name one another."""
    await conn.execute(
        """
        INSERT INTO deletion_neighbour (deletion_id, person_id)
        WITH RECURSIVE parted (deletion_id, person_id) AS (
            SELECT deletion_person.deletion_id, other.person_id
              FROM deletion_person
             CROSS JOIN LATERAL (
                   SELECT target_id AS person_id FROM merge
                    WHERE source_id = deletion_person.person_id AND undone_at IS NOT NULL
                    UNION ALL
                   SELECT source_id FROM merge
                    WHERE target_id = deletion_person.person_id AND undone_at IS NOT NULL
                    UNION ALL
                   SELECT unnest(ARRAY[target_id, target_leaf_id]) FROM merge
                    WHERE source_leaf_id = deletion_person.person_id AND undone_at IS NOT NULL
                    UNION ALL
                   SELECT unnest(ARRAY[source_id, source_leaf_id]) FROM merge
                    WHERE target_leaf_id = deletion_person.person_id AND undone_at IS NOT NULL
                    UNION ALL
                   SELECT unnest(ARRAY[split.person_id, split_person.leaf_id])
                     FROM split_person
                     JOIN split ON split.id = split_person.split_id
                    WHERE split_person.person_id = deletion_person.person_id
                    UNION ALL
                   SELECT unnest(ARRAY[split_person.person_id, split_person.leaf_id])
                     FROM split
                     JOIN split_person ON split_person.split_id = split.id
                    WHERE split.person_id = deletion_person.person_id
                    UNION ALL
                   SELECT told.person_id
                     FROM (SELECT person_id FROM ledger
                            WHERE source_id = deletion_person.person_id
                            UNION ALL
                           SELECT source_id FROM ledger
                            WHERE person_id = deletion_person.person_id
                              AND source_id IS NOT NULL) AS told
                    WHERE NOT EXISTS (SELECT
                                        FROM deletion_person AS kin
                                       WHERE kin.deletion_id = deletion_person.deletion_id
                                         AND kin.person_id = told.person_id)
                   ) AS other
             WHERE deletion_person.deletion_id = ANY(%(deletions)b::bigint[])
             UNION
            SELECT deletion_target.deletion_id, other.person_id
              FROM deletion_target
             CROSS JOIN LATERAL (
                   SELECT unnest(ARRAY[split.person_id, split_person.leaf_id]) AS person_id
                     FROM split_person
                     JOIN split ON split.id = split_person.split_id
                    WHERE split_person.distinct_id_id = deletion_target.distinct_id_id
                   ) AS other
             WHERE deletion_target.deletion_id = ANY(%(deletions)b::bigint[])
        ),
        near (deletion_id, person_id) AS (
            SELECT deletion_id, person_id
              FROM parted
             WHERE person_id IS NOT NULL
             UNION
            SELECT near.deletion_id, above.person_id
              FROM near
             CROSS JOIN LATERAL (
                   SELECT merged_into_id AS person_id FROM person
                    WHERE id = near.person_id AND merged_into_id IS NOT NULL
                    UNION ALL
                   SELECT target_id FROM merge
                    WHERE source_id = near.person_id AND undone_at IS NULL
                    UNION ALL
                   SELECT target_id FROM merge
                    WHERE source_id = near.person_id AND undone_at IS NOT NULL
                    UNION ALL
                   SELECT split.person_id
                     FROM split_person
                     JOIN split ON split.id = split_person.split_id
                    WHERE split_person.person_id = near.person_id
                    UNION ALL
                   SELECT person_id FROM ledger WHERE source_id = near.person_id
                   ) AS above
        )
        SELECT deletion_id, person_id
          FROM near
         WHERE NOT EXISTS (SELECT
                             FROM deletion_person
                            WHERE deletion_id = near.deletion_id
                              AND person_id = near.person_id)
        """,
        {"deletions": list(deletions)},
    )


async def of_all(conn: AsyncConnection, deletions: Sequence[int]) -> dict[int, set[int]]:
    cursor = await conn.execute(
        """
        SELECT deletion_id, person_id
          FROM deletion_neighbour
         WHERE deletion_id = ANY(%(deletions)b::bigint[])
         ORDER BY deletion_id, person_id
        """,
        {"deletions": list(deletions)},
    )
    found: dict[int, set[int]] = {}
    for deletion_id, person_id in await cursor.fetchall():
        found.setdefault(deletion_id, set()).add(person_id)
    return found


async def persons_among(conn: AsyncConnection, deletion_id: int, ids: Collection[int]) -> set[int]:
    """Which of these persons a deletion is about."""
    cursor = await conn.execute(
        """
        SELECT person_id
          FROM deletion_person
         WHERE deletion_id = %(deletion_id)s
           AND person_id = ANY(%(ids)b::bigint[])
        """,
        {"deletion_id": deletion_id, "ids": list(ids)},
    )
    return {row[0] for row in await cursor.fetchall()}


async def ids_among(conn: AsyncConnection, deletion_id: int, ids: Collection[int]) -> set[int]:
    """Which of these distinct ids a deletion is about."""
    cursor = await conn.execute(
        """
        SELECT distinct_id_id
          FROM deletion_target
         WHERE deletion_id = %(deletion_id)s
           AND distinct_id_id = ANY(%(ids)b::bigint[])
        """,
        {"deletion_id": deletion_id, "ids": list(ids)},
    )
    return {row[0] for row in await cursor.fetchall()}


async def forget(conn: AsyncConnection, deletions: Sequence[int]) -> None:
    await conn.execute(
        """
        DELETE FROM deletion_neighbour
         WHERE deletion_id = ANY(%(deletions)b::bigint[])
        """,
        {"deletions": list(deletions)},
    )
