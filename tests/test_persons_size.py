"""A person never gets larger than 4.7 allows, whatever comes in."""

from typing import Any

from personhood import persons
from personhood.model import Project
from personhood.store import person_lookup
from personhood.store.person_lookup import Name
from personhood.store.pool import Pool
from tests.test_persons import sent, shop, work

__all__ = ["shop"]

HALF = 400_000


async def properties_of(pool: Pool, project: Project, distinct_id: str) -> dict[str, Any] | None:
    async with pool.connection() as conn:
        person = await person_lookup.owner(conn, Name(project.id, distinct_id))
    if person is None:
        return None
    return {key: value for key, value in person.person.properties.items() if key[0] != "$"}


async def set_(pool: Pool, project: Project, distinct_id: str, **values: object) -> list[str]:
    outcomes = await persons.apply(
        pool, [work(project, sent("$set", distinct_id, **{"$set": values}))]
    )
    return [each.type for outcome in outcomes for each in outcome.warnings]


async def test_a_person_that_would_be_too_large_is_not_made(pool: Pool, shop: Project) -> None:
    warnings = await set_(pool, shop, "u", a="x" * 700_000)
    assert warnings == ["person_properties_size_violation"]
    assert await properties_of(pool, shop, "u") is None
    assert await set_(pool, shop, "u", a="small") == []
    assert await properties_of(pool, shop, "u") == {"a": "small"}


async def test_an_update_that_would_cross_the_limit_changes_nothing(
    pool: Pool, shop: Project
) -> None:
    await set_(pool, shop, "u", a="x" * HALF)
    warnings = await set_(pool, shop, "u", b="y" * HALF)
    assert warnings == ["person_properties_size_violation"]
    assert await properties_of(pool, shop, "u") == {"a": "x" * HALF}


async def test_two_large_persons_are_joined_and_then_trimmed(pool: Pool, shop: Project) -> None:
    await set_(pool, shop, "a", a="x" * HALF, email="a@example.com")
    await set_(pool, shop, "b", b="y" * HALF)
    await persons.apply(pool, [work(shop, sent("$identify", "b", **{"$anon_distinct_id": "a"}))])
    assert await properties_of(pool, shop, "a") == {"b": "y" * HALF, "email": "a@example.com"}


async def test_a_person_that_is_too_large_already_is_trimmed_by_its_next_update(
    pool: Pool, shop: Project
) -> None:
    await set_(pool, shop, "u", a="x" * HALF, name="U")
    async with pool.connection() as conn:
        await conn.execute(
            "UPDATE person SET properties = properties || jsonb_build_object('b', repeat('y', %s))",
            (HALF,),
        )
    assert await set_(pool, shop, "u", c=1) == ["person_properties_size_violation"]
    assert await properties_of(pool, shop, "u") == {"b": "y" * HALF, "name": "U"}
