"""Deletions of all that a filter found: whom they are still about, and how far they are."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import class_row

from personhood.model import BIGINT_MAX, Cause, DeletionState, Wish
from personhood.store import arrays

FAILURE_CHARACTERS_MAX = 500


class BulkDeletion(Struct, frozen=True, kw_only=True):
    """Of the `persons` found, `done` were dealt with and `missing` were gone or merged by then."""

    id: int
    uuid: UUID
    project_id: int
    profile: bool
    events: bool
    recordings: bool
    requested_at: datetime
    state: DeletionState
    persons: int
    done: int
    missing: int
    api_key_id: int | None = None
    request_id: UUID | None = None
    failure: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None


async def insert(
    conn: AsyncConnection, project_id: int, *, wish: Wish, by: Cause, at: datetime
) -> int:
    """A new one, which is about nobody yet."""
    cursor = await conn.execute(
        """
        INSERT INTO bulk_deletion (project_id, profile, events, recordings, requested_at,
                                   api_key_id, request_id, state)
        VALUES (%(project_id)s, %(profile)s, %(events)s, %(recordings)s, %(at)s,
                %(api_key_id)s, %(request_id)s, 'queued')
        RETURNING id
        """,
        {
            "project_id": project_id,
            "profile": wish.profile,
            "events": wish.events,
            "recordings": wish.recordings,
            "at": at,
            "api_key_id": by.api_key_id,
            "request_id": by.request_id,
        },
    )
    row = await cursor.fetchone()
    assert row is not None, "INSERT … RETURNING gives its row"
    return row[0]


async def add(conn: AsyncConnection, id: int, *, number: int, person_ids: Sequence[int]) -> None:
    """Let it be about these persons as well, who go together."""
    await conn.execute(
        """
        INSERT INTO bulk_deletion_batch (bulk_deletion_id, number, person_ids)
        VALUES (%(id)s, %(number)s, %(person_ids)b)
        """,
        {"id": id, "number": number, "person_ids": arrays.int8s(sorted(person_ids))},
    )


async def count(conn: AsyncConnection, id: int) -> None:
    """Note how many it is about, when all are in."""
    await conn.execute(
        """
        UPDATE bulk_deletion
           SET persons = (SELECT coalesce(sum(cardinality(person_ids)), 0)
                            FROM bulk_deletion_batch
                           WHERE bulk_deletion_id = %(id)s)
         WHERE id = %(id)s
        """,
        {"id": id},
    )


async def by_uuid(conn: AsyncConnection, project_id: int, uuid: UUID) -> BulkDeletion | None:
    async with conn.cursor(row_factory=class_row(BulkDeletion)) as cursor:
        await cursor.execute(
            """
            SELECT id, uuid, project_id, profile, events, recordings, requested_at, state, persons,
                   done, missing, api_key_id, request_id, failure, started_at, completed_at
              FROM bulk_deletion
             WHERE project_id = %(project_id)s
               AND uuid = %(uuid)s
            """,
            {"project_id": project_id, "uuid": uuid},
        )
        return await cursor.fetchone()


async def by_id(conn: AsyncConnection, id: int) -> BulkDeletion | None:
    async with conn.cursor(row_factory=class_row(BulkDeletion)) as cursor:
        await cursor.execute(
            """
            SELECT id, uuid, project_id, profile, events, recordings, requested_at, state, persons,
                   done, missing, api_key_id, request_id, failure, started_at, completed_at
              FROM bulk_deletion
             WHERE id = %(id)s
            """,
            {"id": id},
        )
        return await cursor.fetchone()


async def page(
    conn: AsyncConnection,
    project_id: int,
    *,
    state: DeletionState | None = None,
    before: int = BIGINT_MAX,
    limit: int,
) -> list[BulkDeletion]:
    """Those with an id below `before`, the newest first."""
    async with conn.cursor(row_factory=class_row(BulkDeletion)) as cursor:
        await cursor.execute(
            """
            SELECT id, uuid, project_id, profile, events, recordings, requested_at, state, persons,
                   done, missing, api_key_id, request_id, failure, started_at, completed_at
              FROM bulk_deletion
             WHERE project_id = %(project_id)s
               AND (%(state)s::text IS NULL OR state = %(state)s)
               AND id < %(before)s
             ORDER BY id DESC
             LIMIT %(limit)s
            """,
            {"project_id": project_id, "state": state, "before": before, "limit": limit},
        )
        return await cursor.fetchall()


async def number_of(
    conn: AsyncConnection, project_id: int, *, state: DeletionState | None = None
) -> int:
    """How many all pages hold."""
    cursor = await conn.execute(
        """
        SELECT count(*)
          FROM bulk_deletion
         WHERE project_id = %(project_id)s
           AND (%(state)s::text IS NULL OR state = %(state)s)
        """,
        {"project_id": project_id, "state": state},
    )
    row = await cursor.fetchone()
    assert row is not None, "an aggregate gives its row"
    return row[0]


async def project_of(conn: AsyncConnection, uuid: UUID) -> int | None:
    """Whose it is; for those who may see every project."""
    cursor = await conn.execute(
        "SELECT project_id FROM bulk_deletion WHERE uuid = %(uuid)s", {"uuid": uuid}
    )
    row = await cursor.fetchone()
    return None if row is None else row[0]


async def begin(conn: AsyncConnection, id: int) -> bool:
    """Let it be running; False when it is closed."""
    cursor = await conn.execute(
        """
        UPDATE bulk_deletion
           SET state = 'running', started_at = coalesce(started_at, now())
         WHERE id = %(id)s
           AND state IN ('queued', 'running')
        """,
        {"id": id},
    )
    return cursor.rowcount == 1


async def hold(conn: AsyncConnection, id: int) -> bool:
    """Be the only one to run it, until `release` or the connection's end."""
    cursor = await conn.execute(
        "SELECT pg_try_advisory_lock(hashtextextended('personhood bulk deletion', %(id)s))",
        {"id": id},
    )
    return await cursor.fetchone() == (True,)


