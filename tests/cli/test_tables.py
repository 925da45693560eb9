"""Tables in a terminal."""

import io

import pytest
from rich.console import Console

from personhood.cli import tables

TOKEN = "phc_" + "x" * 43
ROW = [1, "A shop with a rather long name", TOKEN, "2026-11-25 10:10"]


@pytest.mark.parametrize(("width", "whole"), [(80, True), (120, True), (40, False)])
def test_a_token_is_not_folded_where_there_is_room(
    monkeypatch: pytest.MonkeyPatch, width: int, whole: bool
) -> None:
    terminal = Console(file=io.StringIO(), width=width, force_terminal=True)
    monkeypatch.setattr(tables, "Console", lambda: terminal)
    tables.print_rows(["ID", "NAME", "TOKEN", "CREATED"], [ROW])
    assert isinstance(terminal.file, io.StringIO)
    shown = terminal.file.getvalue()
    assert (TOKEN in shown) == whole
    assert shown.count("x") == TOKEN.count("x"), "all of it is there"
