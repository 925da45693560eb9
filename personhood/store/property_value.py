"""Which values a property of persons has, and how often (contract: persons-api, 2.4)."""

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import class_row

VALUES_MAX = 20
PERSONS_MAX = 100_000


class Value(Struct, frozen=True):
    """A value as text, and how many persons have it."""

    name: str
    count: int


async def top(conn: AsyncConnection, project_id: int, key: str, *, part: str | None) -> list[Value]:
    """The values that most persons have, of the PERSONS_MAX newest that have one.

    With `part`, only values that hold it, in any letter case. Null and the empty text are none.
    """
    if holds_nul(key, part):
        return []
    async with conn.cursor(row_factory=class_row(Value)) as cursor:
        await cursor.execute(
            """
            SELECT name, count(*) AS count
              FROM (SELECT properties ->> %(key)s AS name
                      FROM person
                     WHERE project_id = %(project_id)s
                       AND merged_into_id IS NULL
                       AND properties ->> %(key)s <> ''
                       AND (%(pattern)s::text IS NULL
                            OR properties ->> %(key)s ILIKE %(pattern)s)
                     ORDER BY created_at DESC, id DESC
                     LIMIT %(persons)s) AS newest
             GROUP BY name
             ORDER BY count DESC, name
             LIMIT %(most)s
            """,
            {
                "project_id": project_id,
                "key": key,
                "pattern": pattern(part),
                "persons": PERSONS_MAX,
                "most": VALUES_MAX,
            },
        )
        return await cursor.fetchall()


async def distinct_ids(conn: AsyncConnection, project_id: int, *, part: str | None) -> list[Value]:
    """Distinct ids of persons, those that hold `part`. Each is one person's, so none is on top.

    Planned for the text it is given: what is rare is found by trigrams, anything in order.
    """
    if holds_nul(part):
        return []
    async with conn.cursor(row_factory=class_row(Value)) as cursor:
        await cursor.execute(
            """
            SELECT distinct_id AS name, 1 AS count
              FROM distinct_id
             WHERE project_id = %(project_id)s::bigint
               AND ended_at IS NULL
               AND person_id IS NOT NULL
               AND distinct_id ILIKE %(pattern)s
             ORDER BY distinct_id
             LIMIT %(most)s
            """,
            {"project_id": project_id, "pattern": pattern(part or ""), "most": VALUES_MAX},
            prepare=False,
        )
        return await cursor.fetchall()


def pattern(part: str | None) -> str | None:
    """`part` anywhere, every character of it standing for itself."""
    if part is None:
        return None
    literal = part.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return f"%{literal}%"


def holds_nul(*texts: str | None) -> bool:
    """PostgreSQL keeps no NUL, so such a text is nobody's."""
    return any("\0" in text for text in texts if text)
