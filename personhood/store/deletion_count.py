"""How much of each kind of data a deletion met, removed and left."""

from collections.abc import Mapping, Sequence

from psycopg import AsyncConnection


async def start(conn: AsyncConnection, ids: Sequence[int]) -> None:
    """Count what there is of the profiles; what else was asked for is counted by who removes it."""
    await conn.execute(
        """
        INSERT INTO deletion_count (deletion_id, kind, before)
        SELECT deletion.id, counted.kind, counted.before
          FROM deletion
         CROSS JOIN LATERAL (
               SELECT unnest(ARRAY['profile', 'ledger']) AS kind,
                      unnest(ARRAY[count(*), coalesce(sum(told.entries), 0)]) AS before
                 FROM deletion_person
                CROSS JOIN LATERAL (
                      SELECT count(*) AS entries
                        FROM ledger
                       WHERE person_id = deletion_person.person_id
                      ) AS told
                WHERE deletion.profile
                  AND deletion_id = deletion.id
               HAVING deletion.profile
                UNION ALL
               SELECT 'ids',
                      (SELECT count(*) FROM deletion_target WHERE deletion_id = deletion.id)
                WHERE deletion.profile
                UNION ALL
               SELECT 'events', NULL WHERE deletion.events
                UNION ALL
               SELECT unnest(ARRAY['recordings', 'blobs']), NULL WHERE deletion.recordings
               ) AS counted
         WHERE deletion.id = ANY(%(ids)b::bigint[])
        """,
        {"ids": list(ids)},
    )


async def has_few_ids(conn: AsyncConnection, ids: Sequence[int], *, most: int) -> bool:
    """Whether the profiles had `most` distinct ids together, or fewer."""
    cursor = await conn.execute(
        """
        SELECT coalesce(sum(before), 0) <= %(most)s
          FROM deletion_count
         WHERE deletion_id = ANY(%(ids)b::bigint[])
           AND kind = 'ids'
        """,
        {"ids": list(ids), "most": most},
    )
    return await cursor.fetchone() == (True,)


async def verify(conn: AsyncConnection, ids: Sequence[int]) -> None:
    """Look for what should be gone with these profiles, which are not settled, and note what is
    left.

    Of their ids those are left whose names events still carry. All profiles and ledgers are looked
    for at once, and for each deletion only where any is left.
    """
    await conn.execute(
        """
        WITH person_ids AS MATERIALIZED (
            SELECT ARRAY(SELECT person_id
                           FROM deletion_person
                          WHERE deletion_id = ANY(%(ids)b::bigint[])) AS them
        ),
        kept AS MATERIALIZED (
            SELECT EXISTS (SELECT FROM person
                            WHERE id = ANY((SELECT them FROM person_ids)::bigint[])) AS profiles,
                   EXISTS (SELECT FROM ledger
                            WHERE person_id = ANY((SELECT them FROM person_ids)::bigint[]))
                   AS ledgers
        )
        UPDATE deletion_count
           SET (remaining, removed) = (
               SELECT found.remaining, greatest(deletion_count.before - found.remaining, 0)
                 FROM (SELECT CASE
                              WHEN kind = 'ids' THEN (
                                   SELECT count(*)
                                     FROM deletion_target
                                    CROSS JOIN LATERAL (
                                          SELECT FROM distinct_id
                                           WHERE id = deletion_target.distinct_id_id
                                          OFFSET 0
                                          ) AS named
                                    WHERE deletion_id = deletion_count.deletion_id)
                              WHEN kind = 'profile' AND kept.profiles THEN (
                                   SELECT count(*)
                                     FROM deletion_person
                                    CROSS JOIN LATERAL (
                                          SELECT FROM person
                                           WHERE id = deletion_person.person_id
                                          OFFSET 0
                                          ) AS person
                                    WHERE deletion_id = deletion_count.deletion_id)
                              WHEN kind = 'ledger' AND kept.ledgers THEN (
                                   SELECT count(*)
                                     FROM deletion_person
                                    CROSS JOIN LATERAL (
                                          SELECT FROM ledger
                                           WHERE person_id = deletion_person.person_id
                                          OFFSET 0
                                          ) AS line
                                    WHERE deletion_id = deletion_count.deletion_id)
                              ELSE 0 END AS remaining
                       OFFSET 0) AS found)
          FROM kept
         WHERE deletion_id = ANY(%(ids)b::bigint[])
           AND kind IN ('profile', 'ids', 'ledger')
        """,
        {"ids": list(ids)},
    )


async def set_before(conn: AsyncConnection, kind: str, before: Mapping[int, int]) -> None:
    """Note by receipt how much of a kind there was when it began to be removed, unless that is
    known."""
    await conn.execute(
        """
        UPDATE deletion_count
           SET before = given.before
          FROM unnest(%(ids)b::bigint[], %(before)b::bigint[]) AS given (id, before)
         WHERE deletion_id = ANY(%(ids)b::bigint[])
           AND deletion_id = given.id
           AND kind = %(kind)s
           AND deletion_count.before IS NULL
        """,
        {"ids": [*before], "before": [*before.values()], "kind": kind},
    )


async def add_removed(conn: AsyncConnection, kind: str, removed: Mapping[int, int]) -> None:
    await conn.execute(
        """
        UPDATE deletion_count
           SET removed = deletion_count.removed + given.removed,
               before = greatest(before, deletion_count.removed + given.removed)
          FROM unnest(%(ids)b::bigint[], %(removed)b::bigint[]) AS given (id, removed)
         WHERE deletion_id = ANY(%(ids)b::bigint[])
           AND deletion_id = given.id
           AND kind = %(kind)s
        """,
        {"ids": [*removed], "removed": [*removed.values()], "kind": kind},
    )


async def set_remaining(conn: AsyncConnection, kind: str, remaining: Mapping[int, int]) -> None:
    await conn.execute(
        """
        UPDATE deletion_count
           SET remaining = given.remaining,
               removed = greatest(removed, before - given.remaining)
          FROM unnest(%(ids)b::bigint[], %(remaining)b::bigint[]) AS given (id, remaining)
         WHERE deletion_id = ANY(%(ids)b::bigint[])
           AND deletion_id = given.id
           AND kind = %(kind)s
        """,
        {"ids": [*remaining], "remaining": [*remaining.values()], "kind": kind},
    )


async def of_all(
    conn: AsyncConnection, ids: Sequence[int]
) -> dict[int, dict[str, tuple[int | None, int, int | None]]]:
    """By receipt and kind: how much there was, was removed, and is left; None is "not counted"."""
    cursor = await conn.execute(
        """
        SELECT deletion_id, kind, before, removed, remaining
          FROM deletion_count
         WHERE deletion_id = ANY(%(ids)b::bigint[])
        """,
        {"ids": list(ids)},
    )
    found: dict[int, dict[str, tuple[int | None, int, int | None]]] = {}
    for id, kind, *numbers in await cursor.fetchall():
        before, removed, remaining = numbers
        found.setdefault(id, {})[kind] = before, removed, remaining
    return found
