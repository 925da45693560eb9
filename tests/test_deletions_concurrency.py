"""Deleting while others write: no half state, no deadlock, no acknowledged event lost."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
from psycopg import AsyncConnection

from personhood import deletions, merges, persons, rejoins, splits
from personhood.deletions import Name, Outcome, Request
from personhood.errors import Conflict, NotFound, Overloaded
from personhood.ledger import book
from personhood.model import Cause, Project, Wish
from personhood.store import entry, merge, person, person_lookup, project, split
from personhood.store.person_lookup import Name as Lookup
from personhood.store.pool import Pool
from personhood.store.pool import pool as make_pool
from tests import laws
from tests.laws import NOW, Wire
from tests.server import TOKEN, Server, serving

SESSIONS = 8
NAMES = [f"n{number}" for number in range(12)]
BOTH = Wish(profile=True, events=True)


@pytest.fixture
async def pools(database: str) -> AsyncIterator[list[Pool]]:
    """A connection or two for each session: who settles a deletion needs them."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(make_pool(database, size=2)) for _ in range(SESSIONS)
        ]


@pytest.fixture
async def shop(pools: list[Pool]) -> Project:
    async with pools[0].connection() as conn:
        return await project.insert(conn, name="Shop", token=TOKEN)


async def patiently(what: Callable[[], Awaitable[Any]]) -> Any:
    """As clients do: what the server has no time for is sent again."""
    while True:
        try:
            return await what()
        except Overloaded:
            await asyncio.sleep(0.01)


async def delete(pool: Pool, shop: Project, *names: Name, wish: Wish = BOTH) -> Outcome:
    by = Cause(api_key_id=1, request_id=uuid4())
    request = Request(names=names, wish=wish, by=by, at=datetime.now(UTC))
    return await patiently(lambda: deletions.delete(pool, shop, request))


async def send(pool: Pool, shop: Project, *events: Wire) -> None:
    await patiently(lambda: persons.apply(pool, [laws.work(shop, events)]))


def wire(name: str, distinct_id: str, **properties: Any) -> Wire:
    return {
        "event": name,
        "distinct_id": distinct_id,
        "uuid": str(uuid4()),
        "timestamp": NOW.isoformat(),
        "properties": properties,
    }


async def deadlocks(pool: Pool) -> int:
    async with pool.connection() as conn:
        await conn.execute("SELECT pg_stat_force_next_flush()")
        cursor = await conn.execute(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        )
        row = await cursor.fetchone()
    assert row is not None
    return row[0]


# What holds afterwards

LAWS = {
    "an event without the name that it came under": """
        SELECT e.uuid FROM event e WHERE NOT EXISTS (
            SELECT FROM distinct_id d WHERE d.id = e.distinct_id_id)
        """,
    "a live name without a person": """
        SELECT d.id FROM distinct_id d WHERE person_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM person p WHERE p.id = d.person_id)
        """,
    "an ended name with a person": """
        SELECT id FROM distinct_id WHERE ended_at IS NOT NULL AND person_id IS NOT NULL
        """,
    "an ended name without events": """
        SELECT d.id FROM distinct_id d WHERE ended_at IS NOT NULL AND NOT EXISTS (
            SELECT FROM event e WHERE e.distinct_id_id = d.id)
        """,
    "a pointer to nobody": """
        SELECT id FROM person p WHERE merged_into_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM person q WHERE q.id = p.merged_into_id)
        """,
    "a merge of nobody": """
        SELECT m.id FROM merge m WHERE NOT EXISTS (
            SELECT FROM person WHERE id = m.source_id) OR NOT EXISTS (
            SELECT FROM person WHERE id = m.target_id)
        """,
    "a ledger of nobody": """
        SELECT l.person_id FROM ledger l WHERE NOT EXISTS (
            SELECT FROM person WHERE id = l.person_id)
        """,
    "a person without names": """
        SELECT id FROM person p WHERE merged_into_id IS NULL AND NOT EXISTS (
            WITH RECURSIVE tree (id) AS (
                SELECT p.id UNION
                SELECT c.id FROM tree JOIN person c ON c.merged_into_id = tree.id)
            SELECT FROM tree JOIN distinct_id d ON d.person_id = tree.id)
        """,
    "a deleted profile that is not settled": """
        SELECT id FROM deletion WHERE profile AND settled_at IS NULL
        """,
    "a deletion that is told otherwise than once": """
        SELECT d.person_id FROM deletion d WHERE profile AND 1 <> (
            SELECT count(*) FROM activity a
             WHERE a.person_id = d.person_id AND a.kind = 'deleted')
        """,
    "a person that was deleted twice": """
        SELECT person_id FROM deletion WHERE profile GROUP BY 1 HAVING count(*) > 1
        """,
    "an event of an ended name that is not to be deleted with it": """
        SELECT e.uuid FROM event e JOIN distinct_id d ON d.id = e.distinct_id_id
         WHERE d.ended_at IS NOT NULL AND NOT EXISTS (
            SELECT FROM deletion_target t WHERE t.distinct_id_id = d.id AND t.cutoff IS NULL)
        """,
}


