"""Searching persons: text in e-mail, name, uuid or a distinct id, in any letter case.

Two ways lead to the same persons. `MATCHES` asks a person at a time: good where many match, as some
of the newest then do. `candidates` finds them by trigram indexes: good where few do, however old.
"""

import re

from psycopg import AsyncConnection, sql

from personhood.store.property_filter import containing

CANDIDATES_MAX = 250_000
TRIGRAM = re.compile(r"[^\W_]{3}")

# Scalar subqueries, not EXISTS: those the planner may answer from a hash of all distinct ids.
MATCHES = sql.SQL(
    """
    AND (
        person.email ILIKE %(search)s
        OR person.name ILIKE %(search)s
        OR person.uuid::text ILIKE %(search)s
        OR (SELECT true
              FROM distinct_id
             WHERE distinct_id.person_id = person.id
               AND distinct_id.ended_at IS NULL
               AND distinct_id.distinct_id ILIKE %(search)s
             LIMIT 1)
        OR (WITH RECURSIVE down (id) AS (
                SELECT child.id
                  FROM person child
                 WHERE child.merged_into_id = person.id
                 UNION
                SELECT child.id
                  FROM down
                  JOIN person child ON child.merged_into_id = down.id
            )
            SELECT true
              FROM down
             CROSS JOIN LATERAL (
                   SELECT
                     FROM distinct_id
                    WHERE distinct_id.person_id = down.id
                      AND distinct_id.ended_at IS NULL
                      AND distinct_id.distinct_id ILIKE %(search)s
                    LIMIT 1
                   ) AS owned
             LIMIT 1)
    )
    """
)


async def candidates(conn: AsyncConnection, project_id: int, search: str) -> list[int] | None:
    """All persons that match, of whatever age; None if they are too many to be worth it.

    Steps from an id to its root are lateral with a limit: look-ups, whatever the planner expects.
    The expression is that of the index `person_search`; it holds the three columns in one text, so
    each is asked again. The project is a bigint here because its operator class knows no other.
    """
    cursor = await conn.execute(
        """
        WITH RECURSIVE own (id) AS MATERIALIZED (
            SELECT id
              FROM person
             WHERE project_id = %(project_id)s::bigint
               AND merged_into_id IS NULL
               AND coalesce(email, '') || ' ' || coalesce(name, '') || ' ' || uuid::text
                   ILIKE %(search)s
               AND (email ILIKE %(search)s OR name ILIKE %(search)s OR uuid::text ILIKE %(search)s)
        ), leaf (id) AS MATERIALIZED (
            SELECT person_id
              FROM distinct_id
             WHERE project_id = %(project_id)s::bigint
               AND ended_at IS NULL
               AND person_id IS NOT NULL
               AND distinct_id ILIKE %(search)s
        ), few_own (id) AS MATERIALIZED (
            SELECT id FROM own LIMIT %(most)s
        ), few_leaves (id) AS MATERIALIZED (
            SELECT id FROM leaf LIMIT %(most)s
        ), up (id, parent_id) AS (
            SELECT step.id, step.parent_id
              FROM few_leaves
             CROSS JOIN LATERAL (
                   SELECT person.id, person.merged_into_id AS parent_id
                     FROM person
                    WHERE person.id = few_leaves.id
                    LIMIT 1
                   ) AS step
             UNION
            SELECT step.id, step.parent_id
              FROM up
             CROSS JOIN LATERAL (
                   SELECT person.id, person.merged_into_id AS parent_id
                     FROM person
                    WHERE person.id = up.parent_id
                    LIMIT 1
                   ) AS step
        )
        SELECT greatest((SELECT count(*) FROM few_own), (SELECT count(*) FROM few_leaves)),
               (SELECT coalesce(array_agg(id), '{}')
                  FROM (SELECT id FROM few_own
                         UNION
                        SELECT id FROM up WHERE parent_id IS NULL) AS found)
        """,
        {"project_id": project_id, "search": containing(search), "most": CANDIDATES_MAX},
        binary=True,
        prepare=False,
    )
    row = await cursor.fetchone()
    assert row is not None, "a row of values is always there"
    return row[1] if row[0] < CANDIDATES_MAX else None


def has_trigrams(search: str) -> bool:
    """Whether an index can find it. Three letters or digits in a row are one; `_` is a wildcard."""
    return TRIGRAM.search(search) is not None


async def expected(conn: AsyncConnection, project_id: int, search: str) -> int:
    """How many the planner expects to match, by its statistics: a guess, but a good one of many."""
    parameters = {"project_id": project_id, "search": containing(search)}
    found = 0
    for statement in (OWN_EXPECTED, LEAVES_EXPECTED):
        cursor = await conn.execute(statement, parameters, prepare=False)
        row = await cursor.fetchone()
        assert row is not None, "a plan is told in a row"
        found += int(row[0][0]["Plan"]["Plan Rows"])
    return found


OWN_EXPECTED = """
    EXPLAIN (FORMAT JSON)
    SELECT FROM person
     WHERE project_id = %(project_id)s
       AND merged_into_id IS NULL
       AND (email ILIKE %(search)s OR name ILIKE %(search)s)
    """
LEAVES_EXPECTED = """
    EXPLAIN (FORMAT JSON)
    SELECT FROM distinct_id
     WHERE project_id = %(project_id)s
       AND ended_at IS NULL
       AND person_id IS NOT NULL
       AND distinct_id ILIKE %(search)s
    """
