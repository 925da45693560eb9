"""The ingester: what it took is durable, what it cannot take it says, nobody pays for others."""

import asyncio
import gc
import os
import random
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import psycopg
import pytest
from msgspec.structs import replace

from personhood.capture import intake
from personhood.capture.intake import Ingester
from personhood.errors import BadCapture, Overloaded
from personhood.model import Event, Project
from personhood.store import embedded
from personhood.store import project as project_store
from personhood.store.pool import Pool
from personhood.store.pool import pool as make_pool
from tests import laws
from tests.laws import NOW
from tests.sdk.test_crash import check, sending, stop, wait_for_answers
from tests.server import TOKEN, Server, serving

# JSON that every parser takes, and too small for PostgreSQL's numeric.
POISON = b'{"n":1e-20000}'
REFUSED = "cannot be stored: value overflows numeric format"
# Neither short enough for an index nor to be made so by compression.
INCOMPRESSIBLE = random.Random(0).randbytes(9000).hex()


@pytest.fixture
async def shop(pool: Pool) -> Project:
    async with pool.connection() as conn:
        return await project_store.insert(conn, name="Shop", token="phc_shop")


@pytest.fixture
async def ingester(pool: Pool) -> AsyncIterator[Ingester]:
    async with Ingester(pool, queue_bytes=1000) as running:
        yield running


def setting(name: str, **values: object) -> dict[str, object]:
    return {"event": "e", "distinct_id": name, "uuid": str(uuid4()), "$set": values}


def events(project: Project, count: int) -> list[Event]:
    return laws.work(project, [setting(f"p{n % 7}", **{f"{n}": 1}) for n in range(count)]).events


async def ingest(ingester: Ingester, project: Project, *, size: int = 1) -> int:
    return await ingester.ingest(project, events(project, 1), [], size=size)


class Stalled:
    """A database in which nothing can be stored until it is released."""

    def __init__(self, conn: psycopg.Connection) -> None:
        self.conn = conn
        conn.execute("LOCK TABLE event_key IN ACCESS EXCLUSIVE MODE")

    def is_waited_for(self) -> bool:
        waiting = self.conn.execute("SELECT FROM pg_locks WHERE NOT granted")
        return waiting.rowcount > 0

    async def waited_for(self) -> None:
        while not self.is_waited_for():
            await asyncio.sleep(0.01)

    def release(self) -> None:
        self.conn.rollback()


@pytest.fixture
def stalled(database: str) -> Iterator[Stalled]:
    with psycopg.connect(database) as conn:
        yield Stalled(conn)


def stored(database_url: str) -> int:
    with psycopg.connect(database_url) as conn:
        [(count,)] = conn.execute("SELECT count(*) FROM event").fetchall()
    return count


# Lanes


async def test_ids_that_are_in_flight_wait_and_others_do_not(pool: Pool, shop: Project) -> None:
    groups: list[list[str]] = []
    landing = asyncio.Event()

    class Slow(Ingester):
        async def store_together(self, shares: Any) -> None:
            groups.append([each.distinct_id for _, events, _ in shares for each in events])
            await landing.wait()
            await super().store_together(shares)

    def sent(name: str, **claim: str) -> list[Event]:
        kind = "$identify" if claim else "e"
        wire = {"event": kind, "distinct_id": name, "uuid": str(uuid4()), "properties": claim}
        return laws.work(shop, [wire]).events

    async with Slow(pool, queue_bytes=10**6, lanes=2) as ingester, asyncio.TaskGroup() as tasks:
        for batch in (sent("a"), sent("b"), sent("b"), sent("c", **{"$anon_distinct_id": "a"})):
            tasks.create_task(ingester.ingest(shop, batch, [], size=1))
            for _ in range(5):
                await asyncio.sleep(0)
        assert groups == [["a"], ["b"]]
        landing.set()
    assert groups[:2] == [["a"], ["b"]]
    assert [name for group in groups[2:] for name in group] == ["b", "c"]
    assert not ingester.in_flight
    assert ingester.in_flight_bytes == ingester.queued_bytes == 0


