"""`personhood deletions`: what was asked to be forgotten, how far it is, and doing it now."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from cyclopts import App, Parameter
from cyclopts.validators import Number
from msgspec import Struct
from psycopg import AsyncConnection

from personhood import blobs, logs, receipts
from personhood.api.receipts import detail
from personhood.cli import bulk_deletions, database, options, tables
from personhood.cli.deletion_work import work
from personhood.cli.tables import moment
from personhood.errors import InvalidSetting, NotFound, PersonhoodError
from personhood.model import DeletionState, Project
from personhood.receipts import Clock, Receipt
from personhood.store import project as projects
from personhood.store import receipt as store
from personhood.store.bulk_deletion import BulkDeletion
from personhood.store.receipt import Filter
from personhood.store.trace import Trace

app = App(name="deletions", help="List, show, run and cancel deletions.")

Id = Annotated[UUID, Parameter(help="As `personhood deletions list` shows it.")]
OneProject = Annotated[
    int | None, Parameter(help="Id of the one project it is about; all when left out.")
]


@app.command(
    name="list",
    help_epilogue=options.examples(
        "personhood deletions list",
        "personhood deletions list --state waiting --project 1",
        "personhood deletions list --json | jq -r '.[].state' | sort | uniq -c",
    ),
)
def list_(
    *,
    state: Annotated[DeletionState | None, Parameter(help="Only those; all when left out.")] = None,
    project: OneProject = None,
    limit: Annotated[int, Parameter(help="How many at most.", validator=Number(gte=1))] = 100,
    json: options.Json = False,
    data_dir: options.DataDir = None,
    database_url: options.DatabaseUrl = None,
) -> None:
    """List deletions, of one person each and of many, the newest first."""
    settings = options.settings(data_dir=data_dir, database_url=database_url)
    clock = receipts.clock(settings.deletion_window)

    async def newest(conn: AsyncConnection) -> list[Listed]:
        found: list[Listed] = []
        for tenant in await tenants(conn, project):
            ones = await receipts.page(conn, tenant, Filter(state=state), clock=clock, limit=limit)
            found += [listed(tenant, each) for each in ones]
            many = await bulk_deletions.page(conn, tenant, state=state, limit=limit)
            found += [listed_many(tenant, each, label) for each, label in many]
        found.sort(key=lambda each: each.order, reverse=True)
        return found[:limit]

    with database.reachable(settings) as url:
        found = database.run_once(url, newest)
    if json:
        tables.print_json([each.plain for each in found])
        return
    tables.print_rows(
        ["ID", "PROJECT", "PERSON", "OF IT", "REQUESTED", "BY", "STATE"],
        [each.row for each in found],
    )


@app.command(
    help_epilogue=options.examples(
        "personhood deletions show 0192f0c1-7a5e-7b1c-9d2e-3f4a5b6c7d8e",
        "personhood deletions show 0192f0c1-7a5e-7b1c-9d2e-3f4a5b6c7d8e --json",
        "personhood deletions show 0192f0c1-7a5e-7b1c-9d2e-3f4a5b6c7d8e --search",
    ),
)
def show(
    id: Id,
    /,
    *,
    search: Annotated[
        bool,
        Parameter(
            help="Search every table for what is left of the deleted person. Takes its time.",
            negative="",
        ),
    ] = False,
    json: options.Json = False,
    data_dir: options.DataDir = None,
    database_url: options.DatabaseUrl = None,
) -> None:
    """Show a deletion: what was asked for, and how much was met, removed and left.

    One of many shows how many persons are done; what became of each is on its own deletion.
    """
    settings = options.settings(data_dir=data_dir, database_url=database_url)
    clock = receipts.clock(settings.deletion_window)

    async def one(conn: AsyncConnection) -> tuple[Project, Receipt, list[Trace]]:
        tenant = await tenant_of(conn, id)
        found = await receipts.by_uuid(conn, tenant, id, clock=clock)
        return tenant, found, await receipts.traces(conn, found.deletion) if search else []

    with database.reachable(settings) as url:
        many = database.run_once(url, lambda conn: bulk_deletions.by_uuid(conn, id))
        if many is not None:
            show_many(*many, json=json)
            return
        tenant, found, left = database.run_once(url, one)
    if json:
        told = [msgspec.to_builtins(each) for each in left]
        tables.print_json(plain(tenant, found) | ({"traces": told} if search else {}))
    else:
        print_one(tenant, found)
    if left:
        places = ", ".join(f"{each.table}.{each.column} ({each.rows:,})" for each in left)
        raise PersonhoodError(f"Something is left in {places}.")
    if search and not json:
        print("\nNothing else is left of it in any table.")


@app.command(
    help_epilogue=options.examples(
        "personhood deletions run",
        "personhood deletions run --now --project 1",
        "personhood deletions run --now --failed --json",
    ),
)
def run(
    *,
    now: Annotated[
        bool, Parameter(help="Whatever the hour, also what failed a moment ago.", negative="")
    ] = False,
    failed: Annotated[
        bool, Parameter(help="Also what was given up after many attempts.", negative="")
    ] = False,
    project: OneProject = None,
    json: options.Json = False,
    data_dir: options.DataDir = None,
    database_url: options.DatabaseUrl = None,
) -> None:
    """Run the deletions that wait, in the hours that are meant for it. Works beside a server.

    Stopped, it may be run again, and goes on from there.
    """
    settings = options.settings(data_dir=data_dir, database_url=database_url)
    logs.configure(settings.log_format)
    clock = receipts.clock("now" if now else settings.deletion_window)
    with database.reachable(settings) as url:
        chosen = database.run_once(url, lambda conn: tenants(conn, project))
        with database.translated():
            result = work(
                url,
                chosen,
                clock=clock,
                storage=lambda: blobs.opened(settings.blob_url, settings.data_dir),
                waiting=now,
                failed=failed,
            )
    if json:
        tables.print_json(result)
    else:
        print_result(result.states, chosen, clock=clock)
    if result.stopped:
        raise PersonhoodError("Stopped; the same command goes on from there.")
    if undone := sum(result.states.values()) - result.states.get(DeletionState.COMPLETED, 0):
        raise PersonhoodError(f"{undone:,} are not done; `personhood deletions list` says why.")


@app.command(
    help_epilogue=options.examples(
        "personhood deletions cancel 0192f0c1-7a5e-7b1c-9d2e-3f4a5b6c7d8e",
    ),
)
def cancel(
    id: Id,
    /,
    *,
    json: options.Json = False,
    data_dir: options.DataDir = None,
    database_url: options.DatabaseUrl = None,
) -> None:
    """Cancel a deletion that has not begun. A person that went with it stays gone.

    One of many may have begun: who is not deleted yet is left alone.
    """
    settings = options.settings(data_dir=data_dir, database_url=database_url)
    clock = receipts.clock(settings.deletion_window)

    async def call_off(conn: AsyncConnection) -> tuple[Project, Receipt]:
        tenant = await tenant_of(conn, id)
        return tenant, await receipts.cancel(conn, tenant, id, clock=clock)

    async def call_many_off(conn: AsyncConnection) -> dict[str, Any] | None:
        if (many := await bulk_deletions.by_uuid(conn, id)) is None:
            return None
        await bulk_deletions.cancel(conn, many[1])
        now = await bulk_deletions.by_uuid(conn, id)
        return bulk_deletions.plain(*(now or many))

    with database.reachable(settings) as url:
        told = database.run_once(url, call_many_off)
        if told is None:
            told = plain(*database.run_once(url, call_off))
    if json:
        tables.print_json(told)
    else:
        print(f"Deletion {id} is cancelled.")


class Listed(Struct, frozen=True, kw_only=True):
    """A deletion of one or of many, and its place in the list."""

    order: tuple[datetime, bool, int]
    row: list[object]
    plain: dict[str, Any]


def listed(tenant: Project, receipt: Receipt) -> Listed:
    asked = receipt.deletion
    return Listed(
        order=(asked.requested_at, False, asked.id),
        row=[
            asked.uuid,
            tenant.id,
            asked.person_uuid,
            ", ".join(wished(receipt)),
            moment(asked.requested_at),
            receipt.label,
            standing(receipt),
        ],
        plain=plain(tenant, receipt),
    )


def listed_many(tenant: Project, bulk: BulkDeletion, label: str | None) -> Listed:
    """Before those of its persons."""
    return Listed(
        order=(bulk.requested_at, True, bulk.id),
        row=bulk_deletions.row(tenant, bulk, label),
        plain=bulk_deletions.plain(tenant, bulk),
    )


def show_many(tenant: Project, bulk: BulkDeletion, *, json: bool) -> None:
    if json:
        tables.print_json(bulk_deletions.plain(tenant, bulk))
    else:
        bulk_deletions.print_one(tenant, bulk)


async def tenants(conn: AsyncConnection, project_id: int | None) -> list[Project]:
    if project_id is None:
        return await projects.all_projects(conn)
    found = await projects.by_id(conn, project_id)
    if found is None:
        raise InvalidSetting(f"There is no project {project_id}; see `personhood project list`.")
    return [found]


async def tenant_of(conn: AsyncConnection, id: UUID) -> Project:
    project_id = await store.project_of(conn, id)
    found = None if project_id is None else await projects.by_id(conn, project_id)
    if found is None:
        raise NotFound(f"There is no deletion {id}; see `personhood deletions list`.")
    return found


def plain(tenant: Project, receipt: Receipt) -> dict[str, Any]:
    """As the API tells it, and whose it is."""
    return {"project": tenant.id} | msgspec.to_builtins(detail(receipt))


def wished(receipt: Receipt) -> Sequence[str]:
    return [name for name in ("profile", "events", "recordings") if getattr(receipt.deletion, name)]


def standing(receipt: Receipt) -> str:
    """The state in words: with how far it is, until when it waits, or what went wrong."""
    events, told = receipt.counts.get("events"), str(receipt.state)
    match receipt.state:
        case DeletionState.WAITING if receipt.until is not None:
            told += f" until {moment(receipt.until)}"
        case DeletionState.RUNNING if events is not None and events.before is not None:
            told += f", {events.removed:,} of {events.before:,} events"
    failure = receipt.deletion.failure
    return told if failure is None else f"{told}: {failure}"


def print_one(tenant: Project, receipt: Receipt) -> None:
    asked = receipt.deletion
    facts: list[tuple[str, object]] = [
        ("Deletion", asked.uuid),
        ("Project", f"{tenant.id} ({tenant.name})"),
        ("Person", asked.person_uuid),
        ("Of it", ", ".join(wished(receipt))),
        ("State", standing(receipt)),
        ("Requested", moment(asked.requested_at)),
        ("By", receipt.label or ""),
        ("Cutoff", moment(asked.cutoff)),
        ("Started", moment(asked.started_at)),
        ("Completed", moment(asked.completed_at)),
        ("Verified", moment(asked.verified_at)),
    ]
    for name, value in facts:
        print(f"{name:<11}{value}".rstrip())
    print()
    tables.print_rows(
        ["KIND", "BEFORE", "REMOVED", "LEFT"],
        [
            [kind, count.before, count.removed, count.left]
            for kind, count in sorted(receipt.counts.items())
        ],
    )


def print_result(
    states: dict[DeletionState, int], tenants: Sequence[Project], *, clock: Clock
) -> None:
    for state, number in states.items():
        print(f"{state.capitalize():<11}{number:,}")
    closed = [each for each in tenants if clock.opening(each.timezone) > clock.now]
    for each in closed:
        opens = clock.opening(each.timezone)
        print(f"Those of project {each.id} may run from {moment(opens)}, or now with --now.")
    if not states and not closed:
        print("There was nothing to do.")
