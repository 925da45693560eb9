"""Where a measurement happens: a scratch copy of a database of known size, and a real server on it.

A database is filled once and kept in the temporary folder; each run works on a copy, so that every
run begins with the same files.
"""

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from bench.usage import Meter
from personhood.store import embedded
from tests.server import Server, serving

HERE = Path(__file__).parent
MIGRATIONS = Path(embedded.__file__).parent / "migrations"
CACHE = Path(tempfile.gettempdir()) / f"personhood-bench-{os.geteuid()}"
COMPLAINT_CHARACTERS = 1000


class Site:
    """A running server, the database behind it, and its size."""

    def __init__(self, server: Server, folder: Path, *, persons: int) -> None:
        self.server = server
        self.persons = persons
        self.folder = folder
        self.url = embedded.url(folder / "postgres")
        self.meter = Meter(server.process.pid, folder / "postgres")

    @property
    def port(self) -> int:
        return self.server.port

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(self.url, autocommit=True)

    def psql(self, *arguments: str) -> str:
        return tool("psql", self.url, *arguments)

    def pgbench(self, *arguments: str) -> str:
        return tool("pgbench", self.url, *arguments)

    def settle(self) -> None:
        """Leave nothing of what was before to be done in the time of what comes next."""
        with self.connect() as conn:
            conn.execute("CHECKPOINT")


@contextmanager
def site(
    script: str, *, persons: int, variables: Sequence[str], workers: int, configuration: str = ""
) -> Iterator[Site]:
    """A server on a copy of the database that `script` makes with psql `variables`.

    `configuration` is added to postgresql.conf.
    """
    filled = prepared(script, variables)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="run-") as made:
        folder = Path(made) / "data"
        # Not shutil: PostgreSQL's files may have another owner, and some systems copy lazily.
        subprocess.run(["cp", "-a", str(filled), str(folder)], check=True)
        with (folder / "postgres" / "postgresql.conf").open("a") as file:
            file.write(configuration)
        with serving("--data-dir", str(folder), "--workers", str(workers)) as server:
            yield Site(server, folder, persons=persons)


def prepared(script: str, variables: Sequence[str]) -> Path:
    """The data folder that `script` fills, made now unless an earlier run did."""
    CACHE.mkdir(mode=0o711, exist_ok=True)
    # Root lends PostgreSQL an account of its own, which has to reach its files.
    sources = [HERE / script, *sorted(MIGRATIONS.glob("*.*"))]
    content = b"".join(path.read_bytes() for path in sources) + " ".join(variables).encode()
    folder = CACHE / f"{Path(script).stem}-{hashlib.sha256(content).hexdigest()[:12]}"
    if folder.exists():
        return folder
    print(f"Filling a database with {', '.join(variables)} (kept for later runs) ...", flush=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="fill-") as made:
        os.chmod(made, 0o711)
        fresh = Path(made) / "data"
        with serving("--data-dir", str(fresh)) as server:
            assert server.project_id == 1, "a new database's first project"
            url = embedded.url(fresh / "postgres")
            make_months(url)
            given = [part for variable in variables for part in ("-v", variable)]
            tool("psql", url, "-q", *given, "-f", str(HERE / script))
        fresh.rename(folder)
    return folder


def make_months(url: str) -> None:
    """The partitions of the months that the filled events are in, as the server makes them."""
    from datetime import UTC, datetime, timedelta

    from personhood.cli.database import run_once
    from personhood.store import event

    async def make(conn: psycopg.AsyncConnection) -> None:
        days = (datetime.now(UTC) - timedelta(days=ago) for ago in range(47))
        for month in sorted(event.months_of(days)):
            await event.make_partition(conn, month)

    run_once(url, make)


def tool(name: str, url: str, *arguments: str) -> str:
    """Run one of PostgreSQL's programs on the database; gives what it printed."""
    positional = ["-d", url] if name == "psql" else [url]
    command = [str(embedded.programs() / name), *arguments, *positional]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{name} failed: {done.stderr.strip()[:COMPLAINT_CHARACTERS]}")
    return done.stdout
