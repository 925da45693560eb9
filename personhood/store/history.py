"""What distinct ids have written, as streams: a person may have millions of events.

A *chain* are some leaves and all that they were absorbed by, up to the root. What else was absorbed
by one of them counts as it was at that moment, so nothing before that is read.
"""

from collections.abc import AsyncGenerator, Collection, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import class_row

from personhood.identity.backfill import Clock
from personhood.identity.properties import READ_ONLY_EVENTS
from personhood.identity.replay import Bend
from personhood.model import Properties
from personhood.store.event import Written

ROWS_AT_ONCE = 500


class Sent(Written, frozen=True, kw_only=True):
    """An event of a family: its sender's text, and the person of the chain that it came by.

    It `changed` a person if the ledger has an entry of it, and is `revoked` if the merge that it
    made has been taken back.
    """

    leaf_id: int
    text: str
    changed: bool
    revoked: bool


class Absorbed(Struct, frozen=True, kw_only=True):
    """A person outside the chain that was absorbed by one in it, as it was then.

    With its clock, where historical imports were, and whether it was one of them that joined it.
    """

    leaf_id: int
    source_id: int
    event_uuid: UUID | None
    version: int
    at: datetime
    properties: Properties
    is_identified: bool
    created_at: datetime
    clock: Clock | None = None
    historical: bool = False


class Gathered(Struct, frozen=True, kw_only=True):
    """How many persons one absorbed, without those of the chain, and who of them is the oldest."""

    person_id: int
    number: int
    created_at: datetime


async def by_index(conn: AsyncConnection) -> None:
    """Let the transaction look events up an id at a time, whatever the planner thinks of them.

    Where few ids have sent most of the events, it would read all of those for each id.
    """
    await conn.execute("SET LOCAL enable_seqscan = off")


async def of_chain(
    conn: AsyncConnection,
    project_id: int,
    *,
    chain: Collection[int],
    without: Collection[int] = (),
    keys: Collection[str] | None = None,
    claims: bool = True,
    since: int = 0,
    bends: Sequence[Bend] = (),
) -> AsyncGenerator[Sent, None]:
    """What came to the persons of a chain at version `since` or later, in order, but for some ids.

    With `keys` only what says something of one of them; with `claims` also every claim.
    """
    async with conn.cursor("history_of_chain", row_factory=class_row(Sent)) as cursor:
        cursor.itersize = ROWS_AT_ONCE
        await cursor.execute(
            """
            WITH RECURSIVE family (id, leaf_id, joined) AS (
                SELECT id, id, 0::bigint
                  FROM unnest(%(chain)b::bigint[]) AS chain (id)
                 UNION ALL
                SELECT child.id, family.leaf_id,
                       CASE WHEN family.id = family.leaf_id THEN child.version
                            ELSE family.joined END
                  FROM family
                 CROSS JOIN LATERAL (
                       SELECT source_id AS id, target_version AS version
                         FROM merge
                        WHERE target_id = family.id
                          AND undone_at IS NULL
                       OFFSET 0
                       ) AS child
                 WHERE child.id <> ALL(%(chain)b::bigint[])
            )
            SELECT e.distinct_id_id, e.uuid, e.name, e.timestamp, e.received_at, e.person_id,
                   e.person_version, d.distinct_id AS text, family.leaf_id,
                   e.properties -> '$set' AS set,
                   e.properties -> '$set_once' AS set_once,
                   e.properties -> '$unset' AS unset,
                   e.properties -> '$anon_distinct_id' AS anon_distinct_id,
                   e.properties ? '$anon_distinct_id' AS claims_by_anon,
                   e.properties -> 'alias' AS alias,
                   e.historical IS TRUE AS historical,
                   l.version IS NOT NULL AS changed,
                   EXISTS (SELECT FROM merge
                            WHERE event_uuid = e.uuid AND undone_at IS NOT NULL) AS revoked
              FROM family
             -- By index, an id at a time: how many events match cannot be estimated.
             CROSS JOIN LATERAL (
                   SELECT id, distinct_id
                     FROM distinct_id
                    WHERE project_id = %(project_id)s
                      AND person_id = family.id
                      AND ended_at IS NULL
                      AND id <> ALL(%(without)b::bigint[])
                   OFFSET 0
                   ) AS d
             CROSS JOIN LATERAL (
                   SELECT distinct_id_id, uuid, name, timestamp, received_at, person_id,
                          person_version, properties, historical
                     FROM event
                    WHERE distinct_id_id = d.id
                      AND person_version >= greatest(family.joined, %(since)s)
                      AND person_mode = 0
                      AND name <> ALL(%(read_only)b::text[])
                      AND (%(keys)b::text[] IS NULL
                           AND (properties ?| ARRAY['$set', '$set_once', '$unset'] OR historical)
                           OR properties -> '$set' ?| %(keys)b::text[]
                           OR properties -> '$set_once' ?| %(keys)b::text[]
                           OR properties -> '$unset' ?| %(keys)b::text[]
                           OR %(claims)s AND properties ?| ARRAY['$anon_distinct_id', 'alias'])
                   OFFSET 0
                   ) AS e
              LEFT JOIN ledger l ON l.person_id = e.person_id AND l.version = e.person_version
                                AND l.event_uuid = e.uuid
              LEFT JOIN LATERAL (
                   SELECT min(after) + 1 AS version
                     FROM unnest(%(after)b::bigint[], %(before)b::bigint[]) AS t (after, before)
                    WHERE e.person_version > after AND e.person_version < before
                   ) AS bend ON cardinality(%(after)b::bigint[]) > 0
             ORDER BY coalesce(bend.version, e.person_version),
                      CASE WHEN bend.version IS NOT NULL THEN e.received_at END,
                      l.version IS NULL, e.received_at, e.uuid
            """,
            {
                "project_id": project_id,
                "chain": list(chain),
                "without": list(without),
                "keys": None if keys is None else sorted(keys),
                "claims": claims,
                "since": since,
                "after": [bend.after for bend in bends],
                "before": [bend.before for bend in bends],
                "read_only": sorted(READ_ONLY_EVENTS),
            },
        )
        async for row in cursor:
            yield row


