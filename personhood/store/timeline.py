"""What a timeline of a person is made of: its changes, and its events by the state they met.

Events count by the person that they were applied to; `names` of None are all. Only an event in full
mode shows anything of its person (contract: capture-and-identity, 5).
"""

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import class_row

from personhood.model import Properties
from personhood.timeline.states import Run

ROWS_AT_ONCE = 500


class Change(Struct, frozen=True):
    """A version of a person, and what was and is since."""

    version: int
    before: Properties
    after: Properties


class Counted(Struct, frozen=True, kw_only=True):
    """Which events count: those of a person with these names, both times inside."""

    person_id: int
    names: Sequence[str] | None
    since: datetime
    until: datetime


class Extent(Struct, frozen=True):
    """The first and the last version of a person that some events met."""

    first: int
    last: int


async def extent(conn: AsyncConnection, counted: Counted) -> Extent | None:
    """Over events that show something; None if there is no such one. From the index alone."""
    cursor = await conn.execute(
        """
        SELECT min(person_version), max(person_version)
          FROM event
         WHERE person_id = %(person_id)s
           AND timestamp BETWEEN %(since)s AND %(until)s
           AND person_mode = 0
           AND (%(names)b::text[] IS NULL OR name = ANY(%(names)b::text[]))
        """,
        parameters(counted, [], 0),
        prepare=False,
    )
    [(first, last)] = await cursor.fetchall()
    return None if first is None else Extent(first, last)


async def changes(
    conn: AsyncConnection,
    project_id: int,
    person_id: int,
    *,
    keys: Sequence[str],
    over: Extent,
) -> AsyncGenerator[Change, None]:
    """What changed one of some properties of a person behind a version, up to another, in order."""
    async with conn.cursor("timeline_changes", row_factory=class_row(Change)) as cursor:
        cursor.itersize = ROWS_AT_ONCE
        await cursor.execute(
            """
            SELECT version, coalesce(before, '{}') AS before, coalesce(after, '{}') AS after
              FROM ledger
             WHERE project_id = %(project_id)s
               AND person_id = %(person_id)s
               AND version > %(first)s
               AND version <= %(last)s
               AND (before ?| %(keys)b::text[] OR after ?| %(keys)b::text[])
             ORDER BY version
            """,
            {
                "project_id": project_id,
                "person_id": person_id,
                "keys": list(keys),
                "first": over.first,
                "last": over.last,
            },
        )
        async for row in cursor:
            yield row


class Stretch(Struct, frozen=True):
    """What became of a person from one of some versions to the next one, `version`."""

    version: int
    gone: Sequence[str]
    come: Properties


async def stretches(
    conn: AsyncConnection, project_id: int, person_id: int, *, versions: Sequence[int]
) -> AsyncGenerator[Stretch, None]:
    """What changed from the first of some ascending versions on, up to each of the others; where
    nothing did there is none. Of each key its last change counts, so little is held of many."""
    async with conn.cursor("timeline_stretches", row_factory=class_row(Stretch)) as cursor:
        cursor.itersize = ROWS_AT_ONCE
        await cursor.execute(
            """
            WITH told AS MATERIALIZED (
                SELECT line.stretch, key, max(line.version) AS version
                  FROM (SELECT version,
                               width_bucket(version - 1, %(versions)b::bigint[]) AS stretch,
                               coalesce(before, '{}') || coalesce(after, '{}') AS changed
                          FROM ledger
                         WHERE project_id = %(project_id)s
                           AND person_id = %(person_id)s
                           AND version > %(first)s
                           AND version <= %(last)s
                        OFFSET 0) AS line
                 CROSS JOIN LATERAL jsonb_object_keys(line.changed) AS key
                 GROUP BY line.stretch, key
            )
            SELECT (%(versions)b::bigint[])[told.stretch + 1] AS version,
                   coalesce(array_agg(told.key)
                                FILTER (WHERE l.after IS NULL OR NOT l.after ? told.key),
                            '{}') AS gone,
                   coalesce(jsonb_object_agg(told.key, l.after -> told.key)
                                FILTER (WHERE l.after ? told.key), '{}') AS come
              FROM told
             CROSS JOIN LATERAL (
                   SELECT after
                     FROM ledger
                    WHERE project_id = %(project_id)s
                      AND person_id = %(person_id)s
                      AND version = told.version
                    LIMIT 1
                   ) AS l
             GROUP BY told.stretch
             ORDER BY told.stretch
            """,
            {
                "project_id": project_id,
                "person_id": person_id,
                "versions": list(versions),
                "first": versions[0],
                "last": versions[-1],
            },
        )
        async for row in cursor:
            yield row


