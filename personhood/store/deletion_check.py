"""Looking for what a deletion should have removed, in every table that may hold it.

The end of each deletion looks by what is still known of it, by indexes: for the persons in every
column of `registry` that may hold one, for their uuids and names in warnings; and the claims of
events are redacted until none tells a name. `trace` goes through the whole database instead, for
`personhood verify`: also by what no index leads to, such as the ids in others' ledgers.
"""

from collections.abc import Iterator, Sequence

from psycopg import AsyncConnection, sql

from personhood.store.registry import TABLES, Fate, Holds

# Each has an index for merges in force, and one for the others.
MERGES = (sql.SQL("undone_at IS NULL"), sql.SQL("undone_at IS NOT NULL"))
WHOLE = (sql.SQL("true"),)

ANYWHERE = sql.SQL(
    "EXISTS (SELECT FROM {name} WHERE {column} = ANY((SELECT ids FROM noted)::bigint[]) AND {more})"
)
PLACE = sql.SQL(
    """
    SELECT deletion_id, {table}::text
      FROM deletion_person
     CROSS JOIN LATERAL (
           SELECT FROM {name} WHERE {column} = deletion_person.person_id AND {more} LIMIT 1
           ) AS kept
     WHERE deletion_id = ANY(%(ids)b::bigint[])
    """
)


def places() -> Iterator[tuple[str, str, sql.SQL]]:
    """Each column of the registry that no row may have a deleted person in, by its own index."""
    for table, about in TABLES.items():
        for column, holds in about.columns.items():
            if about.fate is Fate.AT_ONCE and holds is Holds.PERSON:
                for more in MERGES if table == "merge" else WHOLE:
                    yield table, column, more


def filled(pattern: sql.SQL, place: tuple[str, str, sql.SQL]) -> sql.Composed:
    table, column, more = place
    return pattern.format(
        table=table, name=sql.Identifier(table), column=sql.Identifier(column), more=more
    )


IS_ANY_LEFT = sql.SQL(
    """
    WITH noted AS MATERIALIZED (
        SELECT ARRAY(SELECT person_id
                       FROM deletion_person
                      WHERE deletion_id = ANY(%(ids)b::bigint[])) AS ids
    )
    SELECT {anywhere}
    """
).format(anywhere=sql.SQL(" OR ").join(filled(ANYWHERE, place) for place in places()))
BY_PERSON = sql.SQL(" UNION ALL ").join(filled(PLACE, place) for place in places())


async def left(conn: AsyncConnection, ids: Sequence[int]) -> dict[int, set[str]]:
    """Tables that still refer to a person of the profiles of some deletions, by deletion.

    Usually nothing is left, so all are looked for at once first.
    """
    cursor = await conn.execute(IS_ANY_LEFT, {"ids": list(ids)})
    if await cursor.fetchone() == (False,):
        return {}
    found: dict[int, set[str]] = {}
    cursor = await conn.execute(BY_PERSON, {"ids": list(ids)})
    for id, table in await cursor.fetchall():
        found.setdefault(id, set()).add(table)
    return found


async def told_in_warnings(conn: AsyncConnection, ids: Sequence[int]) -> set[int]:
    """Of some deletions of profiles those whose persons are still told of, by uuid or by name.

    Who has come since may have the same uuid or name, and warnings of its own.
    """
    cursor = await conn.execute(
        """
        WITH told AS MATERIALIZED (
            SELECT deletion.id, deletion.project_id, deletion_person.person_uuid::text AS text,
                   ARRAY['personId', 'otherPersonId'] AS keys
              FROM deletion
              JOIN deletion_person ON deletion_id = deletion.id
             WHERE deletion.id = ANY(%(ids)b::bigint[])
               AND NOT EXISTS (SELECT
                                 FROM person
                                WHERE project_id = deletion.project_id
                                  AND uuid = deletion_person.person_uuid)
             UNION ALL
            SELECT deletion.id, deletion.project_id, ended.distinct_id,
                   ARRAY['distinctId', 'sourcePersonDistinctId', 'targetPersonDistinctId']
              FROM deletion
              JOIN deletion_target ON deletion_id = deletion.id
              JOIN distinct_id AS ended ON ended.id = deletion_target.distinct_id_id
             WHERE deletion.id = ANY(%(ids)b::bigint[])
               AND NOT EXISTS (SELECT
                                 FROM distinct_id AS live
                                WHERE live.project_id = deletion.project_id
                                  AND live.distinct_id = ended.distinct_id
                                  AND live.ended_at IS NULL)
        )
        SELECT DISTINCT told.id
          FROM told
         CROSS JOIN LATERAL (
               SELECT 'personId' AS key, project_id FROM ingestion_warning
                WHERE details ->> 'personId' = told.text
                UNION ALL
               SELECT 'otherPersonId', project_id FROM ingestion_warning
                WHERE details ->> 'otherPersonId' = told.text
                UNION ALL
               SELECT 'distinctId', project_id FROM ingestion_warning
                WHERE details ->> 'distinctId' = told.text
                UNION ALL
               SELECT 'sourcePersonDistinctId', project_id FROM ingestion_warning
                WHERE details ->> 'sourcePersonDistinctId' = told.text
                UNION ALL
               SELECT 'targetPersonDistinctId', project_id FROM ingestion_warning
                WHERE details ->> 'targetPersonDistinctId' = told.text
               ) AS warning
         WHERE warning.project_id = told.project_id
           AND warning.key = ANY(told.keys)
        """,
        {"ids": list(ids)},
    )
    return {row[0] for row in await cursor.fetchall()}


async def names_left(conn: AsyncConnection, ids: Sequence[int]) -> dict[int, int]:
    """How many rows are there of distinct ids that deletions are about and that have ended.

    None may stay when their events are gone."""
    cursor = await conn.execute(
        """
        SELECT asked.id, count(named.ended_at)
          FROM unnest(%(ids)b::bigint[]) AS asked (id)
          LEFT JOIN deletion_target ON deletion_id = asked.id
          LEFT JOIN LATERAL (
               SELECT ended_at
                 FROM distinct_id
                WHERE id = deletion_target.distinct_id_id
               OFFSET 0
               ) AS named ON true
         GROUP BY asked.id
        """,
        {"ids": list(ids)},
    )
    return dict(await cursor.fetchall())
