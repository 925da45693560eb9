"""Persons as ingestion writes them: by arrays, however many an ingest group touches.

`texts` are the properties as JSON, by person id.
"""

from collections.abc import Iterable, Mapping, Sequence

from psycopg import AsyncConnection
from psycopg.rows import class_row

from personhood.model import Person

CHILDREN_COMPRESSED_MAX = 100


async def lock(conn: AsyncConnection, ids: Iterable[int]) -> dict[int, int]:
    """Lock persons in id order; tells the version of each that is (still) a root."""
    cursor = await conn.execute(
        """
        SELECT id, version, merged_into_id
          FROM person
         WHERE id = ANY(%(ids)b::bigint[])
         ORDER BY id
           FOR NO KEY UPDATE
        """,
        {"ids": sorted(ids)},
        binary=True,
    )
    return {id: version async for id, version, parent in cursor if parent is None}


async def by_ids(conn: AsyncConnection, ids: Iterable[int]) -> dict[int, Person]:
    """Persons as they are stored, merged ones too."""
    async with conn.cursor(row_factory=class_row(Person), binary=True) as cursor:
        await cursor.execute(
            """
            SELECT id, project_id, uuid, created_at, properties, is_identified, last_seen_at,
                   version, merged_into_id
              FROM person
             WHERE id = ANY(%(ids)b::bigint[])
            """,
            {"ids": list(ids)},
        )
        return {person.id: person for person in await cursor.fetchall()}


async def insert_all(
    conn: AsyncConnection, persons: Sequence[Person], texts: Mapping[int, bytes]
) -> None:
    """Raises UniqueViolation (person_uuid_key) when somebody else made one of them meanwhile."""
    await conn.execute(
        """
        INSERT INTO person (id, project_id, uuid, properties, is_identified, created_at,
                            last_seen_at, version, merged_into_id)
        SELECT id, project_id, uuid, properties::jsonb, is_identified, created_at,
               last_seen_at, version, merged_into_id
          FROM unnest(%(ids)b::bigint[], %(projects)b::bigint[], %(uuids)b::uuid[],
                      %(properties)b::text[], %(identified)b::boolean[],
                      %(created)b::timestamptz[], %(seen)b::timestamptz[],
                      %(versions)b::bigint[], %(parents)b::bigint[])
            AS t (id, project_id, uuid, properties, is_identified, created_at, last_seen_at,
                  version, merged_into_id)
        """,
        columns(persons, texts)
        | {
            "projects": [person.project_id for person in persons],
            "uuids": [person.uuid for person in persons],
        },
    )


async def update_all(
    conn: AsyncConnection, persons: Sequence[Person], texts: Mapping[int, bytes]
) -> None:
    """Write persons that are locked. What only moved `last_seen_at` goes to `see_all`.

    That moves without a version, so it may be later by now than it was when they were read.
    """
    await conn.execute(
        """
        UPDATE person p
           SET properties = t.properties::jsonb,
               is_identified = t.is_identified,
               created_at = t.created_at,
               last_seen_at = greatest(p.last_seen_at, t.last_seen_at),
               version = t.version,
               merged_into_id = t.merged_into_id
          FROM unnest(%(ids)b::bigint[], %(properties)b::text[], %(identified)b::boolean[],
                      %(created)b::timestamptz[], %(seen)b::timestamptz[],
                      %(versions)b::bigint[], %(parents)b::bigint[])
            AS t (id, properties, is_identified, created_at, last_seen_at, version,
                  merged_into_id)
         WHERE p.id = t.id
        """,
        columns(persons, texts),
    )


async def see_all(conn: AsyncConnection, persons: Sequence[Person]) -> None:
    await conn.execute(
        """
        UPDATE person p
           SET last_seen_at = greatest(p.last_seen_at, t.last_seen_at)
          FROM unnest(%(ids)b::bigint[], %(seen)b::timestamptz[]) AS t (id, last_seen_at)
         WHERE p.id = t.id
        """,
        {
            "ids": [person.id for person in persons],
            "seen": [person.last_seen_at for person in persons],
        },
    )


async def compress(conn: AsyncConnection, *, source_id: int, target_id: int) -> None:
    """Point what had merged into the source at the target, while it is few: reads walk less.

    Larger families keep their way by two steps or more; it is as correct. So does a child that
    somebody holds, taking it for a root still: to wait for it could be to wait for each other.
    """
    await conn.execute(
        """
        UPDATE person
           SET merged_into_id = %(target_id)s
         WHERE id IN (SELECT id
                        FROM person
                       WHERE merged_into_id = %(source_id)s
                         FOR NO KEY UPDATE SKIP LOCKED)
           AND (SELECT count(*)
                  FROM (SELECT FROM person
                         WHERE merged_into_id = %(source_id)s
                         LIMIT %(most)s + 1) AS child) <= %(most)s
        """,
        {"source_id": source_id, "target_id": target_id, "most": CHILDREN_COMPRESSED_MAX},
    )


async def point(conn: AsyncConnection, ids: Iterable[int], *, target_id: int) -> None:
    """Let persons have merged into the target, whoever it was before."""
    await conn.execute(
        """
        UPDATE person
           SET merged_into_id = %(target_id)s
         WHERE id = ANY(%(ids)b::bigint[])
           AND merged_into_id IS DISTINCT FROM %(target_id)s
        """,
        {"ids": sorted(ids), "target_id": target_id},
    )


def columns(persons: Sequence[Person], texts: Mapping[int, bytes]) -> dict[str, object]:
    return {
        "ids": [person.id for person in persons],
        "properties": [texts[person.id].decode() for person in persons],
        "identified": [person.is_identified for person in persons],
        "created": [person.created_at for person in persons],
        "seen": [person.last_seen_at for person in persons],
        "versions": [person.version for person in persons],
        "parents": [person.merged_into_id for person in persons],
    }
