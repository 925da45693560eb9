"""The embedded server's folder, as a crash or another process may leave it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from personhood.errors import DataFolderInUse
from personhood.store import embedded


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="personhood-") as path:
        yield Path(path) / "data"


def answers(url: str) -> bool:
    with psycopg.connect(url) as conn:
        return conn.execute("SELECT 1").fetchone() == (1,)


def test_a_stale_pid_file_that_names_another_process_does_not_stop_that_one(folder: Path) -> None:
    with embedded.running(folder) as url:
        assert answers(url)
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        postgres = folder / "postgres"
        stale = f"{bystander.pid}\n{postgres}\n1700000000\n5432\n{postgres}\n\n0 0\nready\n"
        (postgres / "postmaster.pid").write_text(stale)
        with embedded.running(folder) as url:
            assert answers(url)
        assert bystander.poll() is None
    finally:
        bystander.communicate(b"\n")


def test_a_half_made_folder_is_made_anew(folder: Path) -> None:
    (folder / "postgres").mkdir(parents=True)
    with embedded.running(folder) as url:
        assert answers(url)


def test_a_folder_has_one_owner_and_others_reach_its_server(folder: Path) -> None:
    with embedded.running(folder) as url:
        code = (
            "import sys; from pathlib import Path; from personhood.store import embedded\n"
            "with embedded.reachable(Path(sys.argv[1])) as url: print(url)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == url
        code = code.replace("reachable", "running")
        done = subprocess.run(
            [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False
        )
        assert DataFolderInUse.__name__ in done.stderr
        assert f"process {os.getpid()}" in done.stderr
        assert answers(url)


def test_a_long_path_gets_a_socket_elsewhere(folder: Path) -> None:
    with embedded.running(folder / ("long" * 30)) as url:
        assert answers(url)
