"""Forgetting persons: what each deletion is about, and taking it away, table by table.

Each statement is about all persons of a request, and no id of theirs leaves the database: a person
may have a million. Which tables there are to think of stands in `registry`.

Rows are found by arrays that subqueries make: always by index. Joined, they are found by whatever
the planner makes of tables that have just been filled.
"""

from collections.abc import Sequence

from psycopg import AsyncConnection

from personhood.store import arrays


async def take_time(conn: AsyncConnection) -> None:
    """Let each statement of this transaction take as long as it needs."""
    await conn.execute("SET LOCAL statement_timeout = 0")


async def note_persons(conn: AsyncConnection, deletions: Sequence[int]) -> None:
    """Each deletion's root and all that merged into it, at any depth."""
    await conn.execute(
        """
        INSERT INTO deletion_person (deletion_id, person_id, person_uuid)
        WITH RECURSIVE family (deletion_id, person_id, person_uuid) AS (
            SELECT id, person_id, person_uuid
              FROM deletion
             WHERE id = ANY(%(deletions)b::bigint[])
             UNION ALL
            SELECT family.deletion_id, child.id, child.uuid
              FROM family
             CROSS JOIN LATERAL (
                   SELECT id, uuid
                     FROM person
                    WHERE merged_into_id = family.person_id
                   OFFSET 0
                   ) AS child
        )
        SELECT deletion_id, person_id, person_uuid
          FROM family
        """,
        {"deletions": list(deletions)},
    )


async def drop_persons(conn: AsyncConnection, deletions: Sequence[int]) -> None:
    """Forget which persons some deletions are about, to note it anew."""
    await conn.execute(
        """
        DELETE FROM deletion_person
         WHERE deletion_id = ANY(%(deletions)b::bigint[])
        """,
        {"deletions": list(deletions)},
    )


async def note_targets(conn: AsyncConnection, deletions: Sequence[int]) -> None:
    """The distinct ids that the persons have now; asked for again, they count up to now.

    What an id had when its profile was deleted goes whole: afterwards nothing can come to it.
    """
    await conn.execute(
        """
        INSERT INTO deletion_target (deletion_id, distinct_id_id, cutoff)
        SELECT deletion.id, owned.id,
               CASE WHEN deletion.profile THEN NULL ELSE deletion.cutoff END
          FROM deletion
          JOIN deletion_person ON deletion_person.deletion_id = deletion.id
         CROSS JOIN LATERAL (
               SELECT id
                 FROM distinct_id
                WHERE person_id = deletion_person.person_id
                  AND ended_at IS NULL
               OFFSET 0
               ) AS owned
         WHERE deletion.id = ANY(%(deletions)b::bigint[])
        ON CONFLICT (deletion_id, distinct_id_id) DO UPDATE SET cutoff = excluded.cutoff
        """,
        {"deletions": list(deletions)},
    )


async def end_ids(conn: AsyncConnection, deletions: Sequence[int]) -> None:
    """Free the names at once. The rows stay for the events that refer to them."""
    await conn.execute(
        """
        UPDATE distinct_id
           SET ended_at = now(), person_id = NULL
         WHERE id = ANY(ARRAY(SELECT distinct_id_id
                                FROM deletion_target
                               WHERE deletion_id = ANY(%(deletions)b::bigint[])))
           AND ended_at IS NULL
        """,
        {"deletions": list(deletions)},
    )


async def delete_ledger(conn: AsyncConnection, deletions: Sequence[int]) -> None:
    await conn.execute(
        """
        DELETE FROM ledger
         WHERE person_id = ANY(ARRAY(SELECT person_id
                                         FROM deletion_person
                                        WHERE deletion_id = ANY(%(deletions)b::bigint[])))
        """,
        {"deletions": list(deletions)},
    )


async def delete_clocks(conn: AsyncConnection, deletions: Sequence[int]) -> None:
    await conn.execute(
        """
        DELETE FROM property_clock
         WHERE person_id = ANY(ARRAY(SELECT person_id
                                         FROM deletion_person
                                        WHERE deletion_id = ANY(%(deletions)b::bigint[])))
        """,
        {"deletions": list(deletions)},
    )


