"""All persons of a list and which columns they make as CSV (contract: persons-api, 9).

Columns are found out before the first row is: `person_copy` then lets PostgreSQL write the rows,
and where that cannot be, `persons` gives the persons themselves. All of it belongs into one
`snapshot`, so that what was found out still holds.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import LiteralString

from msgspec import Struct
from msgspec.structs import replace
from psycopg import AsyncConnection, IsolationLevel, sql
from psycopg.rows import class_row

from personhood.errors import InvalidInput
from personhood.model import Person
from personhood.store import person_lookup, person_search, property_filter
from personhood.store.person_filter import Conditions, Filter, holds_nul
from personhood.store.person_lookup import Owner
from personhood.store.person_page import AMONG
from personhood.store.pool import Pool

IDS_MAX = 1000  # distinct ids that are shown of one person
SAMPLE_ROWS = 1000
KNOWN_KEYS_MAX = 64
BATCH_PERSONS = 100
BATCH_PATHS = 100
HEADER_CHARACTERS_MAX = 4 * 1024 * 1024

SETTINGS = (
    "SET LOCAL statement_timeout = 0",
    "SET LOCAL idle_in_transaction_session_timeout = 0",
    # To compile an expression for each of hundreds of columns takes longer than to run it.
    "SET LOCAL jit = off",
    # Distinct ids are counted in the order of their index, not in a table that outgrows memory.
    "SET LOCAL enable_hashagg = off",
)

Path = tuple[str, ...]


class Listed(Struct, frozen=True, kw_only=True):
    """The persons of a project that fit a filter: the newest `most` of them, or all.

    `conditions` and `given` are the filter as SQL, and the parameters that it names.
    """

    conditions: sql.Composed
    given: dict[str, object]
    most: int | None = None

    def query(self, columns: LiteralString) -> sql.Composed:
        """A query of these columns, without an order unless it decides who is among them."""
        newest = "ORDER BY person.created_at DESC, person.id DESC LIMIT %(most)s"
        return sql.SQL(
            """
            SELECT {columns}
              FROM person
             WHERE person.project_id = %(project_id)s
               AND person.merged_into_id IS NULL
               {conditions}
             {newest}
            """
        ).format(
            columns=sql.SQL(columns),
            conditions=self.conditions,
            newest=sql.SQL("" if self.most is None else newest),
        )

    def parameters(self) -> dict[str, object]:
        return {**self.given, "most": self.most}


class Columns(Struct, frozen=True, kw_only=True):
    """Paths of all values in properties that hold no others, and how many distinct ids are shown.

    `nesting` are the keys under which somebody has a value that does hold others. `deep` tells that
    distinct ids have to be looked for beyond who was merged into a person directly.
    """

    paths: list[Path]
    nesting: set[str]
    ids: int
    deep: bool


@asynccontextmanager
async def snapshot(pool: Pool) -> AsyncIterator[AsyncConnection]:
    """A connection whose statements all see one moment, and may take as long as they need."""
    async with pool.connection() as conn:
        await conn.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        await conn.set_read_only(True)
        try:
            async with conn.transaction():
                for setting in SETTINGS:
                    await conn.execute(setting)
                yield conn
        finally:
            if not conn.closed:
                await conn.set_isolation_level(None)
                await conn.set_read_only(None)


async def listed(
    conn: AsyncConnection, project_id: int, filter: Filter, *, most: int | None
) -> Listed | None:
    """Which persons are meant; None if it can be nobody. Raises InvalidInput.

    A bound that leaves nobody out is left out itself: that has the better plans.
    """
    if holds_nul(filter):
        return None
    await property_filter.check(conn, filter.properties, project_id=project_id)
    asked = Conditions(filter)
    conditions: list[sql.Composable] = list(asked.conditions)
    if asked.members is not None:
        conditions.append(asked.members)
    given = {**asked.parameters, "project_id": project_id}
    if filter.search is not None:
        given["among"] = await person_search.candidates(conn, project_id, filter.search)
        conditions.append(person_search.MATCHES if given["among"] is None else AMONG)
    found = Listed(conditions=sql.SQL(" ").join(conditions), given=given, most=most)
    return replace(found, most=None) if await is_whole(conn, found) else found


async def is_whole(conn: AsyncConnection, listed: Listed) -> bool:
    """Whether everybody who fits is among the `most`."""
    if listed.most is None:
        return True
    everybody = replace(listed, most=None)
    cursor = await conn.execute(
        sql.SQL("SELECT count(*) FROM ({listed} LIMIT %(most)s) AS each").format(
            listed=everybody.query("person.id")
        ),
        {**listed.given, "most": listed.most + 1},
    )
    row = await cursor.fetchone()
    assert row is not None, "an aggregate gives its row"
    return row[0] <= listed.most


async def is_anybody(conn: AsyncConnection, listed: Listed) -> bool:
    cursor = await conn.execute(
        sql.SQL("SELECT EXISTS ({listed})").format(listed=listed.query("person.id")),
        listed.parameters(),
    )
    return await cursor.fetchone() == (True,)


async def columns(conn: AsyncConnection, listed: Listed, *, most: int) -> Columns:
    """The columns of a list. Raises InvalidInput if they are more than `most`.

    Common keys are known before, so that few persons have to be looked into.
    """
    known = await common_keys(conn, listed)
    paths: set[Path] = {(key,) for key in known}
    nesting: set[str] = set()
    size = sum(map(len, known))
    async with conn.cursor("paths") as cursor:
        await cursor.execute(
            paths_query(listed), {**listed.parameters(), "known": known, "paths": most + 1}
        )
        while len(paths) <= most and size <= HEADER_CHARACTERS_MAX:
            found = await cursor.fetchmany(BATCH_PATHS)
            if not found:
                break
            paths.update(tuple(path) for path, holds in found if not holds)
            nesting.update(path[0] for path, holds in found if holds)
            size += sum(len(part) for path, _ in found for part in path)
        else:
            raise too_many_columns(most)
    deep = await has_deep_merges(conn, listed.given["project_id"])
    ids = await most_ids(conn, listed, deep=deep)
    return Columns(paths=sorted(paths), nesting=nesting, ids=ids, deep=deep)


def too_many_columns(most: int) -> InvalidInput:
    return InvalidInput(
        f"This makes more than {most:,} columns, or columns of very long names, which no "
        "spreadsheet holds. Please narrow the filters, or read JSON.",
        code="too_many_columns",
    )


def paths_query(listed: Listed) -> sql.Composed:
    return sql.SQL(
        """
        WITH RECURSIVE node (path, value) AS (
            SELECT ARRAY[part.key], part.value
              FROM ({listed}) AS person
             CROSS JOIN LATERAL jsonb_each(properties) AS part
             WHERE (properties - %(known)s::text[] <> '{{}}' OR properties @? '$.**{{2}}')
               AND (part.key <> ALL (%(known)s::text[])
                    OR jsonb_typeof(part.value) IN ('object', 'array'))
             UNION ALL
            SELECT node.path || part.key, part.value
              FROM node
             CROSS JOIN LATERAL (
                   SELECT each.key, each.value
                     FROM jsonb_each(CASE jsonb_typeof(node.value)
                                     WHEN 'object' THEN node.value END) AS each
                    UNION ALL
                   SELECT (each.number - 1)::text, each.value
                     FROM jsonb_array_elements(CASE jsonb_typeof(node.value)
                                               WHEN 'array' THEN node.value END)
                          WITH ORDINALITY AS each (value, number)
                   ) AS part
        )
        SELECT DISTINCT path, jsonb_typeof(value) IN ('object', 'array')
          FROM node
         WHERE jsonb_typeof(value) NOT IN ('object', 'array')
            OR (cardinality(path) = 1 AND value NOT IN ('{{}}', '[]'))
         LIMIT %(paths)s
        """
    ).format(listed=listed.query("person.properties"))


async def common_keys(conn: AsyncConnection, listed: Listed) -> list[str]:
    """Keys under which some persons have a value that holds no others, the most frequent ones."""
    cursor = await conn.execute(
        sql.SQL(
            """
            SELECT part.key
              FROM (SELECT properties FROM ({listed}) AS each LIMIT %(rows)s) AS person
             CROSS JOIN LATERAL jsonb_each(properties) AS part
             WHERE jsonb_typeof(part.value) NOT IN ('object', 'array')
             GROUP BY part.key
             ORDER BY count(*) DESC
             LIMIT %(keys)s
            """
        ).format(listed=listed.query("person.properties")),
        {**listed.parameters(), "rows": SAMPLE_ROWS, "keys": KNOWN_KEYS_MAX},
    )
    return [key for (key,) in await cursor.fetchall()]


# Of the person `person.id`, all that was ever merged into it, and itself.
MEMBERS = """
    SELECT person.id
     UNION ALL
    SELECT child.id FROM person AS child WHERE child.merged_into_id = person.id
    """
DEEP_MEMBERS = """
    WITH RECURSIVE family (id) AS (
        SELECT person.id
         UNION ALL
        SELECT child.id
          FROM family
          JOIN person AS child ON child.merged_into_id = family.id
    )
    SELECT id FROM family
    """
OWN_IDS = """
    SELECT id, distinct_id
      FROM distinct_id
     WHERE person_id = {of}
       AND ended_at IS NULL
     ORDER BY id
     LIMIT 1000
    """


def family_ids(*, deep: bool) -> sql.Composed:
    """The oldest distinct ids of `person.id` and of all that was ever merged into it."""
    return sql.SQL(
        """
        SELECT owned.id, owned.distinct_id
          FROM ({members}) AS member
         CROSS JOIN LATERAL ({own}) AS owned
         ORDER BY owned.id
         LIMIT 1000
        """
    ).format(
        members=sql.SQL(DEEP_MEMBERS if deep else MEMBERS),
        own=sql.SQL(OWN_IDS).format(of=sql.SQL("member.id")),
    )


async def has_deep_merges(conn: AsyncConnection, project_id: object) -> bool:
    """Whether somebody was merged into a person that is merged itself, and not yet moved on.

    That is rare, and to follow such merges for every person takes long.
    """
    cursor = await conn.execute(
        """
        SELECT EXISTS (
            SELECT
              FROM person AS child
              JOIN person AS parent ON parent.id = child.merged_into_id
             WHERE child.project_id = %(project_id)s
               AND child.merged_into_id IS NOT NULL
               AND parent.merged_into_id IS NOT NULL
        )
        """,
        {"project_id": project_id},
    )
    return await cursor.fetchone() == (True,)


async def most_ids(conn: AsyncConnection, listed: Listed, *, deep: bool) -> int:
    """How many distinct ids are shown of the person that has most.

    Only who may have several is looked at; if nobody has, the question is whether anybody has one.
    """
    cursor = await conn.execute(
        sql.SQL(
            """
            WITH several AS (
                SELECT person_id AS id
                  FROM distinct_id
                 WHERE project_id = %(project_id)s
                   AND person_id IS NOT NULL
                   AND ended_at IS NULL
                 GROUP BY person_id
                HAVING count(*) > 1
                 UNION
                SELECT merged_into_id
                  FROM person
                 WHERE project_id = %(project_id)s
                   AND merged_into_id IS NOT NULL
            )
            SELECT coalesce(
                       (SELECT max(owned.number)
                          FROM ({listed}) AS person
                          JOIN several ON several.id = person.id
                         CROSS JOIN LATERAL (
                               SELECT count(*) AS number FROM ({family}) AS each
                               ) AS owned),
                       0),
                   EXISTS (SELECT
                             FROM ({listed}) AS person
                             JOIN distinct_id ON distinct_id.person_id = person.id
                            WHERE distinct_id.ended_at IS NULL)
            """
        ).format(listed=listed.query("person.id"), family=family_ids(deep=deep)),
        listed.parameters(),
    )
    row = await cursor.fetchone()
    assert row is not None, "there is no FROM"
    return max(row[0], int(row[1]))


async def persons(conn: AsyncConnection, listed: Listed) -> AsyncGenerator[list[Owner], None]:
    """The persons with their distinct ids, the newest first, a few at a time."""
    async with conn.cursor("exported", row_factory=class_row(Person)) as cursor:
        await cursor.execute(
            sql.SQL("{listed} {order}").format(
                listed=listed.query(
                    "person.id, person.project_id, person.uuid, person.created_at, "
                    "person.properties, person.is_identified, person.last_seen_at, "
                    "person.version, person.merged_into_id"
                ),
                order=sql.SQL(
                    ""
                    if listed.most is not None
                    else "ORDER BY person.created_at DESC, person.id DESC"
                ),
            ),
            listed.parameters(),
        )
        while found := await cursor.fetchmany(BATCH_PERSONS):
            roots = [person.id for person in found]
            ids = await person_lookup.distinct_ids_of(conn, roots, limit=IDS_MAX)
            yield [Owner(person, ids[person.id]) for person in found]