async def test_a_lane_begins_when_as_much_waits_as_is_in_flight(pool: Pool, shop: Project) -> None:
    groups: list[int] = []
    landing = asyncio.Event()

    class Slow(Ingester):
        async def store_together(self, shares: Any) -> None:
            groups.append(sum(len(events) for _, events, _ in shares))
            await landing.wait()

    async with Slow(pool, queue_bytes=10**6, lanes=2) as ingester, asyncio.TaskGroup() as tasks:
        for number, size in enumerate([100, 60, 30, 10, 1]):
            wire = {"event": "e", "distinct_id": f"lane {number}", "uuid": str(uuid4())}
            batch = laws.work(shop, [wire]).events
            tasks.create_task(ingester.ingest(shop, batch, [], size=size))
            for _ in range(5):
                await asyncio.sleep(0)
        assert groups == [1, 3]
        landing.set()
    assert groups == [1, 3, 1]


# Poison


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        ({"properties": POISON}, "value overflows numeric format"),
        ({"groups": {INCOMPRESSIBLE: "x"}}, "index row requires"),
    ],
    ids=["bad data", "beyond a limit"],
)
async def test_a_poison_event_among_999_is_refused_alone(
    pool: Pool, shop: Project, database: str, odd: dict[str, Any], reason: str
) -> None:
    requests = [events(shop, 20) for _ in range(50)]
    poison = requests[17][5] = replace(requests[17][5], **odd)
    async with Ingester(pool, queue_bytes=10**6) as ingester:
        answers = await asyncio.gather(
            *(ingester.ingest(shop, each, [], size=1) for each in requests),
            return_exceptions=True,
        )
    assert [answer for answer in answers if answer != 20] == [answers[17]]
    assert isinstance(answers[17], BadCapture)
    assert str(answers[17]).startswith(f"event {poison.uuid} cannot be stored: {reason}")
    kept = laws.hold(database, shop.id)
    assert {event.uuid for event in kept.events} == {
        event.uuid for each in requests for event in each
    } - {poison.uuid}
    assert [(each.type, each.event_uuid) for each in kept.warnings] == [
        ("schema_validation_failed", poison.uuid)
    ]


async def test_every_poison_event_of_a_request_is_told(
    ingester: Ingester, shop: Project, database: str
) -> None:
    batch = events(shop, 9)
    poison = [replace(batch[number], properties=POISON) for number in (0, 4, 8)]
    batch[0], batch[4], batch[8] = poison
    with pytest.raises(BadCapture) as refused:
        await ingester.ingest(shop, batch, [], size=1)
    assert str(refused.value) == "; ".join(f"event {each.uuid} {REFUSED}" for each in poison)
    assert await ingester.ingest(shop, [*batch[1:4], *events(shop, 1)], [], size=1) == 1
    assert len(laws.hold(database, shop.id).events) == 7
    with pytest.raises(BadCapture):
        await ingester.ingest(shop, batch, [], size=1)
    async with ingester.pool.connection() as conn:
        cursor = await conn.execute("SELECT event_uuid FROM ingestion_warning ORDER BY id")
        warned = [uuid for (uuid,) in await cursor.fetchall()]
    assert warned == [each.uuid for each in poison], "once each, though sent again"


def test_a_poison_event_over_http_harms_nobody_else(server: Server, database: str) -> None:
    def send(number: int) -> httpx.Response:
        event = setting(f"p{number}")
        body = httpx.Request("POST", server.url, json={"api_key": TOKEN, "batch": [event]}).content
        if number == 7:
            body = body.replace(b'"$set":{}', b'"properties":' + POISON)
        return httpx.post(f"{server.url}/batch/", content=body, timeout=60)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(send, range(60)))
    assert [number for number, each in enumerate(answers) if each.status_code != 200] == [7]
    assert answers[7].status_code == 400
    assert answers[7].text.endswith(REFUSED)
    assert stored(database) == 59


# Back-pressure


