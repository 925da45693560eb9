"""Cohorts and who is in them.

A row of `cohort_person` names a person as it was put in. One that was merged since counts as its
root, so two rows may be one member; a row of a deleted person counts for nobody.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from personhood.model import JSON, Person


class Cohort(Struct, frozen=True, kw_only=True):
    """Persons under a name, and which key made it. `filter` is what they were chosen by, if any."""

    id: int
    name: str
    description: str
    is_static: bool
    filter: JSON
    created_at: datetime
    api_key_id: int | None
    label: str | None
    owner: str | None


async def insert(
    conn: AsyncConnection,
    project_id: int,
    *,
    name: str,
    description: str,
    filter: JSON,
    api_key_id: int,
) -> int:
    """The number of a new static cohort."""
    cursor = await conn.execute(
        """
        INSERT INTO cohort (project_id, name, description, filter, api_key_id)
        VALUES (%(project_id)s, %(name)s, %(description)s, %(filter)s, %(api_key_id)s)
        RETURNING id
        """,
        {
            "project_id": project_id,
            "name": name,
            "description": description,
            "filter": None if filter is None else Jsonb(filter),
            "api_key_id": api_key_id,
        },
    )
    row = await cursor.fetchone()
    assert row is not None, "an insert gives its row"
    return row[0]


async def by_id(conn: AsyncConnection, project_id: int, id: int) -> Cohort | None:
    async with conn.cursor(row_factory=class_row(Cohort)) as cursor:
        await cursor.execute(
            """
            SELECT cohort.id, name, description, is_static, filter, cohort.created_at, api_key_id,
                   label, owner
              FROM cohort
              LEFT JOIN api_key ON api_key.id = api_key_id
             WHERE cohort.project_id = %(project_id)s
               AND cohort.id = %(id)s
            """,
            {"project_id": project_id, "id": id},
        )
        return await cursor.fetchone()


async def page(
    conn: AsyncConnection, project_id: int, *, search: str | None, limit: int, offset: int
) -> list[Cohort]:
    """Cohorts whose name holds `search`, in any letter case; the newest first."""
    async with conn.cursor(row_factory=class_row(Cohort)) as cursor:
        await cursor.execute(
            """
            SELECT cohort.id, name, description, is_static, filter, cohort.created_at, api_key_id,
                   label, owner
              FROM cohort
              LEFT JOIN api_key ON api_key.id = api_key_id
             WHERE cohort.project_id = %(project_id)s
               AND (%(search)s::text IS NULL
                    OR position(lower(%(search)s) IN lower(name)) > 0)
             ORDER BY cohort.id DESC
             LIMIT %(limit)s OFFSET %(offset)s
            """,
            {"project_id": project_id, "search": search, "limit": limit, "offset": offset},
        )
        return await cursor.fetchall()


async def count(conn: AsyncConnection, project_id: int, *, search: str | None) -> int:
    """How many cohorts a list without pages would hold."""
    cursor = await conn.execute(
        """
        SELECT count(*)
          FROM cohort
         WHERE project_id = %(project_id)s
           AND (%(search)s::text IS NULL
                OR position(lower(%(search)s) IN lower(name)) > 0)
        """,
        {"project_id": project_id, "search": search},
    )
    row = await cursor.fetchone()
    assert row is not None, "an aggregate gives its row"
    return row[0]


async def update(
    conn: AsyncConnection, project_id: int, id: int, *, name: str | None, description: str | None
) -> None:
    """Give a cohort another name or description; None leaves it as it is."""
    await conn.execute(
        """
        UPDATE cohort
           SET name = coalesce(%(name)s, name),
               description = coalesce(%(description)s, description)
         WHERE project_id = %(project_id)s
           AND id = %(id)s
        """,
        {"project_id": project_id, "id": id, "name": name, "description": description},
    )


async def delete(conn: AsyncConnection, project_id: int, id: int) -> bool:
    """Whether there was one. Its rows of `cohort_person` go with it."""
    cursor = await conn.execute(
        """
        DELETE FROM cohort
         WHERE project_id = %(project_id)s
           AND id = %(id)s
        """,
        {"project_id": project_id, "id": id},
    )
    return cursor.rowcount > 0


async def of_persons(
    conn: AsyncConnection, project_id: int, person_ids: Sequence[int], *, limit: int
) -> list[Cohort]:
    """The cohorts that one of some persons was put into, the oldest first."""
    async with conn.cursor(row_factory=class_row(Cohort)) as cursor:
        await cursor.execute(
            """
            SELECT cohort.id, name, description, is_static, filter, cohort.created_at, api_key_id,
                   label, owner
              FROM cohort
              LEFT JOIN api_key ON api_key.id = api_key_id
             WHERE cohort.project_id = %(project_id)s
               AND cohort.id IN (SELECT cohort_id
                                   FROM cohort_person
                                  WHERE person_id = ANY(%(person_ids)b::bigint[]))
             ORDER BY cohort.id
             LIMIT %(limit)s
            """,
            {"project_id": project_id, "person_ids": person_ids, "limit": limit},
        )
        return await cursor.fetchall()


async def sizes(conn: AsyncConnection, ids: Sequence[int]) -> dict[int, int]:
    """How many persons are in each cohort: the roots that were put in, and the roots above others.

    Only the few that were merged are walked up from; the others are a join by primary key.
    """
    cursor = await conn.execute(
        """
        SELECT cohort.id,
               (SELECT count(*)
                  FROM cohort_person AS put
                  JOIN person ON person.id = put.person_id
                 WHERE put.cohort_id = cohort.id
                   AND person.merged_into_id IS NULL)
               +
               (WITH RECURSIVE up (id) AS (
                    SELECT person.merged_into_id
                      FROM cohort_person AS put
                      JOIN person ON person.id = put.person_id
                     WHERE put.cohort_id = cohort.id
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
                                     FROM cohort_person AS put
                                    WHERE put.cohort_id = cohort.id
                                      AND put.person_id = up.id))
          FROM unnest(%(ids)b::bigint[]) AS cohort (id)
        """,
        {"ids": ids},
        binary=True,
    )
    return dict(await cursor.fetchall())


async def add_by_uuids(
    conn: AsyncConnection, project_id: int, id: int, *, uuids: Sequence[UUID]
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
            SELECT %(id)s, id
              FROM known
                ON CONFLICT DO NOTHING
        )
        SELECT uuid FROM known
        """,
        {"project_id": project_id, "id": id, "uuids": uuids},
        binary=True,
    )
    return {row[0] for row in await cursor.fetchall()}


