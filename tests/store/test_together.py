"""Many questions in one statement, each answered by one that started after it."""

import asyncio
from collections.abc import Sequence

import pytest
from psycopg import AsyncConnection

from personhood.store.pool import Pool
from personhood.store.together import Together


class Loads:
    """Doubles its keys, a batch at a time, when it is let go; odd keys lead to nothing."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = asyncio.Event()

    async def __call__(self, conn: AsyncConnection, keys: Sequence[int]) -> dict[int, int]:
        self.batches.append(list(keys))
        await self.go.wait()
        await conn.execute("SELECT 1")
        return {key: 2 * key for key in keys if key % 2 == 0}


async def test_what_comes_while_a_statement_runs_shares_the_next_one(pool: Pool) -> None:
    loads = Loads()
    together = Together(pool, loads)
    first = asyncio.create_task(together.get(2))
    while not loads.batches:
        await asyncio.sleep(0)
    others = [asyncio.create_task(together.get(key)) for key in (4, 5, 4, 2)]
    await asyncio.sleep(0)
    loads.go.set()
    assert await first == 4
    assert await asyncio.gather(*others) == [8, None, 8, 4]
    assert loads.batches == [[2], [4, 5, 2]]


async def test_a_request_that_goes_away_takes_nothing_from_the_others(pool: Pool) -> None:
    loads = Loads()
    together = Together(pool, loads)
    gone, stays = (asyncio.create_task(together.get(6)) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    loads.go.set()
    assert await stays == 12
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_a_failing_statement_fails_its_own_questions_only(pool: Pool) -> None:
    async def load(conn: AsyncConnection, keys: Sequence[int]) -> dict[int, int]:
        await conn.execute("SELECT 1 / %s::int", (keys[0],))
        return {key: key for key in keys}

    together = Together(pool, load)
    with pytest.raises(Exception, match="division by zero"):
        await together.get(0)
    assert await together.get(1) == 1
