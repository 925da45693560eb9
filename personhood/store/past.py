"""Ledgers read for what was known at a moment: who had which distinct ids, and was what.

`At` says by which clock: when something was recorded here, or the time of the event or request.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import class_row

from personhood.model import Person

CANDIDATES_MAX = 1_000


class At(Struct, frozen=True):
    moment: datetime
    by_event: bool = False


class Move(Struct, frozen=True, kw_only=True):
    """An entry by which distinct ids came to a person, with another one or alone, or left it."""

    person_id: int
    version: int
    kind: str
    ids: list[int] | None
    source_id: int | None


class PartingKind(StrEnum):
    """Ids were taken by a split, or its undoing emptied whom it had made, or brought ids back."""

    TAKEN = "taken"
    EMPTIED = "emptied"
    REJOINED = "rejoined"


class Parting(Struct, frozen=True, kw_only=True):
    """What a split, or its undoing, did to a person at a version."""

    person_id: int
    version: int
    kind: PartingKind
    ids: list[int]


async def moves(
    conn: AsyncConnection, project_id: int, person_ids: Sequence[int], *, at: At
) -> list[Move]:
    async with conn.cursor(row_factory=class_row(Move)) as cursor:
        await cursor.execute(
            """
            SELECT person_id, version, kind, ids, source_id
              FROM ledger
             WHERE project_id = %(project_id)s
               AND person_id = ANY(%(persons)b::bigint[])
               AND CASE WHEN %(by_event)s THEN at ELSE recorded_at END <= %(moment)s
               AND (ids IS NOT NULL OR source_id IS NOT NULL)
             ORDER BY person_id, version
            """,
            {
                "project_id": project_id,
                "persons": person_ids,
                "moment": at.moment,
                "by_event": at.by_event,
            },
        )
        return await cursor.fetchall()


async def gained(
    conn: AsyncConnection, project_id: int, versions: Collection[tuple[int, int]]
) -> dict[tuple[int, int], list[int]]:
    """The ids that entries, by person and version, name."""
    cursor = await conn.execute(
        """
        SELECT l.person_id, l.version, l.ids
          FROM unnest(%(persons)b::bigint[], %(versions)b::bigint[]) AS n (person_id, version)
         CROSS JOIN LATERAL (
               SELECT person_id, version, ids
                 FROM ledger
                WHERE project_id = %(project_id)s
                  AND person_id = n.person_id
                  AND version = n.version
                LIMIT 1
               ) AS l
        """,
        {
            "project_id": project_id,
            "persons": [person_id for person_id, _ in versions],
            "versions": [version for _, version in versions],
        },
    )
    return {(person_id, version): ids or [] async for person_id, version, ids in cursor}


async def partings(
    conn: AsyncConnection, project_id: int, person_ids: Sequence[int], *, at: At
) -> list[Parting]:
    """Whether it had happened by then is told by the entry of who was split."""
    cursor = await conn.execute(
        """
        SELECT s.person_id, s.version, 'taken', ARRAY(
                   SELECT distinct_id_id
                     FROM split_person
                    WHERE split_id = s.id AND role = 'moved' AND distinct_id_id IS NOT NULL
               )
          FROM split s
          JOIN ledger l ON l.person_id = s.person_id AND l.version = s.version
         WHERE s.project_id = %(project_id)s
           AND s.person_id = ANY(%(persons)b::bigint[])
           AND CASE WHEN %(by_event)s THEN l.at ELSE l.recorded_at END <= %(moment)s
         UNION ALL
        SELECT s.person_id, s.undone_version, 'rejoined', '{}'::bigint[]
          FROM split s
         WHERE s.project_id = %(project_id)s
           AND s.person_id = ANY(%(persons)b::bigint[])
           AND s.undone_version IS NOT NULL
         UNION ALL
        SELECT part.person_id, s.undone_version, 'emptied', '{}'::bigint[]
          FROM split_person part
          JOIN split s ON s.id = part.split_id
          JOIN ledger l ON l.person_id = s.person_id AND l.version = s.undone_version
         WHERE s.project_id = %(project_id)s
           AND part.person_id = ANY(%(persons)b::bigint[])
           AND part.role = 'moved'
           AND CASE WHEN %(by_event)s THEN l.at ELSE l.recorded_at END <= %(moment)s
        """,
        {
            "project_id": project_id,
            "persons": person_ids,
            "moment": at.moment,
            "by_event": at.by_event,
        },
    )
    return [
        Parting(person_id=person_id, version=version, kind=PartingKind(kind), ids=ids)
        async for person_id, version, kind, ids in cursor
    ]


async def absorbed(
    conn: AsyncConnection, project_id: int, person_ids: Sequence[int], *, at: At
) -> dict[int, int]:
    """The version at which somebody absorbed each of these persons last, if somebody had.

    By the activity log: it keeps every merge as it was done, whatever became of it.
    """
    cursor = await conn.execute(
        """
        SELECT person.id, max(done.version)
          FROM unnest(%(persons)b::bigint[]) AS person (id)
         CROSS JOIN LATERAL (
               SELECT person_id, version, created_at
                 FROM activity
                WHERE project_id = %(project_id)s
                  AND other_id = person.id
                  AND kind = 'merged'
               OFFSET 0
               ) AS done
          LEFT JOIN ledger l ON l.person_id = done.person_id AND l.version = done.version
         WHERE coalesce(CASE WHEN %(by_event)s THEN l.at ELSE l.recorded_at END, done.created_at)
               <= %(moment)s
         GROUP BY person.id
        """,
        {
            "project_id": project_id,
            "persons": person_ids,
            "moment": at.moment,
            "by_event": at.by_event,
        },
    )
    return dict(await cursor.fetchall())


async def candidates(conn: AsyncConnection, project_id: int, name_id: int) -> list[int]:
    """Persons that may ever have had a distinct id: where it is and was, and whoever was one with
    these by a merge, an undone one, or before a split."""
    cursor = await conn.execute(
        """
        WITH RECURSIVE way (id) AS (
            SELECT home.id
              FROM (SELECT person_id AS id FROM distinct_id WHERE id = %(name_id)s
                     UNION
                    SELECT unnest(ARRAY[part.person_id, part.leaf_id, split.person_id])
                      FROM split_person part
                      JOIN split ON split.id = part.split_id
                     WHERE part.distinct_id_id = %(name_id)s) AS home
             WHERE home.id IS NOT NULL
             UNION
            SELECT above.target_id
              FROM way
             CROSS JOIN LATERAL (
                   SELECT target_id FROM merge WHERE source_id = way.id AND undone_at IS NULL
                    UNION ALL
                   SELECT target_id FROM merge WHERE source_id = way.id AND undone_at IS NOT NULL
                    UNION ALL
                   SELECT person_id FROM activity WHERE other_id = way.id AND kind = 'merged'
                    UNION ALL
                   SELECT other_id FROM activity
                    WHERE person_id = way.id AND kind = 'merge_undone'
                    UNION ALL
                   SELECT unnest(ARRAY[part.leaf_id, split.person_id])
                     FROM split_person part
                     JOIN split ON split.id = part.split_id
                    WHERE part.person_id = way.id
                    UNION ALL
                   SELECT part.person_id
                     FROM split
                     JOIN split_person part ON part.split_id = split.id
                    WHERE split.person_id = way.id
                      AND split.undone_at IS NOT NULL
                      AND part.role = 'moved'
                   ) AS above
        )
        SELECT person.id
          FROM (SELECT id FROM way LIMIT %(most)s) AS way
          JOIN person ON person.id = way.id
         WHERE person.project_id = %(project_id)s
        """,
        {"project_id": project_id, "name_id": name_id, "most": CANDIDATES_MAX},
    )
    return [row[0] for row in await cursor.fetchall()]


async def name_id(conn: AsyncConnection, project_id: int, text: str) -> int | None:
    cursor = await conn.execute(
        """
        SELECT id
          FROM distinct_id
         WHERE project_id = %(project_id)s
           AND distinct_id = %(text)s
           AND ended_at IS NULL
        """,
        {"project_id": project_id, "text": text},
    )
    row = await cursor.fetchone()
    return None if row is None else row[0]


async def person_by(
    conn: AsyncConnection, project_id: int, *, id: int | None = None, uuid: UUID | None = None
) -> int | None:
    """A person by either, merged ones too."""
    cursor = await conn.execute(
        """
        SELECT id FROM person
         WHERE id = %(id)s::bigint AND project_id = %(project_id)s
         UNION ALL
        SELECT id FROM person
         WHERE project_id = %(project_id)s AND uuid = %(uuid)s::uuid
        """,
        {"project_id": project_id, "id": id, "uuid": uuid},
    )
    row = await cursor.fetchone()
    return None if row is None else row[0]


async def by_uuid_behind(
    conn: AsyncConnection, project_id: int, *, after: UUID, most: int
) -> list[Person]:
    """Persons in the order of their uuids, merged ones too; without their properties."""
    async with conn.cursor(row_factory=class_row(Person)) as cursor:
        await cursor.execute(
            """
            SELECT id, project_id, uuid, created_at
              FROM person
             WHERE project_id = %(project_id)s
               AND uuid > %(after)s
             ORDER BY uuid
             LIMIT %(most)s
            """,
            {"project_id": project_id, "after": after, "most": most},
        )
        return await cursor.fetchall()