async def add_by_distinct_ids(
    conn: AsyncConnection, project_id: int, id: int, *, texts: Sequence[str]
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
            SELECT %(id)s, id
              FROM known
                ON CONFLICT DO NOTHING
        )
        SELECT named.distinct_id
          FROM named
          JOIN known ON known.id = named.person_id
        """,
        {"project_id": project_id, "id": id, "texts": texts},
        binary=True,
    )
    return {row[0] for row in await cursor.fetchall()}


async def remove(conn: AsyncConnection, id: int, *, person_ids: Sequence[int]) -> None:
    await conn.execute(
        """
        DELETE FROM cohort_person
         WHERE cohort_id = %(id)s
           AND person_id = ANY(%(person_ids)b::bigint[])
        """,
        {"id": id, "person_ids": person_ids},
    )


async def persons(
    conn: AsyncConnection, project_id: int, id: int, *, limit: int, offset: int
) -> list[Person]:
    """The persons of a page, newest first, by id where times tie."""
    async with conn.cursor(row_factory=class_row(Person), binary=True) as cursor:
        await cursor.execute(
            """
            SELECT id, project_id, uuid, created_at, properties, is_identified, last_seen_at,
                   version, merged_into_id
              FROM person
             WHERE project_id = %(project_id)s
               AND merged_into_id IS NULL
               AND id IN (
                   WITH RECURSIVE up (id) AS (
                       SELECT person_id
                         FROM cohort_person
                        WHERE cohort_id = %(id)s
                        UNION
                       SELECT person.merged_into_id
                         FROM up
                         JOIN person ON person.id = up.id
                        WHERE person.merged_into_id IS NOT NULL
                   )
                   SELECT id FROM up)
             ORDER BY created_at DESC, id DESC
             LIMIT %(limit)s OFFSET %(offset)s
            """,
            {"project_id": project_id, "id": id, "limit": limit, "offset": offset},
        )
        return await cursor.fetchall()
