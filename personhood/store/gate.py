"""Who is at ingesting into a project, so that others can wait until they are done.

A group of events reads whom its ids belong to, and writes the events in later statements. While it
is inside the gate, whoever has deleted an id knows that such a group may still be about to write.
Nobody is ever kept out, so the gate cannot hold ingestion up.
"""

import asyncio
import time
from collections.abc import Sequence

from psycopg import AsyncConnection

POLL_S = 0.002


async def enter(conn: AsyncConnection, project_id: int) -> None:
    """Be inside until the transaction ends; before it reads distinct ids."""
    await conn.execute(
        """
        SELECT pg_advisory_xact_lock_shared(
                   hashtextextended('personhood ingest', %(project_id)s))
        """,
        {"project_id": project_id},
    )


async def has_emptied(conn: AsyncConnection, project_id: int, *, wait_s: float) -> bool:
    """Wait until all who are inside now have left; False when that takes longer than `wait_s`."""
    until = time.monotonic() + wait_s
    inside = await those_inside(conn, project_id)
    while inside:
        if time.monotonic() > until:
            return False
        await asyncio.sleep(POLL_S)
        still = await those_inside(conn, project_id)
        inside = [each for each in inside if each in still]
    return True


async def those_inside(conn: AsyncConnection, project_id: int) -> Sequence[str]:
    """Their transactions. A key of 64 bits is shown in two halves (PostgreSQL manual, pg_locks)."""
    cursor = await conn.execute(
        """
        SELECT virtualtransaction
          FROM pg_locks
         WHERE locktype = 'advisory'
           AND objsubid = 1
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND (classid::bigint << 32 | objid::bigint)
               = hashtextextended('personhood ingest', %(project_id)s)
        """,
        {"project_id": project_id},
    )
    return [row[0] for row in await cursor.fetchall()]
