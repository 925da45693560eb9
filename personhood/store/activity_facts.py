"""What lines of the activity log only name: looked up when they are read, so that what has been
forgotten is gone from there too."""

from collections.abc import Iterable, Sequence
from itertools import islice
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection

from personhood.identity.properties import Change
from personhood.store.activity import Line

TEXTS_MAX = 100_000

Version = tuple[int, int]  # a person's id and version


class Facts(Struct, frozen=True):
    """By ledger entry, event, surrogate id of a distinct id, and person's id.

    Of splits of very many ids, texts are looked up of the first TEXTS_MAX ids.
    """

    changes: dict[Version, Change]
    events: dict[UUID, str]
    texts: dict[int, str]
    uuids: dict[int, UUID]


async def facts(conn: AsyncConnection, project_id: int, lines: Sequence[Line]) -> Facts:
    by_events = [line for line in lines if line.api_key_id is None]
    named = {line.distinct_id_id for line in by_events if line.distinct_id_id is not None}
    ids = (id for line in lines for id in (*(line.ids or ()), *(line.moved_ids or ())))
    named.update(islice(ids, TEXTS_MAX))
    versions = [(line.person_id, line.version) for line in lines if line.version is not None]
    event_uuids = [line.event_uuid for line in by_events if line.event_uuid is not None]
    others = {line.other_id for line in lines if line.other_id is not None}
    return Facts(
        changes=await changes(conn, project_id, versions) if versions else {},
        events=await event_names(conn, project_id, event_uuids) if event_uuids else {},
        texts=await texts(conn, project_id, named) if named else {},
        uuids=await uuids(conn, project_id, others) if others else {},
    )


async def changes(
    conn: AsyncConnection, project_id: int, versions: Sequence[Version]
) -> dict[Version, Change]:
    # A lateral limit keeps each of these to one index look-up, whatever the statistics.
    cursor = await conn.execute(
        """
        SELECT entry.person_id, entry.version, entry.before, entry.after
          FROM unnest(%(person_ids)b::bigint[], %(versions)b::bigint[]) AS n (person_id, version)
         CROSS JOIN LATERAL (
               SELECT project_id, person_id, version, before, after
                 FROM ledger
                WHERE person_id = n.person_id
                  AND version = n.version
                LIMIT 1
               ) AS entry
         WHERE entry.project_id = %(project_id)s
        """,
        {
            "project_id": project_id,
            "person_ids": [person_id for person_id, _ in versions],
            "versions": [version for _, version in versions],
        },
    )
    return {
        (person_id, version): Change(before or {}, after or {})
        async for person_id, version, before, after in cursor
    }


async def event_names(
    conn: AsyncConnection, project_id: int, uuids: Sequence[UUID]
) -> dict[UUID, str]:
    cursor = await conn.execute(
        """
        SELECT n.uuid, sent.name
          FROM unnest(%(uuids)b::uuid[]) AS n (uuid)
         CROSS JOIN LATERAL (
               SELECT distinct_id_id, timestamp
                 FROM event_key
                WHERE project_id = %(project_id)s
                  AND uuid = n.uuid
                LIMIT 1
               ) AS key
         CROSS JOIN LATERAL (
               SELECT name
                 FROM event
                WHERE distinct_id_id = key.distinct_id_id
                  AND timestamp = key.timestamp
                  AND uuid = n.uuid
                LIMIT 1
               ) AS sent
        """,
        {"project_id": project_id, "uuids": uuids},
    )
    return {uuid: name async for uuid, name in cursor}


async def texts(conn: AsyncConnection, project_id: int, ids: Iterable[int]) -> dict[int, str]:
    """Of distinct ids that are in use: the row of a deleted one stays while events refer to it."""
    cursor = await conn.execute(
        """
        SELECT row.id, row.distinct_id
          FROM unnest(%(ids)b::bigint[]) AS n (id)
         CROSS JOIN LATERAL (
               SELECT id, project_id, distinct_id, ended_at
                 FROM distinct_id
                WHERE id = n.id
                LIMIT 1
               ) AS row
         WHERE row.project_id = %(project_id)s
           AND row.ended_at IS NULL
        """,
        {"project_id": project_id, "ids": list(ids)},
    )
    return {id: text async for id, text in cursor}


async def uuids(conn: AsyncConnection, project_id: int, ids: Iterable[int]) -> dict[int, UUID]:
    cursor = await conn.execute(
        """
        SELECT row.id, row.uuid
          FROM unnest(%(ids)b::bigint[]) AS n (id)
         CROSS JOIN LATERAL (
               SELECT id, project_id, uuid
                 FROM person
                WHERE id = n.id
                LIMIT 1
               ) AS row
         WHERE row.project_id = %(project_id)s
        """,
        {"project_id": project_id, "ids": list(ids)},
    )
    return {id: uuid async for id, uuid in cursor}
