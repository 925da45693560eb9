"""Recordings and their blocks, as they are written and removed; `recording_page` reads them."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec import Struct
from psycopg import AsyncConnection

from personhood.model import Recorded, SessionBlock

URLS_MAX = 25


class Opened(Struct, frozen=True):
    """A recording that is locked, and the number that its next block gets."""

    id: int
    number: int


class Stay(Struct, frozen=True, kw_only=True):
    """Of whom a block is, since when it is here, and until when its recording may stay."""

    distinct_id_id: int
    received_at: datetime
    expires_at: datetime


async def distinct_id_of(
    conn: AsyncConnection, project_id: int, text: str
) -> tuple[int, bool] | None:
    """The live row of a distinct id, and whether it is marked."""
    cursor = await conn.execute(
        """
        SELECT id, is_recorded
          FROM distinct_id
         WHERE project_id = %(project_id)s
           AND distinct_id = %(text)s
           AND ended_at IS NULL
        """,
        {"project_id": project_id, "text": text},
    )
    return await cursor.fetchone()


async def mark(conn: AsyncConnection, distinct_id_id: int) -> None:
    """From now on a distinct id is one that sent recordings."""
    await conn.execute(
        "UPDATE distinct_id SET is_recorded = true WHERE id = %(id)s", {"id": distinct_id_id}
    )


async def open(
    conn: AsyncConnection, project_id: int, block: SessionBlock, *, stay: Stay
) -> Opened:
    """The recording of a block's session, made if there is none, and locked."""
    cursor = await conn.execute(
        """
        INSERT INTO recording (project_id, session_id, distinct_id_id, started_at, ended_at,
                               received_at, expires_at, source, library, urls, blocks, next_block,
                               events, bytes, clicks, keypresses, mouse_activity, console_logs,
                               console_warnings, console_errors, active_ms)
        VALUES (%(project_id)s, %(session_id)s, %(distinct_id_id)s, %(started_at)s, %(ended_at)s,
                %(received_at)s, %(expires_at)s, %(source)s, %(library)s, '{}', 0, 0,
                0, 0, 0, 0, 0, 0, 0, 0, 0)
        ON CONFLICT (project_id, session_id) DO UPDATE
           SET received_at = greatest(recording.received_at, excluded.received_at)
        RETURNING id, next_block
        """,
        {
            "project_id": project_id,
            "session_id": block.session_id,
            "source": block.source,
            "library": block.library,
            "distinct_id_id": stay.distinct_id_id,
            "received_at": stay.received_at,
            "expires_at": stay.expires_at,
            "started_at": block.recorded.started_at,
            "ended_at": block.recorded.ended_at,
        },
    )
    row = await cursor.fetchone()
    assert row is not None, "an upsert gives its row"
    return Opened(*row)


async def insert_block(
    conn: AsyncConnection,
    opened: Opened,
    recorded: Recorded,
    *,
    stay: Stay,
    path: str,
    digest: bytes,
) -> bool:
    """False where the same block is there already."""
    cursor = await conn.execute(
        """
        INSERT INTO recording_block (recording_id, number, distinct_id_id, received_at, path,
                                     digest, started_at, ended_at, urls, events, bytes, clicks,
                                     keypresses, mouse_activity, console_logs, console_warnings,
                                     console_errors, active_ms)
        VALUES (%(recording_id)s, %(number)s, %(distinct_id_id)s, %(received_at)s, %(path)s,
                %(digest)s, %(started_at)s, %(ended_at)s, %(urls)s, %(events)s, %(bytes)s,
                %(clicks)s, %(keypresses)s, %(mouse_activity)s, %(console_logs)s,
                %(console_warnings)s, %(console_errors)s, %(active_ms)s)
        ON CONFLICT (recording_id, digest) DO NOTHING
        """,
        {
            "recording_id": opened.id,
            "number": opened.number,
            "distinct_id_id": stay.distinct_id_id,
            "received_at": stay.received_at,
            "path": path,
            "digest": digest,
            **msgspec.structs.asdict(recorded),
        },
    )
    return cursor.rowcount == 1


async def add(conn: AsyncConnection, id: int, recorded: Recorded) -> None:
    """Add a block to the totals of its recording."""
    await conn.execute(
        """
        UPDATE recording
           SET started_at = least(started_at, %(started_at)s),
               ended_at = greatest(ended_at, %(ended_at)s),
               urls = (SELECT coalesce(array_agg(url ORDER BY place), '{}')
                         FROM (SELECT url, min(place) AS place
                                 FROM unnest(urls || %(urls)s::text[])
                                      WITH ORDINALITY AS given (url, place)
                                GROUP BY url
                                ORDER BY place
                                LIMIT %(urls_max)s) AS first),
               blocks = blocks + 1,
               next_block = next_block + 1,
               events = events + %(events)s,
               bytes = bytes + %(bytes)s,
               clicks = clicks + %(clicks)s,
               keypresses = keypresses + %(keypresses)s,
               mouse_activity = mouse_activity + %(mouse_activity)s,
               console_logs = console_logs + %(console_logs)s,
               console_warnings = console_warnings + %(console_warnings)s,
               console_errors = console_errors + %(console_errors)s,
               active_ms = active_ms + %(active_ms)s
         WHERE id = %(id)s
        """,
        {"id": id, "urls_max": URLS_MAX, **msgspec.structs.asdict(recorded)},
    )