async def earliest(conn: AsyncConnection, project_id: int, person_id: int) -> datetime | None:
    """When the first of a person's events was."""
    cursor = await conn.execute(
        """
        SELECT timestamp
          FROM event
         WHERE project_id = %(project_id)s
           AND person_id = %(person_id)s
         ORDER BY timestamp
         LIMIT 1
        """,
        {"project_id": project_id, "person_id": person_id},
    )
    row = await cursor.fetchone()
    return None if row is None else row[0]


async def by_state(
    conn: AsyncConnection, counted: Counted, *, bounds: Sequence[int], most: int
) -> list[Run]:
    """For each state that some event met, all of these as one run, in no order.

    From the index `event_timeline` alone: so without the project, whose the person is.
    """
    async with conn.cursor(row_factory=class_row(Run)) as cursor:
        await cursor.execute(
            """
            WITH met AS (
                SELECT CASE WHEN person_mode = 0
                            THEN width_bucket(person_version, %(bounds)b::bigint[])
                            ELSE 0
                        END AS state,
                       count(*) AS number,
                       min(timestamp) AS first,
                       max(timestamp) AS last
                  FROM event
                 WHERE person_id = %(person_id)s
                   AND timestamp BETWEEN %(since)s AND %(until)s
                   AND (%(names)b::text[] IS NULL OR name = ANY(%(names)b::text[]))
                 GROUP BY 1
                 LIMIT %(most)s
            )
            SELECT met.state, met.number, met.first, met.last, shown.version
              FROM met
             CROSS JOIN LATERAL (
                   SELECT min(person_version) FILTER (WHERE person_mode = 0) AS version
                     FROM event
                    WHERE person_id = %(person_id)s
                      AND timestamp = met.first
                      AND (%(names)b::text[] IS NULL OR name = ANY(%(names)b::text[]))
                      AND CASE WHEN person_mode = 0
                               THEN width_bucket(person_version, %(bounds)b::bigint[])
                               ELSE 0
                           END = met.state
                   ) AS shown
            """,
            parameters(counted, bounds, most),
            prepare=False,  # a plan for any person and time counts four times as long
        )
        return await cursor.fetchall()


async def runs(
    conn: AsyncConnection, counted: Counted, *, bounds: Sequence[int], most: int
) -> list[Run]:
    """The first runs of events that met one state, in the order of time."""
    async with conn.cursor(row_factory=class_row(Run)) as cursor:
        await cursor.execute(
            """
            WITH sent AS (
                SELECT timestamp,
                       CASE WHEN person_mode = 0
                            THEN width_bucket(person_version, %(bounds)b::bigint[])
                            ELSE 0
                        END AS state,
                       CASE WHEN person_mode = 0 THEN person_version END AS version
                  FROM event
                 WHERE person_id = %(person_id)s
                   AND timestamp BETWEEN %(since)s AND %(until)s
                   AND (%(names)b::text[] IS NULL OR name = ANY(%(names)b::text[]))
            ), turned AS (
                SELECT timestamp, state, version,
                       state IS DISTINCT FROM lag(state) OVER (ORDER BY timestamp, state, version)
                           AS turns
                  FROM sent
            ), numbered AS (
                SELECT timestamp, state, version, turns,
                       count(*) FILTER (WHERE turns) OVER (ORDER BY timestamp, state, version
                                                           ROWS UNBOUNDED PRECEDING) AS place
                  FROM turned
            )
            SELECT min(state) AS state,
                   count(*) AS number,
                   min(timestamp) AS first,
                   max(timestamp) AS last,
                   min(version) FILTER (WHERE turns) AS version
              FROM numbered
             GROUP BY place
             ORDER BY place
             LIMIT %(most)s
            """,
            parameters(counted, bounds, most),
            prepare=False,  # a plan for any person and time counts four times as long
        )
        return await cursor.fetchall()


