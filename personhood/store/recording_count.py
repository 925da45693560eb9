"""How many recordings persons have: those that `recording_page` lists for each of them."""

from collections.abc import Mapping

from psycopg import AsyncConnection

COUNTED_MAX = 10_000  # of one person


async def of(conn: AsyncConnection, root_of: Mapping[int, int]) -> dict[int, int]:
    """By root, of persons that lead to their roots; a root without recordings is left out.

    Only ids that were ever recorded are looked at, whatever others a person has.
    """
    # Nothing is to be planned by how much there is on average: it is one index after another.
    cursor = await conn.execute(
        """
        SELECT root.id, counted.recordings
          FROM unnest(%(roots)b::bigint[]) AS root (id)
         CROSS JOIN LATERAL (
               SELECT count(*) AS recordings
                 FROM (SELECT
                         FROM unnest(%(members)b::bigint[], %(roots_of_members)b::bigint[])
                              AS member (id, root_id)
                        CROSS JOIN LATERAL (
                              SELECT id
                                FROM distinct_id
                               WHERE person_id = member.id
                                 AND is_recorded
                                 AND ended_at IS NULL
                              OFFSET 0
                              ) AS own
                        CROSS JOIN LATERAL (
                              SELECT
                                FROM recording
                               WHERE distinct_id_id = own.id
                              OFFSET 0
                              ) AS kept
                        WHERE member.root_id = root.id
                        LIMIT %(most)s) AS found
               ) AS counted
         WHERE counted.recordings > 0
        """,
        {
            "roots": sorted(set(root_of.values())),
            "members": list(root_of),
            "roots_of_members": list(root_of.values()),
            "most": COUNTED_MAX,
        },
        binary=True,
    )
    return dict(await cursor.fetchall())
