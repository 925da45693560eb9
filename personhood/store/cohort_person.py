"""Who is in a cohort.

A row of `cohort_person` names a person as it was put in. One that was merged since counts as its
root, so two rows may be one member. Whoever deletes a person deletes its rows.

What reads a cohort is planned for the one it is given: a small one is looked up member by member, a
large one joined with the index of merged persons.
"""

from collections.abc import Sequence
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row

from personhood.model import Person

FEW = 20_000  # members that are all looked at for a page; of more, persons are asked in order


async def are_more(conn: AsyncConnection, cohort_ids: Sequence[int], *, than: int) -> bool:
    """Whether cohorts have more rows than a number, without counting many more."""
    cursor = await conn.execute(
        """
        SELECT count(*) > %(than)s
          FROM (SELECT
                  FROM cohort_person
                 WHERE cohort_id = ANY(%(cohort_ids)b::bigint[])
                 LIMIT %(than)s + 1) AS members
        """,
        {"cohort_ids": cohort_ids, "than": than},
    )
    return await cursor.fetchone() == (True,)


async def size(conn: AsyncConnection, cohort_id: int) -> int:
    """How many persons: the rows, less those of merged persons, and the roots above them."""
    cursor = await conn.execute(
        """
        SELECT (SELECT count(*)
                  FROM cohort_person
                 WHERE cohort_id = %(cohort_id)s)
               -
               (SELECT count(*)
                  FROM cohort_person
                  JOIN person ON person.id = cohort_person.person_id
                 WHERE cohort_id = %(cohort_id)s
                   AND person.merged_into_id IS NOT NULL)
               +
               (WITH RECURSIVE up (id) AS (
                    SELECT person.merged_into_id
                      FROM cohort_person
                      JOIN person ON person.id = cohort_person.person_id
                     WHERE cohort_id = %(cohort_id)s
                       AND person.merged_into_id IS NOT NULL
                     UNION
                    SELECT person.merged_into_id
                      FROM up
                      JOIN person ON person.id = up.id
                     WHERE person.merged_into_id IS NOT NULL
                )
                SELECT count(*)
                  FROM up
                  JOIN person ON person.id = up.id
                 WHERE person.merged_into_id IS NULL
                   AND NOT EXISTS (SELECT
                                     FROM cohort_person
                                    WHERE cohort_id = %(cohort_id)s
                                      AND person_id = up.id))
        """,
        {"cohort_id": cohort_id},
        prepare=False,
    )
    return first(await cursor.fetchone())


async def page(
    conn: AsyncConnection, project_id: int, cohort_id: int, *, limit: int, offset: int
) -> list[Person]:
    """The persons of a page, newest first, by id where times tie."""
    if await rows(conn, cohort_id) <= FEW:
        return await page_of_few(conn, cohort_id, limit=limit, offset=offset)
    roots = await merged_roots(conn, cohort_id)
    return await page_of_many(
        conn, project_id, cohort_id, merged_roots=roots, limit=limit, offset=offset
    )


async def rows(conn: AsyncConnection, cohort_id: int) -> int:
    """As many as members, or some more."""
    cursor = await conn.execute(
        """
        SELECT count(*)
          FROM cohort_person
         WHERE cohort_id = %(cohort_id)s
        """,
        {"cohort_id": cohort_id},
        prepare=False,
    )
    return first(await cursor.fetchone())


async def merged_roots(conn: AsyncConnection, cohort_id: int) -> list[int]:
    """The roots above members that were merged: of most cohorts none, or few."""
    cursor = await conn.execute(
        """
        WITH RECURSIVE up (id) AS (
            SELECT person.merged_into_id
              FROM cohort_person
              JOIN person ON person.id = cohort_person.person_id
             WHERE cohort_id = %(cohort_id)s
               AND person.merged_into_id IS NOT NULL
             UNION
            SELECT person.merged_into_id
              FROM up
              JOIN person ON person.id = up.id
             WHERE person.merged_into_id IS NOT NULL
        )
        SELECT person.id
          FROM up
          JOIN person ON person.id = up.id
         WHERE person.merged_into_id IS NULL
        """,
        {"cohort_id": cohort_id},
        binary=True,
        prepare=False,
    )
    return [row[0] for row in await cursor.fetchall()]


async def page_of_few(
    conn: AsyncConnection, cohort_id: int, *, limit: int, offset: int
) -> list[Person]:
    """By going up from every member."""
    async with conn.cursor(row_factory=class_row(Person), binary=True) as cursor:
        await cursor.execute(
            """
            WITH RECURSIVE up (id, parent_id, created_at) AS (
                SELECT member.id, member.merged_into_id, member.created_at
                  FROM cohort_person
                 CROSS JOIN LATERAL (
                       SELECT id, merged_into_id, created_at
                         FROM person
                        WHERE id = cohort_person.person_id
                       OFFSET 0
                       ) AS member
                 WHERE cohort_id = %(cohort_id)s
                 UNION
                SELECT parent.id, parent.merged_into_id, parent.created_at
                  FROM up
                 CROSS JOIN LATERAL (
                       SELECT id, merged_into_id, created_at
                         FROM person
                        WHERE id = up.parent_id
                       OFFSET 0
                       ) AS parent
            ),
            chosen AS (
                SELECT id
                  FROM up
                 WHERE parent_id IS NULL
                 ORDER BY created_at DESC, id DESC
                 LIMIT %(limit)s OFFSET %(offset)s
            )
            SELECT person.id, project_id, uuid, created_at, properties, is_identified,
                   last_seen_at, version, merged_into_id
              FROM chosen
              JOIN person ON person.id = chosen.id
             ORDER BY created_at DESC, id DESC
            """,
            {"cohort_id": cohort_id, "limit": limit, "offset": offset},
        )
        return await cursor.fetchall()


