"""Looking for what a deletion should have removed, in every table that may hold it.

The end of each deletion looks by what is still known of it, and by indexes: `trace` goes through
the whole database instead, for `personhood verify`.
"""

from psycopg import AsyncConnection, sql

from personhood.store.registry import TABLES, Fate, Holds

# Rows that go with others which are looked for, or that those have who were once one with the
# person: no index leads to them from the person.
BESIDE = {
    ("ledger", "source_id"),
    ("split_person", "leaf_id"),
    ("split_merge", "source_id"),
    ("split_merge", "target_id"),
    ("split_merge", "source_leaf_id"),
    ("split_merge", "target_leaf_id"),
}
PLACE = sql.SQL(
    """
    SELECT {table}::text AS place, count(*) AS rows
      FROM deletion_person AS p
     CROSS JOIN LATERAL (SELECT FROM {name} WHERE {column} = p.person_id{more} OFFSET 0) AS t
     WHERE deletion_id = %(id)s
    """
)
# Each has an index for merges in force, and one for the others.
MERGES = (sql.SQL(" AND undone_at IS NULL"), sql.SQL(" AND undone_at IS NOT NULL"))
WARNINGS = sql.SQL(
    """
    SELECT 'ingestion_warning', count(*)
      FROM deletion_person p CROSS JOIN LATERAL (
           SELECT FROM ingestion_warning WHERE details ->> 'personId' = p.person_uuid::text
            UNION ALL
           SELECT FROM ingestion_warning WHERE details ->> 'otherPersonId' = p.person_uuid::text
           ) AS t
     WHERE deletion_id = %(id)s
    """
)


def by_person() -> sql.Composed:
    """Each column of the registry that no row may have a deleted person in, by its own index."""
    return sql.SQL(" UNION ALL ").join(
        [
            PLACE.format(
                table=table, name=sql.Identifier(table), column=sql.Identifier(column), more=more
            )
            for table, about in TABLES.items()
            for column, holds in about.columns.items()
            for more in (MERGES if table == "merge" else (sql.SQL(""),))
            if about.fate is Fate.AT_ONCE
            and holds is Holds.PERSON
            and (table, column) not in BESIDE
        ]
        + [WARNINGS]
    )


BY_PERSON = by_person()


async def left(conn: AsyncConnection, deletion_id: int) -> dict[str, int]:
    """Rows by table that still hold something of the profile of a deletion."""
    cursor = await conn.execute(BY_PERSON, {"id": deletion_id})
    found: dict[str, int] = {}
    for place, rows in await cursor.fetchall():
        if rows:
            found[place] = found.get(place, 0) + rows
    return found


async def names_left(conn: AsyncConnection, deletion_id: int) -> int:
    """Rows of distinct ids that a deletion is about and that have ended.

    None may stay when their events are gone."""
    cursor = await conn.execute(
        """
        SELECT count(*)
          FROM deletion_target
         CROSS JOIN LATERAL (
               SELECT ended_at
                 FROM distinct_id
                WHERE id = deletion_target.distinct_id_id
               OFFSET 0
               ) AS named
         WHERE deletion_id = %(deletion_id)s
           AND named.ended_at IS NOT NULL
        """,
        {"deletion_id": deletion_id},
    )
    row = await cursor.fetchone()
    assert row is not None, "an aggregate gives its row"
    return row[0]
