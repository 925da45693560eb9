"""What `verification` reads: persons with their ledgers, and facts about rows, a batch at a time.

Without a project, those of all projects. Each batch is found by a primary key.
"""

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import class_row

from personhood.model import Entry, Person
from personhood.store.entry import entry

ROWS_AT_ONCE = 200


class PersonFacts(Struct, frozen=True, kw_only=True):
    """What hangs on a person: a live id of its own, a merge in force by which it was absorbed, and
    whether a split ever concerned it."""

    id: int
    project_id: int
    merged_into_id: int | None
    has_id: bool
    was_absorbed: bool
    was_split: bool


class NameFacts(Struct, frozen=True, kw_only=True):
    """A distinct id that refers to a person, and that person's project if it is there."""

    id: int
    project_id: int
    person_id: int
    is_ended: bool
    person_project_id: int | None
    lost_events: int


class MergeFacts(Struct, frozen=True, kw_only=True):
    id: int
    project_id: int
    source_id: int
    target_id: int
    source_leaf_id: int
    target_leaf_id: int


async def begin(conn: AsyncConnection) -> None:
    """Let the transaction that has just begun see one moment, for as long as it takes."""
    await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    await conn.execute("SET LOCAL statement_timeout = 0")


@asynccontextmanager
async def memory(conn: AsyncConnection, size: str) -> AsyncGenerator[None, None]:
    """Let each statement hold more in memory than usual, while the block lasts."""
    await conn.execute("SELECT set_config('work_mem', %(size)s, false)", {"size": size})
    try:
        yield
    finally:
        if not conn.closed:
            await conn.execute("RESET work_mem")


async def person_count(conn: AsyncConnection, project_id: int | None) -> int:
    cursor = await conn.execute(
        """
        SELECT count(*)
          FROM person
         WHERE %(project_id)s::bigint IS NULL OR project_id = %(project_id)s
        """,
        {"project_id": project_id},
    )
    return (await cursor.fetchall())[0][0]


async def persons_behind(
    conn: AsyncConnection, project_id: int | None, *, after: int, most: int
) -> list[PersonFacts]:
    async with conn.cursor(row_factory=class_row(PersonFacts)) as cursor:
        await cursor.execute(
            """
            SELECT id, project_id, merged_into_id,
                   EXISTS (SELECT FROM distinct_id
                            WHERE person_id = person.id AND ended_at IS NULL) AS has_id,
                   EXISTS (SELECT FROM merge
                            WHERE source_id = person.id AND undone_at IS NULL) AS was_absorbed,
                   EXISTS (SELECT FROM split_person
                            WHERE person_id = person.id) AS was_split
              FROM person
             WHERE id > %(after)s
               AND (%(project_id)s::bigint IS NULL OR project_id = %(project_id)s)
             ORDER BY id
             LIMIT %(most)s
            """,
            {"project_id": project_id, "after": after, "most": most},
        )
        return await cursor.fetchall()


async def persons(conn: AsyncConnection, ids: Sequence[int]) -> AsyncGenerator[Person, None]:
    """By id; few at a time, since each has up to half a megabyte."""
    async with conn.cursor("verified_persons", row_factory=class_row(Person)) as cursor:
        cursor.itersize = ROWS_AT_ONCE
        await cursor.execute(
            """
            SELECT id, project_id, uuid, created_at, properties, is_identified, last_seen_at,
                   version, merged_into_id
              FROM person
             WHERE id = ANY(%(ids)b::bigint[])
             ORDER BY id
            """,
            {"ids": ids},
        )
        async for row in cursor:
            yield row


async def entries(conn: AsyncConnection, ids: Sequence[int]) -> AsyncGenerator[Entry, None]:
    """The ledgers of some persons, by person and version."""
    async with conn.cursor("verified_entries") as cursor:
        cursor.itersize = ROWS_AT_ONCE
        await cursor.execute(
            """
            SELECT person_id, version, kind, at, event_uuid, distinct_id_id, api_key_id,
                   request_id, before, after, is_identified, created_at, ids, source_id
              FROM ledger
             WHERE person_id = ANY(%(ids)b::bigint[])
             ORDER BY person_id, version
            """,
            {"ids": ids},
        )
        async for row in cursor:
            yield entry(*row)


class Leap(Struct, frozen=True, kw_only=True):
    """An entry whose version is not the next one of its person."""

    person_id: int
    version: int
    kind: str
    source_id: int | None


