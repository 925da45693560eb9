"""Cohorts: persons under a name. Who is in them is `cohort_person`."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from personhood.model import JSON


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
    request_id: UUID | None = None,
) -> int:
    """The number of a new static cohort."""
    cursor = await conn.execute(
        """
        INSERT INTO cohort (project_id, name, description, filter, api_key_id, request_id)
        VALUES (%(project_id)s, %(name)s, %(description)s, %(filter)s, %(api_key_id)s,
                %(request_id)s)
        RETURNING id
        """,
        {
            "project_id": project_id,
            "name": name,
            "description": description,
            "filter": None if filter is None else Jsonb(filter),
            "api_key_id": api_key_id,
            "request_id": request_id,
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
