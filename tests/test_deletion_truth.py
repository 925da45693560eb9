"""A completed deletion tells the truth: by a dump of the whole database and all that lies in the
storage of recordings, and after `kill -9`.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
import zstandard

from personhood import bulk_deletions, deletion_runs, recording_runs
from personhood.store import embedded
from tests.conftest import memory
from tests.server import DEADLINE_S, TOKEN, Server, serving

MARKER = "a-very-special-marker"
ADA, ANON, SECOND, PHONE = "ada@truth.example", "anon-truth-1", "second-truth", "phone-truth"
BOB = "bob@truth.example"
NAMES = (ADA, ANON, SECOND, PHONE)
PERSONS = "/api/projects/@current/persons"
WAIT_S = 2 * DEADLINE_S


class Shop:
    """A server, as its clients see it."""

    def __init__(self, server: Server) -> None:
        self.api = httpx.Client(base_url=server.url, headers=server.headers, timeout=DEADLINE_S)

    def send(self, *events: dict[str, Any]) -> None:
        answer = self.api.post("/batch/", json={"api_key": TOKEN, "batch": events})
        assert answer.status_code == 200, answer.text

    def record(self, *parts: tuple[str, str]) -> None:
        """Sessions, each with the distinct id that it is of."""
        at = int(time.time() * 1000)
        events = [
            {
                "event": "$snapshot",
                "properties": {
                    "token": TOKEN,
                    "distinct_id": name,
                    "$session_id": session,
                    "$snapshot_data": [
                        {"type": 4, "timestamp": at, "data": {"href": f"https://x/?q={MARKER}"}},
                        {"type": 3, "timestamp": at, "data": {"text": [name, MARKER] * 50}},
                    ],
                },
            }
            for session, name in parts
        ]
        answer = self.api.post("/s/", json=events)
        assert answer.status_code == 200, answer.text

    def ask(self, method: str, path: str, **more: Any) -> Any:
        answer = self.api.request(method, path, **more)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def person(self, distinct_id: str) -> dict[str, Any] | None:
        found = self.ask("GET", f"{PERSONS}/", params={"distinct_id": distinct_id})["results"]
        return found[0] if found else None

    def deletions(self) -> list[dict[str, Any]]:
        return self.ask("GET", "/api/projects/@current/deletions/")["results"]

    def completed(self) -> dict[str, Any]:
        """The one deletion, once it is."""

        def is_final() -> bool:
            return self.deletions()[0]["state"] not in ("queued", "waiting", "running")

        until(is_final)
        [told] = self.deletions()
        assert told["state"] == "completed", told
        return told


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.02)


def event(name: str, distinct_id: str, **properties: Any) -> dict[str, Any]:
    return {
        "event": name,
        "distinct_id": distinct_id,
        "uuid": str(uuid4()),
        "timestamp": datetime.now(UTC).isoformat(),
        "properties": properties,
    }


def identify(distinct_id: str, anon: str, **set_: Any) -> dict[str, Any]:
    return event("$identify", distinct_id, **{"$anon_distinct_id": anon, "$set": set_})


@contextmanager
def running(
    database: str, window: str = "now", *, folder: Path | None = None
) -> Iterator[tuple[Server, Shop]]:
    more = {} if folder is None else {"PERSONHOOD_DATA_DIR": str(folder)}
    with serving(DATABASE_URL=database, PERSONHOOD_DELETION_WINDOW=window, **more) as server:
        shop = Shop(server)
        with shop.api:
            yield server, shop


def dump(database: str) -> str:
    """All that a back-up would hold."""
    program = embedded.programs() / "pg_dump"
    done = subprocess.run(
        [program, "--dbname", database], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def lying(folder: Path) -> str:
    """A listing of the storage of recordings, and all that is in it, packed and unpacked."""
    texts: list[str] = []
    for path in sorted(folder.rglob("*")):
        texts.append(str(path.relative_to(folder)))
        if path.is_file():
            content = path.read_bytes()
            texts.append(content.decode("latin-1"))
            texts.append(zstandard.ZstdDecompressor().decompress(content).decode())
    return "\n".join(texts)


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="personhood-", dir=memory()) as made:
        yield Path(made)


def found(text: str, told: Sequence[str]) -> set[str]:
    return {each for each in told if re.search(re.escape(each), text, re.IGNORECASE)}


def live(shop: Shop) -> None:
    """All that can be kept of somebody, in every way there is."""
    shop.send(
        event("page", ANON, marker=MARKER, **{"$set": {"first": MARKER}}),
        identify(ADA, ANON, name=MARKER, plan="free"),
        event("$create_alias", ADA, alias=SECOND),
        event("buy", SECOND, marker=MARKER, **{"$groups": {"company": "acme"}}),
        event(
            "$groupidentify", ADA,
            **{"$group_type": "company", "$group_key": "acme", "$group_set": {"size": 3}},
        ),
        event("$set", ADA, **{"$set": {"plan": "paid"}, "$set_once": {"ref": MARKER}}),
        event("$set", ADA, **{"$unset": ["first"]}),
        event("page", BOB, **{"$set": {"own": "b"}}),
        # It is somebody already, so this is refused, with a warning that names both.
        identify(BOB, ADA),
        event("odd", ADA, **{"$set": "no object"}),
    )  # fmt: skip
    ada = shop.person(ADA)
    assert ada is not None
    path = f"{PERSONS}/{ada['uuid']}"
    once = {"Idempotency-Key": "a-key-of-the-client"}
    shop.ask("PATCH", f"{path}/", json={"properties": {"noted": MARKER}})
    shop.ask("POST", f"{path}/update_property", json={"key": "more", "value": MARKER}, headers=once)
    shop.ask("POST", f"{path}/delete_property", json={"$unset": "more"})
    shop.ask(
        "POST", f"{PERSONS}/batch_by_distinct_ids",
        json={"distinct_ids": [ADA, ANON]}, headers={"Idempotency-Key": "another-key"},
    )  # fmt: skip
    shop.ask(
        "POST", "/api/projects/@current/cohorts/",
        json={"name": "some", "is_static": True, "distinct_ids": [ADA]},
    )  # fmt: skip
    shop.record(("s-1", ANON), ("s-1", ADA), ("s-2", BOB), ("s-2", SECOND))
    shop.ask("POST", f"{path}/split", json={"distinct_ids_to_split": [SECOND]})
    shop.send(identify(ADA, SECOND))


def meet(shop: Shop) -> None:
    """Bob's persons were one with hers, and are not any more."""
    shop.send(event("page", PHONE, **{"$set": {"phone": MARKER}}))
    shop.send(identify(BOB, PHONE), event("x", PHONE, **{"$set": {"while_one": MARKER}}))
    bob = shop.person(BOB)
    assert bob is not None
    merges = shop.ask("GET", f"{PERSONS}/{bob['uuid']}/merges")["results"]
    shop.ask("POST", f"{PERSONS}/{bob['uuid']}/merges/{merges[0]['id']}/undo", json={})
    shop.send(identify(ADA, PHONE))
    shop.send(event("page", BOB, **{"$set": {"later": 1}}))


