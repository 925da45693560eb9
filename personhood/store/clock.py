"""When properties were set, unset and set once: kept by historical imports, for the next one."""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import class_row

from personhood.identity.backfill import Clock
from personhood.model import EntryKind, Properties
from personhood.store import arrays
from personhood.store.pool import encode

ROWS_AT_ONCE = 500
decode = msgspec.json.Decoder(Clock).decode


class Kept(Struct, frozen=True, kw_only=True):
    """A clock as it was at a version of its person."""

    person_id: int
    version: int
    clock: Clock


class Line(Struct, frozen=True, kw_only=True):
    """What a ledger entry did to properties. `once` are those that only a `$set_once` gave."""

    person_id: int
    version: int
    kind: EntryKind
    at: datetime
    event_uuid: UUID | None
    source_id: int | None
    before: Properties
    after: Properties
    once: list[str]


async def of_persons(
    conn: AsyncConnection, project_id: int, person_ids: Collection[int]
) -> dict[int, Kept]:
    cursor = await conn.execute(
        """
        SELECT person_id, version, times::text
          FROM property_clock
         WHERE project_id = %(project_id)s
           AND person_id = ANY(%(person_ids)b::bigint[])
        """,
        {"project_id": project_id, "person_ids": list(person_ids)},
    )
    return {
        person_id: Kept(person_id=person_id, version=version, clock=decode(times))
        for person_id, version, times in await cursor.fetchall()
    }


async def gave(conn: AsyncConnection, project_id: int, versions: Mapping[int, int]) -> set[int]:
    """Who was absorbed by these persons after a version of each, and brought properties along."""
    cursor = await conn.execute(
        """
        SELECT DISTINCT l.source_id
          FROM unnest(%(persons)b::bigint[], %(versions)b::bigint[]) AS t (person_id, version)
         CROSS JOIN LATERAL (
               SELECT source_id
                 FROM ledger
                WHERE project_id = %(project_id)s
                  AND person_id = t.person_id
                  AND version > t.version
                  AND kind = 'merged'
                  AND after IS NOT NULL
                  AND source_id IS NOT NULL
               OFFSET 0
               ) AS l
        """,
        {
            "project_id": project_id,
            "persons": list(versions),
            "versions": list(versions.values()),
        },
    )
    return {row[0] for row in await cursor.fetchall()}


async def since(
    conn: AsyncConnection, project_id: int, versions: Mapping[int, int]
) -> AsyncGenerator[Line, None]:
    """What happened to these persons' properties after a version of each, in order, as a stream."""
    async with conn.cursor("clock_since", row_factory=class_row(Line)) as cursor:
        cursor.itersize = ROWS_AT_ONCE
        await cursor.execute(
            """
            SELECT l.person_id, l.version, l.kind, l.at, l.event_uuid, l.source_id,
                   coalesce(l.before, '{}') AS before, coalesce(l.after, '{}') AS after,
                   ARRAY(SELECT key
                           FROM jsonb_object_keys(l.after) AS key
                          WHERE e.properties -> '$set_once' ? key
                            AND (e.properties -> '$set' ? key) IS NOT TRUE) AS once
              FROM unnest(%(persons)b::bigint[], %(versions)b::bigint[]) AS t (person_id, version)
             CROSS JOIN LATERAL (
                   SELECT person_id, version, kind, at, event_uuid, source_id, before, after
                     FROM ledger
                    WHERE project_id = %(project_id)s
                      AND person_id = t.person_id
                      AND version > t.version
                      AND (before IS NOT NULL OR after IS NOT NULL OR kind IN ('split', 'undone'))
                   OFFSET 0
                   ) AS l
              LEFT JOIN LATERAL (
                   SELECT found.properties
                     FROM event_key
                    CROSS JOIN LATERAL (
                          SELECT properties
                            FROM event
                           WHERE distinct_id_id = event_key.distinct_id_id
                             AND timestamp = event_key.timestamp
                             AND uuid = event_key.uuid
                          OFFSET 0
                          ) AS found
                    WHERE event_key.project_id = %(project_id)s
                      AND event_key.uuid = l.event_uuid
                   OFFSET 0
                   ) AS e ON true
             ORDER BY l.person_id, l.version
            """,
            {
                "project_id": project_id,
                "persons": list(versions),
                "versions": list(versions.values()),
            },
        )
        async for line in cursor:
            yield line


async def write_all(
    conn: AsyncConnection,
    project_id: int,
    clocks: Mapping[int, Clock],
    *,
    versions: Mapping[int, int],
) -> None:
    """Keep the clocks of locked persons, who are at these versions."""
    ids = sorted(clocks)
    await conn.execute(
        """
        INSERT INTO property_clock (project_id, person_id, version, times)
        SELECT %(project_id)s, person_id, version, times::jsonb
          FROM unnest(%(persons)b::bigint[], %(versions)b::bigint[], %(times)b::text[])
            AS t (person_id, version, times)
        ON CONFLICT (person_id) DO UPDATE
           SET version = excluded.version, times = excluded.times
        """,
        {
            "project_id": project_id,
            "persons": arrays.int8s(ids),
            "versions": arrays.int8s([versions[id] for id in ids]),
            "times": arrays.raw_texts([encode(clocks[id]) for id in ids]),
        },
    )


async def delete_all(conn: AsyncConnection, project_id: int, person_ids: Sequence[int]) -> None:
    """Forget clocks: what the ledger tells of the times is enough then."""
    await conn.execute(
        """
        DELETE FROM property_clock
         WHERE project_id = %(project_id)s
           AND person_id = ANY(%(person_ids)b::bigint[])
        """,
        {"project_id": project_id, "person_ids": list(person_ids)},
    )