async def of_ids(conn: AsyncConnection, ids: Sequence[int]) -> AsyncGenerator[Sent, None]:
    """All that some ids said of their persons, of one id after the other, each in order."""
    async with conn.cursor("history_of_ids", row_factory=class_row(Sent)) as cursor:
        cursor.itersize = ROWS_AT_ONCE
        await cursor.execute(
            """
            SELECT e.distinct_id_id, e.uuid, e.name, e.timestamp, e.received_at, e.person_id,
                   e.person_version, d.distinct_id AS text, d.person_id AS leaf_id,
                   e.properties -> '$set' AS set,
                   e.properties -> '$set_once' AS set_once,
                   e.properties -> '$unset' AS unset,
                   e.properties -> '$anon_distinct_id' AS anon_distinct_id,
                   e.properties ? '$anon_distinct_id' AS claims_by_anon,
                   e.properties -> 'alias' AS alias,
                   e.historical IS TRUE AS historical,
                   l.version IS NOT NULL AS changed,
                   EXISTS (SELECT FROM merge
                            WHERE event_uuid = e.uuid AND undone_at IS NOT NULL) AS revoked
              FROM distinct_id d
             CROSS JOIN LATERAL (
                   SELECT distinct_id_id, uuid, name, timestamp, received_at, person_id,
                          person_version, properties, historical
                     FROM event
                    WHERE distinct_id_id = d.id
                      AND person_id IS NOT NULL
                      AND person_mode = 0
                      AND name <> ALL(%(read_only)b::text[])
                      AND (properties ?| ARRAY['$set', '$set_once', '$unset', '$anon_distinct_id',
                                               'alias']
                           OR historical)
                   OFFSET 0
                   ) AS e
              LEFT JOIN ledger l ON l.person_id = e.person_id AND l.version = e.person_version
                                AND l.event_uuid = e.uuid
             WHERE d.id = ANY(%(ids)b::bigint[])
             ORDER BY d.id, e.person_version, l.version IS NULL, e.received_at, e.uuid
            """,
            {"ids": ids, "read_only": sorted(READ_ONLY_EVENTS)},
        )
        async for row in cursor:
            yield row


