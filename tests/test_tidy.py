"""The code's own order: what the style page promises, measured."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "personhood").rglob("*.py"))
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 50
PARAMETERS_MAX = 3

NO_SUCH_NAMES = {"utils", "helpers", "common", "base", "services", "repositories", "dto", "types"}
STATEMENT = re.compile(
    r"^\s*(SELECT|INSERT INTO|UPDATE \w+\s+SET|DELETE FROM|WITH RECURSIVE)\b", re.M
)

each_module = pytest.mark.parametrize(
    "module", MODULES, ids=[str(module.relative_to(ROOT)) for module in MODULES]
)


def functions(module: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@each_module
def test_a_module_is_short_and_says_what_it_is_for(module: Path) -> None:
    text = module.read_text()
    assert len(text.splitlines()) <= MODULE_LINES_MAX
    assert not text or ast.get_docstring(ast.parse(text))


@each_module
def test_functions_are_short(module: Path) -> None:
    long = {
        node.name: length
        for node in functions(module)
        if (length := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX
        # A statement is written whole; what counts is the code around it.
        and length - statement_lines(node) > FUNCTION_LINES_MAX
    }
    assert not long


def statement_lines(node: ast.AST) -> int:
    return sum(
        child.value.count("\n")
        for child in ast.walk(node)
        if isinstance(child, ast.Constant) and isinstance(child.value, str)
    )


@each_module
def test_parameters_that_could_be_swapped_are_named(module: Path) -> None:
    many = {
        node.name: len(positional)
        for node in functions(module)
        if len(positional := [a for a in node.args.args if a.arg not in ("self", "cls")])
        > PARAMETERS_MAX
    }
    assert not many


@each_module
def test_sql_lives_in_the_store(module: Path) -> None:
    if "store" in module.parts:
        return
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    found = [
        node.value
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in docstrings
        and STATEMENT.search(node.value)
    ]
    assert not found


def test_no_module_is_named_after_nothing() -> None:
    assert not {module.stem for module in MODULES} & NO_SUCH_NAMES


def test_nothing_is_left_for_later() -> None:
    marks = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
    assert not [str(module) for module in MODULES if marks.search(module.read_text())]
