"""The ledger's lines. They are appended and read; only forgetting removes or changes them."""

from collections.abc import AsyncGenerator, Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from personhood.identity.replay import Bend
from personhood.model import Cause, Entry, EntryKind
from personhood.store.pool import encode

ROWS_AT_ONCE = 500


async def insert_all(conn: AsyncConnection, project_id: int, entries: Sequence[Entry]) -> None:
    """Raises UniqueViolation (ledger_pkey) for a version that is there already."""
    await conn.execute(
        """
        INSERT INTO ledger (project_id, person_id, version, kind, at, event_uuid, distinct_id_id,
                            api_key_id, request_id, before, after, is_identified, created_at, ids,
                            source_id)
        SELECT %(project_id)s, person_id, version, kind, at, event_uuid, distinct_id_id,
               api_key_id, request_id, before, after, is_identified, created_at, ids, source_id
          FROM jsonb_to_recordset(%(lines)s::jsonb)
            AS t (person_id bigint, version bigint, kind text, at timestamptz, event_uuid uuid,
                  distinct_id_id bigint, api_key_id bigint, request_id uuid, before jsonb,
                  after jsonb, is_identified boolean, created_at timestamptz, ids bigint[],
                  source_id bigint)
        """,
        {"project_id": project_id, "lines": encode([line(each) for each in entries]).decode()},
    )


async def rewrite_all(conn: AsyncConnection, project_id: int, entries: Sequence[Entry]) -> None:
    """Let entries say something else of what was and is, and of who was involved.

    Only for forgetting others: the person they lead to has to stay the same.
    """
    await conn.execute(
        """
        UPDATE ledger
           SET before = t.before,
               after = t.after,
               event_uuid = t.event_uuid,
               distinct_id_id = t.distinct_id_id,
               ids = t.ids,
               source_id = t.source_id
          FROM jsonb_to_recordset(%(lines)s::jsonb)
            AS t (person_id bigint, version bigint, event_uuid uuid, distinct_id_id bigint,
                  before jsonb, after jsonb, ids bigint[], source_id bigint)
         WHERE ledger.project_id = %(project_id)s
           AND ledger.person_id = t.person_id
           AND ledger.version = t.version
        """,
        {"project_id": project_id, "lines": encode([line(each) for each in entries]).decode()},
    )


def line(entry: Entry) -> dict[str, Any]:
    """A row, as far as it is not NULL."""
    columns = {
        "person_id": entry.person_id,
        "version": entry.version,
        "kind": entry.kind,
        "at": entry.at,
        "event_uuid": entry.cause.event_uuid,
        "distinct_id_id": entry.cause.distinct_id_id,
        "api_key_id": entry.cause.api_key_id,
        "request_id": entry.cause.request_id,
        "before": entry.before or None,
        "after": entry.after or None,
        "is_identified": entry.is_identified,
        "created_at": entry.created_at,
        "ids": entry.ids or None,
        "source_id": entry.source_id,
    }
    return {name: value for name, value in columns.items() if value is not None}


async def of_persons(
    conn: AsyncConnection, project_id: int, person_ids: Iterable[int]
) -> dict[int, list[Entry]]:
    """Every entry of some persons, each person's first version first."""
    cursor = await conn.execute(
        """
        SELECT person_id, version, kind, at, event_uuid, distinct_id_id, api_key_id, request_id,
               before, after, is_identified, created_at, ids, source_id
          FROM ledger
         WHERE project_id = %(project_id)s
           AND person_id = ANY(%(person_ids)b::bigint[])
         ORDER BY person_id, version
        """,
        {"project_id": project_id, "person_ids": list(person_ids)},
    )
    found: dict[int, list[Entry]] = {}
    for row in await cursor.fetchall():
        found.setdefault(row[0], []).append(entry(*row))
    return found


async def of_person(conn: AsyncConnection, project_id: int, person_id: int) -> list[Entry]:
    return (await of_persons(conn, project_id, [person_id])).get(person_id, [])


async def firsts(
    conn: AsyncConnection, project_id: int, person_ids: Iterable[int]
) -> dict[int, Entry]:
    """The first entry of each of some persons: how it came to be."""
    cursor = await conn.execute(
        """
        SELECT l.*
          FROM unnest(%(person_ids)b::bigint[]) AS person (id)
         CROSS JOIN LATERAL (
               SELECT person_id, version, kind, at, event_uuid, distinct_id_id, api_key_id,
                      request_id, before, after, is_identified, created_at, ids, source_id
                 FROM ledger
                WHERE project_id = %(project_id)s
                  AND person_id = person.id
                ORDER BY version
                LIMIT 1
               ) AS l
        """,
        {"project_id": project_id, "person_ids": list(person_ids)},
    )
    return {row[0]: entry(*row) for row in await cursor.fetchall()}


