"""Counting how often keys ask."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personhood.model import Limit
from personhood.store import rate
from personhood.store.pool import Pool
from personhood.store.rate import SLOTS, Counted, wait_s


async def ask(pool: Pool, *limits: Limit, key: int = 1, kind: str = "usual") -> list[bool]:
    async with pool.connection() as conn:
        counted = await rate.count(conn, key, kind, limits=limits)
    return [each.admitted for each in counted]


async def age(pool: Pool, slots: int) -> None:
    async with pool.connection() as conn:
        await conn.execute("UPDATE rate SET slot = slot - %s", (slots,))


async def test_so_many_are_admitted_and_no_more(pool: Pool) -> None:
    limit = Limit(5, 86_400)
    admitted = await asyncio.gather(*(ask(pool, limit) for _ in range(12)))
    assert sorted(admitted) == [[False]] * 7 + [[True]] * 5


async def test_keys_and_kinds_are_counted_apart(pool: Pool) -> None:
    limit = Limit(1, 86_400)
    for key, kind in ((1, "usual"), (1, "deletion"), (2, "usual")):
        assert await ask(pool, limit, key=key, kind=kind) == [True]
        assert await ask(pool, limit, key=key, kind=kind) == [False]


async def test_each_of_several_limits_counts(pool: Pool) -> None:
    limits = Limit(3, 3600), Limit(4, 86_400)
    assert [await ask(pool, *limits) for _ in range(6)] == [
        [True, True],
        [True, True],
        [True, True],
        [False, True],
        [False, False],
        [False, False],
    ]


async def test_the_window_slides(pool: Pool) -> None:
    limit = Limit(2, 86_400)
    assert await ask(pool, limit) == [True]
    await age(pool, SLOTS // 2)
    assert await ask(pool, limit) == [True]
    await age(pool, SLOTS // 2)
    assert await ask(pool, limit) == [False]  # both are within the period
    await age(pool, 1)
    assert await ask(pool, limit) == [True]  # the first is not any more
    assert await ask(pool, limit) == [False]
    await age(pool, 10_000)
    assert await ask(pool, limit) == [True]


async def test_a_clock_that_goes_back_frees_nobody(pool: Pool) -> None:
    limit = Limit(1, 86_400)
    assert await ask(pool, limit) == [True]
    await age(pool, -5)
    assert await ask(pool, limit) == [False]


async def test_a_setting_may_change(pool: Pool) -> None:
    assert await ask(pool, Limit(1, 86_400)) == [True]
    assert await ask(pool, Limit(1, 86_400)) == [False]
    assert await ask(pool, Limit(2, 86_400)) == [True]


@pytest.mark.parametrize(
    ("counts", "most", "wait"),
    [
        ([3], 3, 61.0),
        ([1, 2], 3, 60.0),
        ([0, 0, 3], 3, 59.0),
        ([2, *[0] * 59, 1], 3, 1.0),
        ([1, *[0] * 58, 1, 1], 1, 61.0),
    ],
)
def test_how_long_to_wait(counts: list[int], most: int, wait: float) -> None:
    assert wait_s(Counted(60, most, False, 1000, counts, 1000.0)) == wait


@given(st.lists(st.integers(0, 5), min_size=1, max_size=61), st.integers(1, 20))
def test_after_the_wait_there_is_room_and_not_before(counts: Sequence[int], most: int) -> None:
    """As the statement counts: a slot is in the window while it lies at most SLOTS back."""
    waited = wait_s(Counted(60, most, False, 1000, list(counts), 1000.0))

    def used(now: int) -> int:
        return sum(n for back, n in enumerate(counts) if now - (1000 - back) <= SLOTS)

    if sum(counts) >= most:
        assert used(1000 + int(waited)) < most
        assert used(1000 + int(waited) - 1) >= most