async def page_of_many(
    conn: AsyncConnection,
    project_id: int,
    cohort_id: int,
    *,
    merged_roots: Sequence[int],
    limit: int,
    offset: int,
) -> list[Person]:
    """By asking persons in their order, which soon fills a page where many are members.

    A scalar subquery: the planner would make a table of all members for an EXISTS.
    """
    async with conn.cursor(row_factory=class_row(Person), binary=True) as cursor:
        await cursor.execute(
            """
            WITH chosen AS (
                SELECT id
                  FROM person
                 WHERE project_id = %(project_id)s
                   AND merged_into_id IS NULL
                   AND (coalesce((SELECT true
                                    FROM cohort_person
                                   WHERE cohort_id = %(cohort_id)s
                                     AND person_id = person.id), false)
                        OR id = ANY(%(merged_roots)b::bigint[]))
                 ORDER BY created_at DESC, id DESC
                 LIMIT %(limit)s OFFSET %(offset)s
            )
            SELECT person.id, project_id, uuid, created_at, properties, is_identified,
                   last_seen_at, version, merged_into_id
              FROM chosen
              JOIN person ON person.id = chosen.id
             ORDER BY created_at DESC, id DESC
            """,
            {
                "project_id": project_id,
                "cohort_id": cohort_id,
                "merged_roots": merged_roots,
                "limit": limit,
                "offset": offset,
            },
        )
        return await cursor.fetchall()


async def add_by_uuids(
    conn: AsyncConnection, project_id: int, cohort_id: int, *, uuids: Sequence[UUID]
) -> set[UUID]:
    """Put persons in; tells which of `uuids` are a person's.

    Each is held until the end of the transaction, so that its deletion takes the new row too.
    """
    cursor = await conn.execute(
        """
        WITH known AS (
            SELECT id, uuid
              FROM person
             WHERE project_id = %(project_id)s
               AND uuid = ANY(%(uuids)b::uuid[])
             ORDER BY id
               FOR KEY SHARE
        ),
        put AS (
            INSERT INTO cohort_person (cohort_id, person_id)
            SELECT %(cohort_id)s, id
              FROM known
                ON CONFLICT DO NOTHING
        )
        SELECT uuid FROM known
        """,
        {"project_id": project_id, "cohort_id": cohort_id, "uuids": uuids},
        binary=True,
    )
    return {row[0] for row in await cursor.fetchall()}


async def add_by_distinct_ids(
    conn: AsyncConnection, project_id: int, cohort_id: int, *, texts: Sequence[str]
) -> set[str]:
    """Put the persons of distinct ids in, as `add_by_uuids`; tells which ids are a person's."""
    cursor = await conn.execute(
        """
        WITH named AS (
            SELECT asked.distinct_id, owned.person_id
              FROM unnest(%(texts)b::text[]) AS asked (distinct_id)
             CROSS JOIN LATERAL (
                   SELECT person_id
                     FROM distinct_id
                    WHERE project_id = %(project_id)s
                      AND distinct_id = asked.distinct_id
                      AND ended_at IS NULL
                    LIMIT 1
                   ) AS owned
             WHERE owned.person_id IS NOT NULL
        ),
        known AS (
            SELECT id
              FROM person
             WHERE id = ANY(ARRAY(SELECT person_id FROM named))
             ORDER BY id
               FOR KEY SHARE
        ),
        put AS (
            INSERT INTO cohort_person (cohort_id, person_id)
            SELECT %(cohort_id)s, id
              FROM known
                ON CONFLICT DO NOTHING
        )
        SELECT named.distinct_id
          FROM named
          JOIN known ON known.id = named.person_id
        """,
        {"project_id": project_id, "cohort_id": cohort_id, "texts": texts},
        binary=True,
    )
    return {row[0] for row in await cursor.fetchall()}


async def add_by_ids(
    conn: AsyncConnection, project_id: int, cohort_id: int, *, ids: Sequence[int]
) -> None:
    """Put persons in, as `add_by_uuids`."""
    await conn.execute(
        """
        WITH known AS (
            SELECT id
              FROM person
             WHERE project_id = %(project_id)s
               AND id = ANY(%(ids)b::bigint[])
             ORDER BY id
               FOR KEY SHARE
        )
        INSERT INTO cohort_person (cohort_id, person_id)
        SELECT %(cohort_id)s, id
          FROM known
            ON CONFLICT DO NOTHING
        """,
        {"project_id": project_id, "cohort_id": cohort_id, "ids": ids},
    )


async def remove(conn: AsyncConnection, cohort_id: int, *, person_ids: Sequence[int]) -> None:
    await conn.execute(
        """
        DELETE FROM cohort_person
         WHERE cohort_id = %(cohort_id)s
           AND person_id = ANY(%(person_ids)b::bigint[])
        """,
        {"cohort_id": cohort_id, "person_ids": person_ids},
    )


def first(row: tuple[int, ...] | None) -> int:
    assert row is not None, "an aggregate gives its row"
    return row[0]
