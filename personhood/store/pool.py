"""Connections: how they are set up, and the pool that a worker process shares."""

import msgspec
from psycopg import AsyncConnection
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool

encode = msgspec.json.Encoder().encode
set_json_loads(msgspec.json.decode)
set_json_dumps(encode)

Pool = AsyncConnectionPool[AsyncConnection]

PREPARE_AFTER = 2
WAIT_S = 5  # for a connection; without a database, whoever asks is told soon


def pool(database_url: str, *, size: int) -> Pool:
    """A pool of `size` connections, not yet open; each in autocommit until a transaction begins."""
    return AsyncConnectionPool(
        database_url,
        min_size=min(2, size),
        max_size=size,
        open=False,
        timeout=WAIT_S,
        # Else the pauses between attempts grow with the outage, up to minutes after its end.
        reconnect_timeout=WAIT_S,
        configure=configure,
        kwargs={"autocommit": True},
        name="personhood",
    )


async def configure(conn: AsyncConnection) -> None:
    conn.prepare_threshold = PREPARE_AFTER
    await conn.execute("SET application_name = 'personhood'")
    await conn.execute("SET timezone = 'UTC'")
