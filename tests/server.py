"""A real `personhood serve` for tests: its own process, on a port that the kernel chose."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TOKEN = "phc_test"
KEY = "phx_test"
DEADLINE_S = 60  # a guard against hanging for ever; no test depends on its length


@dataclass
class Server:
    """`output` is what it printed until it answered; `log()` is what it logged so far.

    `database_url` is the one that it was given, empty when it runs its own.
    """

    process: subprocess.Popen[str]
    url: str
    project_id: int
    output: str
    log_file: Path
    token: str = TOKEN
    key: str = KEY
    database_url: str = ""

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def log(self) -> str:
        return self.log_file.read_text()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Signal the parent process, wait for it and give its exit code."""
        self.process.send_signal(how)
        return self.process.wait(DEADLINE_S)


class DidNotStart(Exception):
    pass


def environment(more: Mapping[str, str | None]) -> dict[str, str]:
    """That of the tests without any setting of ours, and `more`; None leaves a name out."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PERSONHOOD_") and name != "DATABASE_URL"
    }
    return kept | {name: value for name, value in more.items() if value is not None}


PROGRAM = ("-m", "personhood")


def command(*arguments: str) -> list[str]:
    return [sys.executable, *PROGRAM, *arguments]


def run(*arguments: str, **more: str | None) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself; keywords are environment variables."""
    return subprocess.run(
        command(*arguments),
        env=environment(more),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


@contextmanager
def serving(
    *arguments: str, port: int = 0, program: tuple[str, ...] = PROGRAM, **more: str | None
) -> Iterator[Server]:
    """A server that answers, stopped at the end. Keywords are environment variables.

    `program` is what Python runs. Give `DATABASE_URL=` or `--data-dir`. Token and key are preset,
    unless they are given as None.
    Raises DidNotStart with what it said when it ends before it answers.
    """
    preset = {"PERSONHOOD_BOOTSTRAP_TOKEN": TOKEN, "PERSONHOOD_BOOTSTRAP_KEY": KEY}
    with (
        tempfile.NamedTemporaryFile("w", suffix=".log") as log,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
    ):
        if "DATABASE_URL" in more:
            preset["PERSONHOOD_DATA_DIR"] = folder  # of recordings alone
        process = subprocess.Popen(
            [sys.executable, *program, "serve", "--port", str(port), *arguments],
            env=environment(preset | more),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
        try:
            server = answering(process, Path(log.name))
            server.database_url = more.get("DATABASE_URL") or ""
            yield server
        finally:
            end(process)


def answering(process: subprocess.Popen[str], log_file: Path) -> Server:
    assert process.stdout is not None
    guard = threading.Timer(DEADLINE_S, process.kill)
    guard.start()
    output = ""
    for line in process.stdout:
        output += line
        if "Ctrl-C stops the server" in line:
            break
    guard.cancel()
    url = re.search(r"Address +(\S+)", output)
    project = re.search(r"Project +(\d+)", output)
    token = re.search(r"Token +(\S+)", output)
    key = re.search(r"API key +(phx_\w+)", output)
    if url is None or project is None or token is None:
        process.wait(DEADLINE_S)
        raise DidNotStart(f"exit code {process.returncode}: {output}{log_file.read_text()}")
    return Server(
        process=process,
        url=url[1],
        project_id=int(project[1]),
        output=output,
        log_file=log_file,
        token=token[1],
        key=key[1] if key else KEY,
    )


def end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
    assert process.stdout is not None
    process.stdout.close()
