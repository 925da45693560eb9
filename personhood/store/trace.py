"""Looking through every row of every table for what should be gone, as `registry` tells of them.

The end of each deletion looks by indexes, in `deletion_check`. This here reads whole tables: it is
what `personhood verify` does, so that it depends on nothing that the deletion itself went by.
"""

from collections.abc import Iterator

from msgspec import Struct
from psycopg import AsyncConnection, sql
from psycopg.rows import class_row

from personhood.store.registry import TABLES, Fate, Holds

GONE = (Fate.AT_ONCE, Fate.SETTLED)
RECORDS = (Fate.RECORD, Fate.WHEN_COMPLETED)

# What a deletion was about: for as long as it is open more than its receipt tells.
PERSONS = sql.SQL(
    """
    (SELECT person_id FROM deletion WHERE id = %(deletion_id)s AND profile
      UNION ALL
     SELECT person_id FROM deletion_person WHERE deletion_id = %(deletion_id)s)
    """
)
UUIDS = sql.SQL(
    """
    (SELECT person_uuid FROM deletion WHERE id = %(deletion_id)s AND profile
      UNION ALL
     SELECT person_uuid FROM deletion_person WHERE deletion_id = %(deletion_id)s)
    """
)
NAMES = sql.SQL(
    """
    (SELECT distinct_id_id
       FROM deletion_target
      WHERE deletion_id = %(deletion_id)s
        AND EXISTS (SELECT FROM deletion WHERE id = %(deletion_id)s AND profile))
    """
)
# As they stand in JSON. A name that is somebody's again may be anywhere.
TEXTS = sql.SQL(
    """
    (SELECT to_json(person_uuid)::text FROM deletion WHERE id = %(deletion_id)s AND profile
      UNION ALL
     SELECT to_json(person_uuid)::text FROM deletion_person WHERE deletion_id = %(deletion_id)s
      UNION ALL
     SELECT to_json(ended.distinct_id)::text
       FROM deletion_target
       JOIN distinct_id AS ended ON ended.id = deletion_target.distinct_id_id
      WHERE deletion_target.deletion_id = %(deletion_id)s
        AND ended.ended_at IS NOT NULL
        AND NOT EXISTS (SELECT
                          FROM distinct_id AS live
                         WHERE live.project_id = ended.project_id
                           AND live.distinct_id = ended.distinct_id
                           AND live.ended_at IS NULL))
    """
)
OF_ONE = {
    Holds.PERSON: sql.SQL("{column} IN {persons}"),
    Holds.PERSON_UUID: sql.SQL("{column} IN {uuids}"),
    Holds.NAME: sql.SQL("{column} IN {names}"),
    Holds.NAMES: sql.SQL("EXISTS (SELECT FROM unnest({column}) AS one WHERE one IN {names})"),
    Holds.TEXT: sql.SQL(
        "EXISTS (SELECT FROM {texts} AS told (text) "
        "WHERE strpos(to_json({column})::text, told.text) > 0)"
    ),
}

# Whom nothing may lead to: a person or a distinct id that is not there.
OF_NOBODY = {
    Holds.PERSON: sql.SQL(
        "{column} IS NOT NULL AND NOT EXISTS (SELECT FROM person AS p WHERE p.id = {column})"
    ),
    Holds.NAME: sql.SQL(
        "{column} IS NOT NULL AND NOT EXISTS (SELECT FROM distinct_id AS d WHERE d.id = {column})"
    ),
    # Joined as a whole: asked a row at a time, all distinct ids had to fit into memory.
    Holds.NAMES: sql.SQL(
        """
        {table}.ctid IN (SELECT t.ctid
                           FROM {table} AS t
                          CROSS JOIN LATERAL unnest({inner}) AS one (id)
                          WHERE NOT EXISTS (SELECT FROM distinct_id AS d WHERE d.id = one.id))
        """
    ),
}


# An event and its key lead to each other, and an event to a state of its person.
OF_NOTHING = {
    ("event", "uuid"): sql.SQL(
        """
        NOT EXISTS (SELECT
                      FROM event_key AS k
                     WHERE k.project_id = event.project_id
                       AND k.uuid = event.uuid
                       AND k.distinct_id_id = event.distinct_id_id
                       AND k.timestamp = event.timestamp)
        """
    ),
    ("event_key", "uuid"): sql.SQL(
        """
        NOT EXISTS (SELECT
                      FROM event AS e
                     WHERE e.distinct_id_id = event_key.distinct_id_id
                       AND e.timestamp = event_key.timestamp
                       AND e.uuid = event_key.uuid)
        """
    ),
    ("event", "person_version"): sql.SQL(
        """
        EXISTS (SELECT FROM person AS p WHERE p.id = event.person_id)
        AND NOT EXISTS (SELECT
                          FROM ledger AS l
                         WHERE l.person_id = event.person_id
                           AND l.version = event.person_version)
        """
    ),
}


class Trace(Struct, frozen=True):
    """Rows of a table that hold in a column what should be gone."""

    table: str
    column: str
    rows: int


async def of_one(conn: AsyncConnection, deletion_id: int, *, events: bool) -> list[Trace]:
    """What is left of the profile of a deletion; with `events` also of what goes with these."""
    found: list[Trace] = []
    for table, column, holds, fate in columns():
        if holds not in OF_ONE or (fate not in GONE and not (events and goes_later(holds))):
            continue
        condition = OF_ONE[holds].format(
            column=sql.Identifier(table, column),
            persons=PERSONS,
            uuids=UUIDS,
            names=NAMES,
            texts=TEXTS,
        )
        found += await counted(conn, table, column, condition=condition, deletion_id=deletion_id)
    return found


async def of_nobody(conn: AsyncConnection) -> list[Trace]:
    """Rows of the whole database that refer to a person, a distinct id, an event or a state of a
    person that is no more."""
    found: list[Trace] = []
    for table, column, holds, fate in columns():
        if holds not in OF_NOBODY or (fate not in GONE and holds is Holds.PERSON):
            continue
        condition = OF_NOBODY[holds].format(
            table=sql.Identifier(table),
            column=sql.Identifier(table, column),
            inner=sql.Identifier("t", column),
        )
        found += await counted(conn, table, column, condition=condition)
    for (table, column), nothing in OF_NOTHING.items():
        found += await counted(conn, table, column, condition=nothing)
    return found


def columns() -> Iterator[tuple[str, str, Holds, Fate]]:
    for table, about in TABLES.items():
        if about.fate not in RECORDS:
            for column, holds in about.columns.items():
                yield table, column, holds, about.fate


def goes_later(holds: Holds) -> bool:
    """Events of somebody who lives may still say that their id was once the deleted person's."""
    return holds in (Holds.NAME, Holds.NAMES)


async def counted(
    conn: AsyncConnection,
    table: str,
    column: str,
    *,
    condition: sql.Composable,
    deletion_id: int | None = None,
) -> list[Trace]:
    """A trace if there is any."""
    async with conn.transaction(), conn.cursor(row_factory=class_row(Trace)) as cursor:
        await conn.execute("SET LOCAL statement_timeout = 0")
        await cursor.execute(
            sql.SQL(
                """
                SELECT %(table)s::text AS table, %(column)s::text AS column, count(*) AS rows
                  FROM {table}
                 WHERE {condition}
                HAVING count(*) > 0
                """
            ).format(table=sql.Identifier(table), condition=condition),
            {"table": table, "column": column, "deletion_id": deletion_id},
        )
        return await cursor.fetchall()
