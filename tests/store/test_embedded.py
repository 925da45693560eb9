"""The embedded server's folder, as a crash or another process may leave it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from personhood.errors import DatabaseFailed, DataFolderInUse
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


def test_the_lock_of_a_killed_servers_socket_does_not_stop_the_next(folder: Path) -> None:
    """Its number may be somebody else's by now, in a container it often is."""
    with embedded.running(folder) as url:
        assert answers(url)
    postgres = folder / "postgres"
    lock = f"{os.getpid()}\n{postgres}\n1700000000\n5432\n{postgres}\n"
    (postgres / ".s.PGSQL.5432.lock").write_text(lock)
    with embedded.running(folder) as url:
        assert answers(url)


def test_what_the_server_says_before_it_has_a_log_is_told(folder: Path) -> None:
    with embedded.running(folder):
        pass
    with (folder / "postgres" / "postgresql.conf").open("a") as file:
        file.write("work_mem = 'much'\n")
    complaint = 'invalid value for parameter "work_mem"'
    with pytest.raises(DatabaseFailed, match=complaint), embedded.running(folder):
        pass


@pytest.mark.parametrize("what", ["everybody may enter", "another's", "a link", "a file"])
def test_a_socket_folder_that_others_could_use_is_refused(
    folder: Path, what: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It stands where anybody may make one, so somebody may have made it before us."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    deep = folder / ("long" * 30) / "postgres"
    made = embedded.socket_folder(deep)
    assert made.parent == tmp_path
    assert embedded.socket_folder(deep) == made, "our own is taken again"
    match what:
        case "everybody may enter":
            made.chmod(0o755)
        case "another's":
            if os.geteuid() != 0:
                pytest.skip("only root can give a folder away")
            os.chown(made, 65534, 65534)
        case "a link":
            made.rename(tmp_path / "aside")
            made.symlink_to(tmp_path / "aside")
        case _:
            made.rmdir()
            made.touch(mode=0o600)
    with pytest.raises(DatabaseFailed, match="belongs to somebody else"):
        embedded.socket_folder(deep)


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
