"""`personhood verify`: whether what is stored is true, and rebuilding what is not."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

from cyclopts import App, Parameter
from psycopg import AsyncConnection
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from personhood import blobs
from personhood.blobs import Blobs, BlobsAway
from personhood.cli import database, options, tables
from personhood.errors import InvalidSetting, PersonhoodError
from personhood.store import project as projects
from personhood.store import verification as store
from personhood.store.pool import pool
from personhood.verification import Report, Verifier

POOL_SIZE = 2

app = App(
    name="verify",
    help_epilogue=options.examples(
        "personhood verify",
        "personhood verify --project 1 --json",
        "personhood verify --repair",
    ),
)


@app.default
def verify(
    *,
    repair: Annotated[
        bool,
        Parameter(help="Rebuild persons that are not what their ledger tells.", negative=""),
    ] = False,
    project: Annotated[
        int | None,
        Parameter(
            help="Id of the one project to look through; all when left out, and then also for "
            "what deletions left behind, and the storage of recordings."
        ),
    ] = None,
    json: options.Json = False,
    data_dir: options.DataDir = None,
    database_url: options.DatabaseUrl = None,
) -> None:
    """Check every person against its ledger, and all rows against one another."""
    settings = options.settings(data_dir=data_dir, database_url=database_url)
    with database.reachable(settings) as url:
        total = database.run_once(url, lambda conn: count(conn, project))
        with database.translated(), shown(total) as tell:
            storage = blobs.opened(settings.blob_url, settings.data_dir)
            report = asyncio.run(verified(url, project, storage=storage, repair=repair, tell=tell))
    if json:
        tables.print_json(report)
    else:
        print_report(report)
    if report.left:
        raise PersonhoodError(f"{report.left:,} findings are left.")


async def count(conn: AsyncConnection, project_id: int | None) -> int:
    """How many persons there are to look at."""
    if project_id is not None and await projects.by_id(conn, project_id) is None:
        raise InvalidSetting(f"There is no project {project_id}; see `personhood project list`.")
    return await store.person_count(conn, project_id)


async def verified(
    url: str,
    project_id: int | None,
    *,
    storage: Blobs,
    repair: bool,
    tell: Callable[[str, int], None],
) -> Report:
    async with pool(url, size=POOL_SIZE) as opened:
        verifier = Verifier(
            pool=opened, storage=storage, project_id=project_id, repair=repair, tell=tell
        )
        try:
            return await verifier.run()
        except BlobsAway as error:
            raise PersonhoodError(f"The storage of recordings cannot be read: {error}") from None


@contextmanager
def shown(persons: int) -> Iterator[Callable[[str, int], None]]:
    """A bar of the persons, then of what is counted while it is gone through."""
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("Checking {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    bars = {"persons": progress.add_task("persons", total=persons)}

    def tell(step: str, rows: int) -> None:
        if step not in bars:
            bars[step] = progress.add_task(step, total=None)
        progress.update(bars[step], advance=rows)

    with progress:
        yield tell


def print_report(report: Report) -> None:
    if report.findings:
        tables.print_rows(
            ["CHECK", "PROJECT", "TABLE", "ROW", "FOUND", "REPAIRED"],
            [
                [each.check, each.project_id, each.table, each.row, each.detail, each.repaired]
                for each in report.findings
            ],
        )
        if (more := sum(report.counts.values()) - len(report.findings)) > 0:
            print(f"… and {more:,} more.")
    print(
        f"{report.persons:,} persons, {report.entries:,} ledger entries, "
        f"{report.distinct_ids:,} distinct ids and {report.merges:,} merges: "
        f"{sum(report.counts.values()):,} findings, {report.repaired:,} repaired."
    )
    if report.blobs is not None:
        print(f"{report.blobs:,} blobs of recordings.")
