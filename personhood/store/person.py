"""Persons as ingestion writes them: by arrays, however many an ingest group touches.

`texts` are the properties as JSON, by person id.
"""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row

from personhood.model import Person
from personhood.store import arrays

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
        {"ids": arrays.int8s(sorted(ids))},
        binary=True,
    )
    return {id: version async for id, version, parent in cursor if parent is None}


async def lock_idle(conn: AsyncConnection, ids: Iterable[int]) -> bool:
    """Lock merged persons whose root is locked; False when somebody holds one of them.

    Whoever holds one took it for a root, and may be waiting for that root.
    """
    wanted = sorted(set(ids))
    cursor = await conn.execute(
        """
        SELECT id
          FROM person
         WHERE id = ANY(%(ids)b::bigint[])
           FOR NO KEY UPDATE SKIP LOCKED
        """,
        {"ids": arrays.int8s(wanted)},
        binary=True,
    )
    return len(await cursor.fetchall()) == len(wanted)


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
            "projects": arrays.int8s([person.project_id for person in persons]),
            "uuids": arrays.uuids([person.uuid for person in persons]),
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
            "ids": arrays.int8s([person.id for person in persons]),
            "seen": arrays.times([person.last_seen_at for person in persons]),
        },
    )


async def compress(conn: AsyncConnection, targets: Mapping[int, int]) -> None:
    """Point what had merged into each source at its target, while it is few: reads walk less.

    Larger families keep their way by two steps or more; it is as correct. So does a child that
    somebody holds, taking it for a root still: to wait for it could be to wait for each other.
    """
    await conn.execute(
        """
        UPDATE person p
           SET merged_into_id = child.target_id
          FROM (SELECT held.id, t.target_id
                  FROM unnest(%(sources)b::bigint[], %(targets)b::bigint[])
                    AS t (source_id, target_id)
                 CROSS JOIN LATERAL (
                       SELECT id
                         FROM person
                        WHERE merged_into_id = t.source_id
                          FOR NO KEY UPDATE SKIP LOCKED
                       ) AS held
                 WHERE (SELECT count(*)
                          FROM (SELECT FROM person
                                 WHERE merged_into_id = t.source_id
                                 LIMIT %(most)s + 1) AS few) <= %(most)s
               ) AS child
         WHERE p.id = child.id
        """,
        {
            "sources": arrays.int8s(list(targets)),
            "targets": arrays.int8s(list(targets.values())),
            "most": CHILDREN_COMPRESSED_MAX,
        },
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


async def pointers(conn: AsyncConnection, ids: Iterable[int]) -> dict[int, int]:
    """Who some persons were merged into, of those that were."""
    cursor = await conn.execute(
        """
        SELECT id, merged_into_id
          FROM person
         WHERE id = ANY(%(ids)b::bigint[])
           AND merged_into_id IS NOT NULL
        """,
        {"ids": list(ids)},
        binary=True,
    )
    return dict(await cursor.fetchall())


async def point_away(conn: AsyncConnection, ids: Iterable[int], *, target_id: int) -> None:
    """Let all that point at one of these persons point at the target instead."""
    await conn.execute(
        """
        UPDATE person
           SET merged_into_id = %(target_id)s
         WHERE merged_into_id = ANY(%(ids)b::bigint[])
        """,
        {"ids": sorted(ids), "target_id": target_id},
    )


async def reserve(conn: AsyncConnection, number: int) -> list[int]:
    """Ids for persons that are yet to be made."""
    cursor = await conn.execute(
        """
        SELECT nextval('person_id_seq')
          FROM generate_series(1, %(number)s)
        """,
        {"number": number},
    )
    return [row[0] for row in await cursor.fetchall()]


async def by_uuids(
    conn: AsyncConnection, project_id: int, uuids: Sequence[UUID]
) -> dict[UUID, int]:
    """Who has which of these uuids, merged persons too."""
    cursor = await conn.execute(
        """
        SELECT uuid, id
          FROM person
         WHERE project_id = %(project_id)s
           AND uuid = ANY(%(uuids)b::uuid[])
        """,
        {"project_id": project_id, "uuids": uuids},
        binary=True,
    )
    return dict(await cursor.fetchall())


async def see_exactly(conn: AsyncConnection, persons: Sequence[Person]) -> None:
    """Write `last_seen_at` of locked persons as it is, also when it is earlier than before."""
    await conn.execute(
        """
        UPDATE person p
           SET last_seen_at = t.last_seen_at
          FROM unnest(%(ids)b::bigint[], %(seen)b::timestamptz[]) AS t (id, last_seen_at)
         WHERE p.id = t.id
        """,
        {
            "ids": [person.id for person in persons],
            "seen": [person.last_seen_at for person in persons],
        },
    )


async def delete_all(conn: AsyncConnection, project_id: int, ids: Iterable[int]) -> None:
    await conn.execute(
        """
        DELETE FROM person
         WHERE project_id = %(project_id)s
           AND id = ANY(%(ids)b::bigint[])
        """,
        {"project_id": project_id, "ids": list(ids)},
    )


def columns(persons: Sequence[Person], texts: Mapping[int, bytes]) -> dict[str, object]:
    return {
        "ids": arrays.int8s([person.id for person in persons]),
        "properties": arrays.raw_texts([texts[person.id] for person in persons]),
        "identified": arrays.booleans([person.is_identified for person in persons]),
        "created": arrays.times([person.created_at for person in persons]),
        "seen": arrays.times([person.last_seen_at for person in persons]),
        "versions": arrays.int8s([person.version for person in persons]),
        "parents": arrays.int8s([person.merged_into_id for person in persons]),
    }