async def of_leaves(
    conn: AsyncConnection,
    project_id: int,
    *,
    leaves: Collection[int],
    since: int,
    bends: Sequence[Bend] = (),
) -> AsyncGenerator[Sent, None]:
    """What ids of some leaves said of their persons at version `since` or later, in order."""
    async with conn.cursor("history_of_leaves", row_factory=class_row(Sent)) as cursor:
        cursor.itersize = ROWS_AT_ONCE
        await cursor.execute(
            """
            SELECT e.distinct_id_id, e.uuid, e.name, e.timestamp, e.received_at, e.person_id,
                   e.person_version, d.distinct_id AS text, leaf.id AS leaf_id,
                   e.properties -> '$set' AS set,
                   e.properties -> '$set_once' AS set_once,
                   e.properties -> '$unset' AS unset,
                   e.properties -> '$anon_distinct_id' AS anon_distinct_id,
                   e.properties ? '$anon_distinct_id' AS claims_by_anon,
                   e.properties -> 'alias' AS alias,
                   e.historical IS TRUE AS historical,
                   l.version IS NOT NULL AS changed,
                   EXISTS (SELECT FROM merge
                            WHERE event_uuid = e.uuid AND undone_at IS NOT NULL) AS revoked
              FROM unnest(%(leaves)b::bigint[]) AS leaf (id)
             -- By index, an id at a time: how many events match cannot be estimated.
             CROSS JOIN LATERAL (
                   SELECT id, distinct_id
                     FROM distinct_id
                    WHERE project_id = %(project_id)s
                      AND person_id = leaf.id
                      AND ended_at IS NULL
                   OFFSET 0
                   ) AS d
             CROSS JOIN LATERAL (
                   SELECT distinct_id_id, uuid, name, timestamp, received_at, person_id,
                          person_version, properties, historical
                     FROM event
                    WHERE distinct_id_id = d.id
                      AND person_version >= %(since)s
                      AND person_mode = 0
                      AND name <> ALL(%(read_only)b::text[])
                      AND (properties ?| ARRAY['$set', '$set_once', '$unset', '$anon_distinct_id',
                                               'alias']
                           OR historical)
                   OFFSET 0
                   ) AS e
              LEFT JOIN ledger l ON l.person_id = e.person_id AND l.version = e.person_version
                                AND l.event_uuid = e.uuid
              LEFT JOIN LATERAL (
                   SELECT min(after) + 1 AS version
                     FROM unnest(%(after)b::bigint[], %(before)b::bigint[]) AS t (after, before)
                    WHERE e.person_version > after AND e.person_version < before
                   ) AS bend ON cardinality(%(after)b::bigint[]) > 0
             ORDER BY coalesce(bend.version, e.person_version),
                      CASE WHEN bend.version IS NOT NULL THEN e.received_at END,
                      l.version IS NULL, e.received_at, e.uuid
            """,
            {
                "project_id": project_id,
                "leaves": list(leaves),
                "since": since,
                "after": [bend.after for bend in bends],
                "before": [bend.before for bend in bends],
                "read_only": sorted(READ_ONLY_EVENTS),
            },
        )
        async for row in cursor:
            yield row


async def absorbed(
    conn: AsyncConnection,
    project_id: int,
    *,
    chain: Collection[int],
    keys: Collection[str] | None = None,
    since: int = 0,
    bends: Sequence[Bend] = (),
) -> AsyncGenerator[Absorbed, None]:
    """Whom persons of a chain absorbed at version `since` or later, in order.

    With `keys` only those that had one of them.
    """
    async with conn.cursor("history_absorbed", row_factory=class_row(Absorbed)) as cursor:
        cursor.itersize = ROWS_AT_ONCE
        await cursor.execute(
            """
            SELECT merge.target_id AS leaf_id, merge.source_id, merge.event_uuid,
                   merge.target_version AS version, sent.at,
                   person.properties, person.is_identified, person.created_at
              FROM merge
              JOIN person ON person.id = merge.source_id
             CROSS JOIN LATERAL (
                   -- Of one time, a merge comes before what else its event did.
                   SELECT coalesce((SELECT event.received_at
                                      FROM event_key
                                      JOIN event USING (distinct_id_id, timestamp, uuid)
                                     WHERE event_key.project_id = merge.project_id
                                       AND event_key.uuid = merge.event_uuid
                                       AND cardinality(%(after)b::bigint[]) > 0),
                                   merge.recorded_at) AS at
                   ) AS sent
              LEFT JOIN LATERAL (
                   SELECT min(after) + 1 AS version
                     FROM unnest(%(after)b::bigint[], %(before)b::bigint[]) AS t (after, before)
                    WHERE merge.target_version > after AND merge.target_version < before
                   ) AS bend ON cardinality(%(after)b::bigint[]) > 0
             WHERE merge.project_id = %(project_id)s
               AND merge.target_id = ANY(%(chain)b::bigint[])
               AND merge.source_id <> ALL(%(chain)b::bigint[])
               AND merge.undone_at IS NULL
               AND merge.target_version >= %(since)s
               AND (%(keys)b::text[] IS NULL OR person.properties ?| %(keys)b::text[])
             ORDER BY coalesce(bend.version, merge.target_version),
                      CASE WHEN bend.version IS NOT NULL THEN sent.at END,
                      merge.target_version
            """,
            {
                "project_id": project_id,
                "chain": list(chain),
                "keys": None if keys is None else sorted(keys),
                "since": since,
                "after": [bend.after for bend in bends],
                "before": [bend.before for bend in bends],
            },
        )
        async for row in cursor:
            yield row


async def gathered(
    conn: AsyncConnection, project_id: int, chain: Collection[int]
) -> dict[int, Gathered]:
    """For each person of a chain that absorbed some outside it, these."""
    async with conn.cursor(row_factory=class_row(Gathered)) as cursor:
        await cursor.execute(
            """
            SELECT merge.target_id AS person_id, count(*) AS number,
                   min(person.created_at) AS created_at
              FROM merge
              JOIN person ON person.id = merge.source_id
             WHERE merge.project_id = %(project_id)s
               AND merge.target_id = ANY(%(chain)b::bigint[])
               AND merge.source_id <> ALL(%(chain)b::bigint[])
               AND merge.undone_at IS NULL
             GROUP BY merge.target_id
            """,
            {"project_id": project_id, "chain": list(chain)},
        )
        return {row.person_id: row for row in await cursor.fetchall()}
