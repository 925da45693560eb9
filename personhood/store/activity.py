"""The activity log: lines are appended and read."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import class_row

from personhood.model import BIGINT_MAX, Activity, ActivityKind

IDS_MAX = 10_000  # of one line; a person may have had a million


class Line(Struct, frozen=True, kw_only=True):
    """A line as it is stored: of its ids the first IDS_MAX, and label and owner of its key."""

    id: int
    uuid: UUID
    kind: str
    person_id: int
    person_uuid: UUID
    version: int | None
    other_id: int | None
    ids: list[int] | None
    ids_count: int
    moved_ids: list[int] | None
    moved_ids_count: int
    event_uuid: UUID | None
    distinct_id_id: int | None
    api_key_id: int | None
    request_id: UUID | None
    created_at: datetime
    label: str | None
    owner: str | None


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


async def insert_deleted(conn: AsyncConnection, deletions: Sequence[int]) -> None:
    """A line for each person that these deletions of profiles are about."""
    await conn.execute(
        """
        INSERT INTO activity (project_id, kind, person_id, person_uuid, api_key_id, request_id)
        SELECT project_id, %(kind)s, person_id, person_uuid, api_key_id, request_id
          FROM deletion
         WHERE id = ANY(%(deletions)b::bigint[])
         ORDER BY id
        """,
        {"kind": ActivityKind.DELETED.value, "deletions": list(deletions)},
    )


async def of_project(
    conn: AsyncConnection, project_id: int, *, limit: int, offset: int = 0, before: int = BIGINT_MAX
) -> list[Line]:
    """The newest lines of a project, of those with an id below `before`."""
    async with conn.cursor(row_factory=class_row(Line)) as cursor:
        await cursor.execute(
            """
            SELECT a.id, a.uuid, a.kind, a.person_id, a.person_uuid, a.version, a.other_id,
                   a.ids[:%(ids_max)s] AS ids, coalesce(cardinality(a.ids), 0) AS ids_count,
                   a.moved_ids[:%(ids_max)s] AS moved_ids,
                   coalesce(cardinality(a.moved_ids), 0) AS moved_ids_count,
                   a.event_uuid, a.distinct_id_id, a.api_key_id, a.request_id, a.created_at,
                   k.label, k.owner
              FROM (SELECT *
                      FROM activity
                     WHERE project_id = %(project_id)s
                       AND id < %(before)s
                     ORDER BY id DESC
                     LIMIT %(limit)s OFFSET %(offset)s) AS a
              LEFT JOIN api_key k ON k.id = a.api_key_id
             ORDER BY a.id DESC
            """,
            {
                "project_id": project_id,
                "before": before,
                "limit": limit,
                "offset": offset,
                "ids_max": IDS_MAX,
            },
        )
        return await cursor.fetchall()


async def of_persons(
    conn: AsyncConnection,
    project_id: int,
    person_ids: Sequence[int],
    *,
    limit: int,
    offset: int = 0,
    before: int = BIGINT_MAX,
) -> list[Line]:
    """The newest lines of some persons together, of those with an id below `before`."""
    # Of each person the lines that could be on the page, by index; then the newest of them.
    async with conn.cursor(row_factory=class_row(Line)) as cursor:
        await cursor.execute(
            """
            SELECT a.id, a.uuid, a.kind, a.person_id, a.person_uuid, a.version, a.other_id,
                   a.ids[:%(ids_max)s] AS ids, coalesce(cardinality(a.ids), 0) AS ids_count,
                   a.moved_ids[:%(ids_max)s] AS moved_ids,
                   coalesce(cardinality(a.moved_ids), 0) AS moved_ids_count,
                   a.event_uuid, a.distinct_id_id, a.api_key_id, a.request_id, a.created_at,
                   k.label, k.owner
              FROM (SELECT line.id
                      FROM unnest(%(person_ids)b::bigint[]) AS person (id)
                     CROSS JOIN LATERAL (
                           SELECT id
                             FROM activity
                            WHERE person_id = person.id
                              AND id < %(before)s
                            ORDER BY id DESC
                            LIMIT %(limit)s::bigint + %(offset)s::bigint
                           ) AS line
                     ORDER BY line.id DESC
                     LIMIT %(limit)s OFFSET %(offset)s) AS shown
             CROSS JOIN LATERAL (
                   SELECT *
                     FROM activity
                    WHERE project_id = %(project_id)s
                      AND id = shown.id
                    LIMIT 1
                   ) AS a
              LEFT JOIN api_key k ON k.id = a.api_key_id
             ORDER BY a.id DESC
            """,
            {
                "project_id": project_id,
                "person_ids": person_ids,
                "before": before,
                "limit": limit,
                "offset": offset,
                "ids_max": IDS_MAX,
            },
        )
        return await cursor.fetchall()


async def count_of_project(conn: AsyncConnection, project_id: int) -> int:
    cursor = await conn.execute(
        """
        SELECT count(*)
          FROM activity
         WHERE project_id = %(project_id)s
        """,
        {"project_id": project_id},
    )
    return (await cursor.fetchall())[0][0]


async def count_of_persons(conn: AsyncConnection, person_ids: Sequence[int]) -> int:
    cursor = await conn.execute(
        """
        SELECT coalesce(sum(lines.number), 0)::bigint
          FROM unnest(%(person_ids)b::bigint[]) AS person (id)
         CROSS JOIN LATERAL (
               SELECT count(*) AS number
                 FROM activity
                WHERE person_id = person.id
               ) AS lines
        """,
        {"person_ids": person_ids},
    )
    return (await cursor.fetchall())[0][0]
