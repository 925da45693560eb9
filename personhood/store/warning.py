"""Ingestion warnings: what was odd about events, for whoever sends them."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import class_row

from personhood.model import Warning
from personhood.store.pool import encode


class Recorded(Warning, kw_only=True):
    """A warning with the number that it was recorded under."""

    id: int


class Filter(Struct, frozen=True, kw_only=True):
    """What every warning of a page has in common; None asks for nothing. Both times are outside."""

    type: str | None = None
    event_uuid: UUID | None = None
    after: datetime | None = None
    before: datetime | None = None


class Mark(Struct, frozen=True):
    """Where a page begins: behind the warning of this time and id."""

    at: datetime
    id: int


async def page(
    conn: AsyncConnection,
    project_id: int,
    filter: Filter,
    *,
    limit: int,
    offset: int = 0,
    behind: Mark | None = None,
) -> tuple[list[Recorded], bool]:
    """The warnings of a page, newest first, and whether more follow it.

    The bounds of time are given in any case: so a plan that is kept finds its way by the index.
    """
    if holds_nul(filter):
        return [], False
    async with conn.cursor(row_factory=class_row(Recorded)) as cursor:
        await cursor.execute(
            """
            SELECT id, type, event_uuid, details, at
              FROM ingestion_warning
             WHERE project_id = %(project_id)s
               AND at > coalesce(%(after)s::timestamptz, '-infinity')
               AND at < coalesce(%(before)s::timestamptz, 'infinity')
               AND (at, id) < (coalesce(%(behind_at)s::timestamptz, 'infinity'),
                               coalesce(%(behind_id)s::bigint, 0))
               AND (%(type)s::text IS NULL OR type = %(type)s)
               AND (%(event_uuid)s::uuid IS NULL OR event_uuid = %(event_uuid)s)
             ORDER BY at DESC, id DESC
             LIMIT %(limit)s OFFSET %(offset)s
            """,
            {
                **parameters(project_id, filter),
                "behind_at": behind and behind.at,
                "behind_id": behind and behind.id,
                "limit": limit + 1,
                "offset": offset,
            },
        )
        found = await cursor.fetchall()
    return found[:limit], len(found) > limit


async def count(conn: AsyncConnection, project_id: int, filter: Filter) -> int:
    """How many warnings a list without pages would hold."""
    if holds_nul(filter):
        return 0
    cursor = await conn.execute(
        """
        SELECT count(*)
          FROM ingestion_warning
         WHERE project_id = %(project_id)s
           AND at > coalesce(%(after)s::timestamptz, '-infinity')
           AND at < coalesce(%(before)s::timestamptz, 'infinity')
           AND (%(type)s::text IS NULL OR type = %(type)s)
           AND (%(event_uuid)s::uuid IS NULL OR event_uuid = %(event_uuid)s)
        """,
        parameters(project_id, filter),
    )
    row = await cursor.fetchone()
    assert row is not None, "an aggregate gives its row"
    return row[0]


def parameters(project_id: int, filter: Filter) -> dict[str, object]:
    return {
        "project_id": project_id,
        "type": filter.type,
        "event_uuid": filter.event_uuid,
        "after": filter.after,
        "before": filter.before,
    }


def holds_nul(filter: Filter) -> bool:
    """PostgreSQL keeps no NUL, so such a type is nothing's."""
    return filter.type is not None and "\0" in filter.type


async def insert_all(conn: AsyncConnection, project_id: int, warnings: Sequence[Warning]) -> None:
    """Record warnings; what was told of an event already is not told again.

    An event that was dropped is not known by its uuid, as a stored one is, when it comes again.
    """
    await conn.execute(
        """
        INSERT INTO ingestion_warning (project_id, type, event_uuid, details, at)
        SELECT %(project_id)s, type, event_uuid, details::jsonb, at
          FROM unnest(%(types)b::text[], %(events)b::uuid[], %(details)b::text[],
                      %(at)b::timestamptz[])
               WITH ORDINALITY AS t (type, event_uuid, details, at, place)
         WHERE NOT EXISTS (SELECT
                             FROM ingestion_warning AS told
                            WHERE told.event_uuid = t.event_uuid
                              AND told.type = t.type
                              AND told.project_id = %(project_id)s
                              AND told.details = t.details::jsonb)
         ORDER BY place
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
