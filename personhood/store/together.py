"""Looking things up for many requests in one statement.

What is asked for while a statement runs waits for the next one, so the load decides how many share
it. An answer is never older than its question: a key that is asked for is read by a statement that
starts afterwards.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

from psycopg import AsyncConnection

from personhood.store.pool import Pool

KEYS_MAX = 500

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Together(Generic[K, V]):
    """`load` reads a list of keys; what it finds nothing for is missing from its answer."""

    def __init__(
        self, pool: Pool, load: Callable[[AsyncConnection, Sequence[K]], Awaitable[Mapping[K, V]]]
    ) -> None:
        self.pool = pool
        self.load = load
        self.waiting: dict[K, asyncio.Future[V | None]] = {}
        self.running: asyncio.Task[None] | None = None

    async def get(self, key: K) -> V | None:
        """What `key` leads to; raises what the statement raised that was to read it."""
        future = self.waiting.get(key)
        if future is None:
            future = self.waiting[key] = asyncio.get_running_loop().create_future()
        if self.running is None:
            self.running = asyncio.create_task(self.run())
        # Shielded: others may wait for the same key, when this request is cancelled.
        return await asyncio.shield(future)

    async def run(self) -> None:
        try:
            while self.waiting:
                keys = list(self.waiting)[:KEYS_MAX]
                await self.answer({key: self.waiting.pop(key) for key in keys})
        finally:
            self.running = None

    async def answer(self, batch: dict[K, asyncio.Future[V | None]]) -> None:
        try:
            async with self.pool.connection() as conn:
                found = await self.load(conn, list(batch))
        except Exception as error:
            for future in batch.values():
                future.set_exception(error)
                future.exception()  # retrieved, also when whoever asked has gone
        else:
            for key, future in batch.items():
                future.set_result(found.get(key))
