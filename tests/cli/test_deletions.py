"""`personhood deletions`."""

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import uuid4

import psycopg
import pytest

from personhood import deletion_runs
from personhood.model import Cause, Project, Wish
from personhood.store import bulk_deletion
from personhood.store import project as projects
from personhood.store.pool import Pool
from personhood.store.pool import pool as make_pool
from tests.cli.conftest import Command
from tests.test_deletions import delete
from tests.test_merges import send, set_
from tests.test_persons import sent

T = TypeVar("T")

EVENTS = Wish(events=True)


def in_pool(database: str, verb: Callable[[Pool], Awaitable[T]]) -> T:
    """Before a command that has a loop of its own."""

    async def opened() -> T:
        async with make_pool(database, size=2) as pool:
            return await verb(pool)

    return asyncio.run(opened())


@pytest.fixture
def asked(database: str) -> list[str]:
    """The receipts of two persons' deletions: ada's events, and all of bob. The oldest first."""

    async def ask(pool: Pool) -> list[str]:
        async with pool.connection() as conn:
            shop = await projects.insert(conn, name="Shop", token="phc_shop")
        await send(pool, shop, set_("ada"), sent("x", "ada"), sent("y", "ada"))
        await send(pool, shop, set_("bob"), sent("x", "bob"))
        one = await delete(pool, shop, "ada", wish=EVENTS)
        other = await delete(pool, shop, "bob", wish=Wish(profile=True, events=True))
        return [str(each.receipts[0].uuid) for each in (one, other)]

    return in_pool(database, ask)


def rows(database: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database) as conn:
        return conn.execute(statement.encode()).fetchall()


def elsewhen() -> str:
    """A window that is closed now and will not open while a test lasts."""
    opens = datetime.now(UTC) + timedelta(hours=12)
    return f"{opens:%H:%M}-{opens + timedelta(hours=1):%H:%M}"


def test_the_newest_is_listed_first(personhood: Command, database: str, asked: list[str]) -> None:
    listed = personhood("deletions", "list", DATABASE_URL=database)
    assert (listed.code, listed.err) == (0, "")
    head, *lines = listed.out.splitlines()
    assert head.split() == ["ID", "PROJECT", "PERSON", "OF", "IT", "REQUESTED", "BY", "STATE"]
    assert [line.split()[0] for line in lines] == asked[::-1]
    assert "profile, events" in lines[0]


def test_json_is_what_the_api_tells(personhood: Command, database: str, asked: list[str]) -> None:
    told = json.loads(personhood("deletions", "list", "--json", DATABASE_URL=database).out)
    assert [each["id"] for each in told] == asked[::-1]
    assert {each["project"] for each in told} == {1}
    one = json.loads(personhood("deletions", "show", asked[1], "--json", DATABASE_URL=database).out)
    assert one == told[0]
    assert one["counts"]["profile"] == {"before": 1, "removed": 1, "left": 0}


def test_lists_are_filtered(personhood: Command, database: str, asked: list[str]) -> None:
    personhood("deletions", "cancel", asked[0], DATABASE_URL=database)

    def ids(*options: str) -> list[str]:
        done = personhood("deletions", "list", "--json", *options, DATABASE_URL=database)
        return [each["id"] for each in json.loads(done.out)]

    assert ids("--state", "cancelled") == [asked[0]]
    assert ids("--state", "completed") == []
    assert ids("--limit", "1") == [asked[1]]
    assert ids("--project", "1") == asked[::-1]
    done = personhood("deletions", "list", "--project", "9", DATABASE_URL=database)
    assert (done.code, done.out) == (1, "")
    assert "There is no project 9" in done.err


def test_one_is_shown_with_its_counts(personhood: Command, database: str, asked: list[str]) -> None:
    personhood("deletions", "run", "--now", DATABASE_URL=database)
    shown = personhood("deletions", "show", asked[0], DATABASE_URL=database)
    assert (shown.code, shown.err) == (0, "")
    lines = [line.split() for line in shown.out.splitlines()]
    assert ["State", "completed"] in lines
    assert ["events", "3", "3", "0"] in lines
    searched = personhood("deletions", "show", asked[0], "--search", DATABASE_URL=database)
    assert searched.code == 0
    assert searched.out == f"{shown.out}\nNothing else is left of it in any table.\n"


def test_nothing_runs_before_its_hours(
    personhood: Command, database: str, asked: list[str]
) -> None:
    window = elsewhen()
    done = personhood("deletions", "run", DATABASE_URL=database, PERSONHOOD_DELETION_WINDOW=window)
    assert (done.code, done.err) == (0, "")
    assert "may run from" in done.out and window[:5] in done.out
    assert rows(database, "SELECT DISTINCT state FROM deletion") == [("queued",)]
    waiting = personhood(
        "deletions", "list", DATABASE_URL=database, PERSONHOOD_DELETION_WINDOW=window
    )
    assert "waiting until" in waiting.out


def test_now_runs_them_at_once(personhood: Command, database: str, asked: list[str]) -> None:
    done = personhood(
        "deletions", "run", "--now", DATABASE_URL=database, PERSONHOOD_DELETION_WINDOW=elsewhen()
    )
    assert (done.code, done.out, done.err) == (0, "Completed  2\n", "")
    assert rows(database, "SELECT FROM event") == []
    again = personhood("deletions", "run", "--now", DATABASE_URL=database)
    assert (again.code, again.out) == (0, "There was nothing to do.\n")


def test_a_window_that_is_open_needs_no_now(
    personhood: Command, database: str, asked: list[str]
) -> None:
    done = personhood(
        "deletions", "run", "--json", DATABASE_URL=database, PERSONHOOD_DELETION_WINDOW="now"
    )
    assert json.loads(done.out) == {"stopped": False, "states": {"completed": 2}}


