"""Keeping the embedded PostgreSQL up: one that died is started again, and recovers by itself.

A postmaster may be killed (by the kernel, out of memory) or give up (its disk is full). Until it is
back, requests are answered 503, which SDKs retry.
"""

import time
from collections.abc import Callable
from pathlib import Path

import structlog

from personhood.errors import DatabaseFailed
from personhood.store import embedded

log = structlog.get_logger(__name__)

ATTEMPTS_MAX = 7
BACKOFF_S = 1.0  # after the first attempt; doubled after each one more
BACKOFF_MAX_S = 30.0
FULL_PAUSE_S = 5.0  # as long as the disk is full: it is not given up then
STEADY_S = 60.0  # up for so long, and what was before is forgotten


class Keeper:
    """Looks after the server of one data folder, whose lock this process holds.

    `check` is to be called again and again, a few times a second. It does not wait: neither for a
    recovery, which may take minutes, nor between two attempts.
    """

    def __init__(self, data_dir: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder = data_dir.expanduser().resolve() / "postgres"
        self.clock = clock
        self.attempts = 0
        self.lost_at: float | None = None
        self.steady_at = self.due_at = clock()

    def check(self) -> None:
        """Start the server again when it is gone and the time has come.

        Raises DatabaseFailed after ATTEMPTS_MAX attempts, with what the server said. Those which a
        full disk let fail do not count: somebody may make room.
        """
        now = self.clock()
        if embedded.is_running(self.folder):
            self.note_running(now)
            return
        if self.lost_at is None:
            self.lost_at = now
            log.error("the database server has ended, it is started again", folder=str(self.folder))
        if now >= self.due_at:
            self.start(now)

    def note_running(self, now: float) -> None:
        if self.lost_at is None:
            if now >= self.steady_at:
                self.attempts = 0
        elif embedded.is_ready(self.folder):
            log.warning("the database server is back", after_s=round(now - self.lost_at, 1))
            self.lost_at = None
            self.steady_at = now + STEADY_S

    def start(self, now: float) -> None:
        full = embedded.fullness(self.folder)
        if full is None and self.attempts == ATTEMPTS_MAX:
            raise DatabaseFailed(
                f"The embedded PostgreSQL ended, and {ATTEMPTS_MAX} attempts to start it again "
                f"failed. {embedded.explain('', self.folder)}"
            )
        if full is None:
            self.attempts += 1
            self.due_at = now + min(BACKOFF_S * 2 ** (self.attempts - 1), BACKOFF_MAX_S)
        else:
            log.error("the database server waits for room", reason=full)
            self.due_at = now + FULL_PAUSE_S
        try:
            embedded.start(self.folder, wait=False)
        except (DatabaseFailed, OSError) as error:
            log.error(
                "the database server does not start", attempt=self.attempts, reason=str(error)
            )
