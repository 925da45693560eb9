"""What a killed server leaves in /tmp, and who takes it away."""

import os
import signal
import tempfile
from pathlib import Path

import pytest

from personhood.cli.metrics_folder import PREFIX, VARIABLE, shared_metrics
from tests.server import serving


@pytest.fixture
def tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv(VARIABLE, "unset at the end")
    return tmp_path


def test_it_is_there_as_long_as_the_server(tmp: Path) -> None:
    with shared_metrics():
        [folder] = tmp.iterdir()
        assert os.environ[VARIABLE] == str(folder)
        with shared_metrics():
            assert folder.exists(), "another server's, which lives"
            assert len(list(tmp.iterdir())) == 2
    assert list(tmp.iterdir()) == []


def test_what_is_not_ours_stays(tmp: Path) -> None:
    other, file, aside = tmp / f"{PREFIX}other", tmp / f"{PREFIX}file", tmp / "aside"
    aside.mkdir()
    file.touch()
    (tmp / f"{PREFIX}link").symlink_to(aside)
    stays = {aside.name, file.name, f"{PREFIX}link"}
    if os.geteuid() == 0:
        other.mkdir()
        os.chown(other, 65534, 65534)
        stays.add(other.name)
    with shared_metrics():
        pass
    assert {path.name for path in tmp.iterdir()} == stays


def test_the_next_server_takes_away_what_a_killed_one_left(database: str, tmp_path: Path) -> None:
    with serving(DATABASE_URL=database, TMPDIR=str(tmp_path)) as server:
        [left] = tmp_path.glob(f"{PREFIX}*")
        os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait()
        assert left.exists()
    with serving(DATABASE_URL=database, TMPDIR=str(tmp_path)):
        assert not left.exists()
        assert len(list(tmp_path.glob(f"{PREFIX}*"))) == 1
    assert list(tmp_path.glob(f"{PREFIX}*")) == []