async def delete_merges(conn: AsyncConnection, deletions: Sequence[int]) -> None:
    """Those in force, which all have their source in the family, and those undone around it."""
    await conn.execute(
        """
        DELETE FROM merge
         WHERE id IN (
               SELECT found.id
                 FROM deletion_person
                CROSS JOIN LATERAL (
                      SELECT id FROM merge
                       WHERE source_id = deletion_person.person_id AND undone_at IS NULL
                       UNION ALL
                      SELECT id FROM merge
                       WHERE source_id = deletion_person.person_id AND undone_at IS NOT NULL
                       UNION ALL
                      SELECT id FROM merge
                       WHERE target_id = deletion_person.person_id AND undone_at IS NOT NULL
                       UNION ALL
                      SELECT id FROM merge
                       WHERE source_leaf_id = deletion_person.person_id AND undone_at IS NOT NULL
                       UNION ALL
                      SELECT id FROM merge
                       WHERE target_leaf_id = deletion_person.person_id AND undone_at IS NOT NULL
                      ) AS found
                WHERE deletion_person.deletion_id = ANY(%(deletions)b::bigint[]))
        """,
        {"deletions": list(deletions)},
    )


async def delete_splits(conn: AsyncConnection, deletions: Sequence[int]) -> None:
    """Splits that one of the persons had a part in: they cannot be undone without it."""
    await conn.execute(
        """
        WITH touched AS (
            SELECT found.id
              FROM deletion_person
             CROSS JOIN LATERAL (
                   SELECT id FROM split WHERE person_id = deletion_person.person_id
                    UNION ALL
                   SELECT split_id FROM split_person WHERE person_id = deletion_person.person_id
                   ) AS found
             WHERE deletion_person.deletion_id = ANY(%(deletions)b::bigint[])
             UNION
            SELECT split_person.split_id
              FROM deletion_target
              JOIN split_person ON split_person.distinct_id_id = deletion_target.distinct_id_id
             WHERE deletion_target.deletion_id = ANY(%(deletions)b::bigint[])
        ),
        persons AS (
            DELETE FROM split_person USING touched WHERE split_id = touched.id
        ),
        merges AS (
            DELETE FROM split_merge USING touched WHERE split_id = touched.id
        )
        DELETE FROM split USING touched WHERE split.id = touched.id
        """,
        {"deletions": list(deletions)},
    )


async def leave_cohorts(conn: AsyncConnection, deletions: Sequence[int]) -> None:
    await conn.execute(
        """
        DELETE FROM cohort_person
         WHERE person_id = ANY(ARRAY(SELECT person_id
                                         FROM deletion_person
                                        WHERE deletion_id = ANY(%(deletions)b::bigint[])))
        """,
        {"deletions": list(deletions)},
    )


async def delete_persons(conn: AsyncConnection, deletions: Sequence[int]) -> None:
    await conn.execute(
        """
        DELETE FROM person
         WHERE id = ANY(ARRAY(SELECT person_id
                                  FROM deletion_person
                                 WHERE deletion_id = ANY(%(deletions)b::bigint[])))
        """,
        {"deletions": list(deletions)},
    )


async def delete_warnings_by_id(conn: AsyncConnection, deletions: Sequence[int]) -> None:
    """Ingestion warnings that name one of the distinct ids of a deleted profile."""
    await conn.execute(
        """
        DELETE FROM ingestion_warning
         WHERE id IN (
               SELECT found.id
                 FROM deletion
                 JOIN deletion_target ON deletion_target.deletion_id = deletion.id
                 JOIN distinct_id ON distinct_id.id = deletion_target.distinct_id_id
                CROSS JOIN LATERAL (
                      SELECT id, project_id FROM ingestion_warning
                       WHERE details ->> 'distinctId' = distinct_id.distinct_id
                       UNION ALL
                      SELECT id, project_id FROM ingestion_warning
                       WHERE details ->> 'sourcePersonDistinctId' = distinct_id.distinct_id
                       UNION ALL
                      SELECT id, project_id FROM ingestion_warning
                       WHERE details ->> 'targetPersonDistinctId' = distinct_id.distinct_id
                      ) AS found
                WHERE deletion.id = ANY(%(deletions)b::bigint[])
                  AND deletion.profile
                  AND found.project_id = deletion.project_id)
        """,
        {"deletions": list(deletions)},
    )


