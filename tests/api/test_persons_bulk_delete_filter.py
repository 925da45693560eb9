"""POST and GET /bulk_delete with a filter, GET /bulk_delete/:id, POST /bulk_delete/:id/cancel."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from personhood import bulk_deletions
from personhood.model import Cause, Project, Wish
from personhood.store import bulk_deletion
from personhood.store.pool import Pool
from tests.api.conftest import Client, People
from tests.api.skeleton import needs
from tests.api.test_persons_bulk_delete import BULK, PATH, left
from tests.test_merges import identify, send, set_

LISTED = f"{PATH}/bulk_deletions"
ALL = Wish(profile=True)
NOBODYS = "630bba15-c7b5-4ba8-8721-de159e118e15"
TRIAL = [{"key": "plan", "value": "trial", "type": "person"}]


@pytest.fixture
async def plans(pool: Pool, shop: Project) -> None:
    await send(
        pool, shop,
        *[set_(f"trial-{n}", plan="trial", email=f"t{n}@example.com") for n in range(7)],
        *[set_(f"paid-{n}", plan="paid") for n in range(3)],
    )  # fmt: skip
    await send(pool, shop, identify("trial-0", "anon"))


async def ask(client: Client, **body: Any) -> dict[str, Any]:
    answer = await client.post(BULK, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def ended(client: Client, id: str) -> dict[str, Any]:
    while True:
        told = (await client.get(f"{BULK}/{id}")).json()
        if told["state"] not in ("queued", "running"):
            return told
        await asyncio.sleep(0.02)


async def test_all_that_are_found_are_deleted(client: Client, plans: None) -> None:
    told = await ask(client, properties=TRIAL)
    assert (told["persons_found"], told["persons_queued_for_deletion"]) == (7, 7)
    assert (told["persons_deleted"], told["results"]) == (0, [])
    done = await ended(client, told["bulk_deletion"]["id"])
    assert (done["state"], done["persons"], done["done"], done["missing"]) == ("completed", 7, 7, 0)
    assert await left(client) == {"paid-0", "paid-1", "paid-2"}
    receipts = (await client.get("/api/projects/@current/deletions/")).json()
    assert receipts["count"] == 7
    assert {each["state"] for each in receipts["results"]} == {"completed"}


async def test_a_dry_run_only_counts(client: Client, plans: None) -> None:
    told = await ask(client, properties=TRIAL, delete_events=True, dry_run=True)
    assert told["dry_run"] is True
    assert told["persons_found"] == 7
    assert told["would_delete"]["persons"] == 7
    assert told["would_delete"]["distinct_ids"] == 8
    assert told["would_delete"]["events"] == 8
    assert "bulk_deletion" not in told
    assert len(await left(client)) == 11


@pytest.mark.parametrize(
    ("body", "gone"),
    [
        ({"search": "t3@example"}, {"trial-3"}),
        ({"email": "t2@example.com"}, {"trial-2"}),
        ({"search": "t3@example", "properties": TRIAL}, {"trial-3"}),
        ({"search": "paid-1", "properties": TRIAL}, set()),
    ],
)
async def test_each_way_to_say_whom(
    client: Client, plans: None, body: dict[str, Any], gone: set[str]
) -> None:
    before = await left(client)
    told = await ask(client, **body)
    assert told["persons_found"] == len(gone)
    await ended(client, told["bulk_deletion"]["id"])
    assert await left(client) == before - gone


async def test_a_cohort(client: Client, plans: None) -> None:
    made = await client.post(
        "/api/projects/@current/cohorts/",
        json={"name": "some", "is_static": True, "distinct_ids": ["trial-1", "paid-1"]},
    )
    told = await ask(client, cohort=made.json()["id"], properties=TRIAL, dry_run=True)
    assert told["persons_found"] == 1
    told = await ask(client, cohort=made.json()["id"])
    await ended(client, told["bulk_deletion"]["id"])
    assert {"trial-1", "paid-1"} & await left(client) == set()


@pytest.mark.parametrize(
    "body",
    [
        {"properties": TRIAL, "ids": [str(uuid4())]},
        {"search": "x", "distinct_ids": ["ada"]},
        {"properties": [{"key": "plan"}]},
        {"properties": [{}]},
        {"properties": {"type": "AND", "values": []}},
        {"properties": "no json"},
        {"search": 7},
        {"search": "x" * 1001},
        {"search": "   "},
        {"cohort": "one"},
        {"cohort": True},
        {"cohort": 99},
        {"cohort": 10**30},
        {},
    ],
)
async def test_what_is_no_filter_deletes_nobody(
    client: Client, plans: None, body: dict[str, Any]
) -> None:
    answer = await client.post(BULK, json=body)
    assert answer.status_code == 400, answer.text
    assert len(await left(client)) == 11


async def test_those_of_another_project_are_not_found(
    client: Client, pool: Pool, other: Project, plans: None
) -> None:
    await send(pool, other, set_("theirs", plan="trial"))
    told = await ask(client, properties=TRIAL)
    assert told["persons_found"] == 7
    await ended(client, told["bulk_deletion"]["id"])
    async with pool.connection() as conn:
        cursor = await conn.execute("SELECT count(*) FROM person WHERE project_id = %s", [other.id])
        assert await cursor.fetchone() == (1,)
        found = await bulk_deletion.by_uuid(conn, other.id, told["bulk_deletion"]["id"])
    assert found is None


@pytest.mark.parametrize("id", [NOBODYS, "7", "ada"])
async def test_one_that_is_not_there(client: Client, people: People, id: str) -> None:
    assert (await client.get(f"{BULK}/{id}")).status_code == 404
    assert (await client.post(f"{BULK}/{id}/cancel")).status_code == 404


@pytest.mark.parametrize(
    ("scope", "method", "path"),
    [
        ("person:read", "GET", f"{LISTED}/"),
        ("person:read", "GET", f"{BULK}/{NOBODYS}"),
        ("person:write", "POST", f"{BULK}/{NOBODYS}/cancel"),
    ],
)
async def test_scopes(
    client: Client, pool: Pool, people: People, scope: str, method: str, path: str
) -> None:
    await needs(client, pool, scope, method=method, path=path)


async def test_it_is_called_off_and_resumed(
    client: Client, pool: Pool, shop: Project, plans: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after some batches it is about the rest; cancelled then, it leaves that alone."""
    monkeypatch.setattr(bulk_deletions, "DELETED_PER_BATCH", 1)
    monkeypatch.setattr(bulk_deletions, "LANES", 1)
    async with pool.connection() as conn:
        # The server's own worker finds it held.
        await conn.execute(
            "SELECT pg_advisory_lock(hashtextextended('personhood bulk deletion', n)) "
            "FROM generate_series(1, 9) AS n"
        )
        told = (await ask(client, properties=TRIAL))["bulk_deletion"]
        left_over = "SELECT FROM procrastinate_jobs WHERE task_name = 'deletions:bulk'"
        while await (await conn.execute(left_over)).fetchone() is not None:
            await asyncio.sleep(0.02)
        await conn.execute("SELECT pg_advisory_unlock_all()")
        found = await bulk_deletion.by_uuid(conn, shop.id, told["id"])
    assert found is not None
    answers = iter([True, True, True])
    await bulk_deletions.run(pool, shop, found.id, may_go_on=lambda: next(answers, False))
    now = (await client.get(f"{BULK}/{told['id']}")).json()
    assert (now["state"], now["persons"], now["done"]) == ("running", 7, 3)
    await gone_meanwhile(client, found.id, pool)
    await bulk_deletions.run(pool, shop, found.id, may_go_on=iter([True, False]).__next__)
    cancelled = (await client.post(f"{BULK}/{told['id']}/cancel")).json()
    assert (cancelled["state"], cancelled["done"], cancelled["missing"]) == ("cancelled", 3, 1)
    here = await left(client)
    await bulk_deletions.run(pool, shop, found.id)
    assert await left(client) == here
    assert (await client.post(f"{BULK}/{told['id']}/cancel")).json() == cancelled


