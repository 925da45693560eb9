"""Events that set properties, as they were sent: what a person was told to be, and when."""

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import class_row

ROWS_AT_ONCE = 100  # an event may be a megabyte


class SetEvent(Struct, frozen=True):
    """The JSON of an event's `$set`, and of its `$set_once` if the event is of that name."""

    set: str | None
    set_once: str | None


async def newest_first(
    conn: AsyncConnection,
    project_id: int,
    person_ids: Sequence[int],
    *,
    since: datetime,
    until: datetime,
    set_once: bool,
    most: int,
) -> AsyncGenerator[SetEvent, None]:
    """What the live distinct ids of some persons sent, as a stream; both times are inside.

    With `set_once`, events of that name too. Of one moment, the event that was applied last comes
    first.
    """
    async with (
        conn.transaction(),
        conn.cursor("set_event", row_factory=class_row(SetEvent)) as cursor,
    ):
        cursor.itersize = ROWS_AT_ONCE
        await cursor.execute(
            """
            SELECT (event.properties -> '$set')::text AS set,
                   CASE WHEN event.name = '$set_once'
                        THEN (event.properties -> '$set_once')::text
                    END AS set_once
              FROM distinct_id
              JOIN event ON event.distinct_id_id = distinct_id.id
             WHERE distinct_id.project_id = %(project_id)s
               AND distinct_id.person_id = ANY(%(person_ids)b::bigint[])
               AND distinct_id.ended_at IS NULL
               AND event.timestamp BETWEEN %(since)s AND %(until)s
               AND (event.properties ? '$set'
                    OR (%(set_once)s AND event.name = '$set_once'))
             ORDER BY event.timestamp DESC, event.person_version DESC NULLS LAST, event.uuid DESC
             LIMIT %(most)s
            """,
            {
                "project_id": project_id,
                "person_ids": person_ids,
                "since": since,
                "until": until,
                "set_once": set_once,
                "most": most,
            },
        )
        async for row in cursor:
            yield row
