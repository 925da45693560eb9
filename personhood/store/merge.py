"""Merges: the forest of who was absorbed by whom, which `person.merged_into_id` only shortens."""

from collections.abc import Iterable, Sequence

from psycopg import AsyncConnection
from psycopg.rows import class_row

from personhood.identity.replay import Link
from personhood.identity.world import Merged
from personhood.model import ActivityKind, Merge
from personhood.store import arrays


async def insert_all(conn: AsyncConnection, project_id: int, merges: Sequence[Merged]) -> None:
    """Merges, and in the same statement a line of the activity log for each."""
    await conn.execute(
        """
        WITH done AS MATERIALIZED (
            SELECT *
              FROM unnest(%(sources)b::bigint[], %(targets)b::bigint[], %(uuids)b::uuid[],
                          %(source_leaves)b::bigint[], %(target_leaves)b::bigint[],
                          %(source_versions)b::bigint[], %(target_versions)b::bigint[],
                          %(at)b::timestamptz[], %(events)b::uuid[], %(distinct_ids)b::bigint[],
                          %(api_keys)b::bigint[], %(requests)b::uuid[])
                AS t (source_id, target_id, target_uuid, source_leaf_id, target_leaf_id,
                      source_version, target_version, at, event_uuid, distinct_id_id,
                      api_key_id, request_id)
        ), told AS (
            INSERT INTO activity (project_id, kind, person_id, person_uuid, version, other_id,
                                  event_uuid, distinct_id_id, api_key_id, request_id)
            SELECT %(project_id)s, %(kind)s, target_id, target_uuid, target_version, source_id,
                   event_uuid, distinct_id_id, api_key_id, request_id
              FROM done
        )
        INSERT INTO merge (project_id, source_id, target_id, source_leaf_id, target_leaf_id,
                           source_version, target_version, at, event_uuid, distinct_id_id,
                           api_key_id)
        SELECT %(project_id)s, source_id, target_id, source_leaf_id, target_leaf_id,
               source_version, target_version, at, event_uuid, distinct_id_id, api_key_id
          FROM done
        """,
        {
            "project_id": project_id,
            "kind": ActivityKind.MERGED.value,
            "sources": arrays.int8s([merge.source_id for merge in merges]),
            "targets": arrays.int8s([merge.target_id for merge in merges]),
            "uuids": [merge.target_uuid for merge in merges],
            "source_leaves": arrays.int8s([merge.source_leaf_id for merge in merges]),
            "target_leaves": arrays.int8s([merge.target_leaf_id for merge in merges]),
            "source_versions": arrays.int8s([merge.source_version for merge in merges]),
            "target_versions": arrays.int8s([merge.target_version for merge in merges]),
            "at": arrays.times([merge.at for merge in merges]),
            "events": [merge.cause.event_uuid for merge in merges],
            "distinct_ids": arrays.int8s([merge.cause.distinct_id_id for merge in merges]),
            "api_keys": arrays.int8s([merge.cause.api_key_id for merge in merges]),
            "requests": [merge.cause.request_id for merge in merges],
        },
    )


async def of_family(
    conn: AsyncConnection,
    project_id: int,
    root_id: int,
    *,
    limit: int | None = None,
    offset: int = 0,
) -> list[Merge]:
    """The merges in force that made a root what it is, at any depth, the newest first."""
    async with conn.cursor(row_factory=class_row(Merge)) as cursor:
        await cursor.execute(
            """
            WITH RECURSIVE family (id) AS (
                SELECT %(root_id)s::bigint
                 UNION ALL
                SELECT source.id
                  FROM family
                 CROSS JOIN LATERAL (
                       SELECT source_id AS id
                         FROM merge
                        WHERE target_id = family.id
                          AND undone_at IS NULL
                       OFFSET 0
                       ) AS source
            )
            SELECT made.*
              FROM family
             CROSS JOIN LATERAL (
                   SELECT id, project_id, source_id, target_id, source_leaf_id, target_leaf_id,
                          source_version, target_version, at, recorded_at, event_uuid,
                          distinct_id_id, api_key_id, undone_at
                     FROM merge
                    WHERE target_id = family.id
                      AND undone_at IS NULL
                   OFFSET 0
                   ) AS made
             WHERE made.project_id = %(project_id)s
             ORDER BY made.id DESC
             LIMIT %(limit)s OFFSET %(offset)s
            """,
            {"project_id": project_id, "root_id": root_id, "limit": limit, "offset": offset},
        )
        return await cursor.fetchall()