def test_only_one_project_runs(personhood: Command, database: str, asked: list[str]) -> None:
    async def make(pool: Pool) -> Project:
        async with pool.connection() as conn:
            return await projects.insert(conn, name="Other", token="phc_other")

    other = in_pool(database, make)
    done = personhood("deletions", "run", "--now", f"--project={other.id}", DATABASE_URL=database)
    assert (done.code, done.out) == (0, "There was nothing to do.\n")
    assert rows(database, "SELECT DISTINCT state FROM deletion") == [("queued",)]


def test_what_could_not_be_done_is_told_and_tried_again(
    personhood: Command, database: str, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("out of luck")

    with monkeypatch.context() as patched:
        patched.setattr(deletion_runs, "remove_round", fail)
        patched.setattr(deletion_runs, "EVENTS_PER_STEP", 0)
        patched.setattr(deletion_runs, "ATTEMPTS_MAX", 1)
        done = personhood("deletions", "run", "--now", DATABASE_URL=database)
    assert (done.code, done.out) == (1, "Failed     2\n")
    assert "2 are not done; `personhood deletions list` says why." in done.err
    assert "failed: RuntimeError" in personhood("deletions", "list", DATABASE_URL=database).out

    left = personhood("deletions", "run", "--now", DATABASE_URL=database)
    assert left.out == "There was nothing to do.\n"
    done = personhood("deletions", "run", "--now", "--failed", DATABASE_URL=database)
    assert (done.code, done.out) == (0, "Completed  2\n")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_stopped_it_goes_on_from_there(
    personhood: Command,
    database: str,
    asked: list[str],
    monkeypatch: pytest.MonkeyPatch,
    how: signal.Signals,
) -> None:
    monkeypatch.setattr(deletion_runs, "EVENTS_PER_STEP", 1)
    rest = deletion_runs.rest

    async def stop(*arguments: Any, **more: Any) -> None:
        os.kill(os.getpid(), how)
        await asyncio.sleep(0)
        await rest(*arguments, **more)

    with monkeypatch.context() as patched:
        patched.setattr(deletion_runs, "rest", stop)
        done = personhood("deletions", "run", "--now", DATABASE_URL=database)
    assert done.code == 1
    assert "Stopped; the same command goes on from there." in done.err
    counted = "SELECT before, removed FROM deletion_count WHERE kind = 'events' AND before > 0"
    assert rows(database, counted) == [(3, 1)]
    done = personhood("deletions", "run", "--now", DATABASE_URL=database)
    assert (done.code, done.out) == (0, "Completed  2\n")
    assert sorted(rows(database, counted)) == [(2, 2), (3, 3)]


def test_cancelling_and_what_cannot_be_cancelled(
    personhood: Command, database: str, asked: list[str]
) -> None:
    done = personhood("deletions", "cancel", asked[0], DATABASE_URL=database)
    assert (done.code, done.out) == (0, f"Deletion {asked[0]} is cancelled.\n")
    again = personhood("deletions", "cancel", asked[0], "--json", DATABASE_URL=database)
    assert json.loads(again.out)["state"] == "cancelled"
    personhood("deletions", "run", "--now", DATABASE_URL=database)
    late = personhood("deletions", "cancel", asked[1], DATABASE_URL=database)
    assert (late.code, late.out) == (1, "")
    assert "has begun, so it cannot be cancelled" in late.err


@pytest.mark.parametrize("verb", ["show", "cancel"])
def test_one_that_is_not_there(personhood: Command, database: str, verb: str) -> None:
    done = personhood("deletions", verb, str(uuid4()), DATABASE_URL=database)
    assert (done.code, done.out) == (1, "")
    assert "There is no deletion" in done.err


def test_deletions_of_many_are_shown_too(
    personhood: Command, database: str, asked: list[str]
) -> None:
    async def ask(pool: Pool) -> str:
        async with pool.connection() as conn:
            wish, at = Wish(profile=True), datetime.now(UTC)
            id = await bulk_deletion.insert(conn, 1, wish=wish, by=Cause(), at=at)
            await bulk_deletion.add(conn, id, number=1, person_ids=[7, 8, 9])
            await bulk_deletion.count(conn, id)
            await bulk_deletion.begin(conn, id)
            await bulk_deletion.add_done(conn, id, done=1, missing=1)
            made = await bulk_deletion.by_id(conn, id)
        assert made is not None
        return str(made.uuid)

    many = in_pool(database, ask)
    done = personhood("deletions", "list", "--json", DATABASE_URL=database)
    told = json.loads(done.out)
    assert [each["id"] for each in told] == [many, *asked[::-1]]
    assert (told[0]["persons"], told[0]["done"], told[0]["missing"]) == (3, 1, 1)
    [line] = [
        line
        for line in personhood("deletions", "list", DATABASE_URL=database).out.splitlines()
        if line.startswith(many)
    ]
    assert "3 persons" in line
    assert line.endswith("running, 2 of 3 persons")
    shown = personhood("deletions", "show", many, DATABASE_URL=database)
    assert ["Deleted", "1"] in [line.split() for line in shown.out.splitlines()]
    for _ in range(2):
        done = personhood("deletions", "cancel", many, DATABASE_URL=database)
        assert (done.code, done.out) == (0, f"Deletion {many} is cancelled.\n")
    assert rows(database, "SELECT count(*) FROM bulk_deletion_batch") == [(0,)]
    shown = personhood("deletions", "show", many, "--json", DATABASE_URL=database)
    assert json.loads(shown.out)["state"] == "cancelled"
