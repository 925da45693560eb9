"""Rows as CSV: columns, the text of cells, and what a spreadsheet must not run (persons-api, 9)."""

import csv
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personhood.http.sheet import FORMULA_STARTS, NUMBER, columns_of, flat, lines, safe

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def table(*objects: Any) -> str:
    rows = [flat(each) for each in objects]
    return b"".join(lines(columns_of(rows), rows)).decode()


def test_columns_are_those_of_all_rows_in_the_order_of_their_text() -> None:
    many = {"ids": [str(n) for n in range(11)]}
    header = table({"b": 1, "B": 2, "$c": 3}, many).splitlines()[0]
    assert header == "$c,B,b,ids.0,ids.1,ids.10,ids.2,ids.3,ids.4,ids.5,ids.6,ids.7,ids.8,ids.9"


def test_what_nests_is_spread_over_columns() -> None:
    nested = {"a": {"b": {"c": 1}}, "d": [{"e": 2}, [3, 4]]}
    assert table(nested) == "a.b.c,d.0.e,d.1.0,d.1.1\r\n1,2,3,4\r\n"


def test_an_empty_list_or_object_makes_no_column_and_null_an_empty_cell() -> None:
    assert table({"a": [], "b": {}, "c": None, "d": 1}) == "c,d\r\n,1\r\n"


def test_no_rows_and_no_columns_are_an_empty_file() -> None:
    assert table() == table({}) == table({"a": []}) == ""


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (True, "True"),
        (False, "False"),
        (-5, "-5"),
        (1.5, "1.5"),
        (2.0, "2.0"),
        (1e-7, "1e-07"),
        (10**30, "1" + "0" * 30),
        (datetime(2021, 8, 25, 22, 9, 14, 252000, UTC), "2021-08-25 22:09:14.252000+00:00"),
        (datetime(2020, 1, 1, tzinfo=UTC), "2020-01-01 00:00:00+00:00"),
        ("true", "true"),
        ("", ""),
        (" a ", " a "),
        ("a,b", '"a,b"'),
        ('say "hi"', '"say ""hi"""'),
        ("two\nlines", '"two\nlines"'),
        ("Zoë 🦊", "Zoë 🦊"),
    ],
)
def test_a_cell_is_the_text_of_its_value(value: Any, cell: str) -> None:
    assert table({"a": value, "b": 1}) == f"a,b\r\n{cell},1\r\n"


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1-1",
        "-2+3",
        "@SUM(A1)",
        "\tx",
        "\rx",
        "\n=1",
        "=",
        "-",
        "+49 170 1",
        "-5=",
        "-1\n",
    ],
)
def test_a_spreadsheet_runs_no_formula(text: str) -> None:
    assert safe(text) == f"'{text}"
    [[header], [cell]] = csv.reader(StringIO(table({text: text}), newline=""))
    assert header == cell == f"'{text}"


@pytest.mark.parametrize("text", ["-5", "+1.5", "-.5", "-5.", "+49170", "-1e-7", "-1.5E+10"])
def test_a_number_stays_one(text: str) -> None:
    assert safe(text) == text


@pytest.mark.parametrize("text", ["a=1", "a\t", "", " =1", "'=1", "٣", "1=1"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert safe(text) == text


def test_of_two_values_with_one_path_the_last_stays() -> None:
    assert table({"a": {"b": 1}, "a.b": 2}) == "a.b\r\n2\r\n"


def test_deep_nesting_is_spread_as_well() -> None:
    value: Any = 1
    for _ in range(5_000):
        value = [value]
    assert len(flat({"a": value})) == 1


@given(st.lists(st.dictionaries(st.text(), JSON_VALUES, max_size=4), max_size=4))
def test_a_file_reads_back_as_it_was_written(objects: list[dict[str, Any]]) -> None:
    rows = [flat(each) for each in objects]
    text = b"".join(lines(columns_of(rows), rows)).decode(errors="surrogatepass")
    read = list(csv.reader(StringIO(text, newline="")))
    columns = columns_of(rows)
    if not columns:
        assert text == ""
        return
    assert len(read) == len(rows) + 1
    for row, cells in zip(rows, read[1:], strict=True):
        for name, cell in zip(columns, cells, strict=True):
            value = row.get(name)
            assert cell == ("" if value is None else safe(str(value)))
            assert not cell.startswith(FORMULA_STARTS) or NUMBER.fullmatch(cell)
