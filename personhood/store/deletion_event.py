"""Deleting the events that a deletion is about, a bounded number at a time, in one order."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import class_row

TARGETS_PER_STEP = 1_000
ROUNDS_MAX = 3  # through all of a deletion, until none is left


class Place(Struct, frozen=True):
    """Behind an event, in the order of a deletion's events; without a time behind its whole id."""

    distinct_id_id: int
    at: datetime | None = None
    uuid: UUID | None = None


START = Place(0)


class Step(Struct, frozen=True, kw_only=True):
    """What a step looked at and removed, and where it came to."""

    targets: int
    visited: int
    removed: int
    last_target: int | None
    last_id: int | None
    last_at: datetime | None
    last_uuid: UUID | None


async def step(
    conn: AsyncConnection, project_id: int, deletion_id: int, *, behind: Place, most: int
) -> Step:
    """Look at `most` events behind a place, and delete those that were received by their cutoff.

    Each table is read by its primary key from that place on: neither what stays nor what the steps
    before have removed is gone through again.
    """
    await plain_plans(conn)
    async with conn.cursor(row_factory=class_row(Step)) as cursor:
        await cursor.execute(
            """
            WITH target AS MATERIALIZED (
                SELECT distinct_id_id, cutoff,
                       CASE WHEN distinct_id_id = %(id)s THEN %(at)s
                            ELSE '-infinity' END::timestamptz AS since
                  FROM deletion_target
                 WHERE deletion_id = %(deletion_id)s
                   AND (distinct_id_id > %(id)s
                        OR distinct_id_id = %(id)s AND %(at)s::timestamptz IS NOT NULL)
                 ORDER BY distinct_id_id
                 LIMIT %(targets)s
            ),
            visited AS MATERIALIZED (
                SELECT target.distinct_id_id, sent.timestamp, sent.uuid,
                       target.cutoff IS NULL OR sent.received_at <= target.cutoff AS goes
                  FROM target
                 CROSS JOIN LATERAL (
                       SELECT timestamp, uuid, received_at
                         FROM event
                        WHERE distinct_id_id = target.distinct_id_id
                          AND timestamp >= target.since
                          AND (timestamp > target.since OR uuid > %(uuid)s)
                        ORDER BY timestamp, uuid
                        LIMIT %(most)s
                       ) AS sent
                 LIMIT %(most)s
            ),
            gone AS (
                DELETE FROM event
                 USING visited
                 WHERE visited.goes
                   AND event.distinct_id_id = visited.distinct_id_id
                   AND event.timestamp = visited.timestamp
                   AND event.uuid = visited.uuid
                RETURNING event.uuid
            ),
            keys AS (
                DELETE FROM event_key
                 USING gone
                 WHERE event_key.project_id = %(project_id)s
                   AND event_key.uuid = gone.uuid
            )
            SELECT (SELECT count(*) FROM target) AS targets,
                   (SELECT count(*) FROM visited) AS visited,
                   (SELECT count(*) FROM gone) AS removed,
                   (SELECT max(distinct_id_id) FROM target) AS last_target,
                   last.distinct_id_id AS last_id, last.timestamp AS last_at, last.uuid AS last_uuid
              FROM (SELECT) AS one
              LEFT JOIN (SELECT distinct_id_id, timestamp, uuid
                           FROM visited
                          ORDER BY distinct_id_id DESC, timestamp DESC, uuid DESC
                          LIMIT 1) AS last ON true
            """,
            {
                "project_id": project_id,
                "deletion_id": deletion_id,
                "id": behind.distinct_id_id,
                "at": behind.at,
                "uuid": behind.uuid or UUID(int=0),
                "targets": TARGETS_PER_STEP,
                "most": most,
            },
        )
        found = await cursor.fetchone()
    assert found is not None, "an aggregate gives its row"
    return found


async def plain_plans(conn: AsyncConnection) -> None:
    """For this transaction: go by keys, whatever small tables or odd guesses suggest."""
    await conn.execute(
        """
        SELECT set_config('enable_hashjoin', 'off', true),
               set_config('enable_mergejoin', 'off', true),
               set_config('enable_seqscan', 'off', true),
               set_config('enable_bitmapscan', 'off', true),
               set_config('jit', 'off', true)
        """
    )


async def count(conn: AsyncConnection, deletion_ids: Sequence[int]) -> dict[int, int]:
    """How many events there are to be deleted, by deletion."""
    cursor = await conn.execute(
        """
        SELECT asked.id, count(sent.is_one)
          FROM unnest(%(deletion_ids)b::bigint[]) AS asked (id)
          LEFT JOIN deletion_target ON deletion_id = asked.id
          LEFT JOIN LATERAL (
               SELECT true AS is_one
                 FROM event
                WHERE distinct_id_id = deletion_target.distinct_id_id
                  AND (deletion_target.cutoff IS NULL OR received_at <= deletion_target.cutoff)
               OFFSET 0
               ) AS sent ON true
         GROUP BY asked.id
        """,
        {"deletion_ids": list(deletion_ids)},
    )
    return dict(await cursor.fetchall())


class Size(Struct, frozen=True):
    """How much a deletion is about: of ids and events one more than a step takes at most."""

    targets: int
    events: int
    has_recordings: bool

    def is_large(self, *, events_max: int) -> bool:
        return self.has_recordings or self.targets > TARGETS_PER_STEP or self.events > events_max


