"""Splitting persons: each side what its own ids made of it, and together again as if never split."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from personhood import splits
from personhood.errors import InvalidInput
from personhood.identity.distinct_id import person_uuid
from personhood.model import Project
from personhood.splits import Outcome, Wish
from personhood.store.pool import Pool
from tests.test_merges import (
    BY,
    NAMES,
    History,
    facts,
    family,
    folded,
    histories,
    identify,
    owner,
    people,
    play,
    send,
    set_,
    tenant,
)
from tests.test_persons import sent, shop

__all__ = ["shop"]


async def split(
    pool: Pool,
    of: Project,
    name: str,
    *listed: str,
    main: str | None = None,
    dry_run: bool = False,
) -> Outcome:
    root = (await owner(pool, of, name)).person
    wish = Wish(main=main, listed=list(listed) or None)
    return await splits.split_off(pool, of, root, wish=wish, by=BY, dry_run=dry_run)


async def values(pool: Pool, of: Project, name: str) -> dict[str, Any]:
    return facts(await owner(pool, of, name))["properties"]


async def test_a_split_of_a_merge_gives_the_persons_there_were(pool: Pool, shop: Project) -> None:
    await send(pool, shop, set_("a", plan="free", seen=1), set_("u", plan="paid", name="U"))
    before = [facts(await owner(pool, shop, name)) for name in ("a", "u")]
    await send(pool, shop, identify("u", "a"))
    await split(pool, shop, "u", "a")
    after = [await owner(pool, shop, name) for name in ("a", "u")]
    assert [facts(each) for each in after] == before
    for each in after:
        await folded(pool, each.person)
    assert await family(pool, shop, "u") == []


async def test_each_side_keeps_what_its_own_ids_set(pool: Pool, shop: Project) -> None:
    await send(pool, shop, set_("u", a=1), identify("u", "anon", b=1))
    await send(pool, shop, set_("anon", c=1, a=2), set_("u", d=1), set_("anon", d=2, b=1))
    assert await values(pool, shop, "u") == {"a": 2, "b": 1, "c": 1, "d": 2}
    outcome = await split(pool, shop, "u", main="u")
    assert await values(pool, shop, "u") == {"a": 1, "b": 1, "d": 1}
    assert await values(pool, shop, "anon") == {"a": 2, "b": 1, "c": 1, "d": 2}
    [part] = outcome.parts
    anon = await owner(pool, shop, "anon")
    assert part.person.uuid == anon.person.uuid == person_uuid(shop.id, "anon")
    assert not anon.person.is_identified
    for name in ("u", "anon"):
        await folded(pool, (await owner(pool, shop, name)).person)


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(history=histories, name=st.sampled_from(NAMES), mask=st.integers(1, 30))
async def test_a_split_gives_what_would_be_had_they_been_apart(
    pool: Pool, history: History, name: str, mask: int
) -> None:
    real = await tenant(pool)
    await play(pool, real, history)
    ids = (await owner(pool, real, name)).distinct_ids
    moved = [id for number, id in enumerate(ids) if mask >> number & 1]
    assume(0 < len(moved) < len(ids))
    without = [
        (event, id, {k: v for k, v in said.items() if k != "alias"})
        if id != said.get("alias") and {id, said.get("alias")} & set(moved)
        else (event, id, said)
        for event, id, said in history
    ]
    other = await tenant(pool)
    await play(pool, other, without)
    await split(pool, real, name, *moved)

    after, expected = await people(pool, real), await people(pool, other)
    # Those who stay were maybe joined by way of those who left.
    assume(after.keys() == expected.keys())
    assert after == expected
    for each in NAMES:
        await folded(pool, (await owner(pool, real, each)).person)
