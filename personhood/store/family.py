"""Who merged into whom by way of others: ways up to a root, and how they are shortened.

That a way is short matters to speed alone; what is read is the same over any number of steps.
"""

from psycopg import AsyncConnection


async def middles(conn: AsyncConnection, *, after: int, most: int) -> list[tuple[int, int]]:
    """The project and id of merged persons that others merged into, by id, from `after` on."""
    cursor = await conn.execute(
        """
        SELECT project_id, id
          FROM person
         WHERE id > %(after)s
           AND merged_into_id IS NOT NULL
           AND EXISTS (SELECT FROM person child WHERE child.merged_into_id = person.id)
         ORDER BY id
         LIMIT %(most)s
        """,
        {"after": after, "most": most},
    )
    return await cursor.fetchall()


async def root_of(conn: AsyncConnection, person_id: int) -> int | None:
    """Up to the root of a person; None when it is gone."""
    cursor = await conn.execute(
        """
        WITH RECURSIVE way (id, parent_id) AS (
            SELECT id, merged_into_id
              FROM person
             WHERE id = %(person_id)s
             UNION ALL
            SELECT parent.id, parent.merged_into_id
              FROM way
              JOIN person parent ON parent.id = way.parent_id
        )
        SELECT id
          FROM way
         WHERE parent_id IS NULL
        """,
        {"person_id": person_id},
    )
    row = await cursor.fetchone()
    return None if row is None else row[0]


async def shorten(conn: AsyncConnection, middle_id: int, *, root_id: int, most: int) -> int:
    """Point some of what merged into a person at its root, which the caller holds; how many.

    Who is held by somebody stays for another time: to wait could be to wait for each other.
    """
    cursor = await conn.execute(
        """
        UPDATE person
           SET merged_into_id = %(root_id)s
         WHERE id IN (SELECT id
                        FROM person
                       WHERE merged_into_id = %(middle_id)s
                       LIMIT %(most)s
                         FOR NO KEY UPDATE SKIP LOCKED)
        """,
        {"middle_id": middle_id, "root_id": root_id, "most": most},
    )
    return cursor.rowcount
