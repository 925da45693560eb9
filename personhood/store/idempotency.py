"""Requests with an `Idempotency-Key`: which there were, whether they still run, what they answered.

A row is known by a hash, and its answer is encrypted: both with what only the client has. Times are
the database's, so that all servers agree on them.
"""

from uuid import UUID

from msgspec import Struct, structs
from psycopg import AsyncConnection
from psycopg.rows import class_row


class Claim(Struct, frozen=True, kw_only=True):
    """The right to run a request: of those who had it, the one with the newest attempt has it."""

    project_id: int
    hash: bytes
    request_id: UUID
    attempt: int


class Known(Struct, frozen=True, kw_only=True):
    """A request that was made with a key. Without an answer it still runs, or was abandoned."""

    fingerprint: bytes
    request_id: UUID
    attempt: int
    answer: bytes | None
    is_abandoned: bool
    is_expired: bool


async def insert(
    conn: AsyncConnection, project_id: int, hash: bytes, *, fingerprint: bytes
) -> Claim | None:
    """Be the first; None when somebody was."""
    async with conn.cursor(row_factory=class_row(Claim)) as cursor:
        await cursor.execute(
            """
            INSERT INTO idempotency (project_id, hash, fingerprint)
            VALUES (%(project_id)s, %(hash)s, %(fingerprint)s)
            ON CONFLICT (project_id, hash) DO NOTHING
            RETURNING project_id, hash, request_id, attempt
            """,
            {"project_id": project_id, "hash": hash, "fingerprint": fingerprint},
        )
        return await cursor.fetchone()


async def find(
    conn: AsyncConnection, project_id: int, hash: bytes, *, abandoned_s: int, kept_s: int
) -> Known | None:
    async with conn.cursor(row_factory=class_row(Known)) as cursor:
        await cursor.execute(
            """
            SELECT fingerprint, request_id, attempt, answer, is_abandoned,
                   created_at < now() - make_interval(secs => %(kept_s)s)
                   AND (answer IS NOT NULL OR is_abandoned) AS is_expired
              FROM idempotency
             CROSS JOIN LATERAL (
                   SELECT alive_at < now() - make_interval(secs => %(abandoned_s)s)
                   ) AS seen (is_abandoned)
             WHERE project_id = %(project_id)s
               AND hash = %(hash)s
            """,
            {
                "project_id": project_id,
                "hash": hash,
                "abandoned_s": abandoned_s,
                "kept_s": kept_s,
            },
        )
        return await cursor.fetchone()


async def take_over(conn: AsyncConnection, claim: Claim) -> Claim | None:
    """Be the next who runs what nobody runs any more; None when somebody was faster."""
    async with conn.cursor(row_factory=class_row(Claim)) as cursor:
        await cursor.execute(
            """
            UPDATE idempotency
               SET attempt = attempt + 1,
                   alive_at = now()
             WHERE project_id = %(project_id)s
               AND hash = %(hash)s
               AND request_id = %(request_id)s
               AND attempt = %(attempt)s
               AND answer IS NULL
            RETURNING project_id, hash, request_id, attempt
            """,
            structs.asdict(claim),
        )
        return await cursor.fetchone()


async def had_effect(conn: AsyncConnection, request_id: UUID) -> bool:
    """Whether anything in the database was done by a request."""
    cursor = await conn.execute(
        """
        SELECT EXISTS (SELECT FROM activity WHERE request_id = %(request_id)s)
            OR EXISTS (SELECT FROM deletion WHERE request_id = %(request_id)s AND NOT profile)
            OR EXISTS (SELECT FROM bulk_deletion WHERE request_id = %(request_id)s)
            OR EXISTS (SELECT FROM cohort WHERE request_id = %(request_id)s)
        """,
        {"request_id": request_id},
    )
    row = await cursor.fetchone()
    return row is not None and row[0]


async def stay(conn: AsyncConnection, claim: Claim) -> None:
    """Tell that the request still runs."""
    await conn.execute(
        """
        UPDATE idempotency
           SET alive_at = now()
         WHERE project_id = %(project_id)s
           AND hash = %(hash)s
           AND request_id = %(request_id)s
           AND attempt = %(attempt)s
        """,
        structs.asdict(claim),
    )


async def keep(conn: AsyncConnection, claim: Claim, *, answer: bytes) -> None:
    await conn.execute(
        """
        UPDATE idempotency
           SET answer = %(answer)s
         WHERE project_id = %(project_id)s
           AND hash = %(hash)s
           AND request_id = %(request_id)s
           AND attempt = %(attempt)s
           AND answer IS NULL
        """,
        structs.asdict(claim) | {"answer": answer},
    )


async def drop(conn: AsyncConnection, claim: Claim) -> None:
    """Leave the key to whoever comes next."""
    await conn.execute(
        """
        DELETE FROM idempotency
         WHERE project_id = %(project_id)s
           AND hash = %(hash)s
           AND request_id = %(request_id)s
           AND attempt = %(attempt)s
        """,
        structs.asdict(claim),
    )


async def delete_old(conn: AsyncConnection, *, age_s: int, abandoned_s: int, most: int) -> int:
    """Delete up to `most` that are older than `age_s`, but none that runs; tells how many."""
    cursor = await conn.execute(
        """
        DELETE FROM idempotency
         WHERE ctid = ANY(ARRAY(
               SELECT ctid
                 FROM idempotency
                WHERE created_at < now() - make_interval(secs => %(age_s)s)
                  AND (answer IS NOT NULL
                       OR alive_at < now() - make_interval(secs => %(abandoned_s)s))
                ORDER BY created_at
                LIMIT %(most)s))
        """,
        {"age_s": age_s, "abandoned_s": abandoned_s, "most": most},
    )
    return cursor.rowcount
