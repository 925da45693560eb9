"""Connections: how they are set up, and the pools that a worker process shares."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import msgspec
from psycopg import AsyncConnection
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool

encode = msgspec.json.Encoder().encode
set_json_loads(msgspec.json.decode)
set_json_dumps(encode)

Pool = AsyncConnectionPool[AsyncConnection]

PREPARE_AFTER = 2
READY = 2
WAIT_S = 5  # for a connection; without a database, whoever asks is told soon


def pool(
    database_url: str,
    *,
    size: int,
    ready: int = READY,
    statement_timeout_s: int = 0,
    lock_timeout_s: int = 0,
) -> Pool:
    """A pool of `size` connections, not yet open; each in autocommit until a transaction begins.

    `ready` of them wait even if nobody asks. A timeout of 0 is none, whatever the account's own is.
    """
    return AsyncConnectionPool(
        database_url,
        min_size=min(ready, size),
        max_size=size,
        open=False,
        timeout=WAIT_S,
        # Else the pauses between attempts grow with the outage, up to minutes after its end.
        reconnect_timeout=WAIT_S,
        configure=partial(
            configure, statement_timeout_s=statement_timeout_s, lock_timeout_s=lock_timeout_s
        ),
        kwargs={"autocommit": True},
        name="personhood",
    )


async def configure(
    conn: AsyncConnection, *, statement_timeout_s: int = 0, lock_timeout_s: int = 0
) -> None:
    conn.prepare_threshold = PREPARE_AFTER
    await conn.execute(
        """
        SELECT set_config('application_name', 'personhood', false),
               set_config('timezone', 'UTC', false),
               set_config('statement_timeout', %(statement)s, false),
               set_config('lock_timeout', %(lock)s, false)
        """,
        {"statement": f"{statement_timeout_s}s", "lock": f"{lock_timeout_s}s"},
    )


@asynccontextmanager
async def one_moment(pool: Pool) -> AsyncGenerator[AsyncConnection]:
    """A connection whose statements all see the same."""
    async with pool.connection() as conn, conn.transaction():
        await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield conn