async def above(conn: AsyncConnection, project_id: int, leaf_ids: Iterable[int]) -> list[Merge]:
    """The merges in force by which some leaves came to their roots."""
    async with conn.cursor(row_factory=class_row(Merge)) as cursor:
        await cursor.execute(
            """
            WITH RECURSIVE way (id) AS (
                SELECT leaf.id
                  FROM unnest(%(leaves)b::bigint[]) AS leaf (id)
                 UNION
                SELECT merge.target_id
                  FROM way
                  JOIN merge ON merge.source_id = way.id AND merge.undone_at IS NULL
            )
            SELECT merge.id, project_id, source_id, target_id, source_leaf_id, target_leaf_id,
                   source_version, target_version, at, recorded_at, event_uuid, distinct_id_id,
                   api_key_id, undone_at
              FROM way
              JOIN merge ON merge.source_id = way.id AND merge.undone_at IS NULL
             WHERE project_id = %(project_id)s
            """,
            {"project_id": project_id, "leaves": list(leaf_ids)},
        )
        return await cursor.fetchall()


async def around(conn: AsyncConnection, project_id: int, person_ids: Iterable[int]) -> list[Merge]:
    """The merges in force that name one of these persons, as a root or as a leaf."""
    async with conn.cursor(row_factory=class_row(Merge)) as cursor:
        await cursor.execute(
            """
            SELECT named.*
              FROM (SELECT DISTINCT found.id
                      FROM unnest(%(ids)b::bigint[]) AS person (id)
                     CROSS JOIN LATERAL (
                           SELECT id FROM merge
                            WHERE source_id = person.id AND undone_at IS NULL
                            UNION ALL
                           SELECT id FROM merge
                            WHERE target_id = person.id AND undone_at IS NULL
                            UNION ALL
                           SELECT id FROM merge
                            WHERE source_leaf_id = person.id AND undone_at IS NULL
                            UNION ALL
                           SELECT id FROM merge
                            WHERE target_leaf_id = person.id AND undone_at IS NULL
                           ) AS found
                   ) AS each
             CROSS JOIN LATERAL (
                   SELECT id, project_id, source_id, target_id, source_leaf_id, target_leaf_id,
                          source_version, target_version, at, recorded_at, event_uuid,
                          distinct_id_id, api_key_id, undone_at
                     FROM merge
                    WHERE id = each.id
                   OFFSET 0
                   ) AS named
             WHERE named.project_id = %(project_id)s
            """,
            {"project_id": project_id, "ids": list(person_ids)},
        )
        return await cursor.fetchall()


async def turn(
    conn: AsyncConnection, project_id: int, *, ended: Iterable[int], relinked: Sequence[Link]
) -> None:
    """End merges, and let others be what the links say, in force.

    In two steps, because a person is the source of one merge in force at the most, at any moment.
    """
    await conn.execute(
        """
        UPDATE merge
           SET undone_at = now()
         WHERE project_id = %(project_id)s
           AND id = ANY(%(ids)b::bigint[])
        """,
        {"project_id": project_id, "ids": [*ended, *(link.merge_id for link in relinked)]},
    )
    await conn.execute(
        """
        UPDATE merge
           SET source_id = t.source_id, target_id = t.target_id,
               source_leaf_id = t.source_leaf_id, target_leaf_id = t.target_leaf_id,
               undone_at = NULL
          FROM unnest(%(ids)b::bigint[], %(sources)b::bigint[], %(targets)b::bigint[],
                      %(source_leaves)b::bigint[], %(target_leaves)b::bigint[])
            AS t (id, source_id, target_id, source_leaf_id, target_leaf_id)
         WHERE merge.project_id = %(project_id)s
           AND merge.id = t.id
        """,
        {
            "project_id": project_id,
            "ids": [link.merge_id for link in relinked],
            "sources": [link.source_id for link in relinked],
            "targets": [link.target_id for link in relinked],
            "source_leaves": [link.source_leaf_id for link in relinked],
            "target_leaves": [link.target_leaf_id for link in relinked],
        },
    )
