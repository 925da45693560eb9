"""How many events persons have, by all the ids that lead to them."""

from collections.abc import Sequence

from psycopg import AsyncConnection


async def by_root(conn: AsyncConnection, project_id: int, roots: Sequence[int]) -> dict[int, int]:
    """For each root the events of its distinct ids, also those from before it was known."""
    cursor = await conn.execute(
        """
        SELECT root.id, counted.events
          FROM unnest(%(roots)b::bigint[]) AS root (id)
         CROSS JOIN LATERAL (
               WITH RECURSIVE tree (id) AS (
                   SELECT root.id
                    UNION
                   SELECT person.id
                     FROM tree
                     JOIN person ON person.merged_into_id = tree.id
               )
               SELECT count(*) AS events
                 FROM tree
                 JOIN distinct_id ON distinct_id.person_id = tree.id
                 JOIN event ON event.distinct_id_id = distinct_id.id
                WHERE distinct_id.project_id = %(project_id)s
                  AND event.project_id = %(project_id)s
               ) AS counted
        """,
        {"project_id": project_id, "roots": list(roots)},
    )
    return dict(await cursor.fetchall())
