"""The real thing for every test: a PostgreSQL of our own, and a fresh database for each."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from shutil import disk_usage
from tempfile import TemporaryDirectory

import psycopg
import pytest
from httpx._config import DEFAULT_TIMEOUT_CONFIG

from personhood.store import embedded, migrate
from personhood.store.pool import Pool
from personhood.store.pool import pool as make_pool
from tests.server import DEADLINE_S, Server, serving

numbers = count(1)

# Five seconds where a test says nothing; a machine that has much to do may take longer to answer.
DEFAULT_TIMEOUT_CONFIG.connect = DEFAULT_TIMEOUT_CONFIG.read = DEADLINE_S
DEFAULT_TIMEOUT_CONFIG.write = DEFAULT_TIMEOUT_CONFIG.pool = DEADLINE_S

# Few tests that take long each: begun first, so that nobody waits for one of them in the end.
LONG = {
    "test_crash.py",
    "test_data_folder.py",
    "test_deletion_runs.py",
    "test_demo.py",
    "test_historical.py",
    "test_historical_undo.py",
    "test_laws.py",
    "test_merges.py",
    "test_person_export.py",
    "test_persons_csv.py",
    "test_readme.py",
    "test_schemathesis.py",
    "test_splits.py",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of the session's server, which holds a migrated template.

    Not below pytest's own folder: another run that starts takes that from the account which
    PostgreSQL runs as when the tests are root's. In memory where there is room: a database for
    each test is hundreds of files, thirty times as fast to make there as on a disk.
    """
    with (
        TemporaryDirectory(prefix="personhood-", dir=memory()) as folder,
        embedded.running(Path(folder)) as url,
    ):
        with psycopg.connect(url, autocommit=True) as conn:
            # The tests kill servers, never the machine: nobody waits for its disk here.
            conn.execute("ALTER SYSTEM SET fsync = off")
            conn.execute("SELECT pg_reload_conf()")
            conn.execute("CREATE DATABASE template")
        migrate.migrate(named(url, "template"))
        yield url


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data folder that is yet to be made; not below pytest's own folder either."""
    with TemporaryDirectory(prefix="personhood-") as folder:
        yield Path(folder) / "data"


@contextmanager
def new_database(postgres: str, name: str | None = None) -> Iterator[str]:
    """URL of a database with the newest schema and nothing in it, dropped at the end."""
    name = name or f"test_{next(numbers)}"
    with psycopg.connect(postgres, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE template STRATEGY file_copy")
        yield named(postgres, name)
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(postgres: str) -> Iterator[str]:
    """A database of this test's own, which has the same URL in each."""
    with new_database(postgres, "test") as url:
        yield url


@pytest.fixture
def server(database: str) -> Iterator[Server]:
    """A real server process of this test's own, on the test's `database`."""
    with serving(DATABASE_URL=database) as running:
        yield running


@pytest.fixture(scope="module")
def shared_server(postgres: str) -> Iterator[Server]:
    """One server process for a whole module, whose tests do not mind one another's persons."""
    with new_database(postgres) as url, serving(DATABASE_URL=url) as running:
        yield running


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with make_pool(database, size=4) as opened:
        yield opened


def memory() -> str | None:
    """A folder of a file system in memory, or None where there is none with a few GB left."""
    is_there = os.access("/dev/shm", os.W_OK) and disk_usage("/dev/shm").free > 4 * 2**30
    return "/dev/shm" if is_there else None


def named(url: str, name: str) -> str:
    return url.replace("/postgres?", f"/{name}?")


# What did not run is told at the end, so that nobody takes it for tested.


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped: dict[tuple[str, str], int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = str(report.longrepr[2]).removeprefix("Skipped: ")
        place = reason, report.nodeid.partition("::")[0]
        skipped[place] = skipped.get(place, 0) + 1
    if skipped:
        terminalreporter.section("These tests did not run")
    for (reason, path), number in sorted(skipped.items()):
        terminalreporter.line(f"{path}: {number}, because {reason}")
