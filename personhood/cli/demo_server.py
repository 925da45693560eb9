"""The server that the demo sends to: the one that runs already, else one while it needs it."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from msgspec import Struct

from personhood.cli import port
from personhood.cli.bootstrap import bootstrap, first_project
from personhood.cli.database import reachable, run_once
from personhood.cli.port import Address
from personhood.cli.serve import check_not_in_use
from personhood.cli.workers import DRAIN_TIMEOUT_S, answers
from personhood.errors import DataFolderInUse, PersonhoodError
from personhood.model import Project
from personhood.settings import PREFIX, Settings

PAUSE_S = 0.05


class Target(Struct, frozen=True, kw_only=True):
    """A server that answers at `base`, and the URL of its database.

    `first_key` is there when the database is new: nobody else will ever tell it. `started` says
    that the server goes when the demo does.
    """

    base: str
    database_url: str
    project: Project
    first_key: str | None = None
    started: bool = False


@contextmanager
def target(settings: Settings) -> Iterator[Target]:
    address = port.local((settings.host, settings.port))
    if settings.port and answers(address):
        with reachable(settings) as url:
            # Whether it is this database that the server is on, its API will tell.
            project = run_once(url, lambda conn: first_project(conn, settings.bootstrap_token))
            yield Target(base=base(address), database_url=url, project=project)
        return

    check_that_no_server_runs(settings, address)
    with port.held(settings.host, settings.port) as free, reachable(settings, make=True) as url:
        made = run_once(url, lambda conn: bootstrap(conn, settings))
    with serving(settings, free), reachable(settings) as url:
        yield Target(
            base=base(port.local(free)),
            database_url=url,
            project=made.project,
            first_key=made.key,
            started=True,
        )


def base(address: Address) -> str:
    return f"http://{port.shown(address)}"


def check_that_no_server_runs(settings: Settings, address: Address) -> None:
    if settings.database_url is not None:
        return
    try:
        check_not_in_use(settings)
    except DataFolderInUse:
        raise DataFolderInUse(
            f"A server uses the data folder {settings.data_dir} already, but not at "
            f"{port.shown(address)}: name its port with --port."
        ) from None


@contextmanager
def serving(settings: Settings, address: Address) -> Iterator[None]:
    """`personhood serve` in a process of its own, which answers, until the block ends."""
    arguments = ["--host", address[0], "--port", str(address[1])]
    environment = dict(os.environ)
    if settings.database_url is None:
        arguments += ["--data-dir", str(settings.data_dir)]
    else:
        # Not an argument: it may hold a password, and everybody can list those.
        environment[f"{PREFIX}DATABASE_URL"] = settings.database_url
    with tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(
            [sys.executable, "-m", "personhood", "serve", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=complaints,
            start_new_session=True,  # Ctrl-C is for the demo, which then stops it
        )
        try:
            wait_until_it_answers(process, port.local(address), complaints)
            yield
        finally:
            stop(process)


def wait_until_it_answers(
    process: subprocess.Popen[bytes], address: Address, complaints: IO[str]
) -> None:
    while not answers(address):
        if process.poll() is not None:
            complaints.seek(0)
            reason = complaints.read().strip().removeprefix("personhood: ")
            raise PersonhoodError(f"The server did not start: {reason}")
        time.sleep(PAUSE_S)


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(2 * DRAIN_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
