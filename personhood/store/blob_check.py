"""Names of blobs beside the rows that refer to them, in a table of the connection's own: there may
be more of them than one would hold in memory.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import class_row


class LostBlock(Struct, frozen=True):
    """A block of a recording whose blob is not there."""

    project_id: int
    recording_id: int
    number: int
    path: str


@asynccontextmanager
async def listing(conn: AsyncConnection) -> AsyncGenerator[None, None]:
    """Take names of blobs, while the block lasts."""
    await conn.execute("CREATE TEMPORARY TABLE listed_blob (path text)")
    try:
        yield
    finally:
        await conn.execute("DROP TABLE listed_blob")


async def note(conn: AsyncConnection, paths: Sequence[str]) -> None:
    await conn.execute(
        "INSERT INTO listed_blob (path) SELECT unnest(%(paths)b::text[])", {"paths": list(paths)}
    )


async def strays(conn: AsyncConnection, *, most: int) -> list[str]:
    """Blobs that nothing refers to, and that nobody is about to remove."""
    cursor = await conn.execute(
        """
        SELECT path
          FROM listed_blob
         WHERE NOT EXISTS (SELECT FROM recording_block WHERE path = listed_blob.path)
           AND NOT EXISTS (SELECT FROM doomed_blob WHERE path = listed_blob.path)
         LIMIT %(most)s
        """,
        {"most": most},
    )
    return [row[0] for row in await cursor.fetchall()]


async def lost(conn: AsyncConnection, *, until: datetime, most: int) -> list[LostBlock]:
    """Blocks that came in before the listing began, and are not in it."""
    async with conn.cursor(row_factory=class_row(LostBlock)) as cursor:
        await cursor.execute(
            """
            SELECT recording.project_id, block.recording_id, block.number, block.path
              FROM recording_block AS block
              JOIN recording ON recording.id = block.recording_id
             WHERE block.received_at < %(until)s
               AND NOT EXISTS (SELECT FROM listed_blob WHERE path = block.path)
             LIMIT %(most)s
            """,
            {"until": until, "most": most},
        )
        return await cursor.fetchall()