async def delete_warnings_by_person(conn: AsyncConnection, deletions: Sequence[int]) -> None:
    """Ingestion warnings that name one of the persons by its uuid."""
    await conn.execute(
        """
        DELETE FROM ingestion_warning
         WHERE id IN (
               SELECT found.id
                 FROM deletion
                 JOIN deletion_person ON deletion_person.deletion_id = deletion.id
                CROSS JOIN LATERAL (
                      SELECT id, project_id FROM ingestion_warning
                       WHERE details ->> 'personId' = deletion_person.person_uuid::text
                       UNION ALL
                      SELECT id, project_id FROM ingestion_warning
                       WHERE details ->> 'otherPersonId' = deletion_person.person_uuid::text
                      ) AS found
                WHERE deletion.id = ANY(%(deletions)b::bigint[])
                  AND deletion.profile
                  AND found.project_id = deletion.project_id)
        """,
        {"deletions": list(deletions)},
    )


async def ended_ids(conn: AsyncConnection, deletions: Sequence[int]) -> list[int]:
    """Distinct ids that have ended, of those that deletions are about."""
    cursor = await conn.execute(
        """
        SELECT ended.id
          FROM deletion_target
         CROSS JOIN LATERAL (
               SELECT id, ended_at
                 FROM distinct_id
                WHERE id = deletion_target.distinct_id_id
               OFFSET 0
               ) AS ended
         WHERE deletion_target.deletion_id = ANY(%(deletions)b::bigint[])
           AND ended.ended_at IS NOT NULL
        """,
        {"deletions": list(deletions)},
        binary=True,
    )
    return [row[0] for row in await cursor.fetchall()]


async def drop_nameless(
    conn: AsyncConnection, deletions: Sequence[int], *, among: Sequence[int] | None = None
) -> None:
    """Remove the rows of ended ids that neither an event nor a recording refers to (any more);
    with `among` only of those.

    Only when nobody who read the ids before they ended can still write either: see `gate`. Laterals
    keep the planner from going by all names that have ended.
    """
    await conn.execute(
        """
        WITH nameless AS MATERIALIZED (
            SELECT ended.id
              FROM deletion_target
             CROSS JOIN LATERAL (
                   SELECT id, ended_at
                     FROM distinct_id
                    WHERE id = deletion_target.distinct_id_id
                   OFFSET 0
                   ) AS ended
             WHERE deletion_target.deletion_id = ANY(%(deletions)b::bigint[])
               AND ended.ended_at IS NOT NULL
               AND (%(among)b::bigint[] IS NULL OR ended.id = ANY(%(among)b::bigint[]))
               AND NOT EXISTS (SELECT
                                 FROM event
                                WHERE distinct_id_id = ended.id
                               OFFSET 0)
               AND NOT EXISTS (SELECT
                                 FROM recording
                                WHERE distinct_id_id = ended.id
                               OFFSET 0)
               AND NOT EXISTS (SELECT
                                 FROM recording_block
                                WHERE distinct_id_id = ended.id
                               OFFSET 0)
        )
        DELETE FROM distinct_id
         WHERE id = ANY(ARRAY(SELECT id FROM nameless))
        """,
        {
            "deletions": list(deletions),
            "among": None if among is None else arrays.int8s(among),
        },
    )


async def drop_notes(conn: AsyncConnection, deletions: Sequence[int]) -> None:
    """Forget whom closed deletions were about, but for what the receipt itself says."""
    await conn.execute(
        """
        WITH done AS (
            SELECT id
              FROM deletion
             WHERE id = ANY(%(deletions)b::bigint[])
               AND state IN ('completed', 'cancelled')
        ),
        persons AS (
            DELETE FROM deletion_person WHERE deletion_id = ANY(ARRAY(SELECT id FROM done))
        )
        DELETE FROM deletion_target WHERE deletion_id = ANY(ARRAY(SELECT id FROM done))
        """,
        {"deletions": list(deletions)},
    )