def test_a_dump_and_the_storage_tell_nothing_of_the_person(database: str, folder: Path) -> None:
    with running(database, folder=folder) as (_, shop):
        live(shop)
        meet(shop)
        before = dump(database)
        assert found(before, (*NAMES, MARKER)) == {*NAMES, MARKER}
        assert found(lying(folder), NAMES) == {ADA, ANON, SECOND}
        ada, bob = shop.person(ADA), shop.person(BOB)
        assert ada is not None
        assert {*ada["distinct_ids"]} == {*NAMES}

        shop.ask("DELETE", f"{PERSONS}/{ada['uuid']}?delete_events=true&delete_recordings=true")
        told = shop.completed()
        assert {each["left"] for each in told["counts"].values()} == {0}
        assert all(each["removed"] == each["before"] for each in told["counts"].values())
        assert told["counts"]["ids"] == {"before": 4, "removed": 4, "left": 0}
        assert {kind: told["counts"][kind]["removed"] for kind in ("recordings", "blobs")} == {
            "recordings": 2,
            "blobs": 3,
        }

        after = dump(database)
        assert found(after, NAMES) == set()
        assert BOB in after, "the dump holds the others"
        assert shop.person(BOB) == bob
        # Bob was on that page himself.
        [own] = shop.ask("GET", "/api/projects/@current/session_recordings/")["results"]
        assert (own["id"], own["distinct_id"]) == ("s-2", BOB)
        assert found(lying(folder), (*NAMES, BOB)) == {BOB}
        shop.ask("DELETE", "/api/projects/@current/session_recordings/s-2")
        assert found(dump(database) + lying(folder), (*NAMES, MARKER)) == set()
        with psycopg.connect(database) as conn:
            ledger = str(conn.execute("SELECT before, after, ids FROM ledger").fetchall())
        assert MARKER not in ledger
        assert "later" in ledger


