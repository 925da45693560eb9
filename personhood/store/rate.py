"""How often keys ask: counted in the database, so that all workers and servers count together."""

from collections.abc import Sequence

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import class_row

from personhood.model import Limit

# Of a period; the window is one longer, because the newest has only begun.
SLOTS = 60


class Counted(Struct, frozen=True):
    """Requests in the slots up to `slot`, the newest first; `now` is in seconds."""

    period_s: int
    most: int
    admitted: bool
    slot: int
    counts: list[int]
    now: float


async def count(
    conn: AsyncConnection, api_key_id: int, kind: str, *, limits: Sequence[Limit]
) -> list[Counted]:
    """Count a request against each limit that has room for it, and tell how each stands then."""
    async with conn.cursor(row_factory=class_row(Counted)) as cursor:
        await cursor.execute(
            """
            INSERT INTO rate AS r (api_key_id, kind, period_s, most, slot, counts, admitted)
            SELECT %(api_key_id)s, %(kind)s, period_s, most,
                   floor(extract(epoch FROM clock_timestamp()) * %(slots)s / period_s),
                   ARRAY[1], true
              FROM unnest(%(periods)b::integer[], %(mosts)b::integer[]) AS given (period_s, most)
            ON CONFLICT (api_key_id, kind, period_s) DO UPDATE
               SET (most, slot, counts, admitted) = (
                   SELECT EXCLUDED.most,
                          greatest(r.slot, EXCLUDED.slot),
                          CASE WHEN used < EXCLUDED.most
                               THEN (moved[1] + 1) || moved[2:%(slots)s + 1]
                               ELSE moved
                          END,
                          used < EXCLUDED.most
                     FROM (SELECT (array_fill(0, ARRAY[least(greatest(EXCLUDED.slot - r.slot, 0),
                                                             %(slots)s + 1)::integer])
                                   || r.counts)[1:%(slots)s + 1] AS moved) AS window_now
                    CROSS JOIN LATERAL (SELECT sum(number) AS used
                                          FROM unnest(moved) AS number) AS total)
            RETURNING period_s, most, admitted, slot, counts,
                      extract(epoch FROM clock_timestamp())::float8 AS now
            """,
            {
                "api_key_id": api_key_id,
                "kind": kind,
                "slots": SLOTS,
                "periods": [limit.period_s for limit in limits],
                "mosts": [limit.most for limit in limits],
            },
        )
        return await cursor.fetchall()


def wait_s(counted: Counted) -> float:
    """Until when a request has room that had none: so many slots have to leave the window."""
    length = counted.period_s / SLOTS
    left = sum(counted.counts)
    for position in range(len(counted.counts), 0, -1):
        left -= counted.counts[position - 1]
        if left < counted.most:
            # It leaves when the newest slot lies as far behind as the window is long.
            leaves = (counted.slot - position + 1 + SLOTS + 1) * length
            return max(leaves - counted.now, 0.0)
    return 0.0
