"""Pages of events: those of a project, or of some of its distinct ids as they belong now.

Each way goes along an index in the order of time: that of the project, or for each distinct id the
primary key. Of a person with very many ids the project's events are looked through for its own, as
some of the newest then are. Only keys are sorted; the events themselves are read last, as a stream.
"""

from collections.abc import AsyncGenerator, Iterable
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection, sql
from psycopg.rows import class_row

from personhood.filters.tree import ALWAYS, Node
from personhood.model import Properties
from personhood.store.property_filter import Condition

ROWS_AT_ONCE = 50  # an event may be a megabyte
NAMES_MAX = 10_000  # that are gone through one by one
SHOWN_BYTES_MAX = 8192  # of a property of a person beside its event


class Listed(Struct, frozen=True, kw_only=True):
    """Which events, and in which order. Both times are outside; None asks for nothing.

    With `behind` those of the first time in order are inside as far as they come after this uuid.
    `person_id` is a root.
    """

    person_id: int | None = None
    distinct_id: str | None = None
    name: str | None = None
    properties: Node = ALWAYS
    after: datetime | None = None
    before: datetime | None = None
    behind: UUID | None = None
    ascends: bool = False


class Stored(Struct, frozen=True, kw_only=True):
    """An event as it is kept, its properties as JSON, and the leaf that its sender is of now."""

    uuid: UUID
    name: str
    timestamp: datetime
    properties: str
    elements_chain: str | None
    distinct_id: str
    leaf_id: int | None


class Sender(Struct, frozen=True, kw_only=True):
    """A root beside its event: one of its distinct ids, and how it may be called."""

    leaf_id: int
    is_identified: bool
    distinct_id: str | None
    properties: Properties


OF_PROJECT = sql.SQL(
    """
    SELECT event.distinct_id_id, event.timestamp, event.uuid
      FROM event
     WHERE event.project_id = %(project_id)s
       {conditions}
    """
)
OF_MANY = sql.SQL(
    """
    SELECT event.distinct_id_id, event.timestamp, event.uuid
      FROM event
     CROSS JOIN LATERAL (
           SELECT person_id AS leaf_id
             FROM distinct_id
            WHERE id = event.distinct_id_id
              AND person_id IS NOT NULL
              AND ended_at IS NULL
           OFFSET 0
           ) AS named
     WHERE event.project_id = %(project_id)s
       {conditions}
       AND (WITH RECURSIVE up (id) AS (
                SELECT named.leaf_id
                 UNION ALL
                SELECT parent.id
                  FROM up
                 CROSS JOIN LATERAL (
                       SELECT merged_into_id AS id
                         FROM person
                        WHERE id = up.id
                          AND merged_into_id IS NOT NULL
                       OFFSET 0
                       ) AS parent
            )
            SELECT true
              FROM up
             WHERE id = %(person_id)s
             LIMIT 1)
    """
)
# By index, an id at a time: how many events match cannot be estimated.
OF_NAMES = sql.SQL(
    """
    SELECT sent.distinct_id_id, sent.timestamp, sent.uuid
      FROM ({names}) AS named
     CROSS JOIN LATERAL (
           SELECT event.distinct_id_id, event.timestamp, event.uuid
             FROM event
            WHERE event.distinct_id_id = named.id
              {conditions}
            ORDER BY event.timestamp {way}, event.uuid {way}
            LIMIT %(reach)s
           ) AS sent
    """
)
# Also of a deleted person whose events were to stay. By two indexes.
BY_TEXT = sql.SQL(
    """
    SELECT id
      FROM distinct_id
     WHERE project_id = %(project_id)s
       AND distinct_id = %(distinct_id)s
       AND ended_at IS NULL
     UNION ALL
    SELECT id
      FROM distinct_id
     WHERE project_id = %(project_id)s
       AND distinct_id = %(distinct_id)s
       AND ended_at IS NOT NULL
    """
)
BY_PERSON = sql.SQL(
    """
    WITH RECURSIVE family (id) AS (
        SELECT %(person_id)s::bigint
         UNION ALL
        SELECT child.id
          FROM family
         CROSS JOIN LATERAL (
               SELECT id
                 FROM person
                WHERE merged_into_id = family.id
               OFFSET 0
               ) AS child
    )
    SELECT owned.id
      FROM family
     CROSS JOIN LATERAL (
           SELECT id
             FROM distinct_id
            WHERE project_id = %(project_id)s
              AND person_id = family.id
              AND ended_at IS NULL
              AND (%(distinct_id)s::text IS NULL OR distinct_id = %(distinct_id)s)
           OFFSET 0
           ) AS owned
    """
)
PAGE = sql.SQL(
    """
    WITH page AS MATERIALIZED (
        SELECT *
          FROM ({keys}) AS sent
         ORDER BY timestamp {way}, uuid {way}
         LIMIT %(limit)s OFFSET %(offset)s
    )
    SELECT page.uuid, e.name, page.timestamp, e.properties::text AS properties, e.elements_chain,
           coalesce(d.distinct_id, '') AS distinct_id,
           CASE WHEN d.ended_at IS NULL THEN d.person_id END AS leaf_id
      FROM page
     CROSS JOIN LATERAL (
           SELECT name, properties, elements_chain
             FROM event
            WHERE distinct_id_id = page.distinct_id_id
              AND timestamp = page.timestamp
              AND uuid = page.uuid
           OFFSET 0
           ) AS e
      LEFT JOIN LATERAL (
           SELECT distinct_id, ended_at, person_id
             FROM distinct_id
            WHERE id = page.distinct_id_id
           OFFSET 0
           ) AS d ON true
     ORDER BY page.timestamp {way}, page.uuid {way}
    """
)


