"""The activity log: lines are appended and read."""

from collections.abc import Sequence

from psycopg import AsyncConnection

from personhood.model import Activity


async def insert_all(conn: AsyncConnection, project_id: int, lines: Sequence[Activity]) -> None:
    async with (
        conn.cursor() as cursor,
        cursor.copy(
            """
            COPY activity (project_id, kind, person_id, person_uuid, version, other_id, ids,
                           moved_ids, event_uuid, distinct_id_id, api_key_id, request_id)
            FROM STDIN
            """
        ) as copy,
    ):
        for line in lines:
            await copy.write_row(
                (
                    project_id,
                    line.kind.value,
                    line.person_id,
                    line.person_uuid,
                    line.version,
                    line.other_id,
                    line.ids or None,
                    line.moved_ids or None,
                    line.cause.event_uuid,
                    line.cause.distinct_id_id,
                    line.cause.api_key_id,
                    line.cause.request_id,
                )
            )
