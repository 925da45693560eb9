"""Looking for what a deletion should have removed, in every table that may hold it.

The end of each deletion looks by what is still known of it, and by indexes: `trace` goes through
the whole database instead, for `personhood verify`.
"""

from psycopg import AsyncConnection

# Tables that are found by their own indexes, so a person is looked for in any number of rows.
BY_PERSON = """
    SELECT 'person' AS place, count(*) AS rows
      FROM deletion_person p CROSS JOIN LATERAL (
           SELECT FROM person WHERE id = p.person_id OFFSET 0) AS t
     WHERE deletion_id = %(id)s
     UNION ALL
    SELECT 'person (merged)', count(*)
      FROM deletion_person p CROSS JOIN LATERAL (
           SELECT FROM person WHERE merged_into_id = p.person_id OFFSET 0) AS t
     WHERE deletion_id = %(id)s
     UNION ALL
    SELECT 'ledger', count(*)
      FROM deletion_person p CROSS JOIN LATERAL (
           SELECT FROM ledger WHERE person_id = p.person_id OFFSET 0) AS t
     WHERE deletion_id = %(id)s
     UNION ALL
    SELECT 'merge', count(*)
      FROM deletion_person p CROSS JOIN LATERAL (
           SELECT FROM merge WHERE source_id = p.person_id AND undone_at IS NULL
            UNION ALL
           SELECT FROM merge WHERE source_id = p.person_id AND undone_at IS NOT NULL
            UNION ALL
           SELECT FROM merge WHERE target_id = p.person_id AND undone_at IS NULL
            UNION ALL
           SELECT FROM merge WHERE target_id = p.person_id AND undone_at IS NOT NULL
            UNION ALL
           SELECT FROM merge WHERE source_leaf_id = p.person_id AND undone_at IS NULL
            UNION ALL
           SELECT FROM merge WHERE source_leaf_id = p.person_id AND undone_at IS NOT NULL
            UNION ALL
           SELECT FROM merge WHERE target_leaf_id = p.person_id AND undone_at IS NULL
            UNION ALL
           SELECT FROM merge WHERE target_leaf_id = p.person_id AND undone_at IS NOT NULL
           ) AS t
     WHERE deletion_id = %(id)s
     UNION ALL
    SELECT 'split', count(*)
      FROM deletion_person p CROSS JOIN LATERAL (
           SELECT FROM split WHERE person_id = p.person_id
            UNION ALL
           SELECT FROM split_person WHERE person_id = p.person_id
           ) AS t
     WHERE deletion_id = %(id)s
     UNION ALL
    SELECT 'cohort_person', count(*)
      FROM deletion_person p CROSS JOIN LATERAL (
           SELECT FROM cohort_person WHERE person_id = p.person_id OFFSET 0) AS t
     WHERE deletion_id = %(id)s
     UNION ALL
    SELECT 'ingestion_warning', count(*)
      FROM deletion_person p CROSS JOIN LATERAL (
           SELECT FROM ingestion_warning WHERE details ->> 'personId' = p.person_uuid::text
            UNION ALL
           SELECT FROM ingestion_warning WHERE details ->> 'otherPersonId' = p.person_uuid::text
           ) AS t
     WHERE deletion_id = %(id)s
"""


async def left(conn: AsyncConnection, deletion_id: int) -> dict[str, int]:
    """Rows by table that still hold something of the profile of a deletion."""
    cursor = await conn.execute(BY_PERSON, {"id": deletion_id})
    return {place: rows for place, rows in await cursor.fetchall() if rows}


async def names_left(conn: AsyncConnection, deletion_id: int) -> int:
    """Rows of distinct ids that a deletion is about and that have ended.

    None may stay when their events are gone."""
    cursor = await conn.execute(
        """
        SELECT count(*)
          FROM deletion_target
         CROSS JOIN LATERAL (
               SELECT
                 FROM distinct_id
                WHERE id = deletion_target.distinct_id_id
                  AND ended_at IS NOT NULL
               OFFSET 0
               ) AS named
         WHERE deletion_id = %(deletion_id)s
        """,
        {"deletion_id": deletion_id},
    )
    row = await cursor.fetchone()
    assert row is not None, "an aggregate gives its row"
    return row[0]
