"""Blobs that nothing refers to: while they are written, and until they are removed.

So neither a server that is killed between the blob and its row leaves one behind for good, nor one
that is killed between the row and the blob.
"""

from collections.abc import Collection, Sequence

from psycopg import AsyncConnection


async def insert_all(conn: AsyncConnection, paths: Sequence[str]) -> None:
    """Before they are written."""
    await conn.execute(
        "INSERT INTO doomed_blob (path) SELECT unnest(%(paths)b::text[])", {"paths": list(paths)}
    )


async def spare_all(conn: AsyncConnection, paths: Collection[str]) -> int:
    """Rows refer to them now; tells how many were doomed still."""
    cursor = await conn.execute(
        "DELETE FROM doomed_blob WHERE path = ANY(%(paths)b::text[])", {"paths": list(paths)}
    )
    return cursor.rowcount


async def lock_old(conn: AsyncConnection, *, age_s: float, most: int) -> list[str]:
    """Some that nobody is about to write or remove any more, until the transaction ends. Those of a
    deletion are its own to remove, and to count, as long as it may run.
    """
    cursor = await conn.execute(
        """
        SELECT path
          FROM doomed_blob
         WHERE at < now() - make_interval(secs => %(age_s)s)
           AND NOT EXISTS (SELECT
                             FROM deletion
                            WHERE id = doomed_blob.deletion_id
                              AND state NOT IN ('completed', 'cancelled')
                           OFFSET 0)
         ORDER BY at
         LIMIT %(most)s
           FOR UPDATE SKIP LOCKED
        """,
        {"age_s": age_s, "most": most},
    )
    return [row[0] for row in await cursor.fetchall()]


async def of_deletion(conn: AsyncConnection, deletion_id: int, *, most: int) -> list[str]:
    cursor = await conn.execute(
        """
        SELECT path
          FROM doomed_blob
         WHERE deletion_id = %(deletion_id)s
         ORDER BY path
         LIMIT %(most)s
        """,
        {"deletion_id": deletion_id, "most": most},
    )
    return [row[0] for row in await cursor.fetchall()]


async def count(conn: AsyncConnection, deletion_id: int) -> int:
    cursor = await conn.execute(
        "SELECT count(*) FROM doomed_blob WHERE deletion_id = %(id)s", {"id": deletion_id}
    )
    row = await cursor.fetchone()
    assert row is not None, "an aggregate gives its row"
    return row[0]


async def delete_all(conn: AsyncConnection, paths: Collection[str]) -> None:
    """They are gone."""
    await conn.execute(
        "DELETE FROM doomed_blob WHERE path = ANY(%(paths)b::text[])", {"paths": list(paths)}
    )
