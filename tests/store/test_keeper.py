"""When the keeper starts a server again, when it waits, and when it gives up."""

import re
from pathlib import Path

import pytest
import structlog
from structlog.testing import LogCapture

from personhood.errors import DatabaseFailed
from personhood.store import embedded, keeper
from personhood.store.keeper import ATTEMPTS_MAX, STEADY_S, Keeper


class Folder:
    """A data folder whose server is up, or on its way, as a test says; it notes each start."""

    def __init__(self) -> None:
        self.running = self.ready = True
        self.now = 1000.0
        self.starts: list[float] = []
        self.fails = False

    def start(self, _: Path, *, wait: bool) -> None:
        assert not wait, "the server goes on answering meanwhile"
        self.starts.append(self.now - 1000)
        if self.fails:
            raise DatabaseFailed("pg_ctl failed")

    def pass_by(self, kept: Keeper, seconds: float) -> None:
        """Time passes, with a check every half second."""
        for _ in range(int(seconds * 2)):
            kept.check()
            self.now += 0.5


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Folder:
    made = Folder()
    monkeypatch.setattr(embedded, "is_running", lambda _: made.running)
    monkeypatch.setattr(embedded, "is_ready", lambda _: made.ready)
    monkeypatch.setattr(embedded, "start", made.start)
    return made


@pytest.fixture
def kept(folder: Folder, tmp_path: Path) -> Keeper:
    return Keeper(tmp_path, clock=lambda: folder.now)


def test_a_running_server_is_left_alone(folder: Folder, kept: Keeper) -> None:
    folder.pass_by(kept, 300)
    assert folder.starts == []


def test_one_that_is_gone_is_started_at_once(folder: Folder, kept: Keeper) -> None:
    folder.pass_by(kept, 10)
    folder.running = False
    kept.check()
    assert folder.starts == [10]


def test_a_recovery_is_given_its_time(folder: Folder, kept: Keeper) -> None:
    folder.running = folder.ready = False
    kept.check()
    folder.running = True
    folder.pass_by(kept, 3600)
    assert folder.starts == [0]


@pytest.mark.parametrize("fails", [False, True])
def test_pauses_grow_and_then_it_gives_up(folder: Folder, kept: Keeper, fails: bool) -> None:
    folder.running, folder.fails = False, fails
    with pytest.raises(DatabaseFailed, match=f"{ATTEMPTS_MAX} attempts to start it again failed"):
        folder.pass_by(kept, 3600)
    assert folder.starts == [0, 1, 3, 7, 15, 31, 61]


def test_one_that_dies_again_and_again_is_given_up_too(folder: Folder, kept: Keeper) -> None:
    with pytest.raises(DatabaseFailed):
        for _ in range(100):
            folder.running = False
            folder.pass_by(kept, 60)
            folder.running = True
            folder.pass_by(kept, 5)
    assert len(folder.starts) == ATTEMPTS_MAX


def test_what_was_is_forgotten_when_it_has_been_up_for_long(folder: Folder, kept: Keeper) -> None:
    for _ in range(3 * ATTEMPTS_MAX):
        folder.running = False
        kept.check()
        folder.running = True
        folder.pass_by(kept, keeper.BACKOFF_S + STEADY_S + 1)
    assert len(folder.starts) == 3 * ATTEMPTS_MAX


def test_a_full_disk_is_waited_for_and_told(
    folder: Folder, kept: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = LogCapture()
    monkeypatch.setattr(keeper, "log", structlog.wrap_logger(None, [told]))
    kept.folder.mkdir()
    folder.running = False
    with monkeypatch.context() as disk:
        disk.setattr(embedded, "FREE_BYTES_MIN", 2**80)
        folder.pass_by(kept, 600)
        assert folder.starts == list(range(0, 600, int(keeper.FULL_PAUSE_S)))
        reasons = [entry["reason"] for entry in told.entries if "waits" in entry["event"]]
        assert reasons
        assert all(re.search("is full: [0-9]+ KiB are free. Make room", one) for one in reasons)
    with pytest.raises(DatabaseFailed):
        folder.pass_by(kept, 3600)
    assert len(folder.starts) == 120 + ATTEMPTS_MAX, "with room, what fails counts"
