"""`personhood serve`: a database, worker processes, and a page of welcome."""

import resource
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec
from cyclopts import App

from personhood import logs
from personhood.cli import options, port
from personhood.cli.metrics_folder import shared_metrics
from personhood.settings import Settings
from personhood.store import embedded
from personhood.store.keeper import Keeper

if TYPE_CHECKING:
    from personhood.cli.bootstrap import Bootstrapped

OPEN_FILES = 16384


app = App(
    name="serve",
    help_epilogue=options.examples(
        "personhood serve",
        "personhood serve --port 9000 --data-dir /var/lib/personhood --workers 2",
        "DATABASE_URL=postgresql://me@db/persons personhood serve --host 0.0.0.0",
    ),
)


@app.default
def serve(
    *,
    host: options.Host = None,
    port: options.Port = None,
    data_dir: options.DataDir = None,
    database_url: options.DatabaseUrl = None,
    workers: options.Workers = None,
) -> None:
    # SIGTERM before the workers are there unwinds what was begun, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run(
            options.settings(
                host=host, port=port, data_dir=data_dir, database_url=database_url, workers=workers
            )
        )
    except KeyboardInterrupt:
        return


def run(settings: Settings) -> None:
    logs.configure(settings.log_format)
    allow_many_connections()
    if settings.database_url is None:
        check_not_in_use(settings)
    with port.held(settings.host, settings.port) as address, shared_metrics():
        modules = modules_loading()
        with database(settings) as url:
            from personhood.cli.bootstrap import bootstrap
            from personhood.cli.database import prepare, run_once

            prepare(url)
            made = run_once(url, lambda conn: bootstrap(conn, settings))
            modules.join()
            settings = msgspec.structs.replace(settings, port=address[1])
            work(settings, url, address=address, made=made)


def work(settings: Settings, url: str, *, address: port.Address, made: "Bootstrapped") -> None:
    from personhood.cli import welcome, workers

    workers.run(
        settings,
        url,
        address=address,
        announce=lambda: welcome.show(settings, made),
        look_after=keeper_of(settings),
    )


def keeper_of(settings: Settings) -> Callable[[], None]:
    """What keeps the database up; one that was given is its owner's to keep."""
    if settings.database_url is not None:
        return lambda: None
    return Keeper(settings.data_dir).check


def check_not_in_use(settings: Settings) -> None:
    """Two servers on one folder mostly share the port too; the folder is the better news."""
    if settings.data_dir.exists():
        with embedded.owned(settings.data_dir):
            return


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    if settings.database_url is not None:
        yield settings.database_url
        return
    with embedded.running(settings.data_dir) as url:
        yield url


def modules_loading() -> threading.Thread:
    """Import the application while PostgreSQL starts; the workers then have it from the fork."""

    def load() -> None:
        import personhood.app
        import personhood.cli.bootstrap
        import personhood.cli.database
        import personhood.cli.welcome
        import personhood.cli.workers  # noqa: F401

    thread = threading.Thread(target=load, daemon=True)
    thread.start()
    return thread


def allow_many_connections() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
