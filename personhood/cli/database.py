"""How a command reaches the database: one connection, closed again before anything forks."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import psycopg
from psycopg import AsyncConnection

from personhood.errors import DatabaseFailed, InvalidSetting
from personhood.settings import Settings
from personhood.store import embedded, migrate
from personhood.store.pool import configure

T = TypeVar("T")

VERSION_MIN = 150000  # as libpq writes 15.0


@contextmanager
def reachable(settings: Settings, *, make: bool = False) -> Iterator[str]:
    """URL of the database, brought to the newest schema, whether or not a server runs on it.

    Only with `make` a data folder that is not there is made: elsewhere it is a slip of the pen.
    """
    if settings.database_url:
        prepare(settings.database_url)
        yield settings.database_url
        return
    if not make and not (settings.data_dir / "postgres").exists():
        raise InvalidSetting(
            f"There is no data folder at {settings.data_dir}; "
            "give it with --data-dir, or begin one with `personhood serve`."
        )
    with embedded.reachable(settings.data_dir) as url:
        prepare(url)
        yield url


def prepare(url: str) -> None:
    """Check that the database will do, and migrate it."""
    with translated():
        with psycopg.connect(url, autocommit=True) as conn:
            if conn.info.server_version < VERSION_MIN:
                raise DatabaseFailed("PostgreSQL 15 or newer is needed.")
        try:
            migrate.migrate(url)
        except psycopg.DatabaseError as error:
            if error.sqlstate is None:
                raise
            raise DatabaseFailed(
                f"The newest schema could not be made: {error.diag.message_primary}. "
                "The account must be allowed to create tables."
            ) from error


def run_once(url: str, verb: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """What `verb` gives on a connection of its own."""

    async def connected() -> T:
        async with await AsyncConnection.connect(url, autocommit=True) as conn:
            await configure(conn)
            return await verb(conn)

    with translated():
        return asyncio.run(connected())


@contextmanager
def translated() -> Iterator[None]:
    try:
        yield
    except psycopg.OperationalError as error:
        reason = " ".join(str(error).split())
        raise DatabaseFailed(f"The database does not answer: {reason}") from error
    except psycopg.ProgrammingError as error:
        if error.sqlstate is not None:
            raise
        # libpq could not read the URL. Its complaint repeats it, password and all.
        raise InvalidSetting("The database URL is not one that PostgreSQL understands.") from None
