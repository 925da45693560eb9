"""Groups and their types."""

from collections.abc import Mapping

from psycopg import AsyncConnection

from personhood.model import Group
from personhood.store.pool import encode


async def types(conn: AsyncConnection, project_id: int) -> dict[str, int]:
    """The project's group types, at most five, with their indexes."""
    cursor = await conn.execute(
        """
        SELECT name, index
          FROM group_type
         WHERE project_id = %(project_id)s
        """,
        {"project_id": project_id},
    )
    return dict(await cursor.fetchall())


async def insert_types(conn: AsyncConnection, project_id: int, types: Mapping[str, int]) -> None:
    """Raises UniqueViolation when somebody else took a name or an index meanwhile."""
    await conn.execute(
        """
        INSERT INTO group_type (project_id, index, name)
        SELECT %(project_id)s, *
          FROM unnest(%(indexes)b::smallint[], %(names)b::text[])
        """,
        {"project_id": project_id, "indexes": list(types.values()), "names": list(types)},
    )


async def merge_all(
    conn: AsyncConnection, project_id: int, groups: Mapping[tuple[int, str], Group]
) -> None:
    """Make the groups, or lay their properties over those that are there."""
    rows = sorted(groups.items(), key=lambda row: row[0])
    await conn.execute(
        """
        INSERT INTO "group" (project_id, type_index, key, properties, created_at)
        SELECT %(project_id)s, type_index, key, properties::jsonb, created_at
          FROM unnest(%(indexes)b::smallint[], %(keys)b::text[], %(properties)b::text[],
                      %(created)b::timestamptz[])
            AS t (type_index, key, properties, created_at)
            ON CONFLICT (project_id, type_index, key) DO UPDATE
           SET properties = "group".properties || EXCLUDED.properties,
               version = "group".version + 1
        """,
        {
            "project_id": project_id,
            "indexes": [index for (index, _), _ in rows],
            "keys": [key for (_, key), _ in rows],
            "properties": [encode(group.properties).decode() for _, group in rows],
            "created": [group.created_at for _, group in rows],
        },
    )
