"""Projects: the tenants."""

from collections.abc import Sequence

from psycopg import AsyncConnection
from psycopg.rows import class_row

from personhood.model import Project


async def insert(conn: AsyncConnection, *, name: str, token: str) -> Project:
    """A new project. Raises UniqueViolation (project_token_key) for a token that is taken."""
    async with conn.cursor(row_factory=class_row(Project)) as cursor:
        await cursor.execute(
            """
            INSERT INTO project (name, token)
            VALUES (%(name)s, %(token)s)
            RETURNING id, name, token, created_at, timezone, display_name_properties,
                      anonymize_ips, person_processing, personless_flag_calls
            """,
            {"name": name, "token": token},
        )
        project = await cursor.fetchone()
    assert project is not None, "INSERT … RETURNING gives its row"
    return project


async def update(
    conn: AsyncConnection,
    project_id: int,
    *,
    name: str | None,
    timezone: str | None,
    display_name_properties: list[str] | None,
    anonymize_ips: bool | None,
    person_processing: bool | None,
    personless_flag_calls: bool | None,
) -> Project | None:
    """The project with what is not None changed. Of names for display, none are the usual ones."""
    async with conn.cursor(row_factory=class_row(Project)) as cursor:
        await cursor.execute(
            """
            UPDATE project
               SET name = coalesce(%(name)s, name),
                   timezone = coalesce(%(timezone)s, timezone),
                   display_name_properties =
                       nullif(coalesce(%(names)s::text[], display_name_properties), '{}'),
                   anonymize_ips = coalesce(%(anonymize_ips)s, anonymize_ips),
                   person_processing = coalesce(%(person_processing)s, person_processing),
                   personless_flag_calls =
                       coalesce(%(personless_flag_calls)s, personless_flag_calls)
             WHERE id = %(project_id)s
            RETURNING id, name, token, created_at, timezone, display_name_properties,
                      anonymize_ips, person_processing, personless_flag_calls
            """,
            {
                "project_id": project_id,
                "name": name,
                "timezone": timezone,
                "names": display_name_properties,
                "anonymize_ips": anonymize_ips,
                "person_processing": person_processing,
                "personless_flag_calls": personless_flag_calls,
            },
        )
        return await cursor.fetchone()


async def all_projects(conn: AsyncConnection) -> list[Project]:
    """Every project, the oldest first."""
    async with conn.cursor(row_factory=class_row(Project)) as cursor:
        await cursor.execute(
            """
            SELECT id, name, token, created_at, timezone, display_name_properties,
                   anonymize_ips, person_processing, personless_flag_calls
              FROM project
             ORDER BY id
            """
        )
        return await cursor.fetchall()


async def by_ids(conn: AsyncConnection, ids: Sequence[int]) -> dict[int, Project]:
    async with conn.cursor(row_factory=class_row(Project), binary=True) as cursor:
        await cursor.execute(
            """
            SELECT id, name, token, created_at, timezone, display_name_properties,
                   anonymize_ips, person_processing, personless_flag_calls
              FROM project
             WHERE id = ANY(%(ids)b::bigint[])
            """,
            {"ids": ids},
        )
        return {project.id: project for project in await cursor.fetchall()}


async def by_id(conn: AsyncConnection, project_id: int) -> Project | None:
    return (await by_ids(conn, [project_id])).get(project_id)


async def by_token(conn: AsyncConnection, token: str) -> Project | None:
    async with conn.cursor(row_factory=class_row(Project)) as cursor:
        await cursor.execute(
            """
            SELECT id, name, token, created_at, timezone, display_name_properties,
                   anonymize_ips, person_processing, personless_flag_calls
              FROM project
             WHERE token = %(token)s
            """,
            {"token": token},
        )
        return await cursor.fetchone()
