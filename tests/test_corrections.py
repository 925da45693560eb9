"""Corrections of one person, whatever happens to it meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace
from psycopg import AsyncConnection

from personhood import corrections
from personhood.corrections import Corrected, Correction
from personhood.errors import Conflict, NotFound, PreconditionFailed
from personhood.identity.properties import NO_CHANGE, Change
from personhood.model import ActivityKind, Cause, Person, Project
from personhood.store import event, person
from personhood.store.pool import Pool
from tests import laws
from tests.test_merges import identify, owner, send, set_
from tests.test_persons import shop

__all__ = ["shop"]

BY = Cause(api_key_id=1, request_id=UUID(int=7))
Step = Callable[[AsyncConnection], Awaitable[Any]]


def setting(**values: Any) -> Correction:
    return Correction(kind=ActivityKind.UPDATED, by=BY, set=values)


def removing(key: str) -> Correction:
    return Correction(kind=ActivityKind.PROPERTY_DELETED, by=BY, unset=(key,))


async def correct(
    pool: Pool, project: Project, person_id: int, correction: Correction
) -> Corrected:
    return await corrections.correct(pool, project, person_id, correction=correction)


async def lines(pool: Pool) -> list[tuple[Any, ...]]:
    async with pool.connection() as conn:
        cursor = await conn.execute(
            """
            SELECT kind, person_id, version, api_key_id, request_id, event_uuid IS NOT NULL
              FROM activity ORDER BY id
            """
        )
        return await cursor.fetchall()


async def test_what_changed_is_told_and_logged_with_the_version_of_the_entry(
    pool: Pool, shop: Project
) -> None:
    await send(pool, shop, set_("ada", plan="free"))
    ada = (await owner(pool, shop, "ada")).person
    done = await correct(pool, shop, ada.id, setting(plan="scale", seats=1))
    assert done.change == Change({"plan": "free"}, {"plan": "scale", "seats": 1})
    same = await correct(pool, shop, ada.id, setting(plan="scale"))
    assert same.change == NO_CHANGE
    gone = await correct(pool, shop, ada.id, removing("seats"))
    assert gone.change == Change({"seats": 1}, {})
    assert gone.person == (await owner(pool, shop, "ada")).person
    assert await lines(pool) == [
        ("updated", ada.id, 1, 1, UUID(int=7), True),
        ("updated", ada.id, None, 1, UUID(int=7), True),
        ("delete_property", ada.id, 2, 1, UUID(int=7), True),
    ]


async def test_it_is_no_visit_of_the_person(pool: Pool, shop: Project) -> None:
    await send(pool, shop, set_("ada"))
    before = (await owner(pool, shop, "ada")).person
    await correct(pool, shop, before.id, setting(plan="scale"))
    assert (await owner(pool, shop, "ada")).person.last_seen_at == before.last_seen_at


@pytest.mark.parametrize("correction", [setting(plan="scale"), removing("plan")])
async def test_a_person_that_is_not_the_expected_one_stays_as_it_is(
    pool: Pool, shop: Project, correction: Correction
) -> None:
    await send(pool, shop, set_("ada", plan="free"))
    ada = (await owner(pool, shop, "ada")).person
    correction = replace(correction, expected=lambda found: found.version == ada.version + 1)
    with pytest.raises(PreconditionFailed):
        await correct(pool, shop, ada.id, correction)
    assert (await owner(pool, shop, "ada")).person == ada
    assert await lines(pool) == []


async def test_of_many_who_expect_the_same_version_one_is_told_yes(
    pool: Pool, shop: Project
) -> None:
    await send(pool, shop, set_("ada", n=0))
    ada = (await owner(pool, shop, "ada")).person

    async def one(number: int) -> bool:
        correction = replace(setting(n=number), expected=lambda found: found.version == ada.version)
        try:
            await correct(pool, shop, ada.id, correction)
        except PreconditionFailed:
            return False
        return True

    won = await asyncio.gather(*(one(number) for number in range(1, 30)))
    assert sum(won) == 1
    assert (await owner(pool, shop, "ada")).person.properties["n"] == won.index(True) + 1


async def test_many_corrections_and_events_at_once_are_all_applied(
    pool: Pool, shop: Project, database: str
) -> None:
    await send(pool, shop, set_("ada"))
    ada = (await owner(pool, shop, "ada")).person
    async with asyncio.TaskGroup() as tasks:
        for number in range(20):
            tasks.create_task(correct(pool, shop, ada.id, setting(**{f"a{number}": number})))
            tasks.create_task(send(pool, shop, set_("ada", **{f"b{number}": number})))
    kept = laws.hold(database, shop.id)
    properties = kept.of("ada").properties
    assert {f"{side}{n}" for side in "ab" for n in range(20)} <= properties.keys()
    assert [line[2] is not None for line in await lines(pool)] == [True] * 20


async def delete_ada(conn: AsyncConnection) -> None:
    await conn.execute("UPDATE distinct_id SET ended_at = now() WHERE distinct_id = 'ada'")
    await conn.execute(
        """
        DELETE FROM person
         WHERE id = (SELECT person_id FROM distinct_id WHERE distinct_id = 'ada')
        """
    )


async def merge_ada(conn: AsyncConnection) -> None:
    await conn.execute(
        """
        UPDATE person
           SET merged_into_id = (SELECT person_id FROM distinct_id WHERE distinct_id = 'bob')
         WHERE id = (SELECT person_id FROM distinct_id WHERE distinct_id = 'ada')
        """
    )


@pytest.mark.parametrize("step", [delete_ada, merge_ada])
async def test_a_person_that_went_while_it_was_waited_for_is_not_found_nor_made_anew(
    pool: Pool, shop: Project, step: Step
) -> None:
    await send(pool, shop, set_("ada", plan="free"), set_("bob", plan="free"))
    ada = (await owner(pool, shop, "ada")).person
    async with pool.connection() as conn:
        async with conn.transaction():
            await person.lock(conn, [ada.id])
            late = asyncio.create_task(correct(pool, shop, ada.id, setting(plan="scale")))
            await until_waiting(pool)
            await step(conn)
        with pytest.raises(NotFound):
            await late
        cursor = await conn.execute(
            "SELECT count(*) FROM person WHERE properties ->> 'plan' <> 'free'"
        )
        assert await cursor.fetchall() == [(0,)]
    assert await lines(pool) == []


async def until_waiting(pool: Pool) -> None:
    async with pool.connection() as conn:
        while True:
            cursor = await conn.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if (await cursor.fetchall())[0][0]:
                return
            await asyncio.sleep(0.01)


async def test_a_name_that_was_split_off_meanwhile_is_not_spoken_of(
    pool: Pool, shop: Project
) -> None:
    await send(pool, shop, set_("ada"), identify("ada", "second"), set_("bob"))
    ada, bob = (await owner(pool, shop, "ada")).person, (await owner(pool, shop, "bob")).person
    async with pool.connection() as conn:
        async with conn.transaction():
            await person.lock(conn, [ada.id])
            late = asyncio.create_task(correct(pool, shop, ada.id, setting(plan="scale")))
            await until_waiting(pool)
            await conn.execute(
                "UPDATE distinct_id SET person_id = %s WHERE distinct_id = 'ada'", [bob.id]
            )
        done = await late
    assert done.person.id == ada.id
    assert "plan" not in (await owner(pool, shop, "bob")).person.properties


async def test_a_person_without_distinct_ids(pool: Pool, shop: Project) -> None:
    await send(pool, shop, set_("ada"))
    ada = (await owner(pool, shop, "ada")).person
    async with pool.connection() as conn:
        await conn.execute("UPDATE distinct_id SET person_id = NULL")
    with pytest.raises(Conflict):
        await correct(pool, shop, ada.id, setting(plan="scale"))


async def test_the_first_event_of_a_month_gets_its_partition(pool: Pool, shop: Project) -> None:
    await send(pool, shop, set_("ada"))
    ada: Person = (await owner(pool, shop, "ada")).person
    year, month = event.month_of(datetime.now(UTC))
    async with pool.connection() as conn:
        await conn.execute(f"DROP TABLE IF EXISTS event_{year:04}_{month:02}")
    await correct(pool, shop, ada.id, setting(plan="scale"))
    assert (await owner(pool, shop, "ada")).person.properties["plan"] == "scale"
    assert len(await lines(pool)) == 1
