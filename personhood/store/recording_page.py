"""Recordings as they are read: a page of them, one, and its blocks."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import class_row

from personhood.model import Recorded

ONGOING_S = 300  # a session that was heard of so lately may go on


class Recording(Recorded, frozen=True, kw_only=True):
    """A recording, and whose it is: `name` is the distinct id, live unless its person is gone."""

    id: int
    session_id: str
    name: str
    is_live: bool
    source: str
    is_ongoing: bool
    expires_at: datetime


class Block(Struct, frozen=True, kw_only=True):
    """A piece of a recording, and where it lies."""

    number: int
    path: str
    started_at: datetime
    ended_at: datetime


class Filter(Struct, frozen=True, kw_only=True):
    """Sessions that began from `after` on and before `before`; None asks for nothing.

    A person is told by its root. With names too, only those of them that are the person's.
    """

    root_id: int | None = None
    names: Sequence[str] | None = None
    session_ids: Sequence[str] | None = None
    after: datetime | None = None
    before: datetime | None = None


async def page(
    conn: AsyncConnection, project_id: int, filter: Filter, *, limit: int, offset: int
) -> list[Recording]:
    """Recordings of a project, the newest session first."""
    if filter.root_id is not None or filter.names is not None:
        return await page_of_names(conn, project_id, filter, limit=limit, offset=offset)
    async with conn.cursor(row_factory=class_row(Recording)) as cursor:
        await cursor.execute(
            """
            SELECT r.id, r.session_id, d.distinct_id AS name, d.ended_at IS NULL AS is_live,
                   r.source, r.received_at > now() - make_interval(secs => %(ongoing_s)s)
                       AS is_ongoing,
                   r.expires_at, r.started_at, r.ended_at, r.urls, r.events, r.bytes, r.clicks,
                   r.keypresses, r.mouse_activity, r.console_logs, r.console_warnings,
                   r.console_errors, r.active_ms
              FROM recording r
              JOIN distinct_id d ON d.id = r.distinct_id_id
             WHERE r.project_id = %(project_id)s
               AND r.started_at >= coalesce(%(after)s::timestamptz, '-infinity')
               AND r.started_at < coalesce(%(before)s::timestamptz, 'infinity')
               AND (%(session_ids)s::text[] IS NULL OR r.session_id = ANY(%(session_ids)s))
             ORDER BY r.started_at DESC, r.id DESC
             LIMIT %(limit)s OFFSET %(offset)s
            """,
            parameters(project_id, filter) | {"limit": limit, "offset": offset},
        )
        return await cursor.fetchall()


async def page_of_names(
    conn: AsyncConnection, project_id: int, filter: Filter, *, limit: int, offset: int
) -> list[Recording]:
    """The same of distinct ids: of each only as many are read as the page may need."""
    async with conn.cursor(row_factory=class_row(Recording)) as cursor:
        await cursor.execute(
            """
            WITH RECURSIVE family (id) AS (
                SELECT %(root_id)s::bigint
                 WHERE %(root_id)s::bigint IS NOT NULL
                 UNION ALL
                SELECT person.id
                  FROM family
                  JOIN person ON person.merged_into_id = family.id
            ),
            owned AS (
                SELECT own.id, own.distinct_id, true AS is_live
                  FROM family
                 CROSS JOIN LATERAL (
                       SELECT id, distinct_id
                         FROM distinct_id
                        WHERE person_id = family.id
                          AND is_recorded
                          AND ended_at IS NULL
                       OFFSET 0
                       ) AS own
                 WHERE %(names)s::text[] IS NULL OR own.distinct_id = ANY(%(names)s)
                 UNION ALL
                SELECT id, distinct_id, true
                  FROM distinct_id
                 WHERE %(root_id)s::bigint IS NULL
                   AND project_id = %(project_id)s
                   AND distinct_id = ANY(%(names)s)
                   AND ended_at IS NULL
                 UNION ALL
                SELECT id, distinct_id, false
                  FROM distinct_id
                 WHERE %(root_id)s::bigint IS NULL
                   AND project_id = %(project_id)s
                   AND distinct_id = ANY(%(names)s)
                   AND ended_at IS NOT NULL
            )
            SELECT r.id, r.session_id, owned.distinct_id AS name, owned.is_live, r.source,
                   r.received_at > now() - make_interval(secs => %(ongoing_s)s) AS is_ongoing,
                   r.expires_at, r.started_at, r.ended_at, r.urls, r.events, r.bytes, r.clicks,
                   r.keypresses, r.mouse_activity, r.console_logs, r.console_warnings,
                   r.console_errors, r.active_ms
              FROM owned
             CROSS JOIN LATERAL (
                   SELECT *
                     FROM recording
                    WHERE distinct_id_id = owned.id
                      AND started_at >= coalesce(%(after)s::timestamptz, '-infinity')
                      AND started_at < coalesce(%(before)s::timestamptz, 'infinity')
                      AND (%(session_ids)s::text[] IS NULL OR session_id = ANY(%(session_ids)s))
                    ORDER BY started_at DESC, id DESC
                    LIMIT %(limit)s::bigint + %(offset)s::bigint
                   ) AS r
             ORDER BY r.started_at DESC, r.id DESC
             LIMIT %(limit)s OFFSET %(offset)s
            """,
            parameters(project_id, filter) | {"limit": limit, "offset": offset},
        )
        return await cursor.fetchall()


def parameters(project_id: int, filter: Filter) -> dict[str, object]:
    return {
        "project_id": project_id,
        "root_id": filter.root_id,
        "names": None if filter.names is None else list(filter.names),
        "session_ids": None if filter.session_ids is None else list(filter.session_ids),
        "after": filter.after,
        "before": filter.before,
        "ongoing_s": ONGOING_S,
    }


async def by_session(conn: AsyncConnection, project_id: int, session_id: str) -> Recording | None:
    async with conn.cursor(row_factory=class_row(Recording)) as cursor:
        await cursor.execute(
            """
            SELECT r.id, r.session_id, d.distinct_id AS name, d.ended_at IS NULL AS is_live,
                   r.source, r.received_at > now() - make_interval(secs => %(ongoing_s)s)
                       AS is_ongoing,
                   r.expires_at, r.started_at, r.ended_at, r.urls, r.events, r.bytes, r.clicks,
                   r.keypresses, r.mouse_activity, r.console_logs, r.console_warnings,
                   r.console_errors, r.active_ms
              FROM recording r
              JOIN distinct_id d ON d.id = r.distinct_id_id
             WHERE r.project_id = %(project_id)s
               AND r.session_id = %(session_id)s
            """,
            {"project_id": project_id, "session_id": session_id, "ongoing_s": ONGOING_S},
        )
        return await cursor.fetchone()


async def blocks(
    conn: AsyncConnection, recording_id: int, *, first: int = 0, last: int | None = None
) -> list[Block]:
    """The blocks with these numbers, both ends included."""
    async with conn.cursor(row_factory=class_row(Block)) as cursor:
        await cursor.execute(
            """
            SELECT number, path, started_at, ended_at
              FROM recording_block
             WHERE recording_id = %(recording_id)s
               AND number >= %(first)s
               AND number <= coalesce(%(last)s::int, 2147483647)
             ORDER BY number
            """,
            {"recording_id": recording_id, "first": first, "last": last},
        )
        return await cursor.fetchall()
