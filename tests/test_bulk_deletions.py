"""Deletions of many: two at once, called off in the middle, and what happens until one is run."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import AsyncConnection

from personhood import bulk_deletions, deletion_runs
from personhood.deletion_runs import Runner
from personhood.deletions import Request
from personhood.filters import tree
from personhood.model import Cause, Project, Wish
from personhood.store import bulk_deletion
from personhood.store.bulk_deletion import BulkDeletion
from personhood.store.person_filter import Filter
from personhood.store.pool import Pool
from tests.test_deletions import delete, names, read
from tests.test_merges import identify, owner, send, set_
from tests.test_persons import sent, shop

__all__ = ["shop"]

EVERYBODY = Filter(properties=tree.ALWAYS)
ALL = Wish(profile=True, events=True)
BY = Cause(api_key_id=1)


@pytest.fixture(autouse=True)
async def some_persons(
    pool: Pool, shop: Project, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    monkeypatch.setattr(bulk_deletions, "DELETED_PER_BATCH", 2)
    await send(pool, shop, *[set_(f"id-{n}", n=n) for n in range(7)])
    yield


async def ask(pool: Pool, tenant: Project, *, wish: Wish = ALL) -> BulkDeletion:
    async def enqueue(conn: AsyncConnection, id: int) -> None:
        pass

    return await bulk_deletions.ask(
        pool, tenant, EVERYBODY, wish=wish, by=BY, at=datetime.now(UTC), enqueue=enqueue
    )


async def now(pool: Pool, bulk: BulkDeletion) -> BulkDeletion:
    async with pool.connection() as conn:
        found = await bulk_deletion.by_id(conn, bulk.id)
    assert found is not None
    return found


async def test_two_at_once_delete_each_person_once(pool: Pool, shop: Project) -> None:
    bulks = [await ask(pool, shop), await ask(pool, shop)]
    await asyncio.gather(*[bulk_deletions.run(pool, shop, each.id) for each in bulks])
    told = [await now(pool, each) for each in bulks]
    assert {each.state for each in told} == {"completed"}
    assert [each.done + each.missing for each in told] == [7, 7]
    assert sum(each.done for each in told) == 7
    rows = await read(pool, "SELECT count(*), count(DISTINCT person_id) FROM deletion")
    assert rows == [(7, 7)]


async def test_cancelling_waits_for_nobody_and_what_was_begun_is_finished(
    pool: Pool, shop: Project, database: str
) -> None:
    bulk = await ask(pool, shop)
    with psycopg.connect(database) as other:
        other.execute("SELECT FROM person FOR UPDATE")
        running = asyncio.create_task(bulk_deletions.run(pool, shop, bulk.id))
        waiting = "SELECT FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
        while len(await read(pool, waiting)) < bulk_deletions.LANES:
            await asyncio.sleep(0.01)
        cancelled = await bulk_deletions.cancel(pool, shop, bulk.uuid)
        assert (cancelled.state, cancelled.done) == ("cancelled", 0)
        assert await read(pool, "SELECT count(*) FROM bulk_deletion_batch") == [(2,)]
    await running
    told = await now(pool, bulk)
    assert (told.state, told.done, told.missing) == ("cancelled", 4, 0)
    assert await read(pool, "SELECT count(*) FROM person") == [(3,)]
    assert await read(pool, "SELECT count(*) FROM bulk_deletion_batch") == [(0,)]


async def test_what_happens_until_it_is_run(pool: Pool, shop: Project) -> None:
    """Who has merged into somebody is part of them; who has come since is left alone."""
    bulk = await ask(pool, shop)
    await send(pool, shop, set_("late"), sent("x", "id-3"))
    await send(pool, shop, identify("id-1", "id-0"), identify("late", "id-2"))
    await delete(pool, shop, "id-6")
    await send(pool, shop, set_("id-6", again=True))
    await bulk_deletions.run(pool, shop, bulk.id)
    told = await now(pool, bulk)
    assert (told.state, told.persons, told.done, told.missing) == ("completed", 7, 4, 3)
    assert (await owner(pool, shop, "id-6")).person.properties["again"] is True
    assert (await owner(pool, shop, "late")).person.properties["n"] == 2
    live = {name for name, is_live in (await names(pool)).items() if is_live}
    assert live == {"late", "id-2", "id-6"}
    # Of a profile all goes that came until it went, and the receipt says so.
    assert await read(
        pool,
        "SELECT DISTINCT requested_at = %s, cutoff > requested_at FROM deletion WHERE events",
        bulk.requested_at,
    ) == [(True, True)]
    await deletion_runs.run_due(pool, shop.id, Runner())
    rows = await read(
        pool,
        "SELECT DISTINCT d.distinct_id FROM event e JOIN distinct_id d "
        "ON d.id = e.distinct_id_id ORDER BY 1",
    )
    assert [name for (name,) in rows] == ["id-2", "id-6", "late"]


async def test_events_alone_go_up_to_the_request(pool: Pool, shop: Project) -> None:
    bulk = await ask(pool, shop, wish=Wish(events=True))
    await send(pool, shop, sent("late", "id-3"))
    later = datetime.now(UTC) + timedelta(minutes=1)
    await read(pool, "UPDATE event SET received_at = %s WHERE name = 'late' RETURNING 1", later)
    await bulk_deletions.run(pool, shop, bulk.id)
    await deletion_runs.run_due(pool, shop.id, Runner())
    assert await read(pool, "SELECT name FROM event") == [("late",)]
    assert await read(pool, "SELECT count(*) FROM person") == [(7,)]


@pytest.mark.parametrize("wish", [ALL, Wish(profile=True), Wish(events=True)])
async def test_a_dry_run_tells_what_happens(pool: Pool, shop: Project, wish: Wish) -> None:
    await send(pool, shop, identify("id-1", "id-0"), sent("x", "id-0"))
    request = Request(names=(), wish=wish, by=BY, at=datetime.now(UTC))
    found, seen = await bulk_deletions.foresee(pool, shop, EVERYBODY, request=request)
    bulk = await ask(pool, shop, wish=wish)
    await bulk_deletions.run(pool, shop, bulk.id)
    await deletion_runs.run_due(pool, shop.id, Runner())
    rows = await read(pool, "SELECT kind, sum(before)::int FROM deletion_count GROUP BY kind")
    counted = dict(rows)
    assert (await now(pool, bulk)).done == found == 6
    assert seen.persons == (6 if wish.profile else 0)
    assert seen.events == counted.get("events", 0)
    assert seen.distinct_ids == counted.get("ids", 0)
    assert seen.ledger_entries == counted.get("ledger", 0)
