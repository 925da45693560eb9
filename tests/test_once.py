"""`Idempotency-Key`, limits and keys against real servers: two workers, two servers, kill -9."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.server import KEY, Server, serving

PERSONS = "/api/projects/@current/persons"
COHORTS = "/api/projects/@current/cohorts"
HEADERS = {"Authorization": f"Bearer {KEY}", "Idempotency-Key": "a"}

# Ends the worker where it is told to, the first time only.
KILLED_ONCE = """
import os, signal, sys
from pathlib import Path

def die():
    try:
        Path(os.environ["KILLED"]).touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
"""
AFTER_THE_EFFECT = """
from personhood.store import idempotency
real = idempotency.keep

async def keep(*given, **more):
    die()
    await real(*given, **more)

idempotency.keep = keep
"""
BEFORE_THE_EFFECT = """
from personhood.store import activity, cohort
for module, name in (
    (activity, "insert_all"), (activity, "insert_deleted"), (cohort, "insert")
):
    def dying(real):
        async def statement(*given, **more):
            made = await real(*given, **more)
            die()  # in the transaction, which is not committed yet
            return made
        return statement
    setattr(module, name, dying(getattr(module, name)))
"""
MAIN = "\nfrom personhood.cli import main; main()"


def post(server: Server, path: str, body: dict[str, Any]) -> httpx.Response:
    # A connection of its own each time, so that any worker may get it.
    return httpx.post(server.url + path, json=body, headers=HEADERS, timeout=60)


def abandon(database: str) -> None:
    with psycopg.connect(database) as conn:
        conn.execute("UPDATE idempotency SET alive_at = now() - interval '31 seconds'")


def count(database: str, table: str) -> int:
    with psycopg.connect(database) as conn:
        row = conn.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
    assert row is not None
    return row[0]


def add_person(server: Server) -> None:
    event = {"event": "$set", "distinct_id": "ada", "$set": {"plan": "free"}}
    answer = httpx.post(f"{server.url}/batch", json={"api_key": server.token, "batch": [event]})
    assert answer.status_code == 200


@contextmanager
def killed(database: str, folder: Path, *, where: str) -> Iterator[Server]:
    """A server whose worker dies in the first request that gets there, and is started again."""
    with serving(
        program=("-c", KILLED_ONCE + where + MAIN),
        DATABASE_URL=database,
        KILLED=str(folder / "killed"),
    ) as server:
        yield server
        # A worker that is told to stop while it starts is only killed half a minute later, when a
        # request of it would count as abandoned.
        while not answers(server):
            time.sleep(0.05)


def answers(server: Server) -> bool:
    try:
        return httpx.get(f"{server.url}/_liveness").is_success
    except httpx.TransportError:
        return False


DONE: list[tuple[str, dict[str, Any]]] = [
    (COHORTS, {"name": "x"}),
    (f"{PERSONS}/distinct_id:ada/update_property", {"key": "plan", "value": "paid"}),
    (f"{PERSONS}/bulk_delete", {"distinct_ids": ["ada"]}),
]


@pytest.mark.parametrize(("path", "body"), DONE)
def test_killed_between_effect_and_record_nothing_is_done_twice(
    database: str, tmp_path: Path, path: str, body: dict[str, Any]
) -> None:
    with killed(database, tmp_path, where=AFTER_THE_EFFECT) as server:
        add_person(server)
        with pytest.raises(httpx.TransportError):
            post(server, path, body)
        assert (tmp_path / "killed").exists()
    done = [count(database, table) for table in ("ledger", "cohort", "activity", "person")]
    with serving(DATABASE_URL=database) as server:
        answer = post(server, path, body)
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
        assert answer.headers["retry-after"] == "1"
        abandon(database)
        for _ in range(2):
            answer = post(server, path, body)
            assert (answer.status_code, answer.json()["code"]) == (409, "answer_lost")
    assert [count(database, table) for table in ("ledger", "cohort", "activity", "person")] == done


@pytest.mark.parametrize(("path", "body"), DONE)
def test_killed_before_the_effect_it_is_done_by_whoever_asks_again(
    database: str, tmp_path: Path, path: str, body: dict[str, Any]
) -> None:
    with killed(database, tmp_path, where=BEFORE_THE_EFFECT) as server:
        add_person(server)
        with pytest.raises(httpx.TransportError):
            post(server, path, body)
        assert (tmp_path / "killed").exists()
    with serving(DATABASE_URL=database) as server:
        assert post(server, path, body).status_code == 409
        abandon(database)
        first, again = post(server, path, body), post(server, path, body)
        assert (first.status_code, again.status_code) == (200, 200)
        assert first.content == again.content
        assert "idempotent-replayed" not in first.headers
        assert again.headers["idempotent-replayed"] == "true"
    assert count(database, "cohort") == (path == COHORTS)


def test_who_comes_while_the_first_runs_is_told_to_come_again(database: str) -> None:
    """The first waits for a row; the second is at another worker, or another server."""
    path, body = f"{PERSONS}/distinct_id:ada/update_property", {"key": "plan", "value": "paid"}
    with (
        serving("--workers", "2", DATABASE_URL=database) as server,
        serving(DATABASE_URL=database) as another,
        psycopg.connect(database) as conn,
        ThreadPoolExecutor() as threads,
    ):
        add_person(server)
        conn.execute("SELECT FROM person FOR UPDATE")
        first: Future[httpx.Response] = threads.submit(post, server, path, body)
        while not count(database, "idempotency"):
            time.sleep(0.01)
        for asked in (server, server, server, another):
            answer = post(asked, path, body)
            assert (answer.status_code, answer.headers["retry-after"]) == (409, "1")
        other = {"key": "plan", "value": "free"}
        assert post(another, path, other).status_code == 422
        conn.rollback()
        told = first.result()
        assert told.status_code == 200
        for asked in (server, server, server, another):
            answer = post(asked, path, body)
            assert answer.headers["idempotent-replayed"] == "true"
            assert answer.content == told.content
    assert count(database, "activity") == 1


def test_of_many_at_once_at_two_servers_one_is_done(database: str) -> None:
    with (
        serving("--workers", "2", DATABASE_URL=database) as server,
        serving(DATABASE_URL=database) as another,
        ThreadPoolExecutor(16) as threads,
    ):
        asked = [threads.submit(post, to, COHORTS, {"name": "x"}) for to in (server, another) * 16]
        answers = [each.result() for each in asked]
        assert {answer.status_code for answer in answers} <= {200, 409}
        assert len({answer.content for answer in answers if answer.status_code == 200}) == 1
        assert post(another, COHORTS, {"name": "x"}).status_code == 200
    assert count(database, "cohort") == 1


def test_workers_and_servers_count_together(database: str) -> None:
    limit = {"DATABASE_URL": database, "PERSONHOOD_RATE_LIMIT": "20/day"}
    headers = {"Authorization": f"Bearer {KEY}"}
    with (
        serving("--workers", "2", **limit) as server,
        serving(**limit) as another,
        ThreadPoolExecutor(8) as threads,
    ):
        asked = [
            threads.submit(httpx.get, f"{to.url}{PERSONS}/", headers=headers)
            for to in (server, another) * 20
        ]
        statuses = [each.result().status_code for each in asked]
    assert (statuses.count(200), statuses.count(429)) == (20, 20)


def test_a_revoked_key_stops_at_once_in_every_worker(database: str) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    with serving("--workers", "2", DATABASE_URL=database) as server:

        def statuses() -> set[int]:
            return {
                httpx.get(f"{server.url}{PERSONS}/", headers=headers).status_code for _ in range(12)
            }

        assert statuses() == {200}
        with psycopg.connect(database, autocommit=True) as conn:
            row = conn.execute("SELECT last_used_at, xmin::text FROM api_key").fetchone()
            assert row is not None
            assert row[0] is not None
            # Noted once, however often it is used within a minute and by whichever worker.
            assert statuses() == {200}
            assert conn.execute("SELECT last_used_at, xmin::text FROM api_key").fetchone() == row
            conn.execute("UPDATE api_key SET revoked_at = now()")
        assert statuses() == {401}
