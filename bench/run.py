"""Run measurements beside their floors: `python -m bench.run --help`."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Annotated

from cyclopts import App, Parameter
from msgspec import Struct
from rich.console import Console

from bench import report
from bench.bulk_delete import BulkDelete
from bench.export import Export
from bench.ingest import Ingest
from bench.listing import Listing
from bench.lookup import Lookup
from bench.measure import Goal, Measurement, Result
from bench.merge import IDS, Merge
from bench.single import Single
from bench.site import Site, site
from bench.timeline import EVENTS, Timeline

# By the name that `--only` knows; those of APART have a database of their own, the others are taken
# at every size: those that take persons away on a copy of their own.
MEASUREMENTS: dict[str, Sequence[Callable[[Site], Measurement]]] = {
    "ingest": [partial(Ingest, kind="plain"), partial(Ingest, kind="browser")],
    "single": [Single],
    "lookup": [Lookup],
    "list": [partial(Listing, search=False), partial(Listing, search=True)],
    "export": [Export],
    "merge": [Merge],
    "timeline": [Timeline],
}
APART = {
    "merge": ("fill_ids.sql", 4, f"ids={IDS}"),
    "timeline": ("fill_timeline.sql", 1, f"events={EVENTS}"),
}
TAKES_AWAY = "bulk_delete"
PERSONS = 10_000
ROUNDS = 3

app = App(name="bench", help=__doc__)


class Taken(Struct):
    results: list[Result]
    goals: dict[str, dict[str, Goal]]


@app.default
def run(
    *,
    persons: Annotated[list[int] | None, Parameter(consume_multiple=True)] = None,
    only: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    rounds: int = ROUNDS,
    workers: int = 1,
) -> None:
    """Measure, show a table, and keep everything as JSON in bench/results.

    Parameters
    ----------
    persons
        How many persons the database has; several sizes are measured in turn and compared.
    only
        ingest, single, lookup, list, export, merge, timeline, bulk_delete; all by default.
    rounds
        How often each measurement and its floors are taken.
    workers
        Worker processes of the server.
    """
    sizes, names = persons or [PERSONS], only or [*MEASUREMENTS, TAKES_AWAY]
    if unknown := set(names) - MEASUREMENTS.keys() - {TAKES_AWAY}:
        sys.exit(f"There is no measurement {', '.join(sorted(unknown))}.")
    console = Console(width=None if sys.stdout.isatty() else 180)
    taken = Taken([], {})
    for measured in series(names, sizes, workers=workers, rounds=rounds):
        take(measured, taken, rounds=rounds)
    report.show(taken.results, taken.goals, console=console)
    settings = {"persons": sizes, "rounds": rounds, "workers": workers}
    console.print(f"Everything: {report.write(taken.results, settings)}")


def series(
    names: Sequence[str], sizes: Sequence[int], *, workers: int, rounds: int
) -> Iterator[list[Measurement]]:
    """Measurements that are taken in turn with one another: one kind, at every size."""
    shared = [each for each in names if each in MEASUREMENTS and each not in APART]
    if kinds := [make for name in shared for make in MEASUREMENTS[name]]:
        with filled(sizes, workers) as sites:
            for make in kinds:
                yield [make(each) for each in sites]
    if TAKES_AWAY in names:
        with filled(sizes, workers) as sites:
            yield [BulkDelete(each, rounds=rounds) for each in sites]
    for name in [each for each in names if each in APART]:
        script, persons, variable = APART[name]
        with site(script, persons=persons, variables=[variable], workers=workers) as each:
            yield [make(each) for make in MEASUREMENTS[name]]


@contextmanager
def filled(sizes: Sequence[int], workers: int) -> Iterator[list[Site]]:
    """A site of each size."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                site("fill.sql", persons=size, variables=[f"persons={size}"], workers=workers)
            )
            for size in sizes
        ]


def take(measured: list[Measurement], taken: Taken, *, rounds: int) -> None:
    results = [
        Result(name=each.name, unit=each.unit, persons=each.site.persons) for each in measured
    ]
    for turn in range(1, rounds + 1):
        for each, result in zip(measured, results, strict=True):
            progress(f"{each.name}, {each.site.persons:,} persons, round {turn} of {rounds} ...")
            result.ours.append(each.ours())
            for name, sample in each.floors().items():
                result.floors.setdefault(name, []).append(sample)
    progress("")
    taken.results += results
    taken.goals |= {each.name: dict(each.goals) for each in measured}


def progress(text: str) -> None:
    """What is being done, on the last line of a terminal; a file is spared it."""
    if sys.stdout.isatty():
        print(f"\r{text}\033[K", end="", flush=True)


if __name__ == "__main__":
    app()
