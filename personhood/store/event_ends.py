"""The first and the last that distinct ids sent: what makes a person, and when it was seen."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import class_row

from personhood.identity.properties import READ_ONLY_EVENTS


class Ends(Struct, frozen=True, kw_only=True):
    """The first event of an id that makes a person, if there is one, and when it was last seen."""

    id: int
    uuid: UUID | None
    at: datetime | None
    last_seen_at: datetime | None


async def ends(conn: AsyncConnection, ids: Sequence[int]) -> dict[int, Ends]:
    async with conn.cursor(row_factory=class_row(Ends)) as cursor:
        await cursor.execute(
            """
            SELECT named.id, first.uuid, first.timestamp AS at, last.at AS last_seen_at
              FROM unnest(%(ids)b::bigint[]) AS named (id)
              LEFT JOIN LATERAL (
                   SELECT uuid, timestamp
                     FROM event
                    WHERE distinct_id_id = named.id
                      AND person_id IS NOT NULL
                      AND person_mode = 0
                      AND name <> ALL(%(read_only)b::text[])
                    ORDER BY person_version, received_at, uuid
                    LIMIT 1
                   ) AS first ON true
              LEFT JOIN LATERAL (
                   SELECT max(timestamp) AS at
                     FROM event
                    WHERE distinct_id_id = named.id
                      AND person_id IS NOT NULL
                      AND person_mode = 0
                      AND name <> ALL(%(read_only)b::text[])
                      AND (properties -> '$update_person_last_seen_at') IS DISTINCT FROM 'false'
                      AND NOT EXISTS (SELECT FROM ledger l
                                       WHERE l.person_id = event.person_id
                                         AND l.version = event.person_version
                                         AND l.event_uuid = event.uuid
                                         AND l.api_key_id IS NOT NULL)
                   ) AS last ON true
            """,
            {"ids": ids, "read_only": sorted(READ_ONLY_EVENTS)},
        )
        return {row.id: row for row in await cursor.fetchall()}


async def first_of_leaves(
    conn: AsyncConnection, leaf_ids: Collection[int], *, without: Collection[int]
) -> dict[int, Ends]:
    """For each leaf the first event of its ids that makes a person, but for some ids."""
    async with conn.cursor(row_factory=class_row(Ends)) as cursor:
        await cursor.execute(
            """
            SELECT DISTINCT ON (d.person_id)
                   d.person_id AS id, e.uuid, e.timestamp AS at, NULL AS last_seen_at
              FROM distinct_id d
             CROSS JOIN LATERAL (
                   SELECT uuid, timestamp, person_version, received_at
                     FROM event
                    WHERE distinct_id_id = d.id
                      AND person_id IS NOT NULL
                      AND person_mode = 0
                      AND name <> ALL(%(read_only)b::text[])
                    ORDER BY person_version, received_at, uuid
                    LIMIT 1
                   ) AS e
             WHERE d.person_id = ANY(%(leaves)b::bigint[])
               AND d.ended_at IS NULL
               AND d.id <> ALL(%(without)b::bigint[])
             ORDER BY d.person_id, e.person_version, e.received_at, e.uuid
            """,
            {
                "leaves": list(leaf_ids),
                "without": list(without),
                "read_only": sorted(READ_ONLY_EVENTS),
            },
        )
        return {row.id: row for row in await cursor.fetchall()}


async def last_seen(
    conn: AsyncConnection, root_id: int, *, without: Collection[int]
) -> datetime | None:
    """When a root's family last sent an event that counts as being seen, but for some ids."""
    cursor = await conn.execute(
        """
        WITH RECURSIVE family (id) AS (
            SELECT %(root_id)s::bigint
             UNION ALL
            SELECT person.id
              FROM family
              JOIN person ON person.merged_into_id = family.id
        )
        SELECT max(last.at)
          FROM family
         CROSS JOIN LATERAL (
               SELECT id
                 FROM distinct_id
                WHERE person_id = family.id
                  AND ended_at IS NULL
                  AND id <> ALL(%(without)b::bigint[])
               OFFSET 0
               ) AS d
         CROSS JOIN LATERAL (
               SELECT max(timestamp) AS at
                 FROM event
                WHERE distinct_id_id = d.id
                  AND person_id IS NOT NULL
                  AND person_mode = 0
                  AND name <> ALL(%(read_only)b::text[])
                  AND (properties -> '$update_person_last_seen_at') IS DISTINCT FROM 'false'
                  AND NOT EXISTS (SELECT FROM ledger l
                                   WHERE l.person_id = event.person_id
                                     AND l.version = event.person_version
                                     AND l.event_uuid = event.uuid
                                     AND l.api_key_id IS NOT NULL)
               ) AS last
        """,
        {"root_id": root_id, "without": list(without), "read_only": sorted(READ_ONLY_EVENTS)},
    )
    row = await cursor.fetchone()
    return None if row is None else row[0]