async def sizes(
    conn: AsyncConnection, deletion_ids: Sequence[int], *, events_max: int
) -> dict[int, Size]:
    """Of each of these deletions, in the order of their ids."""
    cursor = await conn.execute(
        """
        SELECT asked.id, about.targets,
               CASE WHEN about.targets > %(targets_max)s THEN 0 ELSE (
                    SELECT count(*)
                      FROM (SELECT
                              FROM deletion_target
                             CROSS JOIN LATERAL (
                                   SELECT FROM event
                                    WHERE distinct_id_id = deletion_target.distinct_id_id
                                    LIMIT %(events_max)s + 1
                                   ) AS sent
                             WHERE deletion_id = asked.id
                             LIMIT %(events_max)s + 1) AS few) END,
               about.targets <= %(targets_max)s
               AND (EXISTS (SELECT FROM doomed_blob WHERE deletion_id = asked.id)
                    OR EXISTS (SELECT
                                 FROM deletion_target
                                CROSS JOIN LATERAL (
                                      SELECT FROM recording_block
                                       WHERE distinct_id_id = deletion_target.distinct_id_id
                                       LIMIT 1
                                      ) AS sent
                                WHERE deletion_id = asked.id))
          FROM unnest(%(deletion_ids)b::bigint[]) AS asked (id)
         CROSS JOIN LATERAL (
               SELECT count(*) AS targets
                 FROM (SELECT
                         FROM deletion_target
                        WHERE deletion_id = asked.id
                        LIMIT %(targets_max)s + 1) AS few
               ) AS about
         ORDER BY asked.id
        """,
        {
            "deletion_ids": list(deletion_ids),
            "targets_max": TARGETS_PER_STEP,
            "events_max": events_max,
        },
    )
    return {id: Size(*about) for id, *about in await cursor.fetchall()}


async def remove_all(
    conn: AsyncConnection, project_id: int, deletion_ids: Sequence[int]
) -> dict[int, int]:
    """Delete all events of small deletions; tells how many, by deletion."""
    await plain_plans(conn)
    cursor = await conn.execute(
        """
        WITH chosen AS MATERIALIZED (
            SELECT target.deletion_id, target.distinct_id_id, sent.timestamp, sent.uuid
              FROM deletion_target AS target
             CROSS JOIN LATERAL (
                   SELECT timestamp, uuid
                     FROM event
                    WHERE distinct_id_id = target.distinct_id_id
                      AND (target.cutoff IS NULL OR received_at <= target.cutoff)
                   OFFSET 0
                   ) AS sent
             WHERE target.deletion_id = ANY(%(deletion_ids)b::bigint[])
        ),
        gone AS (
            DELETE FROM event
             USING chosen
             WHERE event.distinct_id_id = chosen.distinct_id_id
               AND event.timestamp = chosen.timestamp
               AND event.uuid = chosen.uuid
            RETURNING chosen.deletion_id, event.uuid
        ),
        keys AS (
            DELETE FROM event_key
             USING gone
             WHERE event_key.project_id = %(project_id)s
               AND event_key.uuid = gone.uuid
        )
        SELECT deletion_id, count(*) FROM gone GROUP BY deletion_id
        """,
        {"project_id": project_id, "deletion_ids": list(deletion_ids)},
    )
    return dict(await cursor.fetchall())


class Redacted(Struct, frozen=True):
    """The last id whose name was looked for, None when there was none; how many events told one."""

    last_target: int | None
    redacted: int


async def redact_claims(
    conn: AsyncConnection, deletion_ids: Sequence[int], *, after: int, most: int
) -> Redacted:
    """Take the names of the next `most` ids out of what other ids' events claimed until then.

    Only where the profile went, too: events of a living person are allowed to name it. Another text
    stands in, so that they still claim *something*, which is what identified their person.
    """
    await plain_plans(conn)
    cursor = await conn.execute(
        """
        WITH target AS MATERIALIZED (
            SELECT deletion_target.distinct_id_id, distinct_id.distinct_id, deletion.project_id,
                   deletion.cutoff
              FROM deletion
              JOIN deletion_target ON deletion_target.deletion_id = deletion.id
              JOIN distinct_id ON distinct_id.id = deletion_target.distinct_id_id
             WHERE deletion.id = ANY(%(deletion_ids)b::bigint[])
               AND deletion.profile
               AND deletion_target.distinct_id_id > %(after)s
               AND distinct_id.distinct_id <> '$erased'
             ORDER BY deletion_target.distinct_id_id
             LIMIT %(most)s
        ),
        claiming AS MATERIALIZED (
            SELECT sent.distinct_id_id, sent.timestamp, sent.uuid,
                   jsonb_object_agg(sent.key, '$erased') AS claims
              FROM target
             CROSS JOIN LATERAL (
                   SELECT distinct_id_id, timestamp, uuid, project_id, received_at,
                          '$anon_distinct_id' AS key
                     FROM event
                    WHERE properties ->> '$anon_distinct_id' = target.distinct_id
                      AND properties ? '$anon_distinct_id'
                    UNION ALL
                   SELECT distinct_id_id, timestamp, uuid, project_id, received_at, 'alias'
                     FROM event
                    WHERE properties ->> 'alias' = target.distinct_id
                      AND properties ? 'alias'
                   ) AS sent
             WHERE sent.project_id = target.project_id
               AND sent.received_at <= target.cutoff
             GROUP BY sent.distinct_id_id, sent.timestamp, sent.uuid
        ),
        redacted AS (
            UPDATE event
               SET properties = properties || claiming.claims
              FROM claiming
             WHERE event.distinct_id_id = claiming.distinct_id_id
               AND event.timestamp = claiming.timestamp
               AND event.uuid = claiming.uuid
        )
        SELECT (SELECT max(distinct_id_id) FROM target), (SELECT count(*) FROM claiming)
        """,
        {"deletion_ids": list(deletion_ids), "after": after, "most": most},
    )
    row = await cursor.fetchone()
    assert row is not None, "an aggregate gives its row"
    return Redacted(*row)