async def stream(
    conn: AsyncConnection, project_id: int, listed: Listed, *, limit: int, offset: int = 0
) -> AsyncGenerator[Stored, None]:
    """The events of a page, in their order. It takes a transaction."""
    many = False
    if listed.person_id is not None and listed.distinct_id is None:
        many = await has_many_names(conn, project_id, listed.person_id)
    query = Query(listed, many=many)
    # The planner does not see how many events an id has, and would sort all instead of reading the
    # first in the order of the primary key.
    await conn.execute("SET LOCAL enable_sort = off")
    async with conn.cursor("event_page", row_factory=class_row(Stored)) as cursor:
        cursor.itersize = ROWS_AT_ONCE
        await cursor.execute(
            query.sql,
            {
                **query.parameters,
                "project_id": project_id,
                "limit": limit,
                "offset": offset,
                "reach": limit + offset,
            },
        )
        async for row in cursor:
            yield row


async def has_many_names(conn: AsyncConnection, project_id: int, person_id: int) -> bool:
    cursor = await conn.execute(
        sql.SQL("SELECT count(*) FROM ({names} LIMIT %(most)s) AS named").format(names=BY_PERSON),
        {
            "project_id": project_id,
            "person_id": person_id,
            "distinct_id": None,
            "most": NAMES_MAX + 1,
        },
    )
    row = await cursor.fetchone()
    assert row is not None, "an aggregate gives its row"
    return row[0] > NAMES_MAX


class Query:
    """`sql` gives a page, with names for `parameters`; `many` is for a person of many ids."""

    def __init__(self, listed: Listed, *, many: bool = False) -> None:
        held = Condition(
            listed.properties,
            {"event": sql.Identifier("event", "properties")},
            person=sql.SQL("NULL"),
        )
        first = "after" if listed.ascends else "before"
        edge = sql.SQL(
            "AND event.timestamp {sign}= {at} AND (event.timestamp, event.uuid) {sign} ({at}, {id})"
        ).format(
            sign=sql.SQL(">" if listed.ascends else "<"),
            at=sql.Placeholder(first),
            id=sql.Placeholder("behind"),
        )
        bounds: dict[str, sql.Composable] = {
            "after": sql.SQL("AND event.timestamp > %(after)s"),
            "before": sql.SQL("AND event.timestamp < %(before)s"),
        }
        if listed.behind is not None:
            bounds[first] = edge
        asked = (
            (listed.after is not None, bounds["after"]),
            (listed.before is not None, bounds["before"]),
            (listed.name is not None, sql.SQL("AND event.name = %(name)s")),
            (listed.properties != ALWAYS, sql.SQL("AND {}").format(held.sql)),
        )
        conditions = sql.SQL(" ").join(each for is_asked, each in asked if is_asked)
        way = sql.SQL("ASC" if listed.ascends else "DESC")
        if many:
            keys = OF_MANY.format(conditions=conditions)
        elif listed.person_id is not None:
            keys = OF_NAMES.format(names=BY_PERSON, conditions=conditions, way=way)
        elif listed.distinct_id is not None:
            keys = OF_NAMES.format(names=BY_TEXT, conditions=conditions, way=way)
        else:
            keys = OF_PROJECT.format(conditions=conditions)
        self.sql = PAGE.format(keys=keys, way=way)
        self.parameters: dict[str, object] = {
            "person_id": listed.person_id,
            "distinct_id": listed.distinct_id,
            "name": listed.name,
            "after": listed.after,
            "before": listed.before,
            "behind": listed.behind,
            **held.parameters,
        }


