"""Merges and entries by which distinct ids came to be one person's."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import class_row

from personhood.identity.chain import Edge

ABOVE_MAX = 1000


class Joined(Struct, frozen=True, kw_only=True):
    """A merge, with the persons that it made one; or an entry by which `ids` came to the target."""

    kind: str
    merge_id: int | None
    source_id: int | None
    source_uuid: UUID | None
    target_id: int
    target_uuid: UUID | None
    at: datetime
    recorded_at: datetime
    event_uuid: UUID | None
    distinct_id_id: int | None
    api_key_id: int | None
    label: str | None
    ids: list[int]


async def edges(conn: AsyncConnection, project_id: int, root_id: int, *, most: int) -> list[Edge]:
    """The merges in force that made a root, each with its two leaves: at most `most`."""
    cursor = await conn.execute(
        """
        WITH RECURSIVE family (id, merge_id, source_leaf_id, target_leaf_id) AS (
            SELECT %(root_id)s::bigint, NULL::bigint, NULL::bigint, NULL::bigint
             UNION ALL
            SELECT made.source_id, made.id, made.source_leaf_id, made.target_leaf_id
              FROM family
             CROSS JOIN LATERAL (
                   SELECT id, source_id, source_leaf_id, target_leaf_id
                     FROM merge
                    WHERE project_id = %(project_id)s
                      AND target_id = family.id
                      AND undone_at IS NULL
                   OFFSET 0
                   ) AS made
        )
        SELECT merge_id, source_leaf_id, target_leaf_id
          FROM family
         WHERE merge_id IS NOT NULL
         LIMIT %(most)s
        """,
        {"project_id": project_id, "root_id": root_id, "most": most},
        binary=True,
    )
    return [(id, source, target) async for id, source, target in cursor]


async def merges(
    conn: AsyncConnection, project_id: int, merge_ids: Sequence[int]
) -> dict[int, Joined]:
    async with conn.cursor(row_factory=class_row(Joined)) as cursor:
        await cursor.execute(
            """
            SELECT 'merged' AS kind, m.id AS merge_id, m.source_id, s.uuid AS source_uuid,
                   m.target_id, t.uuid AS target_uuid, m.at, m.recorded_at, m.event_uuid,
                   m.distinct_id_id, m.api_key_id, k.label, '{}'::bigint[] AS ids
              FROM merge m
              LEFT JOIN person s ON s.id = m.source_id
              LEFT JOIN person t ON t.id = m.target_id
              LEFT JOIN api_key k ON k.id = m.api_key_id
             WHERE m.project_id = %(project_id)s
               AND m.id = ANY(%(ids)b::bigint[])
            """,
            {"project_id": project_id, "ids": merge_ids},
        )
        return {row.merge_id: row async for row in cursor if row.merge_id is not None}


async def joins(
    conn: AsyncConnection, project_id: int, leaf_id: int, *, ids: Sequence[int]
) -> list[Joined]:
    """The entries by which distinct ids came to a leaf, by their time.

    They are in the ledger of who was its root then, also if that merge has been undone since.
    """
    async with conn.cursor(row_factory=class_row(Joined)) as cursor:
        await cursor.execute(
            """
            WITH RECURSIVE way (id) AS (
                SELECT %(leaf_id)s::bigint
                 UNION
                SELECT above.target_id
                  FROM way
                 CROSS JOIN LATERAL (
                       SELECT target_id FROM merge
                        WHERE source_id = way.id AND undone_at IS NULL
                        UNION ALL
                       SELECT target_id FROM merge
                        WHERE source_id = way.id AND undone_at IS NOT NULL
                       ) AS above
            )
            SELECT l.kind, NULL::bigint AS merge_id, NULL::bigint AS source_id,
                   NULL::uuid AS source_uuid, l.person_id AS target_id, p.uuid AS target_uuid,
                   l.at, l.recorded_at, l.event_uuid, l.distinct_id_id, l.api_key_id, k.label,
                   ARRAY(SELECT unnest(l.ids) INTERSECT SELECT unnest(%(ids)b::bigint[])) AS ids
              FROM (SELECT id FROM way LIMIT %(most)s) AS way
              JOIN ledger l ON l.person_id = way.id
              LEFT JOIN person p ON p.id = l.person_id
              LEFT JOIN api_key k ON k.id = l.api_key_id
             WHERE l.project_id = %(project_id)s
               AND l.kind IN ('created', 'attached')
               AND l.ids && %(ids)b::bigint[]
             ORDER BY l.recorded_at, l.version
            """,
            {"project_id": project_id, "leaf_id": leaf_id, "ids": ids, "most": ABOVE_MAX},
        )
        return await cursor.fetchall()
