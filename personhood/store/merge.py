"""Merges: the forest of who was absorbed by whom, which `person.merged_into_id` only shortens."""

from collections.abc import Sequence

from psycopg import AsyncConnection

from personhood.identity.fold import Merged


async def insert_all(conn: AsyncConnection, project_id: int, merges: Sequence[Merged]) -> None:
    await conn.execute(
        """
        INSERT INTO merge (project_id, source_id, target_id, source_leaf_id, target_leaf_id,
                           source_version, target_version, at, event_uuid, distinct_id_id,
                           api_key_id)
        SELECT %(project_id)s, *
          FROM unnest(%(sources)s::bigint[], %(targets)s::bigint[],
                      %(source_leaves)s::bigint[], %(target_leaves)s::bigint[],
                      %(source_versions)s::bigint[], %(target_versions)s::bigint[],
                      %(at)s::timestamptz[], %(events)s::uuid[], %(distinct_ids)s::bigint[],
                      %(api_keys)s::bigint[])
        """,
        {
            "project_id": project_id,
            "sources": [merge.source_id for merge in merges],
            "targets": [merge.target_id for merge in merges],
            "source_leaves": [merge.source_leaf_id for merge in merges],
            "target_leaves": [merge.target_leaf_id for merge in merges],
            "source_versions": [merge.source_version for merge in merges],
            "target_versions": [merge.target_version for merge in merges],
            "at": [merge.at for merge in merges],
            "events": [merge.cause.event_uuid for merge in merges],
            "distinct_ids": [merge.cause.distinct_id_id for merge in merges],
            "api_keys": [merge.cause.api_key_id for merge in merges],
        },
    )