# kill -9


def closed() -> str:
    """A window that will not open while a test lasts."""
    opens = datetime.now(UTC) + timedelta(hours=12)
    return f"{opens:%H:%M}-{opens + timedelta(hours=1):%H:%M}"


def kill(server: Server) -> None:
    os.killpg(server.process.pid, signal.SIGKILL)
    server.process.wait(DEADLINE_S)


def a_while_later(database: str) -> None:
    """Nothing was heard of the killed server for minutes."""
    with psycopg.connect(database) as conn:
        conn.execute("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 hour'")
        conn.execute("DELETE FROM procrastinate_periodic_defers")
        conn.execute("UPDATE deletion SET retry_at = now() WHERE retry_at IS NOT NULL")


def stored(database: str, kind: str = "events") -> tuple[str, int]:
    """The state of the one receipt, and how many events it removed."""
    with psycopg.connect(database) as conn:
        [row] = conn.execute(
            "SELECT state, removed FROM deletion JOIN deletion_count ON deletion_id = id "
            "WHERE kind = %s",
            [kind],
        ).fetchall()
    return row


EVENTS = 3 * deletion_runs.EVENTS_PER_STEP


def request(shop: Shop) -> None:
    for _ in range(EVENTS // 1000):
        shop.send(*[event("page", ADA, marker=MARKER) for _ in range(1000)])
    shop.send(event("page", BOB))
    ada = shop.person(ADA)
    assert ada is not None
    shop.ask("DELETE", f"{PERSONS}/{ada['uuid']}?delete_events=true")
    shop.send(event("again", ADA))


def ends_with_the_truth(database: str) -> None:
    a_while_later(database)
    with running(database) as (_, shop):
        told = shop.completed()
        assert told["counts"]["events"] == {"before": EVENTS, "removed": EVENTS, "left": 0}
        assert told["counts"]["profile"] == {"before": 1, "removed": 1, "left": 0}
        assert told["counts"]["ids"] == {"before": 1, "removed": 1, "left": 0}
        new = shop.person(ADA)
        assert new is not None
        assert new["properties"].get("marker") is None
    assert MARKER not in dump(database)
    with psycopg.connect(database) as conn:
        kept = conn.execute("SELECT name FROM event ORDER BY name").fetchall()
        keys = conn.execute("SELECT count(*) FROM event_key").fetchall()
    assert (kept, keys) == ([("again",), ("page",)], [(2,)])


def test_killed_while_it_is_queued(database: str) -> None:
    with running(database, closed()) as (server, shop):
        request(shop)
        assert shop.deletions()[0]["state"] == "waiting", "for its hours"
        kill(server)
    assert stored(database) == ("queued", 0)
    ends_with_the_truth(database)


def test_killed_while_it_waits_to_be_tried_again(database: str) -> None:
    with running(database) as (server, shop), psycopg.connect(database) as other:
        # Somebody who seems to be storing events, and for longer than is waited for.
        other.execute(
            "SELECT pg_advisory_xact_lock_shared(hashtextextended('personhood ingest', 1))"
        )
        request(shop)
        until(lambda: stored(database)[0] == "waiting")
        assert "still being stored" in shop.deletions()[0]["failure"]
        kill(server)
    assert stored(database) == ("waiting", 0)
    ends_with_the_truth(database)


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_killed_while_it_runs_between_its_steps(database: str, steps: int) -> None:
    done = steps * deletion_runs.EVENTS_PER_STEP
    with running(database, closed()) as (server, shop):
        request(shop)
        kill(server)
    a_while_later(database)
    with psycopg.connect(database) as holding:
        # It comes as far as this event, which somebody holds.
        [uuid] = holding.execute(
            "SELECT event.uuid FROM event JOIN distinct_id ON distinct_id.id = distinct_id_id "
            "WHERE ended_at IS NOT NULL ORDER BY timestamp, event.uuid OFFSET %s LIMIT 1",
            [done],
        ).fetchone() or [None]
        holding.execute("SELECT FROM event WHERE uuid = %s FOR UPDATE", [uuid])
        with running(database) as (server, _):
            until(lambda: stored(database) == ("running", done) and is_held_up(database))
            kill(server)
    until(lambda: not at_work(database))
    assert stored(database) == ("running", done)
    ends_with_the_truth(database)


def is_held_up(database: str, waiting: str = "deletion_target") -> bool:
    with psycopg.connect(database) as conn:
        rows = conn.execute(
            "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
            "AND datname = current_database() AND query LIKE %s",
            [f"%{waiting}%"],
        ).fetchall()
    return bool(rows)


def at_work(database: str) -> bool:
    """Whether a connection of the killed server is left."""
    with psycopg.connect(database) as conn:
        rows = conn.execute(
            "SELECT FROM pg_stat_activity WHERE application_name = 'personhood' "
            "AND datname = current_database()"
        ).fetchall()
    return bool(rows)


BLOBS = recording_runs.BLOBS_PER_STEP + 50


@pytest.mark.parametrize(
    ("table", "steps"), [("recording_block", 0), ("doomed_blob", 0), ("doomed_blob", 1)]
)
def test_killed_while_blobs_are_removed(
    database: str, folder: Path, table: str, steps: int
) -> None:
    done = steps * recording_runs.BLOBS_PER_STEP
    with running(database, folder=folder) as (server, shop), psycopg.connect(database) as holding:
        shop.send(event("$set", ADA, **{"$set": {"first": MARKER}}))
        shop.record(("s-bob", BOB), *((f"s-{n}", ADA) for n in range(BLOBS)))
        holding.execute(HOLD.format(table=table, done=done))
        holding.commit()
        holding.execute("SELECT pg_advisory_xact_lock(1, 2)")
        ada = shop.person(ADA)
        assert ada is not None
        assert ada["recordings_count"] == BLOBS
        shop.ask("DELETE", f"{PERSONS}/{ada['uuid']}?delete_events=true&delete_recordings=true")
        until(lambda: is_held_up(database, waiting="DELETE FROM " + table))
        kill(server)
    until(lambda: not at_work(database))
    assert stored(database, "blobs") == ("running", done)
    kept = len([path for path in folder.rglob("*") if path.is_file()])
    # A blob goes before its name: those of the step that was under way are gone already.
    gone = 0 if table == "recording_block" else min(done + recording_runs.BLOBS_PER_STEP, BLOBS)
    assert kept == BLOBS + 1 - gone
    with psycopg.connect(database) as conn:
        conn.execute(f"DROP TRIGGER hold ON {table}")
    a_while_later(database)
    with running(database, folder=folder) as (_, shop):
        told = shop.completed()["counts"]
        for kind in ("recordings", "blobs"):
            assert told[kind] == {"before": BLOBS, "removed": BLOBS, "left": 0}
        [own] = shop.ask("GET", "/api/projects/@current/session_recordings/")["results"]
        assert own["id"] == "s-bob"
        shop.ask("DELETE", "/api/projects/@current/session_recordings/s-bob")
    assert found(dump(database) + lying(folder), (ADA, MARKER)) == set()


HOLD = """
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT removed FROM deletion_count WHERE kind = 'blobs') = {done} THEN
        PERFORM pg_advisory_xact_lock(1, 2);
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER hold BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION hold();
"""


def test_a_deletion_of_many_is_killed_in_the_middle(database: str) -> None:
    persons = 2 * bulk_deletions.DELETED_PER_BATCH + 1
    with running(database) as (server, shop), psycopg.connect(database) as holding:
        for first in range(0, persons, 1000):
            ids = [f"{n}@{MARKER}" for n in range(first, min(first + 1000, persons))]
            shop.send(*[event("$set", id, **{"$set": {"plan": "trial"}}) for id in ids])
        shop.send(event("$set", BOB, **{"$set": {"plan": "paid"}}))
        # One batch comes to a person that somebody holds.
        holding.execute("SELECT FROM person WHERE id = (SELECT max(id) - 1 FROM person) FOR UPDATE")
        asked = shop.ask("POST", f"{PERSONS}/bulk_delete", json={"search": MARKER})
        path = f"{PERSONS}/bulk_delete/{asked['bulk_deletion']['id']}"
        until(lambda: shop.ask("GET", path)["done"] == bulk_deletions.DELETED_PER_BATCH + 1)
        assert shop.ask("GET", path)["state"] == "running"
        kill(server)
    until(lambda: not at_work(database))
    a_while_later(database)
    with running(database) as (_, shop):
        until(lambda: shop.ask("GET", path)["state"] != "running")
        told = shop.ask("GET", path)
        assert (told["state"], told["persons"]) == ("completed", persons)
        assert (told["done"], told["missing"]) == (persons, 0)
        assert shop.person(BOB) is not None
    with psycopg.connect(database) as conn:
        [counted] = conn.execute("SELECT count(*), count(DISTINCT person_id) FROM deletion")
    assert counted == (persons, persons)