async def unexplained(conn: AsyncConnection, leaps: Sequence[Leap]) -> list[tuple[int, int]]:
    """The person and version of each that nobody else's version accounts for.

    A merge goes on from the source's version, if that is higher; a person of its own again from
    that of whom it leaves, by a split 100 behind it; whoever is whole again from those of its
    parts. Of others that are gone nothing can be said.
    """
    cursor = await conn.execute(
        """
        SELECT leap.person_id, leap.version
          FROM unnest(%(persons)b::bigint[], %(versions)b::bigint[], %(kinds)b::text[],
                      %(sources)b::bigint[]) AS leap (person_id, version, kind, source_id)
         WHERE NOT CASE leap.kind
               WHEN 'merged' THEN
                    EXISTS (SELECT FROM ledger
                             WHERE person_id = leap.source_id
                               AND version = leap.version - 1)
                    OR NOT EXISTS (SELECT FROM person WHERE id = leap.source_id)
               WHEN 'split' THEN
                    EXISTS (SELECT FROM ledger
                             WHERE person_id = leap.source_id
                               AND version = leap.version - 100
                               AND kind = 'split')
                    OR NOT EXISTS (SELECT FROM person WHERE id = leap.source_id)
               ELSE EXISTS (SELECT FROM split
                             WHERE person_id = leap.person_id
                               AND undone_version = leap.version)
                    OR EXISTS (SELECT
                                 FROM activity a
                                WHERE a.person_id = leap.person_id
                                  AND a.kind = 'merge_undone'
                                  AND a.version = leap.version
                                  AND (EXISTS (SELECT FROM ledger
                                                WHERE person_id = a.other_id
                                                  AND version = a.version)
                                       OR NOT EXISTS (SELECT FROM person WHERE id = a.other_id)))
               END
        """,
        {
            "persons": [each.person_id for each in leaps],
            "versions": [each.version for each in leaps],
            "kinds": [each.kind for each in leaps],
            "sources": [each.source_id for each in leaps],
        },
    )
    return await cursor.fetchall()


async def roots(conn: AsyncConnection, ids: Collection[int]) -> dict[int, int]:
    """For each person the root that pointers lead to; who is on a way that ends nowhere, or goes
    in a circle, is missing."""
    cursor = await conn.execute(
        """
        WITH RECURSIVE way (start, id, parent_id) AS (
            SELECT id, id, merged_into_id
              FROM person
             WHERE id = ANY(%(ids)b::bigint[])
             UNION
            SELECT way.start, above.id, above.merged_into_id
              FROM way
             CROSS JOIN LATERAL (
                   SELECT id, merged_into_id
                     FROM person
                    WHERE id = way.parent_id
                   OFFSET 0
                   ) AS above
        )
        SELECT start, id
          FROM way
         WHERE parent_id IS NULL
        """,
        {"ids": list(ids)},
        binary=True,
    )
    return dict(await cursor.fetchall())


async def with_ids_below(conn: AsyncConnection, root_id: int) -> bool:
    """Whether somebody that merged into a root has a live distinct id."""
    cursor = await conn.execute(
        """
        WITH RECURSIVE family (id) AS (
            SELECT %(root_id)s::bigint
             UNION
            SELECT child.id
              FROM family
             CROSS JOIN LATERAL (
                   SELECT id
                     FROM person
                    WHERE merged_into_id = family.id
                   OFFSET 0
                   ) AS child
        )
        SELECT EXISTS (SELECT
                         FROM family
                         JOIN distinct_id ON distinct_id.person_id = family.id
                        WHERE distinct_id.ended_at IS NULL)
        """,
        {"root_id": root_id},
    )
    return (await cursor.fetchall())[0][0]


async def names_behind(
    conn: AsyncConnection, project_id: int | None, *, after: int, most: int
) -> tuple[int | None, list[NameFacts]]:
    """The last id of the batch, and those of it that have a person, or had one when they ended.

    Lost are events of a live id that name a person who is not there, in a project where no person
    was ever deleted: elsewhere that is what a deletion leaves of persons that were once one.
    """
    cursor = await conn.execute(
        """
        SELECT max(id)
          FROM (SELECT id
                  FROM distinct_id
                 WHERE id > %(after)s
                 ORDER BY id
                 LIMIT %(most)s) AS batch
        """,
        {"after": after, "most": most},
    )
    last: int | None = (await cursor.fetchall())[0][0]
    if last is None:
        return None, []
    async with conn.cursor(row_factory=class_row(NameFacts)) as rows:
        await rows.execute(
            """
            SELECT d.id, d.project_id, d.person_id, d.ended_at IS NOT NULL AS is_ended,
                   p.project_id AS person_project_id,
                   (SELECT count(*)
                      FROM event e
                     WHERE e.distinct_id_id = d.id
                       AND e.person_id IS NOT NULL
                       AND NOT EXISTS (SELECT FROM person WHERE id = e.person_id)
                       AND NOT EXISTS (SELECT FROM deletion
                                        WHERE project_id = d.project_id AND profile)
                   ) AS lost_events
              FROM distinct_id d
              LEFT JOIN person p ON p.id = d.person_id
             WHERE d.id > %(after)s
               AND d.id <= %(last)s
               AND d.person_id IS NOT NULL
               AND (%(project_id)s::bigint IS NULL OR d.project_id = %(project_id)s)
             ORDER BY d.id
            """,
            {"project_id": project_id, "after": after, "last": last},
        )
        return last, await rows.fetchall()


async def merges_behind(
    conn: AsyncConnection, project_id: int | None, *, after: int, most: int
) -> list[MergeFacts]:
    """Merges in force."""
    async with conn.cursor(row_factory=class_row(MergeFacts)) as cursor:
        await cursor.execute(
            """
            SELECT id, project_id, source_id, target_id, source_leaf_id, target_leaf_id
              FROM merge
             WHERE id > %(after)s
               AND undone_at IS NULL
               AND (%(project_id)s::bigint IS NULL OR project_id = %(project_id)s)
             ORDER BY id
             LIMIT %(most)s
            """,
            {"project_id": project_id, "after": after, "most": most},
        )
        return await cursor.fetchall()