async def gone_meanwhile(client: Client, id: int, pool: Pool) -> None:
    """Somebody deletes the next person."""
    async with pool.connection() as conn:
        cursor = await conn.execute(
            "SELECT person_ids[1] FROM bulk_deletion_batch WHERE bulk_deletion_id = %s "
            "ORDER BY number",
            [id],
        )
        [person_id] = await cursor.fetchone() or [None]
        answer = await client.delete(f"{PATH}/{person_id}/")
        assert answer.status_code == 204, answer.text


async def test_what_is_done_cannot_be_cancelled(client: Client, plans: None) -> None:
    told = (await ask(client, properties=TRIAL))["bulk_deletion"]
    await ended(client, told["id"])
    assert (await client.post(f"{BULK}/{told['id']}/cancel")).status_code == 409


@pytest.mark.parametrize("prefix", ["projects", "environments"])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_they_are_listed_the_newest_first(
    client: Client, pool: Pool, other: Project, plans: None, prefix: str, slash: str
) -> None:
    made = [(await ask(client, search=f"t{n}@"))["bulk_deletion"]["id"] for n in range(3)]
    for id in made:
        await ended(client, id)
    async with pool.connection() as conn:
        await bulk_deletion.insert(conn, other.id, wish=ALL, by=Cause(), at=datetime.now(UTC))
    url: str | None = (
        f"/api/{prefix}/@current/persons/bulk_deletions{slash}?limit=2&state=completed"
    )
    told: list[dict[str, Any]] = []
    while url is not None:
        page = (await client.get(url)).json()
        assert page["count"] == 3
        told += page["results"]
        url = page["next"]
    assert [each["id"] for each in told] == made[::-1]
    assert told[0] == (await client.get(f"{BULK}/{made[2]}")).json()
    none = (await client.get(LISTED, params={"state": "running"})).json()
    assert none == {"count": 0, "next": None, "results": []}
    beyond = (await client.get(LISTED, params={"cursor": made[0]})).json()
    assert (beyond["results"], beyond["next"]) == ([], None)


@pytest.mark.parametrize(
    ("query", "attr"),
    [({"state": "failed"}, "state"), ({"cursor": "x"}, "cursor"), ({"limit": "-1"}, "limit")],
)
async def test_bad_parameters_of_the_list(
    client: Client, people: People, query: dict[str, str], attr: str
) -> None:
    answer = await client.get(LISTED, params=query)
    assert (answer.status_code, answer.json()["attr"]) == (400, attr)


async def test_the_wrong_method(client: Client, people: People) -> None:
    assert (await client.put(LISTED)).status_code == 405
    answer = await client.delete(f"{BULK}/{NOBODYS}")
    assert answer.status_code == 405
