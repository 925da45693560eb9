"""Groups (3.9): their types, their properties, and what events carry of them."""

import asyncio
from typing import Any

from personhood import persons
from personhood.model import Project
from personhood.store.pool import Pool
from tests.test_persons import sent, shop, work

__all__ = ["shop"]


async def rows(pool: Pool, statement: str) -> list[tuple[Any, ...]]:
    async with pool.connection() as conn:
        return await (await conn.execute(statement)).fetchall()


async def groups(pool: Pool) -> dict[str, Any]:
    found = await rows(
        pool,
        """
        SELECT t.name || ':' || g.key, g.properties FROM "group" g
          JOIN group_type t ON t.project_id = g.project_id AND t.index = g.type_index
        """,
    )
    return dict(found)


def describe(type: str, key: object, **properties: object) -> Any:
    return sent(
        "$groupidentify",
        f"${type}_{key}",
        **{"$group_type": type, "$group_key": key, "$group_set": properties},
    )


async def test_later_descriptions_go_over_earlier_ones(pool: Pool, shop: Project) -> None:
    first = describe("company", "acme", plan="a", n=1)
    await persons.apply(pool, [work(shop, first, describe("company", "acme", plan="b"))])
    await persons.apply(pool, [work(shop, describe("company", "acme", n={"deep": 2}))])
    assert await groups(pool) == {"company:acme": {"plan": "b", "n": {"deep": 2}}}


async def test_an_event_carries_its_groups_by_index_in_order_of_first_appearance(
    pool: Pool, shop: Project
) -> None:
    await persons.apply(pool, [work(shop, describe("company", "acme"))])
    await persons.apply(
        pool,
        [
            work(
                shop,
                sent("page", "u", **{"$groups": {"team": "t1", "company": "acme"}}),
                sent("page", "v", **{"$groups": {"team": 7}, "$process_person_profile": False}),
                sent("empty", "w"),
            )
        ],
    )
    found = await rows(
        pool,
        "SELECT properties->>'$group_0', properties->>'$group_1' FROM event "
        "WHERE name IN ('page', 'empty') ORDER BY distinct_id_id",
    )
    assert found == [("acme", "t1"), (None, None), (None, None)]


async def test_a_sixth_type_is_ignored(pool: Pool, shop: Project) -> None:
    for number in range(7):
        await persons.apply(pool, [work(shop, describe(f"type{number}", "k", n=number))])
    assert sorted(await groups(pool)) == [f"type{number}:k" for number in range(5)]


async def test_a_key_that_is_too_long_drops_the_event_with_a_warning(
    pool: Pool, shop: Project
) -> None:
    outcomes = await persons.apply(
        pool, [work(shop, describe("c", "k" * 401), describe("c", "k" * 400))]
    )
    assert [warning.type for warning in outcomes[0].warnings] == ["group_key_too_long"]
    assert sorted(await groups(pool)) == ["c:" + "k" * 400]


async def test_without_type_or_key_it_is_a_plain_event(pool: Pool, shop: Project) -> None:
    plain = sent("$groupidentify", "u", **{"$group_type": "company", "$set": {"a": 1}})
    [outcome] = await persons.apply(pool, [work(shop, plain)])
    assert outcome.stored == {plain.uuid}
    assert await groups(pool) == {}


async def test_new_types_at_the_same_time_each_get_an_index_of_their_own(
    pool: Pool, shop: Project
) -> None:
    await asyncio.gather(
        *(
            persons.apply(pool, [work(shop, describe(name, "k"), describe(name, "l"))])
            for name in "abcde"
        )
    )
    found = await rows(pool, "SELECT name, index FROM group_type")
    assert {name for name, _ in found} == set("abcde")
    assert {index for _, index in found} == set(range(5))
