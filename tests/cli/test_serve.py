"""`personhood serve` on a database that is given: what it prints, how many serve, how it stops."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from textwrap import dedent

import httpx
import psycopg
import pytest

from tests.server import DEADLINE_S, KEY, TOKEN, Server, command, environment, run, serving

WITHOUT_PRESETS: dict[str, str | None] = {
    "PERSONHOOD_BOOTSTRAP_TOKEN": None,
    "PERSONHOOD_BOOTSTRAP_KEY": None,
}
EVENT = {"api_key": TOKEN, "event": "signed up", "distinct_id": "ada"}


def persons(server: Server) -> httpx.Response:
    return httpx.get(
        f"{server.url}/api/projects/{server.project_id}/persons/", headers=server.headers
    )


def workers(server: Server) -> list[int]:
    pid = server.process.pid
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_it_prints_what_a_first_event_takes(database: str) -> None:
    with serving(DATABASE_URL=database, **WITHOUT_PRESETS) as server:
        assert re.fullmatch(r"phc_[A-Za-z0-9]{43}", server.token)
        assert re.fullmatch(r"phx_[A-Za-z0-9]{43}", server.key)
        for fact in (server.url, "Default project", "shown once", "/api/docs", "Ctrl-C"):
            assert fact in server.output
        assert persons(server).status_code == 200
        assert "\x1b" not in server.output, "no colours in a pipe"

    with serving(DATABASE_URL=database, **WITHOUT_PRESETS) as again:
        assert again.token == server.token
        assert server.key not in again.output
        command = f"{sys.executable} -m personhood key create --scopes '*'"
        assert f"another one: {command})" in again.output
        made = subprocess.run(
            command, shell=True, env={**os.environ, "DATABASE_URL": database},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        [key] = re.findall(r"phx_[A-Za-z0-9]{43}", made.stdout)
        again.key = key
        assert persons(again).status_code == 200


@pytest.mark.parametrize("lines_read", [0, 1])
def test_it_goes_on_when_nobody_reads_what_it_prints(database: str, lines_read: int) -> None:
    """As after `personhood serve | head -1`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    reading, writing = os.pipe()
    process = subprocess.Popen(
        command("serve", "--port", str(port)),
        env=environment({"DATABASE_URL": database, "PERSONHOOD_BOOTSTRAP_TOKEN": TOKEN}),
        stdout=writing, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        os.close(writing)
        with open(reading) as pipe:
            for _ in range(lines_read):
                assert pipe.readline().startswith("personhood ")
        while True:
            assert process.poll() is None, process.stderr and process.stderr.read()
            try:
                if httpx.get(f"http://127.0.0.1:{port}/_readiness").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.05)
        for _ in range(10):  # until what prints has had its time
            assert httpx.post(f"http://127.0.0.1:{port}/e/", json=EVENT).status_code == 200
            time.sleep(0.05)
        process.terminate()
        _, said = process.communicate(timeout=DEADLINE_S)
        assert (process.returncode, said) == (0, "")
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_the_printed_curl_works_as_it_is(database: str) -> None:
    with serving(DATABASE_URL=database, **WITHOUT_PRESETS) as server:
        lines = server.output.partition("  curl ")[2].partition("The same from")[0]
        done = subprocess.run(
            ["sh", "-ec", "curl -sS " + lines.replace("\n  curl ", "\necho; curl -sS ")],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        stored, read = done.stdout.split("\n", 1)
        assert stored == '{"status":"Ok"}'
        assert '"email":"ada@example.com"' in read


def test_the_printed_python_works_as_it_is(shared_server: Server) -> None:
    code = shared_server.output.partition("(pip install posthog):")[2].partition("Ctrl-C")[0]
    subprocess.run([sys.executable, "-c", dedent(code)], check=True, capture_output=True)
    [person] = persons(shared_server).json()["results"]
    assert person["properties"]["email"] == "ada@example.com"


def test_presets_are_in_force_and_the_key_is_not_printed(shared_server: Server) -> None:
    assert shared_server.token == TOKEN
    assert KEY not in shared_server.output
    assert "preset by PERSONHOOD_BOOTSTRAP_KEY" in shared_server.output
    assert persons(shared_server).status_code == 200


def test_a_port_that_another_server_listens_on_is_told_before_anything_else(
    shared_server: Server, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    done = run("serve", "--port", str(shared_server.port), "--data-dir", str(folder))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"personhood: Something else listens on 127.0.0.1:{shared_server.port}; "
        "choose another port with --port.\n"
    )
    assert not folder.exists()


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("PERSONHOOD_BOOTSTRAP_TOKEN", "secret", "A project token is phc_"),
        ("PERSONHOOD_BOOTSTRAP_TOKEN", "phc_" + "a" * 61, "at most 64 characters"),
        ("PERSONHOOD_BOOTSTRAP_KEY", "phc_x", "A personal API key is phx_"),
        ("PERSONHOOD_PORT", "eighty", "PERSONHOOD_PORT is 'eighty'; it has to be"),
        ("PERSONHOOD_WORKERS", "0", "PERSONHOOD_WORKERS is '0'; it has to be"),
        ("PERSONHOOD_LOG_FORMAT", "xml", "one of auto, console and json"),
        ("PERSONHOOD_HOST", "192.0.2.1", "Cannot listen on 192.0.2.1:"),
        ("DATABASE_URL", "postgresql://127.0.0.1:1/x", "The database does not answer"),
    ],
)
def test_a_setting_that_does_not_fit_is_one_line(
    variable: str, value: str, complaint: str, tmp_path: Path
) -> None:
    settings = {"PERSONHOOD_DATA_DIR": str(tmp_path / "data"), "PERSONHOOD_PORT": "0"}
    done = run("serve", **(settings | {variable: value}))
    assert (done.returncode, done.stdout) == (1, "")
    assert complaint in done.stderr
    assert done.stderr.startswith("personhood: ")
    assert done.stderr.count("\n") == 1


