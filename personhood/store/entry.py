"""The ledger's lines. They are appended and read; only forgetting a person removes them."""

from collections.abc import Iterable, Sequence
from typing import Any

from psycopg import AsyncConnection

from personhood.model import Cause, Entry, EntryKind
from personhood.store.pool import encode


async def insert_all(conn: AsyncConnection, project_id: int, entries: Sequence[Entry]) -> None:
    """Raises UniqueViolation (ledger_pkey) for a version that is there already."""
    async with (
        conn.cursor() as cursor,
        cursor.copy(
            """
            COPY ledger (project_id, person_id, version, kind, at, event_uuid, distinct_id_id,
                         api_key_id, request_id, before, after, is_identified, created_at, ids,
                         source_id)
            FROM STDIN
            """
        ) as copy,
    ):
        for entry in entries:
            await copy.write_row(
                (
                    project_id,
                    entry.person_id,
                    entry.version,
                    entry.kind.value,
                    entry.at,
                    entry.cause.event_uuid,
                    entry.cause.distinct_id_id,
                    entry.cause.api_key_id,
                    entry.cause.request_id,
                    encode(entry.before).decode() if entry.before else None,
                    encode(entry.after).decode() if entry.after else None,
                    entry.is_identified,
                    entry.created_at,
                    entry.ids or None,
                    entry.source_id,
                )
            )


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
