"""`personhood import`: events of a file into the database, whether or not a server runs on it."""

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from msgspec import Struct
from psycopg import AsyncConnection

from personhood import logs
from personhood.capture.intake import Ingester
from personhood.cli import database, event_file, event_map, import_run, options, tables
from personhood.cli.event_file import EventFile
from personhood.cli.event_map import Mapping, Reader
from personhood.cli.import_report import Report, shown
from personhood.cli.import_run import Importer
from personhood.errors import InvalidSetting, PersonhoodError
from personhood.model import Project
from personhood.store import person_page
from personhood.store import project as projects
from personhood.store.pool import Pool, pool

POOL_SIZE = 2
SOME_REJECTED = 3

app = App(
    name="import",
    help_epilogue=options.examples(
        "personhood import events.jsonl.gz",
        "personhood import clicks.csv --map distinct_id=user,event=action,timestamp=at",
        'personhood import orders.csv --map "distinct_id=customer" \\',
        """    --map "event='purchase'" --map timestamp=day:%Y%m%d""",
    ),
)


class Plan(Struct, frozen=True):
    """What is asked for."""

    file: Path
    mapped: Mapping | None
    project_id: int | None
    rejects: Path | None


@app.default
def import_(
    file: Annotated[Path, Parameter(help="JSON lines or CSV, gzip'd or not.")],
    /,
    *,
    map: Annotated[
        list[str] | None,
        Parameter(
            help="FIELD=COLUMN or FIELD='constant', separated by commas; the fields are "
            "distinct_id, event, timestamp and uuid, and timestamp takes COLUMN:FORMAT (strptime). "
            "All other columns become properties. Of CSV only.",
            negative="",
        ),
    ] = None,
    project: Annotated[
        int | None, Parameter(help="Id of the project; the first one when left out.")
    ] = None,
    rejects: Annotated[
        Path | None, Parameter(help="Where bad rows go; FILE.rejects.EXT when left out.")
    ] = None,
    json: options.Json = False,
    data_dir: options.DataDir = None,
    database_url: options.DatabaseUrl = None,
) -> None:
    settings = options.settings(data_dir=data_dir, database_url=database_url)
    logs.configure(settings.log_format)
    mapped = event_map.mapping(map) if map else None
    plan = Plan(file, mapped, project, rejects)
    with event_file.opened(file, lambda columns: event_map.lacking(columns, mapped)) as opened:
        if mapped is not None and opened.extension != "csv":
            raise InvalidSetting(
                f"--map is for CSV, and {file} is JSON lines: their fields have to be called as "
                "PostHog exports them, distinct_id, event, timestamp, uuid and properties."
            )
        path = rejects or file.with_name(f"{file.name}.rejects.{opened.extension}")
        with (
            rejects_elsewhere(path, file),
            Report(opened, path) as report,
            database.reachable(settings) as url,
            database.translated(),
            told_when_stopped(report),
        ):
            asyncio.run(load(url, plan, file=opened, report=report))
    if json:
        tables.print_json(report.summary())
    else:
        shown(report)
    if report.rejected:
        sys.exit(SOME_REJECTED)


async def load(url: str, plan: Plan, *, file: EventFile, report: Report) -> None:
    stop_on_sigterm()
    async with pool(url, size=POOL_SIZE) as opened:
        async with opened.connection() as conn:
            project = await project_of(conn, plan.project_id)
        report.persons_before = await persons(opened, project)
        reader = Reader(
            token=project.token,
            mapped=plan.mapped,
            text_cells=file.extension == "csv",
            now=datetime.now(UTC),
        )
        async with Ingester(opened, queue_bytes=import_run.QUEUE_BYTES) as ingester:
            importer = Importer(ingester, project, reader)
            await import_run.run(file.rows, importer, tell=report.add)
        report.persons_after = await persons(opened, project)


async def project_of(conn: AsyncConnection, project_id: int | None) -> Project:
    if project_id is not None:
        found = await projects.by_id(conn, project_id)
        if found is None:
            raise InvalidSetting(
                f"There is no project {project_id}; see `personhood project list`."
            )
        return found
    found = next(iter(await projects.all_projects(conn)), None)
    if found is None:
        raise InvalidSetting("There is no project yet; make one with `personhood project create`.")
    return found


async def persons(pool: Pool, project: Project) -> int:
    async with pool.connection() as conn:
        return await person_page.count(conn, project.id, person_page.Filter())


def stop_on_sigterm() -> None:
    """As Ctrl-C does: what is under way is stored, then the embedded PostgreSQL stops."""
    task = asyncio.current_task()
    assert task is not None, "called from a coroutine that asyncio.run was given"
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


@contextmanager
def told_when_stopped(report: Report) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise PersonhoodError(
            f"Stopped after {report.read:,} rows; the same command goes on from there."
        ) from None


@contextmanager
def rejects_elsewhere(rejects: Path, file: Path) -> Iterator[None]:
    if rejects.exists() and rejects.samefile(file):
        raise InvalidSetting("The rejects cannot go into the file that is read.")
    yield