def test_localhost_is_a_host(database: str) -> None:
    with serving("--host", "localhost", DATABASE_URL=database) as server:
        assert persons(server).status_code == 200


def test_several_workers_serve_and_count_together(database: str) -> None:
    with serving("--workers", "2", DATABASE_URL=database) as server:
        assert len(workers(server)) == 2
        for _ in range(20):  # each on a connection of its own, so that both get some
            assert persons(server).status_code == 200
            assert httpx.post(f"{server.url}/e/", json=EVENT).status_code == 200
        figures = httpx.get(f"{server.url}/metrics").text
        route = "/api/projects/{project_id}/persons"
        assert (
            f'personhood_http_requests_total{{method="GET",route="{route}",status="200"}} 20.0'
            in figures
        )
        assert "personhood_events_stored_total 20.0" in figures
        assert server.stop() == 0


def test_a_worker_that_dies_is_replaced(database: str) -> None:
    with serving(DATABASE_URL=database) as server:
        [before] = workers(server)
        os.kill(before, signal.SIGKILL)
        while workers(server) in ([], [before]):
            time.sleep(0.01)
        while True:
            try:
                assert persons(server).status_code == 200
                break
            except httpx.TransportError:
                time.sleep(0.01)
        assert server.stop() == 0


def test_a_stop_ends_a_worker_that_is_just_being_started(database: str, tmp_path: Path) -> None:
    again = tmp_path / "again"
    code = f"""
import os, signal, time

def until_it_is_told_to_stop():
    while os.path.exists({str(again)!r}) and signal.SIGTERM not in signal.sigpending():
        time.sleep(0.01)

os.register_at_fork(after_in_child=until_it_is_told_to_stop)
from personhood.cli import main; main()
"""
    with serving(DATABASE_URL=database, program=("-c", code)) as server:
        again.touch()
        [before] = workers(server)
        os.kill(before, signal.SIGKILL)
        while workers(server) in ([], [before]):
            time.sleep(0.01)
        assert server.stop() == 0
        assert "refused to gracefully stop" not in server.log()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_answers_the_requests_that_are_under_way(database: str, how: signal.Signals) -> None:
    answers: list[httpx.Response] = []
    with serving(DATABASE_URL=database) as server, psycopg.connect(database) as conn:
        conn.execute("LOCK TABLE person IN ACCESS EXCLUSIVE MODE")
        sender = threading.Thread(
            target=lambda: answers.append(httpx.post(f"{server.url}/e/", json=EVENT, timeout=60))
        )
        sender.start()
        while not is_waiting(conn):
            time.sleep(0.01)
        idle = socket.create_connection(("127.0.0.1", server.port))
        server.process.send_signal(how)
        while is_listening(server.port):
            time.sleep(0.01)
        conn.rollback()
        sender.join()
        assert server.process.wait(60) == 0
        idle.close()
    assert [answer.status_code for answer in answers] == [200]
    with psycopg.connect(database) as conn:
        assert conn.execute("SELECT count(*) FROM event").fetchone() == (1,)


def is_waiting(conn: psycopg.Connection) -> bool:
    # For that table: jobs wait for one another for a moment too.
    query = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'person'::regclass"
    return conn.execute(query).fetchone() is not None


def is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionError:  # refused, or reset: it was taken up by nobody any more
        return False
    return True