# Removing. The rows go, and their blobs are doomed, in one transaction.


async def names_of(conn: AsyncConnection, ids: Sequence[int]) -> list[int]:
    """The rows of the distinct ids that sent the blocks of some recordings."""
    cursor = await conn.execute(
        """
        SELECT distinct_id_id FROM recording WHERE id = ANY(%(ids)b::bigint[])
         UNION
        SELECT distinct_id_id FROM recording_block WHERE recording_id = ANY(%(ids)b::bigint[])
        """,
        {"ids": list(ids)},
    )
    return [row[0] for row in await cursor.fetchall()]


async def drop_nameless(conn: AsyncConnection, ids: Sequence[int]) -> None:
    """Of these rows of distinct ids remove those that have ended, once nothing refers to them.

    Only when nobody who read the ids before they ended can still write: see `gate`.
    """
    await conn.execute(
        """
        DELETE FROM distinct_id
         WHERE id = ANY(%(ids)b::bigint[])
           AND ended_at IS NOT NULL
           AND NOT EXISTS (SELECT FROM event WHERE distinct_id_id = distinct_id.id OFFSET 0)
           AND NOT EXISTS (SELECT FROM recording WHERE distinct_id_id = distinct_id.id OFFSET 0)
           AND NOT EXISTS (SELECT
                             FROM recording_block
                            WHERE distinct_id_id = distinct_id.id
                           OFFSET 0)
        """,
        {"ids": list(ids)},
    )


async def nameless(
    conn: AsyncConnection, *, age_s: float, after: int, most: int
) -> list[tuple[int, int]]:
    """Some rows of distinct ids that ended a while ago and have no recordings any more, with their
    projects, by id, from `after` on.
    """
    cursor = await conn.execute(
        """
        SELECT id, project_id
          FROM distinct_id
         WHERE id > %(after)s
           AND is_recorded
           AND ended_at < now() - make_interval(secs => %(age_s)s)
           AND NOT EXISTS (SELECT FROM recording WHERE distinct_id_id = distinct_id.id OFFSET 0)
           AND NOT EXISTS (SELECT
                             FROM recording_block
                            WHERE distinct_id_id = distinct_id.id
                           OFFSET 0)
         ORDER BY id
         LIMIT %(most)s
        """,
        {"after": after, "age_s": age_s, "most": most},
    )
    return await cursor.fetchall()


async def doom_blocks(conn: AsyncConnection, ids: Sequence[int]) -> list[str]:
    """Remove the blocks of some recordings; gives the names of their blobs."""
    cursor = await conn.execute(
        """
        WITH gone AS (
            DELETE FROM recording_block
             WHERE recording_id = ANY(%(ids)b::bigint[])
            RETURNING path
        )
        INSERT INTO doomed_blob (path) SELECT path FROM gone RETURNING path
        """,
        {"ids": list(ids)},
    )
    return [row[0] for row in await cursor.fetchall()]


async def delete_empty(conn: AsyncConnection, ids: Sequence[int]) -> int:
    """Remove those of some recordings that have no block any more."""
    cursor = await conn.execute(
        """
        DELETE FROM recording
         WHERE id = ANY(%(ids)b::bigint[])
           AND NOT EXISTS (SELECT FROM recording_block WHERE recording_id = recording.id)
        """,
        {"ids": list(ids)},
    )
    return cursor.rowcount


async def lock(conn: AsyncConnection, project_id: int, session_id: str) -> int | None:
    """The recording of a session, to be removed."""
    cursor = await conn.execute(
        """
        SELECT id
          FROM recording
         WHERE project_id = %(project_id)s
           AND session_id = %(session_id)s
           FOR UPDATE
        """,
        {"project_id": project_id, "session_id": session_id},
    )
    row = await cursor.fetchone()
    return None if row is None else row[0]


async def lock_expired(conn: AsyncConnection, *, most: int) -> list[tuple[int, int]]:
    """Some recordings that have been kept for as long as they were to be, with their projects."""
    cursor = await conn.execute(
        """
        SELECT id, project_id
          FROM recording
         WHERE expires_at < now()
         ORDER BY expires_at
         LIMIT %(most)s
           FOR UPDATE SKIP LOCKED
        """,
        {"most": most},
    )
    return await cursor.fetchall()
