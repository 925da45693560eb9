"""Running deletions: what goes, what stays, and what the receipts say meanwhile."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from personhood import deletion_runs, merges, splits
from personhood.deletion_runs import Runner
from personhood.model import Cause, Project, Wish
from personhood.store import deletion_event
from personhood.store.pool import Pool
from tests.test_deletions import MARKER, counts, delete, names, read, state
from tests.test_merges import family, folded, identify, owner, send, set_
from tests.test_persons import sent, shop

__all__ = ["shop"]

EVENTS = Wish(events=True)
ALL = Wish(profile=True, events=True, recordings=True)


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deletion_runs, "REST_S", 0)


async def run(pool: Pool, tenant: Project, **how: Any) -> None:
    await deletion_runs.run_due(pool, tenant.id, Runner(**how), waiting=True)


async def events(pool: Pool) -> dict[str, int]:
    """How many there are, by name."""
    rows = await read(pool, "SELECT name, count(*) FROM event GROUP BY name")
    keys = await read(pool, "SELECT count(*) FROM event_key")
    assert keys == [(sum(number for _, number in rows),)], "no key without its event"
    return dict(rows)


async def send_late(pool: Pool, tenant: Project, distinct_id: str) -> None:
    """An event `late`, received after every request of a test."""
    await send(pool, tenant, sent("late", distinct_id))
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    await read(pool, "UPDATE event SET received_at = %s WHERE name = 'late' RETURNING 1", tomorrow)


async def test_events_up_to_the_request_go_and_the_person_stays(pool: Pool, shop: Project) -> None:
    await send(pool, shop, set_("ada", plan="paid"), sent("old", "ada"))
    await send(pool, shop, sent("other", "bob"))
    outcome = await delete(pool, shop, "ada", wish=EVENTS)
    await send_late(pool, shop, "ada")
    await run(pool, shop)
    assert await events(pool) == {"late": 1, "other": 1}
    assert await state(pool, outcome) == ("completed", False, True)
    assert await counts(pool, outcome) == {"events": (2, 2, 0)}
    person = (await owner(pool, shop, "ada")).person
    assert person.properties["plan"] == "paid"
    await folded(pool, person)
    assert await names(pool) == {"ada": True, "bob": True}


async def test_all_of_a_person_goes_and_its_names_with_its_events(
    pool: Pool, shop: Project
) -> None:
    await send(pool, shop, set_("ada"), set_("anon"), identify("ada", "anon"), sent("x", "anon"))
    outcome = await delete(pool, shop, "ada", wish=ALL)
    assert await names(pool) == {"ada": False, "anon": False}
    await run(pool, shop)
    assert await events(pool) == {}
    assert await names(pool) == {}
    assert await counts(pool, outcome) == {
        "profile": (2, 2, 0),
        "ids": (2, 2, 0),
        "ledger": (3, 3, 0),
        "events": (4, 4, 0),
        "recordings": (0, 0, 0),
        "blobs": (0, 0, 0),
    }
    for table in ("deletion_target", "deletion_person", "deletion_neighbour"):
        assert await read(pool, f"SELECT FROM {table}") == []


async def test_somebody_new_of_the_same_name_keeps_everything(pool: Pool, shop: Project) -> None:
    await send(pool, shop, set_("ada"), sent("old", "ada"))
    await delete(pool, shop, "ada", wish=ALL)
    await send(pool, shop, set_("ada"), sent("new", "ada"))
    await run(pool, shop)
    assert (await events(pool)).keys() == {"$set", "new"}
    assert await names(pool) == {"ada": True}


async def test_names_go_with_the_last_events_of_a_profile_deleted_meanwhile(
    pool: Pool, shop: Project
) -> None:
    await send(pool, shop, set_("ada"), sent("x", "ada"))
    await delete(pool, shop, "ada", wish=EVENTS)
    await delete(pool, shop, "ada")
    assert await names(pool) == {"ada": False}
    await run(pool, shop)
    assert await names(pool) == {}


@pytest.mark.parametrize("step", [1, 2, 3, 7])
@pytest.mark.parametrize("targets", [1, 2, 1000])
async def test_however_small_the_steps_are(
    pool: Pool, shop: Project, monkeypatch: pytest.MonkeyPatch, step: int, targets: int
) -> None:
    monkeypatch.setattr(deletion_runs, "EVENTS_PER_STEP", step)
    monkeypatch.setattr(deletion_runs, "NAMES_PER_STEP", targets)
    monkeypatch.setattr(deletion_event, "TARGETS_PER_STEP", targets)
    ids = [f"id-{n}" for n in range(5)]
    await send(pool, shop, set_("ada"), *[identify("ada", id) for id in ids])
    for n in range(5):
        await send(pool, shop, *[sent("x", id) for id in ids[n:]])
    await send_late(pool, shop, "id-2")
    outcome = await delete(pool, shop, "ada", wish=EVENTS)
    await run(pool, shop)
    assert await events(pool) == {"late": 1}
    assert await counts(pool, outcome) == {"events": (21, 21, 0)}


async def test_it_pauses_when_its_hours_are_over_and_goes_on_later(
    pool: Pool, shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion_runs, "EVENTS_PER_STEP", 2)
    await send(pool, shop, *[sent(f"x{n}", "ada") for n in range(9)])
    outcome = await delete(pool, shop, "ada", wish=EVENTS)
    answers = iter([True, True, True, True, False])
    await run(pool, shop, may_go_on=lambda: next(answers, False))
    assert await state(pool, outcome) == ("waiting", False, False)
    assert await counts(pool, outcome) == {"events": (9, 4, None)}
    # The same wish is a new receipt now, because this one has begun.
    again = await delete(pool, shop, "ada", wish=EVENTS)
    assert again.receipts[0].id != outcome.receipts[0].id
    await run(pool, shop)
    assert await state(pool, outcome) == ("completed", False, True)
    assert await counts(pool, outcome) == {"events": (9, 9, 0)}
    assert await state(pool, again) == ("completed", False, True)


async def test_two_at_once_do_not_run_the_same_receipt(pool: Pool, shop: Project) -> None:
    await send(pool, shop, *[sent("x", f"id-{n}") for n in range(20)])
    for n in range(20):
        await delete(pool, shop, f"id-{n}", wish=ALL)
    told: list[int] = []
    await asyncio.gather(*[run(pool, shop, tell=told.append) for _ in range(2)])
    assert await events(pool) == {}
    assert await read(pool, "SELECT DISTINCT state FROM deletion") == [("completed",)]
    rows = await read(
        pool, "SELECT DISTINCT before, removed FROM deletion_count WHERE kind = 'events'"
    )
    assert rows == [(1, 1)]


async def test_a_receipt_that_somebody_holds_is_left_to_them(
    pool: Pool, shop: Project, database: str
) -> None:
    await send(pool, shop, sent("x", "ada"))
    outcome = await delete(pool, shop, "ada", wish=EVENTS)
    [receipt] = outcome.receipts
    with psycopg.connect(database, autocommit=True) as other:
        other.execute(
            "SELECT pg_advisory_lock(hashtextextended('personhood deletion', %s))", [receipt.id]
        )
        await run(pool, shop)
        assert await state(pool, outcome) == ("queued", False, False)
        other.execute("SELECT pg_advisory_unlock_all()")
    await run(pool, shop)
    assert await state(pool, outcome) == ("completed", False, True)


async def test_a_split_between_request_and_run_changes_nothing(pool: Pool, shop: Project) -> None:
    await send(pool, shop, set_("ada"), set_("anon"), identify("ada", "anon"), sent("x", "anon"))
    root = (await owner(pool, shop, "ada")).person
    await delete(pool, shop, "ada", wish=EVENTS)
    await split_off(pool, shop, "ada", "anon")
    new = (await owner(pool, shop, "anon")).person
    assert new.id != root.id
    await send(pool, shop, set_("cyd"), identify("ada", "cyd"))
    await send_late(pool, shop, "cyd")
    await run(pool, shop)
    # What the id had at the time is gone, wherever it is now; who came later keeps all.
    assert {name for name in await events(pool)} >= {"late"}
    rows = await read(
        pool,
        "SELECT d.distinct_id, count(*) FROM event e JOIN distinct_id d ON d.id = e.distinct_id_id "
        "WHERE e.name IN ('x', 'late') GROUP BY 1",
    )
    assert dict(rows) == {"cyd": 1}


async def split_off(pool: Pool, tenant: Project, name: str, id: str) -> None:
    root = (await owner(pool, tenant, name)).person
    by = Cause(api_key_id=1)
    wish = splits.Wish(listed=[id])
    await splits.split_off(pool, tenant, root, wish=wish, by=by, dry_run=False)


async def test_a_failure_is_told_and_tried_again_but_not_for_ever(
    pool: Pool, shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("out of luck")

    await send(pool, shop, sent("x", "ada"))
    outcome = await delete(pool, shop, "ada", wish=EVENTS)
    with monkeypatch.context() as patched:
        patched.setattr(deletion_runs, "remove_round", fail)
        patched.setattr(deletion_runs, "EVENTS_PER_STEP", 0)
        for attempt in range(1, deletion_runs.ATTEMPTS_MAX + 1):
            await run(pool, shop)
            [(stored, failure, attempts, later)] = await read(
                pool, "SELECT state, failure, attempts, retry_at > now() FROM deletion"
            )
            assert (failure, attempts) == ("RuntimeError", attempt)
            if attempt < deletion_runs.ATTEMPTS_MAX:
                assert (stored, later) == ("waiting", True)
                await deletion_runs.run_due(pool, shop.id, Runner())
        assert (stored, later) == ("failed", None)
    await run(pool, shop)
    assert (await state(pool, outcome))[0] == "failed"


async def test_what_is_left_is_not_called_completed(
    pool: Pool, shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send(pool, shop, set_("ada"), sent("x", "ada"))
    outcome = await delete(pool, shop, "ada", wish=ALL)
    [receipt] = outcome.receipts
    async with pool.connection() as conn:
        await conn.execute(
            "INSERT INTO ledger (project_id, person_id, version, kind, at) "
            "VALUES (%s, %s, 7, 'set', now())",
            (shop.id, receipt.person_id),
        )
    await run(pool, shop)
    [(stored, failure)] = await read(pool, "SELECT state, failure FROM deletion")
    assert (stored, failure) == ("waiting", "There is something left in ledger.")
    await read(pool, "DELETE FROM ledger WHERE person_id = %s RETURNING 1", receipt.person_id)
    await run(pool, shop)
    assert await state(pool, outcome) == ("completed", True, True)


# What others keep of the person


async def entangled(pool: Pool, shop: Project) -> None:
    """Ada was one with bob, cyd and dan, in every way there is, and is herself again."""
    await send(pool, shop, set_("bob", own="b"), set_("ada", secret=MARKER, own="a"))
    await send(pool, shop, identify("bob", "ada"))
    await send(pool, shop, set_("ada", both=MARKER), set_("bob", both="b", later=1))
    [merge, *_] = await family(pool, shop, "bob")
    root = (await owner(pool, shop, "bob")).person
    await merges.undo(pool, shop, root, merge_id=merge.id, by=Cause(api_key_id=1), preview=False)
    await send(pool, shop, set_("cyd", own="c"))
    await send(pool, shop, identify("cyd", "ada"))
    await send(pool, shop, set_("ada", third=MARKER), set_("cyd", third="c"))
    await split_off(pool, shop, "cyd", "ada")


async def test_ledgers_of_others_tell_nothing_of_the_person_and_lead_where_they_did(
    pool: Pool, shop: Project
) -> None:
    await entangled(pool, shop)
    before = {name: (await owner(pool, shop, name)).person for name in ("bob", "cyd")}
    assert MARKER in str(await read(pool, "SELECT before, after FROM ledger"))
    ada = (await owner(pool, shop, "ada")).person
    await delete(pool, shop, "ada", wish=ALL)
    assert MARKER not in str(await read(pool, "SELECT before, after FROM ledger"))
    assert await read(pool, "SELECT FROM ledger WHERE source_id = %s", ada.id) == []
    for name, person in before.items():
        after = (await owner(pool, shop, name)).person
        assert after == person
        assert MARKER not in str(after.properties)
        await folded(pool, after)
    own = await read(
        pool,
        "SELECT after ->> 'later' FROM ledger WHERE person_id = %s AND after ? 'later'",
        before["bob"].id,
    )
    assert own == [("1",)], "what others said of themselves stays"


async def test_events_of_others_do_not_name_the_person_any_more(pool: Pool, shop: Project) -> None:
    await entangled(pool, shop)
    await delete(pool, shop, "ada", wish=ALL)
    await run(pool, shop)
    claims = await read(
        pool,
        "SELECT properties ->> '$anon_distinct_id' FROM event "
        "WHERE properties ? '$anon_distinct_id'",
    )
    assert claims
    assert claims == [("$erased",)] * len(claims)
    assert await names(pool) == {"bob": True, "cyd": True}
