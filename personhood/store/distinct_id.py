"""Distinct ids: the rows that events refer to, and the way from a text to its person."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import class_row

from personhood.model import DistinctId, Person
from personhood.store import arrays

FIND_ROUNDS_MAX = 100


class Reserved(Struct, kw_only=True):
    """What a distinct id without a person gets if an event makes one of it.

    `generation` counts the earlier lives of the text whose events are still there; `uuid_taken`
    tells that the uuid derived from it belongs to a person already.
    """

    distinct_id: str
    distinct_id_id: int
    person_id: int
    generation: int
    uuid_taken: bool


class Found(Struct, kw_only=True):
    """What the store knows of some texts: their rows, the roots, the way up from other leaves."""

    ids: dict[str, DistinctId]
    persons: dict[int, Person]
    parents: dict[int, int]


async def find(conn: AsyncConnection, project_id: int, texts: Sequence[str]) -> Found:
    """The live rows of `texts`, each with its person, and the persons those merged into."""
    for _ in range(FIND_ROUNDS_MAX):
        found = await leaves(conn, project_id, texts)
        while missing := sorted(
            {*found.parents.values()} - found.persons.keys() - found.parents.keys()
        ):
            rows = await person_rows(conn, missing)
            for row in rows:
                add(found, project_id, row)
            if len(rows) < len(missing):
                break  # somebody was deleted between two statements: their ids are free by now
        else:
            return found
    raise AssertionError("a person has merged into nobody")


async def leaves(conn: AsyncConnection, project_id: int, texts: Sequence[str]) -> Found:
    """The live rows of `texts`, each with the person that it is bound to."""
    cursor = await conn.execute(
        """
        SELECT d.distinct_id, d.id, d.generation, d.person_id,
               p.uuid, p.properties, p.is_identified, p.created_at, p.last_seen_at, p.version,
               p.merged_into_id
          FROM distinct_id d
          LEFT JOIN person p ON p.id = d.person_id
         WHERE d.project_id = %(project_id)s
           AND d.distinct_id = ANY(%(texts)b::text[])
           AND d.ended_at IS NULL
        """,
        {"project_id": project_id, "texts": arrays.texts(texts)},
        binary=True,
    )
    found = Found(ids={}, persons={}, parents={})
    for text, id, generation, *leaf in await cursor.fetchall():
        found.ids[text] = DistinctId(
            id=id,
            project_id=project_id,
            distinct_id=text,
            person_id=leaf[0],
            generation=generation,
        )
        if leaf[0] is not None:
            add(found, project_id, leaf)
    return found


async def person_rows(conn: AsyncConnection, ids: Sequence[int]) -> list[tuple[Any, ...]]:
    cursor = await conn.execute(
        """
        SELECT id, uuid, properties, is_identified, created_at, last_seen_at, version,
               merged_into_id
          FROM person
         WHERE id = ANY(%(ids)b::bigint[])
        """,
        {"ids": arrays.int8s(ids)},
        binary=True,
    )
    return await cursor.fetchall()


def add(found: Found, project_id: int, row: Sequence[Any]) -> None:
    """A person is a root, or one more step on the way to it."""
    id, uuid, properties, is_identified, created_at, last_seen_at, version, parent = row
    if parent is not None:
        found.parents[id] = parent
    elif id not in found.persons:
        found.persons[id] = Person(
            id=id,
            project_id=project_id,
            uuid=uuid,
            properties=properties,
            is_identified=is_identified,
            created_at=created_at,
            last_seen_at=last_seen_at,
            version=version,
        )


async def reserve(
    conn: AsyncConnection, project_id: int, *, texts: Sequence[str], uuids: Sequence[UUID]
) -> list[Reserved]:
    """Ids for what may be made of `texts`, whose derived person uuids are `uuids`."""
    async with conn.cursor(row_factory=class_row(Reserved), binary=True) as cursor:
        await cursor.execute(
            """
            SELECT t.distinct_id,
                   nextval('distinct_id_id_seq') AS distinct_id_id,
                   nextval('person_id_seq') AS person_id,
                   1 + coalesce((SELECT max(d.generation)
                                   FROM distinct_id d
                                  WHERE d.project_id = %(project_id)s
                                    AND d.distinct_id = t.distinct_id
                                    AND d.ended_at IS NOT NULL), 0) AS generation,
                   EXISTS (SELECT FROM person p
                            WHERE p.project_id = %(project_id)s
                              AND p.uuid = t.uuid) AS uuid_taken
              FROM unnest(%(texts)b::text[], %(uuids)b::uuid[]) AS t (distinct_id, uuid)
            """,
            {
                "project_id": project_id,
                "texts": arrays.texts(texts),
                "uuids": arrays.uuids(uuids),
            },
        )
        return await cursor.fetchall()


async def lock_personless(conn: AsyncConnection, ids: Iterable[int]) -> list[int]:
    """Lock rows that are about to get a person, in order; tells which are still without one."""
    cursor = await conn.execute(
        """
        SELECT id
          FROM distinct_id
         WHERE id = ANY(%(ids)b::bigint[])
           AND person_id IS NULL
           AND ended_at IS NULL
         ORDER BY id
           FOR UPDATE
        """,
        {"ids": arrays.int8s(sorted(ids))},
    )
    return [row[0] async for row in cursor]


async def insert_all(conn: AsyncConnection, ids: Sequence[DistinctId]) -> None:
    """Raises UniqueViolation (distinct_id_live) when somebody else made one of them meanwhile."""
    await conn.execute(
        """
        INSERT INTO distinct_id (id, project_id, distinct_id, generation, person_id)
        SELECT *
          FROM unnest(%(ids)b::bigint[], %(projects)b::bigint[], %(texts)b::text[],
                      %(generations)b::int[], %(persons)b::bigint[])
        """,
        {
            "ids": arrays.int8s([row.id for row in ids]),
            "projects": arrays.int8s([row.project_id for row in ids]),
            "texts": arrays.texts([row.distinct_id for row in ids]),
            "generations": arrays.int4s([row.generation for row in ids]),
            "persons": arrays.int8s([row.person_id for row in ids]),
        },
    )


async def attach_all(conn: AsyncConnection, ids: Sequence[DistinctId]) -> None:
    """Give rows that were personless their person."""
    await conn.execute(
        """
        UPDATE distinct_id d
           SET person_id = t.person_id
          FROM unnest(%(ids)b::bigint[], %(persons)b::bigint[]) AS t (id, person_id)
         WHERE d.id = t.id
        """,
        {
            "ids": arrays.int8s([row.id for row in ids]),
            "persons": arrays.int8s([row.person_id for row in ids]),
        },
    )


async def of_persons(conn: AsyncConnection, ids: Iterable[int]) -> list[DistinctId]:
    """The live ids whose leaf is one of these persons."""
    async with conn.cursor(row_factory=class_row(DistinctId)) as cursor:
        await cursor.execute(
            """
            SELECT id, project_id, distinct_id, person_id, generation
              FROM distinct_id
             WHERE person_id = ANY(%(ids)b::bigint[])
               AND ended_at IS NULL
             ORDER BY id
            """,
            {"ids": list(ids)},
        )
        return await cursor.fetchall()


async def of_leaves(conn: AsyncConnection, leaf_ids: Iterable[int]) -> list[int]:
    """The live rows of some leaves, the oldest first."""
    cursor = await conn.execute(
        """
        SELECT id
          FROM distinct_id
         WHERE person_id = ANY(%(leaves)b::bigint[])
           AND ended_at IS NULL
         ORDER BY id
        """,
        {"leaves": list(leaf_ids)},
        binary=True,
    )
    return [row[0] for row in await cursor.fetchall()]


async def first_of_leaves(
    conn: AsyncConnection, leaf_ids: Iterable[int], *, limit: int
) -> list[str]:
    """The live ids of some leaves, the oldest rows of them."""
    cursor = await conn.execute(
        """
        SELECT d.distinct_id
          FROM unnest(%(leaves)b::bigint[]) AS leaf (id)
         CROSS JOIN LATERAL (
               SELECT id, distinct_id
                 FROM distinct_id
                WHERE person_id = leaf.id
                  AND ended_at IS NULL
                ORDER BY id
                LIMIT %(limit)s
               ) AS d
         ORDER BY d.id
         LIMIT %(limit)s
        """,
        {"leaves": list(leaf_ids), "limit": limit},
    )
    return [row[0] for row in await cursor.fetchall()]


async def of_family(conn: AsyncConnection, root_id: int, *, limit: int) -> list[DistinctId]:
    """The live ids of a root and of all that was ever merged into it, the oldest rows of them."""
    async with conn.cursor(row_factory=class_row(DistinctId)) as cursor:
        await cursor.execute(
            """
            WITH RECURSIVE family (id) AS (
                SELECT %(root_id)s::bigint
                 UNION ALL
                SELECT person.id
                  FROM family
                  JOIN person ON person.merged_into_id = family.id
            )
            SELECT d.id, d.project_id, d.distinct_id, d.person_id, d.generation
              FROM family
             CROSS JOIN LATERAL (
                   SELECT id, project_id, distinct_id, person_id, generation
                     FROM distinct_id
                    WHERE person_id = family.id
                      AND ended_at IS NULL
                    ORDER BY id
                    LIMIT %(limit)s
                   ) AS d
             ORDER BY d.id
             LIMIT %(limit)s
            """,
            {"root_id": root_id, "limit": limit},
        )
        return await cursor.fetchall()


async def leaves_of(conn: AsyncConnection, ids: Iterable[int]) -> dict[int, int]:
    """The leaf of each of these rows that is live and has one."""
    cursor = await conn.execute(
        """
        SELECT id, person_id
          FROM distinct_id
         WHERE id = ANY(%(ids)b::bigint[])
           AND person_id IS NOT NULL
           AND ended_at IS NULL
        """,
        {"ids": list(ids)},
        binary=True,
    )
    return dict(await cursor.fetchall())


async def any_but(conn: AsyncConnection, root_id: int, *, without: Collection[int]) -> bool:
    """Whether a root's family has any live id but some."""
    cursor = await conn.execute(
        """
        WITH RECURSIVE family (id) AS (
            SELECT %(root_id)s::bigint
             UNION ALL
            SELECT person.id
              FROM family
              JOIN person ON person.merged_into_id = family.id
        )
        SELECT FROM family
         CROSS JOIN LATERAL (
               SELECT FROM distinct_id
                WHERE person_id = family.id
                  AND ended_at IS NULL
                  AND id <> ALL(%(without)b::bigint[])
                LIMIT 1
               ) AS other
         LIMIT 1
        """,
        {"root_id": root_id, "without": list(without)},
    )
    return await cursor.fetchone() is not None


