"""Running deletions from the command line: with a bar, and until somebody stops it."""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from msgspec import Struct, field
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from personhood import deletion_runs, off_peak
from personhood.deletion_runs import Runner
from personhood.model import DeletionState, Project
from personhood.receipts import Clock
from personhood.recording_runs import Storage
from personhood.store import deletion_run
from personhood.store.pool import Pool, pool

POOL_SIZE = 4
LOOK_S = 0.5


class Result(Struct, kw_only=True):
    """In which states the receipts that were run are now, and whether somebody stopped it."""

    stopped: bool = False
    states: dict[DeletionState, int] = field(default_factory=dict)


def work(
    url: str,
    tenants: Sequence[Project],
    *,
    clock: Clock,
    storage: Storage,
    waiting: bool,
    failed: bool,
) -> Result:
    """Run what is due of these projects while the clock's window is open.

    With `waiting` also what is to be tried again later, with `failed` also what was given up.
    """
    return asyncio.run(
        run(url, tenants, clock=clock, storage=storage, waiting=waiting, failed=failed)
    )


async def run(
    url: str,
    tenants: Sequence[Project],
    *,
    clock: Clock,
    storage: Storage,
    waiting: bool,
    failed: bool,
) -> Result:
    result, stopped = Result(), asyncio.Event()
    # A step that is under way is finished, so that the receipt tells what was done.
    for each in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(each, stopped.set)
    async with pool(url, size=POOL_SIZE) as opened:
        for tenant in tenants:

            def may_go_on(zone: str = tenant.timezone) -> bool:
                is_open = off_peak.is_open(clock.window, datetime.now(UTC), zone=zone)
                return is_open and not stopped.is_set()

            if failed and may_go_on():
                async with opened.connection() as conn:
                    await deletion_run.retry_all(conn, tenant.id)
            await run_project(
                opened, tenant, Runner(may_go_on, storage=storage), waiting=waiting, result=result
            )
    result.stopped = stopped.is_set()
    return result


async def run_project(
    pool: Pool, tenant: Project, runner: Runner, *, waiting: bool, result: Result
) -> None:
    if not runner.may_go_on():
        return
    ran: list[int] = []
    async with shown(pool, tenant, ran):
        await deletion_runs.run_due(
            pool, tenant.id, Runner(runner.may_go_on, ran.append, runner.storage), waiting=waiting
        )
    async with pool.connection() as conn:
        for state, number in (await deletion_run.states(conn, tenant.id, ran)).items():
            result.states[state] = result.states.get(state, 0) + number


@asynccontextmanager
async def shown(pool: Pool, tenant: Project, ran: Sequence[int]) -> AsyncIterator[None]:
    """A bar of the receipts and of the events of those at work, while the block lasts."""
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("Deleting"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[events]}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    bar = progress.add_task("", total=None, events="")

    async def look() -> None:
        while True:
            async with pool.connection() as conn:
                now = await deletion_run.progress(conn, tenant.id)
            events = f"{now.removed:,} of {now.before:,} events" if now.before else ""
            progress.update(bar, total=len(ran) + now.open, completed=len(ran), events=events)
            await asyncio.sleep(LOOK_S)

    with progress:
        looking = None if progress.disable else asyncio.create_task(look())
        try:
            yield
        finally:
            if looking is not None:
                looking.cancel()
                with suppress(asyncio.CancelledError):
                    await looking
