"""What persons were at a version, told by PostgreSQL: of each key the change that is nearest to it.

A ledger is read from its beginning, or from the present backwards. Nothing of it is held but the
names of the keys, however long it is.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import class_row

from personhood.model import Properties


class Place(Struct, frozen=True):
    """The last version that a person had at a moment, or one in a gap behind it; and its newest."""

    person_id: int
    version: int
    newest: int

    @property
    def is_near_the_end(self) -> bool:
        return self.version > self.newest // 2


class Facts(Struct, frozen=True):
    """What a ledger tells of a person besides properties, and its last version."""

    person_id: int
    version: int
    is_identified: bool | None
    created_at: datetime | None


async def places(
    conn: AsyncConnection, project_id: int, person_ids: Sequence[int], *, moment: datetime
) -> list[Place]:
    """Where persons stood when a moment was the present: found by halves, for `recorded_at` grows
    with the version."""
    async with conn.cursor(row_factory=class_row(Place)) as cursor:
        await cursor.execute(
            """
            WITH RECURSIVE half (person_id, low, high, newest) AS (
                SELECT id, -1::bigint, version + 1, version
                  FROM person
                 WHERE project_id = %(project_id)s
                   AND id = ANY(%(persons)b::bigint[])
                 UNION ALL
                SELECT half.person_id,
                       CASE WHEN last.is_later THEN half.low ELSE (half.low + half.high) / 2 END,
                       CASE WHEN last.is_later THEN last.version ELSE half.high END,
                       half.newest
                  FROM half
                  LEFT JOIN LATERAL (
                       SELECT version, recorded_at > %(moment)s AS is_later
                         FROM ledger
                        WHERE project_id = %(project_id)s
                          AND person_id = half.person_id
                          AND version > half.low
                          AND version <= (half.low + half.high) / 2
                        ORDER BY version DESC
                        LIMIT 1
                       ) AS last ON true
                 WHERE half.high - half.low > 1
            )
            SELECT person_id, low AS version, newest
              FROM half
             WHERE high - low <= 1
            """,
            {"project_id": project_id, "persons": person_ids, "moment": moment},
        )
        return await cursor.fetchall()


async def facts(
    conn: AsyncConnection,
    project_id: int,
    versions: Mapping[int, int],
    *,
    until: datetime | None = None,
) -> list[Facts]:
    """Of each person that was there at its version. With `until` only changes count that had
    happened by then."""
    async with conn.cursor(row_factory=class_row(Facts)) as cursor:
        await cursor.execute(
            """
            SELECT last.person_id, last.version, i.is_identified, c.created_at
              FROM unnest(%(persons)b::bigint[], %(versions)b::bigint[]) AS n (person_id, version)
             CROSS JOIN LATERAL (
                   SELECT person_id, max(version) AS version,
                          max(version) FILTER (WHERE is_identified IS NOT NULL) AS identified,
                          max(version) FILTER (WHERE created_at IS NOT NULL) AS created
                     FROM ledger
                    WHERE project_id = %(project_id)s
                      AND person_id = n.person_id
                      AND version <= n.version
                      AND (%(until)s::timestamptz IS NULL OR at <= %(until)s)
                    GROUP BY person_id
                   ) AS last
              LEFT JOIN ledger i ON i.person_id = last.person_id AND i.version = last.identified
              LEFT JOIN ledger c ON c.person_id = last.person_id AND c.version = last.created
            """,
            given(project_id, versions, until=until),
        )
        return await cursor.fetchall()


async def forwards(
    conn: AsyncConnection,
    project_id: int,
    versions: Mapping[int, int],
    *,
    until: datetime | None = None,
) -> dict[int, Properties]:
    """Properties at a version of each person, from the beginning on: who had none is missing."""
    cursor = await conn.execute(
        """
        WITH told AS MATERIALIZED (
            SELECT n.person_id, key, max(line.version) AS version
              FROM unnest(%(persons)b::bigint[], %(versions)b::bigint[]) AS n (person_id, version)
             CROSS JOIN LATERAL (
                   SELECT version, coalesce(before, '{}') || coalesce(after, '{}') AS changed
                     FROM ledger
                    WHERE project_id = %(project_id)s
                      AND person_id = n.person_id
                      AND version <= n.version
                      AND (%(until)s::timestamptz IS NULL OR at <= %(until)s)
                   OFFSET 0
                   ) AS line
             CROSS JOIN LATERAL jsonb_object_keys(line.changed) AS key
             GROUP BY n.person_id, key
        )
        SELECT told.person_id, jsonb_object_agg(told.key, l.after -> told.key)
          FROM told
         CROSS JOIN LATERAL (
               SELECT after
                 FROM ledger
                WHERE project_id = %(project_id)s
                  AND person_id = told.person_id
                  AND version = told.version
                LIMIT 1
               ) AS l
         WHERE l.after ? told.key
         GROUP BY told.person_id
        """,
        given(project_id, versions, until=until),
    )
    return dict(await cursor.fetchall())


async def backwards(
    conn: AsyncConnection, project_id: int, versions: Mapping[int, int]
) -> dict[int, Properties]:
    """The same, from what persons are now."""
    cursor = await conn.execute(
        """
        WITH told AS MATERIALIZED (
            SELECT n.person_id, key, min(line.version) AS version
              FROM unnest(%(persons)b::bigint[], %(versions)b::bigint[]) AS n (person_id, version)
             CROSS JOIN LATERAL (
                   SELECT version, coalesce(before, '{}') || coalesce(after, '{}') AS changed
                     FROM ledger
                    WHERE project_id = %(project_id)s
                      AND person_id = n.person_id
                      AND version > n.version
                   OFFSET 0
                   ) AS line
             CROSS JOIN LATERAL jsonb_object_keys(line.changed) AS key
             GROUP BY n.person_id, key
        ), undone AS (
            SELECT told.person_id,
                   array_agg(told.key) AS keys,
                   jsonb_object_agg(told.key, l.before -> told.key)
                       FILTER (WHERE l.before ? told.key) AS before
              FROM told
             CROSS JOIN LATERAL (
                   SELECT before
                     FROM ledger
                    WHERE project_id = %(project_id)s
                      AND person_id = told.person_id
                      AND version = told.version
                    LIMIT 1
                   ) AS l
             GROUP BY told.person_id
        )
        SELECT p.id, (p.properties - coalesce(undone.keys, '{}')) || coalesce(undone.before, '{}')
          FROM person p
          LEFT JOIN undone ON undone.person_id = p.id
         WHERE p.project_id = %(project_id)s
           AND p.id = ANY(%(persons)b::bigint[])
        """,
        given(project_id, versions),
    )
    return dict(await cursor.fetchall())


def given(
    project_id: int, versions: Mapping[int, int], *, until: datetime | None = None
) -> dict[str, object]:
    return {
        "project_id": project_id,
        "persons": list(versions),
        "versions": list(versions.values()),
        "until": until,
    }