async def any_imported(conn: AsyncConnection, roots: Collection[int]) -> bool:
    """Whether an id of some persons, or of whom they absorbed, came by a historical import."""
    cursor = await conn.execute(
        """
        WITH RECURSIVE family (id) AS (
            SELECT id
              FROM unnest(%(roots)b::bigint[]) AS root (id)
             UNION
            SELECT child.id
              FROM family
             CROSS JOIN LATERAL (
                   SELECT id FROM person WHERE merged_into_id = family.id OFFSET 0
                   ) AS child
        )
        SELECT EXISTS (SELECT FROM event WHERE historical)  -- mostly there is none at all
           AND EXISTS (
               SELECT
                 FROM family
                CROSS JOIN LATERAL (
                      SELECT id
                        FROM distinct_id
                       WHERE person_id = family.id
                         AND ended_at IS NULL
                      OFFSET 0
                      ) AS d
                CROSS JOIN LATERAL (
                      SELECT FROM event WHERE distinct_id_id = d.id AND historical LIMIT 1
                      ) AS e
               )
        """,
        {"roots": list(roots)},
    )
    return (await cursor.fetchall())[0][0]


async def imported(
    conn: AsyncConnection, project_id: int, event_uuids: Collection[UUID]
) -> set[UUID]:
    """Which of some events came by a historical import."""
    cursor = await conn.execute(
        """
        SELECT k.uuid
          FROM unnest(%(uuids)b::uuid[]) AS named (uuid)
          JOIN event_key k ON k.project_id = %(project_id)s AND k.uuid = named.uuid
          JOIN event e ON e.distinct_id_id = k.distinct_id_id AND e.timestamp = k.timestamp
                      AND e.uuid = k.uuid
         WHERE e.historical
        """,
        {"project_id": project_id, "uuids": list(event_uuids)},
    )
    return {row[0] for row in await cursor.fetchall()}


async def last_seen_of_leaves(
    conn: AsyncConnection, leaf_ids: Collection[int], *, since: int
) -> datetime | None:
    """When ids of some leaves last sent an event that counts as being seen, of those that were
    applied at version `since` or later."""
    cursor = await conn.execute(
        """
        SELECT max(last.at)
          FROM unnest(%(leaves)b::bigint[]) AS leaf (id)
         CROSS JOIN LATERAL (
               SELECT id
                 FROM distinct_id
                WHERE person_id = leaf.id
                  AND ended_at IS NULL
               OFFSET 0
               ) AS d
         CROSS JOIN LATERAL (
               SELECT max(timestamp) AS at
                 FROM event
                WHERE distinct_id_id = d.id
                  AND person_version >= %(since)s
                  AND person_mode = 0
                  AND name <> ALL(%(read_only)b::text[])
                  AND (properties -> '$update_person_last_seen_at') IS DISTINCT FROM 'false'
               ) AS last
        """,
        {"leaves": list(leaf_ids), "since": since, "read_only": sorted(READ_ONLY_EVENTS)},
    )
    row = await cursor.fetchone()
    return None if row is None else row[0]


async def received(
    conn: AsyncConnection, project_id: int, event_uuids: Collection[UUID]
) -> dict[UUID, datetime]:
    """When some events came in, as far as they are stored."""
    cursor = await conn.execute(
        """
        SELECT k.uuid, e.received_at
          FROM unnest(%(uuids)b::uuid[]) AS named (uuid)
          JOIN event_key k ON k.project_id = %(project_id)s AND k.uuid = named.uuid
          JOIN event e ON e.distinct_id_id = k.distinct_id_id AND e.timestamp = k.timestamp
                      AND e.uuid = k.uuid
        """,
        {"project_id": project_id, "uuids": list(event_uuids)},
    )
    return dict(await cursor.fetchall())
