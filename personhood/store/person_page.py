"""Persons as the API reads them: one by any of its names, or a page of them.

Only roots are seen: a person that was merged into another answers to no id of its own, while its
distinct ids lead to the root. The list is the one statement that is put together from parts.
"""

from msgspec import Struct
from psycopg import AsyncConnection, sql
from psycopg.rows import class_row

from personhood.model import Person


class Filter(Struct, frozen=True, kw_only=True):
    """What every person of a page has in common; None asks for nothing."""

    email: str | None = None
    distinct_id: str | None = None
    search: str | None = None


async def page(
    conn: AsyncConnection, project_id: int, filter: Filter, *, limit: int, offset: int
) -> tuple[list[Person], bool]:
    """The persons of a page, and whether more follow it.

    A page is chosen newest first, by id where times tie; in it, such persons stand by uuid.
    """
    if holds_nul(filter):
        return [], False
    async with conn.cursor(row_factory=class_row(Person)) as cursor:
        await cursor.execute(
            sql.SQL(
                """
                SELECT id, project_id, uuid, created_at, properties, is_identified, last_seen_at,
                       version, merged_into_id
                  FROM person
                 WHERE project_id = %(project_id)s
                   AND merged_into_id IS NULL
                   {conditions}
                 ORDER BY created_at DESC, id DESC
                 LIMIT %(limit)s OFFSET %(offset)s
                """
            ).format(conditions=conditions(filter)),
            {**parameters(project_id, filter), "limit": limit + 1, "offset": offset},
        )
        found = await cursor.fetchall()
    rows = found[:limit]
    rows.sort(key=lambda person: person.uuid)
    rows.sort(key=lambda person: person.created_at, reverse=True)
    return rows, len(found) > limit


async def count(conn: AsyncConnection, project_id: int, filter: Filter) -> int:
    """How many persons a list without pages would hold."""
    if holds_nul(filter):
        return 0
    cursor = await conn.execute(
        sql.SQL(
            """
            SELECT count(*)
              FROM person
             WHERE project_id = %(project_id)s
               AND merged_into_id IS NULL
               {conditions}
            """
        ).format(conditions=conditions(filter)),
        parameters(project_id, filter),
    )
    row = await cursor.fetchone()
    assert row is not None, "an aggregate gives its row"
    return row[0]


EMAIL = sql.SQL("AND properties ->> 'email' = %(email)s")

# A scalar subquery, not IN: with it the planner sees one row, and takes it by its primary key.
DISTINCT_ID = sql.SQL(
    """
    AND id = (
        WITH RECURSIVE up (id) AS (
            SELECT person_id
              FROM distinct_id
             WHERE project_id = %(project_id)s
               AND distinct_id = %(distinct_id)s
               AND ended_at IS NULL
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
    )
    """
)

SEARCH = sql.SQL(
    """
    AND (
        properties ->> 'email' ILIKE %(search)s
        OR properties ->> 'name' ILIKE %(search)s
        OR uuid::text ILIKE %(search)s
        OR id IN (
            WITH RECURSIVE up (id) AS (
                SELECT person_id
                  FROM distinct_id
                 WHERE project_id = %(project_id)s
                   AND distinct_id ILIKE %(search)s
                   AND ended_at IS NULL
                   AND person_id IS NOT NULL
                 UNION
                SELECT person.merged_into_id
                  FROM up
                  JOIN person ON person.id = up.id
                 WHERE person.merged_into_id IS NOT NULL
            )
            SELECT id FROM up
        )
    )
    """
)


def conditions(filter: Filter) -> sql.Composed:
    """Only what is asked for, so that each kind of list has the plan that fits it."""
    parts = ((filter.email, EMAIL), (filter.distinct_id, DISTINCT_ID), (filter.search, SEARCH))
    return sql.SQL(" ").join(part for value, part in parts if value is not None)


def parameters(project_id: int, filter: Filter) -> dict[str, object]:
    """`%` and `_` in a search are wildcards, as they are at PostHog; a backslash is itself."""
    search = None if filter.search is None else "%{}%".format(filter.search.replace("\\", "\\\\"))
    return {
        "project_id": project_id,
        "email": filter.email,
        "distinct_id": filter.distinct_id,
        "search": search,
    }


def holds_nul(filter: Filter) -> bool:
    """PostgreSQL keeps no NUL, so such a text is nobody's."""
    return any("\0" in text for text in (filter.email, filter.distinct_id, filter.search) if text)
