"""Roots by their names, ids and uuids only; and holding them, for verbs that are about many.

A person has up to half a megabyte of properties, so a thousand of them are not read to be deleted.
"""

from collections.abc import Collection, Sequence
from uuid import UUID

from psycopg import AsyncConnection


async def by_uuids(
    conn: AsyncConnection, project_id: int, uuids: Sequence[UUID]
) -> dict[UUID, int]:
    cursor = await conn.execute(
        """
        SELECT uuid, id
          FROM person
         WHERE project_id = %(project_id)s
           AND uuid = ANY(%(uuids)b::uuid[])
           AND merged_into_id IS NULL
        """,
        {"project_id": project_id, "uuids": uuids},
        binary=True,
    )
    return dict(await cursor.fetchall())


async def by_distinct_ids(
    conn: AsyncConnection, project_id: int, texts: Sequence[str]
) -> dict[str, int]:
    """From each live distinct id up to its root, as it stands at one moment."""
    cursor = await conn.execute(
        """
        WITH RECURSIVE way (distinct_id, person_id, parent_id) AS (
            SELECT named.distinct_id, person.id, person.merged_into_id
              FROM unnest(%(texts)b::text[]) AS named (distinct_id)
             CROSS JOIN LATERAL (
                   SELECT person_id
                     FROM distinct_id
                    WHERE project_id = %(project_id)s
                      AND distinct_id = named.distinct_id
                      AND ended_at IS NULL
                    LIMIT 1
                   ) AS owned
              JOIN person ON person.id = owned.person_id
             UNION ALL
            SELECT way.distinct_id, parent.id, parent.merged_into_id
              FROM way
             CROSS JOIN LATERAL (
                   SELECT id, merged_into_id
                     FROM person
                    WHERE id = way.parent_id
                   OFFSET 0
                   ) AS parent
        )
        SELECT distinct_id, person_id
          FROM way
         WHERE parent_id IS NULL
        """,
        {"project_id": project_id, "texts": texts},
        binary=True,
    )
    return dict(await cursor.fetchall())


async def lock(conn: AsyncConnection, project_id: int, ids: Collection[int]) -> dict[int, UUID]:
    """Lock persons in id order, as ingestion does; tells the uuid of each that is (still) a root.

    Whoever changes what belongs to a root's family holds the root.
    """
    cursor = await conn.execute(
        """
        SELECT id, uuid
          FROM person
         WHERE project_id = %(project_id)s
           AND id = ANY(%(ids)b::bigint[])
           AND merged_into_id IS NULL
         ORDER BY id
           FOR UPDATE
        """,
        {"project_id": project_id, "ids": sorted(ids)},
        binary=True,
    )
    return dict(await cursor.fetchall())


async def lock_merged(conn: AsyncConnection, ids: Collection[int]) -> bool:
    """Lock all that ever merged into these locked roots; False when somebody holds one of them.

    Whoever holds one took it for a root, and may be waiting for a lock of ours.
    """
    cursor = await conn.execute(
        """
        WITH RECURSIVE family (id, depth) AS (
            SELECT root.id, 0
              FROM unnest(%(ids)b::bigint[]) AS root (id)
             UNION ALL
            SELECT child.id, family.depth + 1
              FROM family
             CROSS JOIN LATERAL (
                   SELECT id
                     FROM person
                    WHERE merged_into_id = family.id
                   OFFSET 0
                   ) AS child
        ),
        held AS (
            SELECT locked.id
              FROM family
             CROSS JOIN LATERAL (
                   SELECT id
                     FROM person
                    WHERE id = family.id
                      AND family.depth > 0
                      FOR UPDATE SKIP LOCKED
                   ) AS locked
        )
        SELECT (SELECT count(*) FROM family WHERE depth > 0) = (SELECT count(*) FROM held)
        """,
        {"ids": list(ids)},
    )
    return await cursor.fetchone() == (True,)


async def uuids_of(conn: AsyncConnection, project_id: int, ids: Collection[int]) -> dict[int, UUID]:
    """The uuid of each of these persons that is a root."""
    cursor = await conn.execute(
        """
        SELECT id, uuid
          FROM person
         WHERE project_id = %(project_id)s
           AND id = ANY(%(ids)b::bigint[])
           AND merged_into_id IS NULL
        """,
        {"project_id": project_id, "ids": list(ids)},
        binary=True,
    )
    return dict(await cursor.fetchall())