async def counts_around(
    conn: AsyncConnection, leaf_ids: Iterable[int], *, without: Collection[int], most: int
) -> dict[int, tuple[int, int]]:
    """For each leaf how many live ids it has but some, and how many persons point at it.

    Neither is counted beyond `most`.
    """
    cursor = await conn.execute(
        """
        SELECT leaf.id,
               (SELECT count(*)
                  FROM (SELECT FROM distinct_id
                         WHERE person_id = leaf.id
                           AND ended_at IS NULL
                           AND id <> ALL(%(without)b::bigint[])
                         LIMIT %(most)s) AS own),
               (SELECT count(*)
                  FROM (SELECT FROM person
                         WHERE merged_into_id = leaf.id
                         LIMIT %(most)s) AS below)
          FROM unnest(%(leaves)b::bigint[]) AS leaf (id)
        """,
        {"leaves": list(leaf_ids), "without": list(without), "most": most},
    )
    return {row[0]: (row[1], row[2]) for row in await cursor.fetchall()}


async def move_leaves(
    conn: AsyncConnection, targets: Mapping[int, int], *, without: Collection[int] = ()
) -> None:
    """Bind all live ids of some leaves, but some, to other leaves: `targets`, by leaf."""
    await conn.execute(
        """
        UPDATE distinct_id d
           SET person_id = t.target_id
          FROM unnest(%(sources)b::bigint[], %(targets)b::bigint[]) AS t (source_id, target_id)
         WHERE d.person_id = t.source_id
           AND d.ended_at IS NULL
           AND d.id <> ALL(%(without)b::bigint[])
        """,
        {
            "sources": list(targets),
            "targets": list(targets.values()),
            "without": list(without),
        },
    )
