"""Receipts of deletions: made with what they are about, read, and closed."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row

from personhood.model import Cause, Deletion, Wish


async def insert_all(
    conn: AsyncConnection,
    project_id: int,
    roots: Mapping[int, UUID],
    *,
    wish: Wish,
    by: Cause,
    at: datetime,
) -> list[Deletion]:
    """A receipt for each of these locked roots.

    That of a profile alone is running: what it asks for is done in the same transaction. Of a
    profile goes all that came until it goes, which may be later than it was asked for.
    """
    async with conn.cursor(row_factory=class_row(Deletion)) as cursor:
        await cursor.execute(
            """
            INSERT INTO deletion (project_id, person_id, person_uuid, profile, events, recordings,
                                  requested_at, cutoff, api_key_id, request_id, state, started_at)
            SELECT %(project_id)s, id, uuid, %(profile)s, %(events)s, %(recordings)s,
                   %(at)s, CASE WHEN %(profile)s THEN greatest(%(at)s, now()) ELSE %(at)s END,
                   %(api_key_id)s, %(request_id)s,
                   CASE WHEN %(queued)s THEN 'queued' ELSE 'running' END,
                   CASE WHEN %(queued)s THEN NULL ELSE now() END
              FROM unnest(%(ids)b::bigint[], %(uuids)b::uuid[]) AS root (id, uuid)
             ORDER BY id
            RETURNING id, uuid, project_id, person_id, person_uuid, profile, events, recordings,
                      requested_at, cutoff, state, api_key_id, request_id, failure, started_at,
                      settled_at, completed_at, verified_at
            """,
            {
                "project_id": project_id,
                "ids": list(roots),
                "uuids": list(roots.values()),
                "profile": wish.profile,
                "events": wish.events,
                "recordings": wish.recordings,
                "queued": wish.events or wish.recordings,
                "at": at,
                "api_key_id": by.api_key_id,
                "request_id": by.request_id,
            },
            binary=True,
        )
        return await cursor.fetchall()


async def extend_all(
    conn: AsyncConnection,
    project_id: int,
    roots: Mapping[int, UUID],
    *,
    wish: Wish,
    at: datetime,
) -> list[Deletion]:
    """Let receipts with the same wish that have not come to run yet cover what came until now."""
    async with conn.cursor(row_factory=class_row(Deletion)) as cursor:
        await cursor.execute(
            """
            UPDATE deletion
               SET cutoff = greatest(cutoff, %(at)s)
             WHERE project_id = %(project_id)s
               AND person_id = ANY(%(ids)b::bigint[])
               AND events = %(events)s
               AND recordings = %(recordings)s
               AND is_extendable
            RETURNING id, uuid, project_id, person_id, person_uuid, profile, events, recordings,
                      requested_at, cutoff, state, api_key_id, request_id, failure, started_at,
                      settled_at, completed_at, verified_at
            """,
            {
                "project_id": project_id,
                "ids": list(roots),
                "events": wish.events,
                "recordings": wish.recordings,
                "at": at,
            },
        )
        return await cursor.fetchall()


async def note_unsettled(conn: AsyncConnection, ids: Sequence[int]) -> None:
    """Until `settle` has been at these deletions of profiles."""
    await conn.execute(
        "INSERT INTO deletion_unsettled (deletion_id) SELECT unnest(%(ids)b::bigint[])",
        {"ids": list(ids)},
    )


async def unsettled(conn: AsyncConnection, *, age_s: float, most: int) -> list[Deletion]:
    """Deletions of profiles that somebody who was to settle them at once left as they were."""
    async with conn.cursor(row_factory=class_row(Deletion)) as cursor:
        await cursor.execute(
            """
            SELECT id, uuid, project_id, person_id, person_uuid, profile, events, recordings,
                   requested_at, cutoff, state, api_key_id, request_id, failure, started_at,
                   settled_at, completed_at, verified_at
              FROM deletion_unsettled
              JOIN deletion ON deletion.id = deletion_id
             WHERE requested_at < now() - make_interval(secs => %(age_s)s)
             ORDER BY deletion_id
             LIMIT %(most)s
            """,
            {"age_s": age_s, "most": most},
        )
        return await cursor.fetchall()


async def lock_unsettled(conn: AsyncConnection, ids: Sequence[int]) -> list[int]:
    """Those of these deletions of profiles that nobody has settled; nobody else does now."""
    cursor = await conn.execute(
        """
        SELECT id
          FROM deletion
         WHERE id = ANY(%(ids)b::bigint[])
           AND profile
           AND settled_at IS NULL
         ORDER BY id
           FOR NO KEY UPDATE
        """,
        {"ids": list(ids)},
    )
    return [row[0] for row in await cursor.fetchall()]


async def settle(conn: AsyncConnection, ids: Sequence[int]) -> list[int]:
    """Note that nothing of these profiles is left that should be gone, where it is so; tells of
    which it is. They are locked.

    Those that asked for nothing else are completed. By the counts: see `deletion_count.verify`.
    """
    cursor = await conn.execute(
        """
        WITH settled AS (
            UPDATE deletion
               SET settled_at = now(),
                   failure = NULL,
                   state = CASE WHEN events OR recordings THEN state ELSE 'completed' END,
                   completed_at = CASE WHEN events OR recordings THEN NULL ELSE now() END,
                   verified_at = CASE WHEN events OR recordings THEN NULL ELSE now() END
             WHERE id = ANY(%(ids)b::bigint[])
               AND NOT EXISTS (SELECT
                                 FROM deletion_count
                                WHERE deletion_id = deletion.id
                                  AND kind IN ('profile', 'ledger')
                                  AND remaining IS DISTINCT FROM 0)
            RETURNING id
        ),
        noted AS (
            DELETE FROM deletion_unsettled WHERE deletion_id = ANY(ARRAY(SELECT id FROM settled))
        )
        SELECT id FROM settled
        """,
        {"ids": list(ids)},
    )
    return [row[0] for row in await cursor.fetchall()]


async def tell_failure(conn: AsyncConnection, ids: Collection[int], *, reason: str) -> None:
    """What keeps deletions of profiles from being settled, for now."""
    await conn.execute(
        "UPDATE deletion SET failure = %(reason)s WHERE id = ANY(%(ids)b::bigint[])",
        {"ids": list(ids), "reason": reason},
    )


async def event_page(
    conn: AsyncConnection,
    project_id: int,
    *,
    verified: bool | None,
    person_uuid: UUID | None,
    limit: int,
    offset: int,
) -> list[Deletion]:
    """Receipts that ask for events, the newest first; those that were cancelled are none."""
    async with conn.cursor(row_factory=class_row(Deletion)) as cursor:
        await cursor.execute(
            """
            SELECT id, uuid, project_id, person_id, person_uuid, profile, events, recordings,
                   requested_at, cutoff, state, api_key_id, request_id, failure, started_at,
                   settled_at, completed_at, verified_at
              FROM deletion
             WHERE project_id = %(project_id)s
               AND events
               AND state <> 'cancelled'
               AND (%(verified)s::boolean IS NULL OR (verified_at IS NOT NULL) = %(verified)s)
               AND (%(person_uuid)s::uuid IS NULL OR person_uuid = %(person_uuid)s)
             ORDER BY id DESC
             LIMIT %(limit)s OFFSET %(offset)s
            """,
            {
                "project_id": project_id,
                "verified": verified,
                "person_uuid": person_uuid,
                "limit": limit,
                "offset": offset,
            },
        )
        return await cursor.fetchall()


async def event_count(
    conn: AsyncConnection, project_id: int, *, verified: bool | None, person_uuid: UUID | None
) -> int:
    """How many receipts all pages of `event_page` hold."""
    cursor = await conn.execute(
        """
        SELECT count(*)
          FROM deletion
         WHERE project_id = %(project_id)s
           AND events
           AND state <> 'cancelled'
           AND (%(verified)s::boolean IS NULL OR (verified_at IS NOT NULL) = %(verified)s)
           AND (%(person_uuid)s::uuid IS NULL OR person_uuid = %(person_uuid)s)
        """,
        {"project_id": project_id, "verified": verified, "person_uuid": person_uuid},
    )
    row = await cursor.fetchone()
    assert row is not None, "an aggregate gives its row"
    return row[0]
