"""The folder where workers add up their figures.

It goes when the server ends. One that was killed leaves its folder behind, which the next server on
this machine takes away: it knows by a lock that the kernel gives back.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "personhood-metrics-"
VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


@contextmanager
def shared_metrics() -> Iterator[None]:
    """Make the folder and say where it is: prometheus_client looks for that on import."""
    sweep()
    # Under another name until it is locked: a server that starts just now must not take it away.
    made = Path(tempfile.mkdtemp(prefix=f".{PREFIX}"))
    with (made / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = made.rename(made.with_name(made.name[1:]))
        os.environ[VARIABLE] = str(folder)
        try:
            yield
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def sweep() -> None:
    """Take away the folders of servers that are gone, this account's only."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if is_ours(folder) and not is_locked(folder):
            shutil.rmtree(folder, ignore_errors=True)


def is_ours(folder: Path) -> bool:
    """Anybody may make folders and links there."""
    return folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == os.geteuid()


def is_locked(folder: Path) -> bool:
    """Workers inherit the lock of the server, so it lasts as long as any of them."""
    try:
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