async def hold(pool: Pool, shop: Project, acknowledged: set[str] | None = None) -> None:
    async with pool.connection() as conn:
        for law, statement in LAWS.items():
            assert await (await conn.execute(statement)).fetchall() == [], law
        cursor = await conn.execute("SELECT uuid::text FROM event")
        stored = {row[0] for row in await cursor.fetchall()}
        cursor = await conn.execute("SELECT uuid::text FROM event_key")
        assert {row[0] for row in await cursor.fetchall()} == stored
        if acknowledged is not None:
            assert acknowledged == stored
        cursor = await conn.execute(
            "SELECT id, properties, version FROM person WHERE project_id = %s", (shop.id,)
        )
        for id, properties, version in await cursor.fetchall():
            told = book.person_of(await entry.of_person(conn, shop.id, id))
            assert (told.properties, told.version) == (properties, version)


# All at the same moment


async def test_the_same_person_is_deleted_once(pools: list[Pool], shop: Project) -> None:
    for turn in range(5):
        await send(pools[0], shop, wire("$identify", f"ada{turn}", **{"$anon_distinct_id": "x"}))
        outcomes = await asyncio.gather(
            *(delete(pool, shop, f"ada{turn}", wish=Wish(profile=True)) for pool in pools)
        )
        assert sorted(len(each.found) for each in outcomes) == [0] * (SESSIONS - 1) + [1]
    await hold_without_events(pools[0])


async def hold_without_events(pool: Pool) -> None:
    async with pool.connection() as conn:
        for law, statement in LAWS.items():
            if "to be deleted with it" not in law:
                assert await (await conn.execute(statement)).fetchall() == [], law


async def test_overlapping_crowds_are_deleted_once_each(pools: list[Pool], shop: Project) -> None:
    names = [f"p{number}" for number in range(60)]
    before = await deadlocks(pools[0])
    for _ in range(3):
        await send(pools[0], shop, *(wire("page", name, **{"$set": {"a": 1}}) for name in names))
        crowds = [random.sample(names, 40) for _ in pools]
        outcomes = await asyncio.gather(
            *(delete(pool, shop, *crowd) for pool, crowd in zip(pools, crowds, strict=True))
        )
        deleted = [uuid for each in outcomes for uuid in each.found.values()]
        assert len(deleted) == len({*deleted}) == len({name for crowd in crowds for name in crowd})
    assert await deadlocks(pools[0]) == before
    await hold(pools[0], shop)


async def test_asking_for_events_at_once_is_one_receipt(pools: list[Pool], shop: Project) -> None:
    await send(pools[0], shop, wire("page", "ada"))
    outcomes = await asyncio.gather(
        *(delete(pool, shop, "ada", wish=Wish(events=True)) for pool in pools)
    )
    assert len({each.receipts[0].id for each in outcomes}) == 1