async def test_a_full_queue_refuses_until_there_is_room(
    ingester: Ingester, shop: Project, stalled: Stalled, database: str
) -> None:
    async with asyncio.TaskGroup() as tasks:
        under_way = tasks.create_task(ingest(ingester, shop, size=900))
        await stalled.waited_for()
        waiting = [tasks.create_task(ingest(ingester, shop, size=500)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await ingest(ingester, shop, size=1)
        stalled.release()
    assert [task.result() for task in (under_way, *waiting)] == [1, 1, 1]
    assert await ingest(ingester, shop) == 1
    assert stored(database) == 4


async def test_a_request_that_is_larger_than_the_queue_is_taken_when_it_is_empty(
    ingester: Ingester, shop: Project
) -> None:
    assert await ingest(ingester, shop, size=10**9) == 1


def test_clients_are_told_to_come_again_and_then_taken(database: str) -> None:
    with (
        serving(DATABASE_URL=database, PERSONHOOD_INGEST_QUEUE_BYTES="1000") as server,
        psycopg.connect(database) as conn,
        ThreadPoolExecutor(8) as threads,
    ):
        stalled = Stalled(conn)
        bodies = [{"api_key": TOKEN, "batch": [setting("p", k="x" * 500)]} for _ in range(8)]
        sent = [threads.submit(post, server, body) for body in bodies]
        wait(sent, return_when=FIRST_COMPLETED)
        stalled.release()
        answers = [each.result() for each in sent]
        refused = [body for body, each in zip(bodies, answers, strict=True) if each.is_error]
        assert {each.status_code for each in answers} == {200, 503}
        for answer in answers:
            if answer.is_error:
                assert answer.text == "transient error, please retry"
                assert int(answer.headers["retry-after"]) > 0
        assert {post(server, body).status_code for body in refused} == {200}
    assert stored(database) == len(bodies)


def post(server: Server, body: dict[str, object]) -> httpx.Response:
    return httpx.post(f"{server.url}/batch/", json=body, timeout=60)


# Draining


async def test_what_was_taken_before_the_end_is_durable(
    pool: Pool, shop: Project, stalled: Stalled, database: str
) -> None:
    async with AsyncExitStack() as stack:
        ingester = await stack.enter_async_context(Ingester(pool, queue_bytes=1000))
        taken = [asyncio.create_task(ingest(ingester, shop))]
        await stalled.waited_for()
        taken += [asyncio.create_task(ingest(ingester, shop)) for _ in range(50)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(stack.aclose())
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await ingest(ingester, shop)
        assert not closing.done()
        stalled.release()
        await closing
    assert [task.result() for task in taken] == [1] * 51
    assert stored(database) == 51


# Clients that go away


async def test_a_request_that_is_cancelled_takes_nothing_from_the_others(
    ingester: Ingester, shop: Project, stalled: Stalled, database: str
) -> None:
    under_way = asyncio.create_task(ingest(ingester, shop))
    await stalled.waited_for()
    waiting = [asyncio.create_task(ingest(ingester, shop)) for _ in range(5)]
    await asyncio.sleep(0)
    under_way.cancel()
    waiting[2].cancel()
    stalled.release()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [answer for answer in answers if answer != 1] == [answers[2]]
    assert isinstance(answers[2], asyncio.CancelledError)
    assert await ingest(ingester, shop) == 1
    assert stored(database) >= 5


def test_a_connection_that_is_cut_harms_nobody(server: Server, database: str) -> None:
    bodies = [{"api_key": TOKEN, "batch": [setting(f"p{n}")]} for n in range(4)]
    with psycopg.connect(database) as conn, ThreadPoolExecutor(4) as threads:
        stalled = Stalled(conn)
        for length in (None, -20):
            hang_up(server, body_bytes=length)
        while not stalled.is_waited_for():
            time.sleep(0.01)
        sent = [threads.submit(post, server, body) for body in bodies]
        hang_up(server, body_bytes=None)
        stalled.release()
        assert [each.result().status_code for each in sent] == [200] * 4
    assert stored(database) >= 4


def hang_up(server: Server, *, body_bytes: int | None) -> None:
    """Send so much of a request, and go without waiting for the answer."""
    request = httpx.Request("POST", server.url, json={"api_key": TOKEN, "batch": [setting("gone")]})
    head = f"POST /batch/ HTTP/1.1\r\nHost: x\r\nContent-Length: {len(request.content)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head.encode() + request.content[:body_bytes])


# The database goes and comes


def test_a_database_that_is_restarted_under_load_costs_no_answered_event(data_dir: Path) -> None:
    with (
        embedded.running(data_dir) as url,
        serving(DATABASE_URL=url) as server,
        sending(server.url) as senders,
    ):
        for how in ("fast", "immediate", "fast"):
            wait_for_answers(senders)
            restart(data_dir / "postgres", how)
        wait_for_answers(senders)
        stop(senders)
        check(url, senders)


def restart(folder: Path, how: str) -> None:
    """`fast` ends every session; `immediate` is a crash, after which it recovers."""
    account = embedded.account(folder)
    embedded.run(
        folder, account, "pg_ctl", "restart", "-w", "-s", "-m", how, "-t", "60", "-l", os.devnull
    )


# A long stream

EVENTS_PER_REQUEST = 100
REQUESTS_AT_ONCE = 20


async def stream(ingester: Ingester, project: Project, *, rounds: int) -> None:
    for step in range(rounds):
        requests = [
            [small_event(number) for number in range(EVENTS_PER_REQUEST)]
            for _ in range(REQUESTS_AT_ONCE)
        ]
        answers = await asyncio.gather(
            *(ingester.ingest(project, each, [], size=20_000) for each in requests)
        )
        assert answers == [EVENTS_PER_REQUEST] * REQUESTS_AT_ONCE, step


def small_event(number: int) -> Event:
    return Event(
        uuid=uuid4(),
        name="e",
        distinct_id=f"p{number}",
        timestamp=NOW,
        received_at=NOW,
        properties=b'{"$set":{"k":1}}' if number % 10 == 0 else b'{"a":"b"}',
        set={"k": str(uuid4())} if number % 10 == 0 else {},
    )


async def test_memory_stays_flat_over_a_long_stream(pool: Pool, shop: Project) -> None:
    async with Ingester(pool, queue_bytes=10**8) as ingester:
        await stream(ingester, shop, rounds=25)
        blocks, rss = memory()
        await stream(ingester, shop, rounds=75)
        more_blocks, more_rss = memory()
    # 150,000 events: an object kept of every tenth would show, and so would 70 bytes of each.
    assert more_blocks - blocks < 15_000
    assert more_rss - rss < 10 * 1024 * 1024


def memory() -> tuple[int, int]:
    """Objects, and bytes."""
    gc.collect()
    return sys.getallocatedblocks(), psutil.Process().memory_info().rss


@pytest.fixture
async def impatient(database: str, shop: Project) -> AsyncIterator[Ingester]:
    """An ingester that does not wait long for what somebody else has locked."""
    async with (
        make_pool(database, size=2, lock_timeout_s=1) as opened,
        Ingester(opened, queue_bytes=10**6) as ingester,
    ):
        yield ingester


async def test_a_person_that_a_stranger_has_locked_holds_up_nobody_else(
    database: str, pool: Pool, shop: Project, impatient: Ingester
) -> None:
    for name in ("ada", "bob"):
        await impatient.ingest(shop, laws.work(shop, [setting(name, seen=0)]).events, [], size=1)
    changes = {
        name: laws.work(shop, [setting(name, seen=1)]).events
        for name in ("bob", "p0", "p1", "ada", "p2", "p3", "p4")
    }

    async def send(names: list[str]) -> dict[str, int | BaseException]:
        answers = await asyncio.gather(
            *(impatient.ingest(shop, changes[name], [], size=1) for name in names),
            return_exceptions=True,
        )
        return dict(zip(names, answers, strict=True))

    with psycopg.connect(database) as stranger:
        stranger.execute("SELECT FROM person WHERE properties @> '{\"seen\": 0}' FOR UPDATE")
        sent = await send(list(changes))
        assert isinstance(sent.pop("ada"), Overloaded)
        assert isinstance(sent.pop("bob"), Overloaded)
        assert sent == dict.fromkeys(sent, 1)
    assert await send(list(changes)) == dict.fromkeys(sent, 0) | {"ada": 1, "bob": 1}
    async with pool.connection() as conn:
        cursor = await conn.execute("SELECT properties ->> 'seen' FROM person")
        assert await cursor.fetchall() == [("1",)] * len(changes)


async def test_when_everything_is_locked_all_are_told_before_long(
    database: str, shop: Project, impatient: Ingester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "LOCK_PATIENCE_S", 0.5)
    works = [laws.work(shop, [setting(f"p{n}", seen=1)]).events for n in range(50)]

    async def send() -> list[int | BaseException]:
        sending = [impatient.ingest(shop, events, [], size=1) for events in works]
        return await asyncio.gather(*sending, return_exceptions=True)

    with psycopg.connect(database) as stranger:
        stranger.execute("LOCK TABLE person")
        assert all(isinstance(answer, Overloaded) for answer in await send())
    assert await send() == [1] * len(works)
