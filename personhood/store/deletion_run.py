"""Receipts that are to be run: found, held, begun, put off and closed."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import class_row

from personhood.model import Deletion, DeletionState

FAILURE_CHARACTERS_MAX = 500


async def due(
    conn: AsyncConnection, project_id: int, *, after: int, most: int, waiting: bool = False
) -> list[int]:
    """Open receipts behind `after` that the project's clock does not forbid; with `waiting` also
    those that are to be tried again later only."""
    cursor = await conn.execute(
        """
        SELECT id
          FROM deletion
         WHERE project_id = %(project_id)s
           AND is_open
           AND (%(waiting)s OR retry_at IS NULL OR retry_at <= now())
           AND id > %(after)s
         ORDER BY id
         LIMIT %(most)s
        """,
        {"project_id": project_id, "after": after, "most": most, "waiting": waiting},
    )
    return [row[0] for row in await cursor.fetchall()]


async def idle_projects(conn: AsyncConnection) -> list[int]:
    """Projects with receipts that are due, and no job that is about to run them.

    A job that seems to run them may be that of a killed server; one more does no harm.
    """
    cursor = await conn.execute(
        """
        SELECT id
          FROM project
         WHERE EXISTS (SELECT
                         FROM deletion
                        WHERE project_id = project.id
                          AND is_open
                          AND (retry_at IS NULL OR retry_at <= now()))
           AND NOT EXISTS (SELECT
                             FROM procrastinate_jobs
                            WHERE task_name = 'deletions:run'
                              AND (args ->> 'project_id')::bigint = project.id
                              AND status = 'todo'
                              AND coalesce(scheduled_at, now()) <= now())
         ORDER BY id
        """
    )
    return [row[0] for row in await cursor.fetchall()]


async def hold_all(conn: AsyncConnection, ids: Sequence[int]) -> list[int]:
    """Be the only one to run those of these receipts that nobody runs, until `release_all` or the
    connection's end."""
    cursor = await conn.execute(
        """
        SELECT id
          FROM unnest(%(ids)b::bigint[]) AS asked (id)
         WHERE pg_try_advisory_lock(hashtextextended('personhood deletion', id))
        """,
        {"ids": list(ids)},
    )
    return [row[0] for row in await cursor.fetchall()]


async def release_all(conn: AsyncConnection, ids: Sequence[int]) -> None:
    await conn.execute(
        """
        SELECT pg_advisory_unlock(hashtextextended('personhood deletion', id))
          FROM unnest(%(ids)b::bigint[]) AS held (id)
        """,
        {"ids": list(ids)},
    )


async def begin_all(conn: AsyncConnection, ids: Sequence[int]) -> list[Deletion]:
    """Let receipts be running; those that are to be run no longer are not among them."""
    async with conn.cursor(row_factory=class_row(Deletion)) as cursor:
        await cursor.execute(
            """
            UPDATE deletion
               SET state = 'running',
                   started_at = coalesce(started_at, now()),
                   retry_at = NULL
             WHERE id = ANY(%(ids)b::bigint[])
               AND is_open
            RETURNING id, uuid, project_id, person_id, person_uuid, profile, events, recordings,
                      requested_at, cutoff, state, api_key_id, request_id, failure, started_at,
                      settled_at, completed_at, verified_at, attempts, retry_at
            """,
            {"ids": list(ids)},
        )
        return await cursor.fetchall()


async def pause(conn: AsyncConnection, id: int) -> None:
    """Let a receipt wait to go on."""
    await conn.execute(
        """
        UPDATE deletion
           SET state = 'waiting'
         WHERE id = %(id)s
           AND state = 'running'
        """,
        {"id": id},
    )