async def by_uuid(conn: AsyncConnection, project_id: int, uuid: UUID) -> Stored | None:
    async with conn.cursor(row_factory=class_row(Stored)) as cursor:
        await cursor.execute(
            """
            SELECT key.uuid, e.name, key.timestamp, e.properties::text AS properties,
                   e.elements_chain, coalesce(d.distinct_id, '') AS distinct_id,
                   CASE WHEN d.ended_at IS NULL THEN d.person_id END AS leaf_id
              FROM event_key key
              JOIN event e ON e.distinct_id_id = key.distinct_id_id
                          AND e.timestamp = key.timestamp
                          AND e.uuid = key.uuid
              LEFT JOIN distinct_id d ON d.id = key.distinct_id_id
             WHERE key.project_id = %(project_id)s
               AND key.uuid = %(uuid)s
            """,
            {"project_id": project_id, "uuid": uuid},
        )
        return await cursor.fetchone()


async def senders(
    conn: AsyncConnection, project_id: int, leaf_ids: Iterable[int]
) -> dict[int, Sender]:
    """For each leaf its root, with the oldest of the root's own distinct ids, or of the leaf's."""
    async with conn.cursor(row_factory=class_row(Sender)) as cursor:
        await cursor.execute(
            """
            WITH RECURSIVE up (leaf_id, id) AS (
                SELECT id, id
                  FROM unnest(%(leaves)b::bigint[]) AS leaf (id)
                 UNION ALL
                SELECT up.leaf_id, parent.id
                  FROM up
                 CROSS JOIN LATERAL (
                       SELECT merged_into_id AS id
                         FROM person
                        WHERE id = up.id
                          AND merged_into_id IS NOT NULL
                       OFFSET 0
                       ) AS parent
            )
            SELECT up.leaf_id, root.is_identified, root.properties,
                   coalesce(own.distinct_id, others.distinct_id) AS distinct_id
              FROM up
             CROSS JOIN LATERAL (
                   SELECT is_identified,
                          coalesce((SELECT jsonb_object_agg(key, properties -> key)
                                      FROM unnest(ARRAY['email', 'name', 'username']) AS t (key)
                                     WHERE properties ? key
                                       AND octet_length((properties -> key)::text)
                                           <= %(bytes_max)s),
                                   '{}') AS properties
                     FROM person
                    WHERE project_id = %(project_id)s
                      AND id = up.id
                      AND merged_into_id IS NULL
                   OFFSET 0
                   ) AS root
              LEFT JOIN LATERAL (
                   SELECT distinct_id
                     FROM distinct_id
                    WHERE person_id = up.id
                      AND ended_at IS NULL
                    ORDER BY id
                    LIMIT 1
                   ) AS own ON true
              LEFT JOIN LATERAL (
                   SELECT distinct_id
                     FROM distinct_id
                    WHERE person_id = up.leaf_id
                      AND ended_at IS NULL
                    ORDER BY id
                    LIMIT 1
                   ) AS others ON own.distinct_id IS NULL
            """,
            {
                "project_id": project_id,
                "leaves": list(set(leaf_ids)),
                "bytes_max": SHOWN_BYTES_MAX,
            },
        )
        return {row.leaf_id: row for row in await cursor.fetchall()}