async def orphans(
    conn: AsyncConnection,
    project_id: int,
    *,
    person_ids: Collection[int],
    of_ids: Collection[int] | None = None,
    without: Collection[int] = (),
    keys: Collection[str] | None = None,
    since: int = 0,
    bends: Sequence[Bend] = (),
) -> AsyncGenerator[Entry, None]:
    """What some persons' distinct ids changed by events that are no longer stored, in order.

    `of_ids` of them, or all `without` some; with `keys` only what changed one of these.
    """
    async with conn.cursor("entry_orphans") as cursor:
        cursor.itersize = ROWS_AT_ONCE
        await cursor.execute(
            """
            SELECT person_id, ledger.version, kind, at, event_uuid, distinct_id_id, api_key_id,
                   request_id, before, after, is_identified, created_at, ids, source_id
              FROM ledger
              LEFT JOIN LATERAL (
                   SELECT min(after) + 1 AS version
                     FROM unnest(%(after)b::bigint[], %(before)b::bigint[]) AS t (after, before)
                    WHERE ledger.version > t.after AND ledger.version < t.before
                   ) AS bend ON cardinality(%(after)b::bigint[]) > 0
             WHERE project_id = %(project_id)s
               AND person_id = ANY(%(person_ids)b::bigint[])
               AND ledger.version >= %(since)s
               AND kind IN ('created', 'set')
               AND (%(of_ids)b::bigint[] IS NULL OR distinct_id_id = ANY(%(of_ids)b::bigint[]))
               AND distinct_id_id <> ALL(%(without)b::bigint[])
               AND (%(keys)b::text[] IS NULL
                    OR before ?| %(keys)b::text[] OR after ?| %(keys)b::text[])
               AND NOT EXISTS (SELECT
                                 FROM event_key
                                WHERE project_id = %(project_id)s
                                  AND uuid = ledger.event_uuid)
             ORDER BY coalesce(bend.version, ledger.version),
                      CASE WHEN bend.version IS NOT NULL THEN at END,
                      at, event_uuid
            """,
            {
                "project_id": project_id,
                "person_ids": list(person_ids),
                "of_ids": None if of_ids is None else list(of_ids),
                "without": list(without),
                "keys": None if keys is None else sorted(keys),
                "since": since,
                "after": [bend.after for bend in bends],
                "before": [bend.before for bend in bends],
            },
        )
        async for row in cursor:
            yield entry(*row)


async def any_of_kinds(
    conn: AsyncConnection, project_id: int, person_ids: Iterable[int], *, kinds: Iterable[EntryKind]
) -> bool:
    """Whether the ledgers of some persons have an entry of one of these kinds."""
    cursor = await conn.execute(
        """
        SELECT FROM unnest(%(person_ids)b::bigint[]) AS person (id)
         CROSS JOIN LATERAL (
               SELECT FROM ledger
                WHERE project_id = %(project_id)s
                  AND person_id = person.id
                  AND kind = ANY(%(kinds)b::text[])
                LIMIT 1
               ) AS found
         LIMIT 1
        """,
        {
            "project_id": project_id,
            "person_ids": list(person_ids),
            "kinds": [kind.value for kind in kinds],
        },
    )
    return await cursor.fetchone() is not None


async def any_undone(conn: AsyncConnection, project_id: int, person_id: int, *, since: int) -> bool:
    """Whether a merge of a person was undone at version `since` or later."""
    cursor = await conn.execute(
        """
        SELECT FROM ledger
         WHERE project_id = %(project_id)s
           AND person_id = %(person_id)s
           AND version >= %(since)s
           AND kind = 'undone'
           AND source_id IS NOT NULL
         LIMIT 1
        """,
        {"project_id": project_id, "person_id": person_id, "since": since},
    )
    return await cursor.fetchone() is not None


async def first_named(
    conn: AsyncConnection,
    project_id: int,
    *,
    person_ids: Collection[int],
    ids: Sequence[int],
) -> dict[int, datetime]:
    """When some distinct ids first came to one of these persons, by the time of the event."""
    cursor = await conn.execute(
        """
        SELECT id, min(at)
          FROM ledger
         CROSS JOIN unnest(ids) AS gained (id)
         WHERE project_id = %(project_id)s
           AND person_id = ANY(%(person_ids)b::bigint[])
           AND ids && %(ids)b::bigint[]
           AND id = ANY(%(ids)b::bigint[])
         GROUP BY id
        """,
        {"project_id": project_id, "person_ids": list(person_ids), "ids": ids},
    )
    return dict(await cursor.fetchall())


async def delete_all(conn: AsyncConnection, project_id: int, person_ids: Iterable[int]) -> None:
    """Remove what is told of persons that are themselves removed."""
    await conn.execute(
        """
        DELETE FROM ledger
         WHERE project_id = %(project_id)s
           AND person_id = ANY(%(person_ids)b::bigint[])
        """,
        {"project_id": project_id, "person_ids": list(person_ids)},
    )


def entry(person_id: int, version: int, kind: str, *rest: Any) -> Entry:
    """An entry of a row of `of_persons`."""
    at, event_uuid, distinct_id_id, api_key_id, request_id, before, after, *facts = rest
    is_identified, created_at, ids, source_id = facts
    return Entry(
        person_id=person_id,
        version=version,
        kind=EntryKind(kind),
        at=at,
        cause=Cause(
            event_uuid=event_uuid,
            distinct_id_id=distinct_id_id,
            api_key_id=api_key_id,
            request_id=request_id,
        ),
        before=before or {},
        after=after or {},
        is_identified=is_identified,
        created_at=created_at,
        ids=ids or [],
        source_id=source_id,
    )
