"""Removing the recordings that a deletion is about: the blocks that its distinct ids sent until
their cutoff. What came later, or from another id of the same session, stays.
"""

from collections.abc import Sequence

from msgspec import Struct
from psycopg import AsyncConnection

from personhood.store import arrays
from personhood.store.recording import URLS_MAX


class Found(Struct, frozen=True):
    """Blocks that are to go, by recording and number, and the last distinct id that sent one."""

    recordings: list[int]
    numbers: list[int]
    last_id: int


async def count(conn: AsyncConnection, deletion_id: int) -> tuple[int, int]:
    """How many recordings still have something that is to go, and how many blocks that is."""
    cursor = await conn.execute(
        """
        SELECT count(DISTINCT sent.recording_id), count(*)
          FROM deletion_target
         CROSS JOIN LATERAL (
               SELECT recording_id
                 FROM recording_block
                WHERE distinct_id_id = deletion_target.distinct_id_id
                  AND (deletion_target.cutoff IS NULL
                       OR received_at <= deletion_target.cutoff)
               OFFSET 0
               ) AS sent
         WHERE deletion_id = %(deletion_id)s
        """,
        {"deletion_id": deletion_id},
    )
    row = await cursor.fetchone()
    assert row is not None, "an aggregate gives its row"
    return row[0], row[1]


async def find(conn: AsyncConnection, deletion_id: int, *, since: int, most: int) -> Found | None:
    """Some blocks that are to go, from a distinct id on; None at the end."""
    cursor = await conn.execute(
        """
        SELECT array_agg(recording_id), array_agg(number), max(distinct_id_id)
          FROM (SELECT sent.recording_id, sent.number, deletion_target.distinct_id_id
                  FROM deletion_target
                 CROSS JOIN LATERAL (
                       SELECT recording_id, number
                         FROM recording_block
                        WHERE distinct_id_id = deletion_target.distinct_id_id
                          AND (deletion_target.cutoff IS NULL
                               OR received_at <= deletion_target.cutoff)
                        LIMIT %(most)s
                       ) AS sent
                 WHERE deletion_id = %(deletion_id)s
                   AND distinct_id_id >= %(since)s
                 ORDER BY distinct_id_id
                 LIMIT %(most)s) AS wanted
        """,
        {"deletion_id": deletion_id, "since": since, "most": most},
    )
    row = await cursor.fetchone()
    assert row is not None, "an aggregate gives its row"
    return None if row[0] is None else Found(*row)


async def lock(conn: AsyncConnection, ids: Sequence[int]) -> None:
    """Recordings, in order, so that no block comes to them meanwhile."""
    await conn.execute(
        """
        SELECT id
          FROM recording
         WHERE id = ANY(%(ids)b::bigint[])
         ORDER BY id
           FOR UPDATE
        """,
        {"ids": list(ids)},
    )


async def doom(conn: AsyncConnection, deletion_id: int, found: Found) -> int:
    """Remove blocks of locked recordings; their blobs are the deletion's from now on."""
    cursor = await conn.execute(
        """
        WITH gone AS (
            DELETE FROM recording_block
             USING unnest(%(recordings)b::bigint[], %(numbers)b::int[]) AS chosen (id, number)
             WHERE recording_block.recording_id = chosen.id
               AND recording_block.number = chosen.number
            RETURNING path
        )
        INSERT INTO doomed_blob (path, deletion_id) SELECT path, %(deletion_id)s FROM gone
        """,
        {
            "deletion_id": deletion_id,
            "recordings": arrays.int8s(found.recordings),
            "numbers": arrays.int4s(found.numbers),
        },
    )
    return cursor.rowcount


async def recount(conn: AsyncConnection, ids: Sequence[int]) -> None:
    """Let locked recordings tell of the blocks that they have left, and be of who sent those."""
    await conn.execute(
        """
        UPDATE recording
           SET distinct_id_id = kept.distinct_id_id,
               started_at = kept.started_at,
               ended_at = kept.ended_at,
               urls = kept.urls,
               blocks = kept.blocks,
               events = kept.events,
               bytes = kept.bytes,
               clicks = kept.clicks,
               keypresses = kept.keypresses,
               mouse_activity = kept.mouse_activity,
               console_logs = kept.console_logs,
               console_warnings = kept.console_warnings,
               console_errors = kept.console_errors,
               active_ms = kept.active_ms
          FROM (SELECT block.recording_id,
                       (array_agg(block.distinct_id_id ORDER BY block.number))[1]
                           AS distinct_id_id,
                       min(block.started_at) AS started_at,
                       max(block.ended_at) AS ended_at,
                       (SELECT coalesce(array_agg(url ORDER BY place), '{}')
                          FROM (SELECT url, min(ARRAY[each.number, given.nth]) AS place
                                  FROM recording_block AS each
                                 CROSS JOIN unnest(each.urls) WITH ORDINALITY AS given (url, nth)
                                 WHERE each.recording_id = block.recording_id
                                 GROUP BY url
                                 ORDER BY place
                                 LIMIT %(urls_max)s) AS first) AS urls,
                       count(*) AS blocks,
                       sum(block.events) AS events,
                       sum(block.bytes) AS bytes,
                       sum(block.clicks) AS clicks,
                       sum(block.keypresses) AS keypresses,
                       sum(block.mouse_activity) AS mouse_activity,
                       sum(block.console_logs) AS console_logs,
                       sum(block.console_warnings) AS console_warnings,
                       sum(block.console_errors) AS console_errors,
                       sum(block.active_ms) AS active_ms
                  FROM recording_block AS block
                 WHERE block.recording_id = ANY(%(ids)b::bigint[])
                 GROUP BY block.recording_id) AS kept
         WHERE recording.id = kept.recording_id
        """,
        {"ids": list(ids), "urls_max": URLS_MAX},
    )