async def test_an_event_on_its_way_finds_its_name(
    pools: list[Pool], shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It read the name before that ended; nothing else refers to it."""
    await send(pools[0], shop, wire("$identify", "ada", **{"$anon_distinct_id": "silent"}))
    reached, go = asyncio.Event(), asyncio.Event()
    write_world = persons.write_world

    async def late(conn: AsyncConnection, *rest: Any) -> None:
        reached.set()
        await go.wait()
        await write_world(conn, *rest)

    monkeypatch.setattr(persons, "write_world", late)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(send(pools[0], shop, wire("page", "silent")))
        await reached.wait()
        deleting = tasks.create_task(delete(pools[1], shop, "ada"))
        async with pools[2].connection() as conn:
            while await (await conn.execute("SELECT FROM person")).fetchall():
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        assert not deleting.done()
        go.set()
    await hold(pools[0], shop)


def some_events(dice: random.Random) -> list[Wire]:
    one, other = dice.sample(NAMES, 2)
    return [
        wire("page", one),
        wire("page", other, **{"$set": {f"k{dice.randrange(9)}": dice.random()}}),
        dice.choice(
            [
                wire("$identify", one, **{"$anon_distinct_id": other}),
                wire("$merge_dangerously", one, alias=other),
                wire("page", one, **{"$process_person_profile": False}),
            ]
        ),
    ]


@pytest.mark.parametrize("seed", range(3))
async def test_events_merges_undoing_and_deleting_at_once(
    pools: list[Pool], shop: Project, seed: int
) -> None:
    acknowledged: set[str] = set()
    before = await deadlocks(pools[0])

    async def sending(pool: Pool, dice: random.Random) -> None:
        for _ in range(25):
            events = some_events(dice)
            await send(pool, shop, *events)
            acknowledged.update(each["uuid"] for each in events)

    async def deleting(pool: Pool, dice: random.Random) -> None:
        for _ in range(20):
            await delete(pool, shop, *dice.sample(NAMES, dice.choice([1, 1, 4])))
            await asyncio.sleep(dice.random() / 50)

    async def undoing(pool: Pool, dice: random.Random) -> None:
        for _ in range(20):
            await undo_any(pool, shop, dice)

    async with asyncio.TaskGroup() as tasks:
        for number, pool in enumerate(pools):
            dice = random.Random(f"{seed} {number}")
            work = [sending, sending, deleting, undoing][number % 4]
            tasks.create_task(work(pool, dice))
    assert await deadlocks(pools[0]) == before
    await deletions.settle_left(pools[0])
    await hold(pools[0], shop, acknowledged)


async def test_undoing_a_split_waits_for_its_persons_in_id_order(
    pools: list[Pool], shop: Project
) -> None:
    """As deleting both does: who holds the second waits for nobody that waits for the first."""
    await send(pools[0], shop, wire("page", "first"), wire("page", "second"))
    await send(pools[0], shop, wire("$merge_dangerously", "second", alias="first"))
    by = Cause(api_key_id=1)
    async with pools[0].connection() as conn:
        owner = await person_lookup.owner(conn, Lookup(shop.id, "second"))
    assert owner is not None
    root, wish = owner.person, splits.Wish(listed=["first"])
    made = await splits.split_off(pools[0], shop, root, wish=wish, by=by, dry_run=False)
    [part] = made.parts
    assert made.split_id is not None and part.person.id < root.id

    async with pools[1].connection() as conn, conn.transaction():
        await person.lock(conn, [part.person.id])
        undoing = asyncio.create_task(
            rejoins.rejoin(pools[2], shop, root, split_id=made.split_id, by=by, preview=False)
        )
        async with pools[3].connection() as watch:
            waiting = "SELECT FROM pg_locks WHERE NOT granted"
            while not await (await watch.execute(waiting)).fetchall():
                await asyncio.sleep(0.005)
            held = "SELECT id FROM person WHERE id = %s FOR UPDATE SKIP LOCKED"
            assert await (await watch.execute(held, (root.id,))).fetchall() == [(root.id,)]
    assert (await undoing).returned == ["first"]


@pytest.mark.parametrize("seed", range(3))
async def test_splitting_rejoining_merging_and_deleting_at_once(
    pools: list[Pool], shop: Project, seed: int
) -> None:
    """Whoever needs several persons waits for them in one order, so nobody waits in a circle."""
    acknowledged: set[str] = set()
    before = await deadlocks(pools[0])

    async def sending(pool: Pool, dice: random.Random) -> None:
        for _ in range(25):
            events = some_events(dice)
            await send(pool, shop, *events)
            acknowledged.update(each["uuid"] for each in events)
            await asyncio.sleep(dice.random() / 20)

    async def deleting(pool: Pool, dice: random.Random) -> None:
        for _ in range(15):
            await delete(pool, shop, *dice.sample(NAMES, 2))
            await asyncio.sleep(dice.random() / 10)

    async def parting(pool: Pool, dice: random.Random) -> None:
        for _ in range(30):
            await part_or_rejoin(pool, shop, dice)

    async with asyncio.TaskGroup() as tasks:
        for number, pool in enumerate(pools):
            work = [sending, parting, deleting, parting][number % 4]
            tasks.create_task(work(pool, random.Random(f"{seed} {number}")))
    assert await deadlocks(pools[0]) == before
    await deletions.settle_left(pools[0])
    await hold(pools[0], shop, acknowledged)


async def part_or_rejoin(pool: Pool, shop: Project, dice: random.Random) -> None:
    """Split a person into all its ids, or undo a split of it."""
    async with pool.connection() as conn:
        found = await person_lookup.owner(conn, Lookup(shop.id, dice.choice(NAMES)))
        made = [] if found is None else await split.of_person(conn, shop.id, found.person.id)
    if found is None:
        await asyncio.sleep(0.005)
        return
    root, by = found.person, Cause(api_key_id=1)
    with suppress(NotFound, Conflict):  # somebody was faster, or stands in the way
        if made:
            await patiently(
                lambda: rejoins.rejoin(pool, shop, root, split_id=made[0].id, by=by, preview=False)
            )
        else:
            wish = splits.Wish()
            await patiently(
                lambda: splits.split_off(pool, shop, root, wish=wish, by=by, dry_run=False)
            )


async def undo_any(pool: Pool, shop: Project, dice: random.Random) -> None:
    async with pool.connection() as conn:
        found = await person_lookup.owner(conn, Lookup(shop.id, dice.choice(NAMES)))
        made = [] if found is None else await merge.of_family(conn, shop.id, found.person.id)
    if found is None or not made:
        await asyncio.sleep(0.005)
        return
    by, root, chosen = Cause(api_key_id=1), found.person, dice.choice(made)
    with suppress(NotFound):  # somebody was faster
        await patiently(
            lambda: merges.undo(pool, shop, root, merge_id=chosen.id, by=by, preview=False)
        )


# Two processes


@pytest.fixture
def servers(database: str) -> Iterator[list[Server]]:
    """Three processes: one server of two workers, and another beside it."""
    with (
        serving(DATABASE_URL=database, PERSONHOOD_WORKERS="2") as first,
        serving(DATABASE_URL=database) as second,
    ):
        yield [first, second]


async def test_servers_that_delete_what_others_send(servers: list[Server], database: str) -> None:
    acknowledged: set[str] = set()

    async def sending(client: httpx.AsyncClient, dice: random.Random) -> None:
        for _ in range(30):
            events = some_events(dice)
            body = {"api_key": TOKEN, "batch": events}
            answer = await client.post("/batch/", json=body)
            while answer.status_code == 503:
                answer = await client.post("/batch/", json=body)
            assert answer.status_code == 200, answer.text
            acknowledged.update(each["uuid"] for each in events)

    async def deleting(client: httpx.AsyncClient, dice: random.Random) -> None:
        for _ in range(20):
            body = {"distinct_ids": dice.sample(NAMES, 3), "delete_events": True}
            path = "/api/projects/@current/persons/bulk_delete"
            answer = await client.post(path, json=body)
            assert answer.status_code in (200, 503), answer.text

    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                httpx.AsyncClient(base_url=server.url, headers=server.headers, timeout=60)
            )
            for server in servers * 4
        ]
        async with asyncio.TaskGroup() as tasks:
            for number, client in enumerate(clients):
                work = deleting if number in (2, 5) else sending
                tasks.create_task(work(client, random.Random(number)))
    async with make_pool(database, size=2) as pool:
        async with pool.connection() as conn:
            cursor = await conn.execute("SELECT id FROM project ORDER BY id LIMIT 1")
            row = await cursor.fetchone()
        assert row is not None
        shop = Project(id=row[0], name="", token=TOKEN, created_at=NOW)
        await hold(pool, shop, acknowledged)
