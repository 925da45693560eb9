"""Merges: the forest of who was absorbed by whom, which `person.merged_into_id` only shortens."""

from collections.abc import Sequence

from psycopg import AsyncConnection
from psycopg.rows import class_row

from personhood.identity.fold import Merged
from personhood.identity.undo import Link
from personhood.model import ActivityKind, Merge


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
            "sources": [merge.source_id for merge in merges],
            "targets": [merge.target_id for merge in merges],
            "uuids": [merge.target_uuid for merge in merges],
            "source_leaves": [merge.source_leaf_id for merge in merges],
            "target_leaves": [merge.target_leaf_id for merge in merges],
            "source_versions": [merge.source_version for merge in merges],
            "target_versions": [merge.target_version for merge in merges],
            "at": [merge.at for merge in merges],
            "events": [merge.cause.event_uuid for merge in merges],
            "distinct_ids": [merge.cause.distinct_id_id for merge in merges],
            "api_keys": [merge.cause.api_key_id for merge in merges],
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
                 UNION
                SELECT merge.source_id
                  FROM family
                  JOIN merge ON merge.target_id = family.id AND merge.undone_at IS NULL
            )
            SELECT merge.id, project_id, source_id, target_id, source_leaf_id, target_leaf_id,
                   source_version, target_version, at, recorded_at, event_uuid, distinct_id_id,
                   api_key_id, undone_at
              FROM family
              JOIN merge ON merge.target_id = family.id AND merge.undone_at IS NULL
             WHERE project_id = %(project_id)s
             ORDER BY merge.id DESC
             LIMIT %(limit)s OFFSET %(offset)s
            """,
            {"project_id": project_id, "root_id": root_id, "limit": limit, "offset": offset},
        )
        return await cursor.fetchall()


async def undo(
    conn: AsyncConnection, project_id: int, merge_id: int, *, relinked: Sequence[Link]
) -> None:
    """End a merge, and let others have joined the persons that they joined without it.

    In two steps, because a person is the source of one merge in force at the most, at any moment.
    """
    await conn.execute(
        """
        UPDATE merge
           SET undone_at = now()
         WHERE project_id = %(project_id)s
           AND id = ANY(%(ids)b::bigint[])
        """,
        {"project_id": project_id, "ids": [merge_id, *(link.merge_id for link in relinked)]},
    )
    await conn.execute(
        """
        UPDATE merge
           SET source_id = t.source_id, target_id = t.target_id, undone_at = NULL
          FROM unnest(%(ids)b::bigint[], %(sources)b::bigint[], %(targets)b::bigint[])
            AS t (id, source_id, target_id)
         WHERE merge.project_id = %(project_id)s
           AND merge.id = t.id
        """,
        {
            "project_id": project_id,
            "ids": [link.merge_id for link in relinked],
            "sources": [link.source_id for link in relinked],
            "targets": [link.target_id for link in relinked],
        },
    )
