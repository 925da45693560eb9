"""`personhood serve` on a data folder: one owner, clean ends, and recovery from the others."""

import itertools
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import psycopg
import pytest
from psycopg.pq import TransactionStatus

from personhood.store.embedded import url
from tests.server import TOKEN, Server, run, serving

SMALL_DISK_MB = 120


def send(server: Server, distinct_id: str) -> None:
    event = {"api_key": TOKEN, "event": "signed up", "distinct_id": distinct_id}
    assert httpx.post(f"{server.url}/batch/", json=event).status_code == 200


def people(server: Server) -> set[str]:
    answer = httpx.get(
        f"{server.url}/api/projects/{server.project_id}/persons/", headers=server.headers
    )
    return {person["distinct_ids"][0] for person in answer.json()["results"]}


def postmaster(folder: Path) -> int | None:
    file = folder / "postgres" / "postmaster.pid"
    return int(file.read_text().splitlines()[0]) if file.exists() else None


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def wait_for_end(*pids: int) -> None:
    """Until nothing is left of them: pg_ctl takes a process for alive until it is reaped."""
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        time.sleep(0.01)


def test_a_folder_has_one_server_and_takes_commands_with_and_without_it(data_dir: Path) -> None:
    options = ["--data-dir", str(data_dir)]

    created = run("project", "create", "Before", "--json", *options)
    assert created.returncode == 0, created.stderr
    assert postmaster(data_dir) is None, "a command stops the database that it started"

    with serving(*options) as server:
        second = run("serve", "--port", "0", *options)
        assert (second.returncode, second.stdout) == (1, "")
        assert second.stderr == (
            f"personhood: Another server (process {server.process.pid}) uses the data folder "
            f"{data_dir}. Stop it first, or give this one a folder of its own with --data-dir.\n"
        )
        made = run("project", "create", "Meanwhile", *options)
        assert made.returncode == 0, made.stderr
        key = json.loads(run("key", "create", "--scopes", "*", "--json", *options).stdout)
        server.key = key["key"]
        assert people(server) == set()
        assert run("key", "revoke", str(key["id"]), *options).returncode == 0
        answer = httpx.get(f"{server.url}/api/projects/1/persons/", headers=server.headers)
        assert answer.status_code == 401
        assert server.stop(signal.SIGINT) == 0
    assert postmaster(data_dir) is None

    listed = run("project", "list", "--json", PERSONHOOD_DATA_DIR=str(data_dir))
    names = [project["name"] for project in json.loads(listed.stdout)]
    assert names == ["Before", "Default project", "Meanwhile"]


def test_what_was_answered_survives_every_kind_of_end(data_dir: Path) -> None:
    options = ["--data-dir", str(data_dir)]

    with serving(*options) as server:
        port = server.port
        send(server, "before the clean end")
        assert server.stop(signal.SIGTERM) == 0
        assert postmaster(data_dir) is None

    with serving(*options, port=port) as server:
        send(server, "before the parent was killed")
        workers = children(server.process.pid)
        server.stop(signal.SIGKILL)

    # At once: its workers may still hold the port, its database still runs.
    with serving(*options, port=port) as server:
        wait_for_end(*workers)
        assert people(server) == {"before the clean end", "before the parent was killed"}
        send(server, "before all of it was killed")
        database = postmaster(data_dir)
        assert database is not None
        backends = children(database)
        os.kill(database, signal.SIGKILL)
        os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait()
        wait_for_end(database, *backends)

    with serving(*options, port=port) as server:
        assert len(people(server)) == 3
        assert server.stop() == 0
    assert postmaster(data_dir) is None


def wait_until_ready(server: Server) -> None:
    while httpx.get(f"{server.url}/_readiness", timeout=60).status_code != 200:
        assert server.process.poll() is None, server.log()
        time.sleep(0.05)


def kill_database(server: Server, folder: Path) -> None:
    """Kill the postmaster, and return when there is another one."""
    database = postmaster(folder)
    assert database is not None
    os.kill(database, signal.SIGKILL)
    while postmaster(folder) in (None, database):
        assert server.process.poll() is None, server.log()
        time.sleep(0.05)


def hide_control_file(folder: Path) -> None:
    """Without it, no server starts on the folder."""
    control = folder / "postgres" / "global" / "pg_control"
    control.rename(control.with_name("hidden"))