async def put_off(
    conn: AsyncConnection, id: int, *, reason: str, wait_s: float, attempts_max: int
) -> None:
    """Note what went wrong, and let it be tried again after `wait_s`, but not for ever."""
    await conn.execute(
        """
        UPDATE deletion
           SET attempts = attempts + 1,
               failure = %(reason)s,
               state = CASE WHEN attempts + 1 < %(attempts_max)s THEN 'waiting' ELSE 'failed' END,
               retry_at = CASE WHEN attempts + 1 < %(attempts_max)s
                               THEN now() + make_interval(secs => %(wait_s)s) END
         WHERE id = %(id)s
           AND state = 'running'
        """,
        {
            "id": id,
            "reason": reason[:FAILURE_CHARACTERS_MAX],
            "wait_s": wait_s,
            "attempts_max": attempts_max,
        },
    )


async def complete_all(conn: AsyncConnection, ids: Sequence[int]) -> list[int]:
    """Close receipts, but for those whose counts say that something is left, or was not counted.

    Where events or recordings stay, so may the names that they carry.
    """
    cursor = await conn.execute(
        """
        UPDATE deletion
           SET state = 'completed',
               failure = NULL,
               completed_at = now(),
               verified_at = now()
         WHERE id = ANY(%(ids)b::bigint[])
           AND state = 'running'
           AND NOT EXISTS (SELECT
                             FROM deletion_count
                            WHERE deletion_id = deletion.id
                              AND remaining IS DISTINCT FROM 0
                              AND NOT (kind = 'ids' AND NOT (deletion.events
                                                             AND deletion.recordings)))
        RETURNING id
        """,
        {"ids": list(ids)},
    )
    return [row[0] for row in await cursor.fetchall()]


async def cancel(conn: AsyncConnection, id: int) -> datetime | None:
    """Call off what was not begun; tells when it was asked for, None when it is too late.

    A profile that went with it stays gone, and has to be settled first.
    """
    cursor = await conn.execute(
        """
        UPDATE deletion
           SET state = 'cancelled'
         WHERE id = %(id)s
           AND state IN ('queued', 'waiting')
           AND started_at IS NULL
           AND (events OR recordings)
           AND (NOT profile OR settled_at IS NOT NULL)
        RETURNING requested_at
        """,
        {"id": id},
    )
    row = await cursor.fetchone()
    return None if row is None else row[0]


async def retry_all(conn: AsyncConnection, project_id: int) -> None:
    """Let receipts that were given up be tried again."""
    await conn.execute(
        """
        UPDATE deletion
           SET state = 'waiting', attempts = 0, retry_at = NULL
         WHERE project_id = %(project_id)s
           AND state = 'failed'
        """,
        {"project_id": project_id},
    )


async def states(
    conn: AsyncConnection, project_id: int, ids: Sequence[int]
) -> dict[DeletionState, int]:
    """How many of these receipts are in each state."""
    cursor = await conn.execute(
        """
        SELECT state, count(*)
          FROM deletion
         WHERE project_id = %(project_id)s
           AND id = ANY(%(ids)b::bigint[])
         GROUP BY state
        """,
        {"project_id": project_id, "ids": list(ids)},
    )
    return {DeletionState(state): number for state, number in await cursor.fetchall()}


class Progress(Struct, frozen=True):
    """Receipts that are open, and the events of those that are running."""

    open: int
    before: int
    removed: int


async def progress(conn: AsyncConnection, project_id: int) -> Progress:
    async with conn.cursor(row_factory=class_row(Progress)) as cursor:
        await cursor.execute(
            """
            SELECT count(*) AS open,
                   coalesce(sum(count.before), 0)::bigint AS before,
                   coalesce(sum(count.removed), 0)::bigint AS removed
              FROM deletion
              LEFT JOIN deletion_count AS count
                ON count.deletion_id = deletion.id
               AND count.kind = 'events'
               AND deletion.state = 'running'
             WHERE project_id = %(project_id)s
               AND is_open
            """,
            {"project_id": project_id},
        )
        found = await cursor.fetchone()
    assert found is not None, "an aggregate gives its row"
    return found
