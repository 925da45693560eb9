"""Ingestion warnings: what was odd about events, for whoever sends them."""

from collections.abc import Sequence

from psycopg import AsyncConnection

from personhood.model import Warning
from personhood.store.pool import encode


async def insert_all(conn: AsyncConnection, project_id: int, warnings: Sequence[Warning]) -> None:
    await conn.execute(
        """
        INSERT INTO ingestion_warning (project_id, type, event_uuid, details, at)
        SELECT %(project_id)s, type, event_uuid, details::jsonb, at
          FROM unnest(%(types)s::text[], %(events)s::uuid[], %(details)s::text[],
                      %(at)s::timestamptz[])
            AS t (type, event_uuid, details, at)
        """,
        {
            "project_id": project_id,
            "types": [warning.type for warning in warnings],
            "events": [warning.event_uuid for warning in warnings],
            "details": [encode(warning.details).decode() for warning in warnings],
            "at": [warning.at for warning in warnings],
        },
    )


async def delete_old(conn: AsyncConnection, *, age_s: int, most: int) -> int:
    """Delete at most `most` warnings that are older than `age_s`; tells how many that were."""
    cursor = await conn.execute(
        """
        DELETE FROM ingestion_warning
         WHERE id IN (SELECT id
                        FROM ingestion_warning
                       WHERE at < now() - make_interval(secs => %(age_s)s)
                       LIMIT %(most)s)
        """,
        {"age_s": age_s, "most": most},
    )
    return cursor.rowcount
