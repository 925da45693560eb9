"""`kill -9` in the middle of a stream of events: what was answered is there, and nothing twice."""

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg

from personhood.store import embedded
from tests.server import DEADLINE_S, TOKEN, Server, serving

CONNECTIONS = 4
EVENTS_PER_REQUEST = 3


class Sender(threading.Thread):
    """Sends batches until it is told to stop; what was not answered by 200 it sends again."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__(daemon=True)
        self.url, self.name_sent, self.answered = url, name, list[str]()
        self.seen: set[tuple[int, str]] = set()
        self.stopped = threading.Event()
        self.number = 0

    def run(self) -> None:
        while not self.stopped.is_set():
            batch = [self.event() for _ in range(EVENTS_PER_REQUEST)]
            while not self.is_taken(batch):
                time.sleep(0.01)
            self.answered += [event["uuid"] for event in batch]

    def event(self) -> dict:
        self.number += 1
        return {
            "event": "e",
            "uuid": str(uuid4()),
            "distinct_id": self.name_sent,
            "$set": {"n": self.number},
        }

    def is_taken(self, batch: list[dict]) -> bool:
        try:
            answer = httpx.post(
                f"{self.url}/batch/", json={"api_key": TOKEN, "batch": batch}, timeout=60
            )
        except httpx.TransportError:
            return False
        self.seen.add((answer.status_code, answer.text))
        return answer.status_code == 200


@contextlib.contextmanager
def sending(url: str) -> Iterator[list[Sender]]:
    senders = [Sender(url, f"sender {number}") for number in range(CONNECTIONS)]
    for sender in senders:
        sender.start()
    try:
        yield senders
    finally:
        for sender in senders:
            sender.stopped.set()


def wait_for_answers(senders: list[Sender]) -> None:
    """Until each has some more of them, and then to a moment that nobody chose."""
    before = [len(sender.answered) for sender in senders]
    while any(
        len(sender.answered) < count + 2 * EVENTS_PER_REQUEST
        for sender, count in zip(senders, before, strict=True)
    ):
        time.sleep(0.001)
    time.sleep(random.random() * 0.05)


def check(database_url: str, senders: list[Sender]) -> None:
    """Every answered event is there; each one is there once and was applied once, in order."""
    with psycopg.connect(database_url) as conn:
        kept = [str(uuid) for (uuid,) in conn.execute("SELECT uuid FROM event")]
        keys = [str(uuid) for (uuid,) in conn.execute("SELECT uuid FROM event_key")]
        ledger = [str(uuid) for (uuid,) in conn.execute("SELECT event_uuid FROM ledger")]
        persons = conn.execute(
            """
            SELECT d.distinct_id, p.version + 1, (p.properties->>'n')::int,
                   (SELECT count(*) FROM event e WHERE e.distinct_id_id = d.id)
              FROM person p JOIN distinct_id d ON d.person_id = p.id
            """
        ).fetchall()
    assert len(set(kept)) == len(kept)
    answered = {uuid for sender in senders for uuid in sender.answered}
    assert answered - set(kept) == set()
    assert sorted(keys) == sorted(kept)
    assert sorted(ledger) == sorted(kept)
    assert len(persons) == len(senders)
    for name, versions, last, events in persons:
        assert versions == last == events, name


def stop(senders: list[Sender]) -> None:
    for sender in senders:
        sender.stopped.set()
    for sender in senders:
        sender.join()
        assert {status for status, _ in sender.seen} <= {200, 503}


def children(pid: int) -> list[int]:
    try:
        return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def family(pid: int) -> list[int]:
    return [pid, *(each for child in children(pid) for each in family(child))]


def postmaster(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0])


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def kill_all(pids: list[int], *, parent: Server | None = None) -> None:
    """Returns when they are gone and their parents know it, which pg_ctl waits for too."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if parent is not None:
        parent.process.wait(DEADLINE_S)
    deadline = time.monotonic() + DEADLINE_S
    while any(exists(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.005)


def url_of(data_dir: Path) -> str:
    return embedded.url(data_dir / "postgres")


def victims(server: Server, data_dir: Path, how: str) -> list[int]:
    """What of a server is killed; what is left of it ends by itself, or is ended by the next."""
    match how:
        case "everything":
            return family(server.process.pid) + family(postmaster(data_dir))
        case "all but the backends":
            return [*family(server.process.pid), postmaster(data_dir)]
        case "the server":
            return family(server.process.pid)
        case "the parent":
            return [server.process.pid]
    raise AssertionError(how)


def test_a_server_killed_again_and_again_keeps_every_answered_event(data_dir: Path) -> None:
    port = 0
    manners = ["everything", "all but the backends", "the server", "the parent"]
    random.shuffle(manners)
    with contextlib.ExitStack() as stack:
        senders: list[Sender] = []
        for how in manners:
            with serving("--data-dir", str(data_dir), port=port) as server:
                if not senders:
                    port = server.port
                    senders = stack.enter_context(sending(server.url))
                wait_for_answers(senders)
                kill_all(victims(server, data_dir, how), parent=server)
        with serving("--data-dir", str(data_dir), port=port) as server:
            wait_for_answers(senders)
            stop(senders)
            check(url_of(data_dir), senders)
            assert server.stop() == 0


def test_killed_workers_are_replaced_and_nothing_is_lost(database: str) -> None:
    with serving("--workers", "2", DATABASE_URL=database) as server, sending(server.url) as senders:
        # Once each: a worker that ends twice within seconds is not started a third time.
        for worker in children(server.process.pid):
            wait_for_answers(senders)
            kill_all([worker])
        wait_for_answers(senders)
        stop(senders)
        check(database, senders)


def test_without_its_database_a_server_takes_nothing_until_it_is_back(data_dir: Path) -> None:
    """One that is not its own to start again."""
    with (
        embedded.running(data_dir) as url,
        serving(DATABASE_URL=url) as server,
        sending(server.url) as senders,
    ):
        wait_for_answers(senders)
        kill_all(family(postmaster(data_dir)))
        answered = [len(sender.answered) for sender in senders]
        while any((503, "transient error, please retry") not in each.seen for each in senders):
            time.sleep(0.01)
        assert httpx.get(f"{server.url}/_readiness", timeout=60).status_code == 503
        after = [len(sender.answered) for sender in senders]
        # An answer may have been on its way when the database died.
        assert all(b - a <= EVENTS_PER_REQUEST for a, b in zip(answered, after, strict=True))
        embedded.start(data_dir.resolve() / "postgres")
        wait_for_answers(senders)
        stop(senders)
        check(url, senders)