def test_a_database_that_dies_is_started_again_and_nothing_answered_is_lost(data_dir: Path) -> None:
    acknowledged: list[str] = []
    stop = threading.Event()

    def send_on(server: Server, name: str) -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            event = {"api_key": TOKEN, "event": "signed up", "distinct_id": f"{name}-{number}"}
            answer = httpx.post(f"{server.url}/batch/", json=event, timeout=60)
            assert answer.status_code in (200, 503)
            if answer.status_code == 200:
                acknowledged.append(event["distinct_id"])

    def wait_for(more: int) -> None:
        enough = len(acknowledged) + more
        while len(acknowledged) < enough:
            assert not any(each.done() for each in sending)
            time.sleep(0.01)

    with serving("--data-dir", str(data_dir)) as server, ThreadPoolExecutor(2) as threads:
        sending = [threads.submit(send_on, server, name) for name in ("ada", "bob")]
        try:
            for times in (1, 2):
                wait_for(20)
                kill_database(server, data_dir)
                wait_until_ready(server)
                wait_for(1)
                while server.log().count("the database server is back") < times:
                    time.sleep(0.05)
        finally:
            stop.set()
        for each in sending:
            each.result()
        with psycopg.connect(url(data_dir.resolve() / "postgres")) as conn:
            stored = {text for (text,) in conn.execute("SELECT distinct_id FROM distinct_id")}
        assert stored >= set(acknowledged)
        assert server.stop() == 0
    assert postmaster(data_dir) is None


def test_a_session_that_computes_does_not_keep_the_database_from_coming_back(
    data_dir: Path,
) -> None:
    endless = "DO $$ BEGIN LOOP END LOOP; END $$"
    address = url(data_dir.resolve() / "postgres")
    with (
        serving("--data-dir", str(data_dir)) as server,
        psycopg.connect(address, autocommit=True) as conn,
        ThreadPoolExecutor(1) as threads,
    ):
        busy = threads.submit(conn.execute, endless)
        while conn.info.transaction_status != TransactionStatus.ACTIVE:
            time.sleep(0.01)
        kill_database(server, data_dir)
        wait_until_ready(server)
        with pytest.raises(psycopg.OperationalError):
            busy.result()


def test_it_ends_with_an_error_when_the_database_does_not_come_back(data_dir: Path) -> None:
    """For a supervisor to see. In a hurry here; but a pause is long enough to fail in."""
    code = (
        "from personhood.store import keeper, pool\n"
        "keeper.BACKOFF_S = keeper.BACKOFF_MAX_S = 0.5; pool.WAIT_S = 1\n"
        "from personhood.cli import main, workers; workers.LOOK_EVERY_S = 0.01; main()"
    )
    with serving("--data-dir", str(data_dir), program=("-c", code)) as server:
        database = postmaster(data_dir)
        assert database is not None
        hide_control_file(data_dir)
        os.kill(database, signal.SIGKILL)
        assert server.process.wait(60) == 1
        said = server.log()
        assert "attempts to start it again failed" in said
        assert "pg_control" in said, "the database's own complaint is told"
        assert "Traceback" not in said.partition("\npersonhood: ")[2], "that is a page, not a crash"


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk that a database fits on, and not much more."""
    with TemporaryDirectory(prefix="personhood-") as folder:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_MB}m", "tmpfs", folder],
            capture_output=True, check=False,
        )  # fmt: skip
        if mounted.returncode != 0:
            pytest.skip("nothing can be mounted here")
        yield Path(folder)
        subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_loses_no_event_that_was_answered(small_disk: Path) -> None:
    data_dir, filler = small_disk / "data", small_disk / "filler"
    with serving("--data-dir", str(data_dir)) as server:
        send(server, "before")
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(2**16))
        event = {"api_key": TOKEN, "event": "x", "distinct_id": "when it was full"}
        for _ in range(3):
            answer = httpx.post(
                f"{server.url}/batch/", json=event | {"properties": {"x": "y" * 2**19}}, timeout=60
            )
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        filler.unlink()
        while httpx.post(f"{server.url}/batch/", json=event, timeout=60).status_code != 200:
            assert server.process.poll() is None, server.log()
            time.sleep(0.05)
        assert people(server) == {"before", "when it was full"}
        assert server.stop() == 0


def test_a_database_that_goes_away_makes_it_unready_and_no_event_is_lost(data_dir: Path) -> None:
    with serving("--data-dir", str(data_dir)) as server:
        database = postmaster(data_dir)
        assert database is not None
        hide_control_file(data_dir)
        backends = children(database)
        os.kill(database, signal.SIGKILL)
        wait_for_end(database, *backends)
        ready = httpx.get(f"{server.url}/_readiness", timeout=60)
        assert (ready.status_code, ready.text) == (503, "The database does not answer.")
        assert httpx.get(f"{server.url}/_liveness").status_code == 200
        event = {"api_key": TOKEN, "event": "signed up", "distinct_id": "ada"}
        answer = httpx.post(f"{server.url}/batch/", json=event, timeout=60)
        assert answer.status_code == 503
        assert "Retry-After" in answer.headers
        os.killpg(server.process.pid, signal.SIGKILL)
