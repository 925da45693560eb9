"""Rows for people and for programs: a table in a terminal, aligned text in a pipe, or JSON."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text


def moment(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"


def print_json(value: Any) -> None:
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


# What one wants to copy is not folded where there is room for it.
COPIED = ("TOKEN", "KEY (shown once)")


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    console = Console()
    if console.is_terminal:
        table = Table(header_style="bold", box=None)
        for column, *below in zip(columns, *cells, strict=True):
            width = max(map(len, [column, *below]))
            whole = column in COPIED and width < 2 * console.width // 3
            table.add_column(column, overflow="fold", no_wrap=whole)
        for row in cells:
            table.add_row(*map(Text, row))
        console.print(table)
        return
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    for row in [list(columns), *cells]:
        print("  ".join(map(str.ljust, row, widths)).rstrip())
