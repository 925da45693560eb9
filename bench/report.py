"""The table on the screen, and the same and more as JSON."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import msgspec
from rich.console import Console
from rich.table import Table

from bench.measure import Goal, Result, Sample, typical

RESULTS = Path(__file__).parent / "results"
Goals = Mapping[str, Mapping[str, Goal]]  # by measurement, by floor


def show(results: Sequence[Result], goals: Goals, *, console: Console) -> None:
    """One line for each floor; processor time is in microseconds for one operation."""
    table = Table(box=None, pad_edge=False, header_style="bold", collapse_padding=True)
    table.add_column("measurement", no_wrap=True)
    for heading in ("persons", "ours", "p99 ms"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("floor", no_wrap=True)
    for heading in ("its", "ratio (spread)", "goal", ""):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("server µs", "pg µs", "floor µs", "client"):
        table.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        for index, row in enumerate(rows(result, goals[result.name])):
            table.add_row(*(row if index == 0 else ["", "", "", "", *row[4:9], "", "", *row[11:]]))
    console.print(table)
    for line in comparisons(results):
        console.print(line)


def rows(result: Result, goals: Mapping[str, Goal]) -> list[list[str]]:
    ours = result.ours
    figure = typical(ours, "figure")
    p99 = typical(ours, "p99_ms")
    head = [result.name, f"{result.persons:,}", told(figure, result.unit), f"{p99:.1f}"]
    spent = [f"{typical(ours, 'server_us'):,.0f}", f"{typical(ours, 'postgres_us'):,.0f}"]
    client = f"{typical(ours, 'client_share'):.0%}"
    made: list[list[str]] = []
    if alone := goals.get(""):
        made.append([*head, "", "", "", str(alone), verdict(alone, figure, 0), *spent, "", client])
    for floor, samples in result.floors.items():
        ratios = result.ratios(floor)
        ratio = median(ratios)
        goal = goals.get(floor, Goal())
        made.append(
            [
                *head,
                floor,
                told(typical(samples, "figure"), result.unit),
                f"{share(ratio)} ({share(min(ratios))}-{share(max(ratios))})",
                str(goal),
                verdict(goal, figure, ratio),
                *spent,
                f"{total_us(samples):,.0f}",
                "" if made else client,
            ]
        )
    return made or [[*head, "", "", "", "", "", *spent, "", client]]


def told(figure: float, unit: str) -> str:
    number = f"{figure:,.0f}" if figure >= 100 else f"{figure:.1f}"
    return f"{number} ms" if unit == "ms" else f"{number}/s"


def share(ratio: float) -> str:
    return f"{ratio:.0%}" if ratio < 10 else f"{ratio:.0f}x"


def verdict(goal: Goal, figure: float, ratio: float) -> str:
    if goal == Goal():
        return ""
    reached = goal.is_reached(figure=figure, ratio=ratio)
    return "[green]reached[/]" if reached else "[red]missed[/]"


def total_us(samples: list[Sample]) -> float:
    return sum(typical(samples, name) for name in ("server_us", "postgres_us", "tools_us"))


def comparisons(results: Sequence[Result]) -> list[str]:
    """Every measurement that was taken at several sizes: the largest against the smallest."""
    lines: list[str] = []
    for name in dict.fromkeys(result.name for result in results):
        sizes = sorted((r for r in results if r.name == name), key=lambda r: r.persons)
        small, large = sizes[0], sizes[-1]
        if small.persons == large.persons:
            continue
        slower = slowdown(small, large)
        spent = (cpu_us(large) / cpu_us(small)) if cpu_us(small) else 0
        lines.append(
            f"{name}: {large.persons:,} persons take {slower:.2f} times as long as "
            f"{small.persons:,}, and {spent:.2f} times the processor time"
            + (" (goal <= 1.5)" if large.unit != "ms" else "")
        )
    return lines


def slowdown(small: Result, large: Result) -> float:
    pairs = zip(small.ours, large.ours, strict=True)
    ratios = [after.figure / before.figure for before, after in pairs]
    return median(ratios) if large.unit == "ms" else 1 / median(ratios)


def cpu_us(result: Result) -> float:
    return typical(result.ours, "server_us") + typical(result.ours, "postgres_us")


def write(results: Sequence[Result], settings: Mapping[str, object]) -> Path:
    RESULTS.mkdir(exist_ok=True)
    at = datetime.now(UTC)
    path = RESULTS / f"{at:%Y-%m-%dT%H-%M-%S}.json"
    content = {
        "at": at.isoformat(),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        "settings": settings,
        "results": msgspec.to_builtins(results),
    }
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path