async def release(conn: AsyncConnection, id: int) -> None:
    await conn.execute(
        "SELECT pg_advisory_unlock(hashtextextended('personhood bulk deletion', %(id)s))",
        {"id": id},
    )


async def take(conn: AsyncConnection, id: int) -> list[int]:
    """The next persons that nobody else takes; they are off the list with this transaction. None
    when it was cancelled."""
    cursor = await conn.execute(
        """
        DELETE FROM bulk_deletion_batch
         WHERE bulk_deletion_id = %(id)s
           AND number = (SELECT number
                           FROM bulk_deletion_batch
                          WHERE bulk_deletion_id = (SELECT id
                                                      FROM bulk_deletion
                                                     WHERE id = %(id)s
                                                       AND state = 'running')
                          ORDER BY number
                          LIMIT 1
                            FOR UPDATE SKIP LOCKED)
        RETURNING person_ids
        """,
        {"id": id},
        binary=True,
    )
    row = await cursor.fetchone()
    return [] if row is None else row[0]


async def add_done(conn: AsyncConnection, id: int, *, done: int, missing: int) -> None:
    await conn.execute(
        """
        UPDATE bulk_deletion
           SET done = done + %(done)s, missing = missing + %(missing)s, failure = NULL
         WHERE id = %(id)s
        """,
        {"id": id, "done": done, "missing": missing},
    )


async def fail(conn: AsyncConnection, id: int, *, reason: str) -> None:
    """Note what went wrong; it is tried again."""
    await conn.execute(
        "UPDATE bulk_deletion SET failure = %(reason)s WHERE id = %(id)s AND state = 'running'",
        {"id": id, "reason": reason[:FAILURE_CHARACTERS_MAX]},
    )


async def complete(conn: AsyncConnection, id: int) -> None:
    await conn.execute(
        """
        UPDATE bulk_deletion
           SET state = 'completed', completed_at = now()
         WHERE id = %(id)s
           AND state = 'running'
        """,
        {"id": id},
    )


async def cancel(conn: AsyncConnection, id: int) -> bool:
    """Call off what is still to come; False when nothing is."""
    cursor = await conn.execute(
        """
        UPDATE bulk_deletion
           SET state = 'cancelled', completed_at = now()
         WHERE id = %(id)s
           AND state IN ('queued', 'running')
        """,
        {"id": id},
    )
    return cursor.rowcount == 1


async def drop_cancelled(conn: AsyncConnection) -> None:
    """Forget whom cancelled ones were still about, but for batches that are just being deleted.

    Not in the transaction that cancels: who takes a batch has it locked before the deletion itself.
    """
    await conn.execute(
        """
        WITH left_over AS MATERIALIZED (
            SELECT batch.bulk_deletion_id, batch.number
              FROM bulk_deletion_batch AS batch
              JOIN bulk_deletion ON bulk_deletion.id = batch.bulk_deletion_id
             WHERE bulk_deletion.state = 'cancelled'
               FOR UPDATE OF batch SKIP LOCKED
        )
        DELETE FROM bulk_deletion_batch
         USING left_over
         WHERE bulk_deletion_batch.bulk_deletion_id = left_over.bulk_deletion_id
           AND bulk_deletion_batch.number = left_over.number
        """
    )


async def idle(conn: AsyncConnection) -> list[int]:
    """Open ones that no job is about to run, or seems to run."""
    cursor = await conn.execute(
        """
        SELECT id
          FROM bulk_deletion
         WHERE state IN ('queued', 'running')
           AND NOT EXISTS (SELECT
                             FROM procrastinate_jobs
                            WHERE task_name = 'deletions:bulk'
                              AND (args ->> 'bulk_id')::bigint = bulk_deletion.id
                              AND status IN ('todo', 'doing'))
         ORDER BY id
         LIMIT 100
        """
    )
    return [row[0] for row in await cursor.fetchall()]