class GroupRun(Struct, frozen=True, kw_only=True):
    """Events whose groups look the same, one after the other; `properties` is JSON."""

    number: int
    first: datetime
    properties: str


async def group_runs(
    conn: AsyncConnection,
    project_id: int,
    counted: Counted,
    *,
    group: int,
    keys: Sequence[str],
) -> AsyncGenerator[GroupRun, None]:
    """Runs of events by what their groups of one type have for some keys, in the order of time.

    Groups keep no history: they count as they are now. The events themselves have to be read.
    """
    async with conn.cursor("timeline_groups", row_factory=class_row(GroupRun)) as cursor:
        cursor.itersize = ROWS_AT_ONCE
        await cursor.execute(
            """
            WITH sent AS MATERIALIZED (
                SELECT timestamp, uuid, coalesce(properties ->> %(member)s, '') AS key
                  FROM event
                 WHERE person_id = %(person_id)s
                   AND timestamp BETWEEN %(since)s AND %(until)s
                   AND (%(names)b::text[] IS NULL OR name = ANY(%(names)b::text[]))
            ), known AS MATERIALIZED (
                SELECT named.key, coalesce(g.properties, '{}') AS properties,
                       ARRAY(SELECT coalesce(g.properties ->> asked.key, '')
                               FROM unnest(%(keys)b::text[]) WITH ORDINALITY AS asked (key, place)
                              ORDER BY asked.place) AS looks
                  FROM (SELECT DISTINCT key FROM sent) AS named
                  LEFT JOIN "group" g ON g.project_id = %(project_id)s
                                     AND g.type_index = %(group)s
                                     AND g.key = named.key
            ), turned AS (
                SELECT sent.timestamp, sent.uuid, sent.key,
                       known.looks IS DISTINCT FROM lag(known.looks)
                           OVER (ORDER BY sent.timestamp, sent.uuid) AS turns
                  FROM sent
                  JOIN known USING (key)
            ), numbered AS (
                SELECT timestamp, key, turns,
                       count(*) FILTER (WHERE turns) OVER (ORDER BY timestamp, uuid
                                                           ROWS UNBOUNDED PRECEDING) AS place
                  FROM turned
            ), runs AS (
                SELECT place, count(*) AS number, min(timestamp) AS first,
                       min(key) FILTER (WHERE turns) AS key
                  FROM numbered
                 GROUP BY place
            )
            SELECT runs.number, runs.first, known.properties::text AS properties
              FROM runs
              JOIN known USING (key)
             ORDER BY runs.place
            """,
            {
                "project_id": project_id,
                "person_id": counted.person_id,
                "names": None if counted.names is None else list(counted.names),
                "since": counted.since,
                "until": counted.until,
                "member": f"$group_{group}",
                "group": group,
                "keys": list(keys),
            },
        )
        async for row in cursor:
            yield row


def parameters(counted: Counted, bounds: Sequence[int], most: int) -> dict[str, object]:
    return {
        "person_id": counted.person_id,
        "names": None if counted.names is None else list(counted.names),
        "since": counted.since,
        "until": counted.until,
        "bounds": list(bounds),
        "most": most,
    }
