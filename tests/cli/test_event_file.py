"""Reading a file of events: its form, its rows and where they are, its bad rows."""

import csv
import gzip
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personhood.cli import event_file, event_map
from personhood.cli.event_csv import BadRow, Header, Piece, Row, rows
from personhood.errors import InvalidSetting, PersonhoodError

HEADER = "distinct_id,event,timestamp,properties\n"


def read(path: Path, *maps: str) -> list[Row | BadRow]:
    mapped = event_map.mapping(maps) if maps else None
    with event_file.opened(path, lambda columns: event_map.lacking(columns, mapped)) as file:
        return list(file.rows)


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "events"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def seen(found: list[Row | BadRow]) -> list[tuple[int, object]]:
    return [(row.line, row.reason if isinstance(row, BadRow) else row.cells) for row in found]


def test_json_lines_have_the_number_of_their_line(tmp_path: Path) -> None:
    path = written(
        tmp_path, '\ufeff{"a": 1}\n\n  {"a": 2}\r\n[3]\n{"a": 4\n"5"\n{"a": 1e999}\n\n{}'
    )
    assert seen(read(path)) == [
        (1, {"a": 1}),
        (3, {"a": 2}),
        (4, "not a JSON object"),
        (5, "not JSON: Expecting ',' delimiter at column 8"),
        (6, "not a JSON object"),
        (7, "a number out of range"),
        (9, {}),
    ]


def test_rows_keep_their_bytes(tmp_path: Path) -> None:
    text = b'{"a": 1}\r\n\xff\n{"a"}'
    found = read(written(tmp_path, text))
    assert b"".join(row.raw for row in found) == text


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_out(tmp_path: Path, delimiter: str) -> None:
    text = "timestamp,event,distinct_id,note\n2024-01-01,page,ada,hi\n".replace(",", delimiter)
    cells = {"timestamp": "2024-01-01", "event": "page", "distinct_id": "ada", "note": "hi"}
    assert seen(read(written(tmp_path, text))) == [(2, cells)]


def test_columns_may_be_apart_by_any_white_space(tmp_path: Path) -> None:
    path = written(tmp_path, " customer  date cds\n 00001 19970101  1\n\n 00002 1997\n")
    assert seen(read(path, "distinct_id=customer,event='buy',timestamp=date:%Y%m%d")) == [
        (2, {"customer": "00001", "date": "19970101", "cds": "1"}),
        (4, "2 columns where the first line has 3"),
    ]


def test_a_record_may_go_over_lines_and_counts_from_its_first(tmp_path: Path) -> None:
    properties = json.dumps({"a": "x,y", "b": 1}, indent=1)
    text = io.StringIO()
    csv.writer(text).writerows([["u", "e", "t", properties], ["u2", "e", "t", ""]])
    found = read(written(tmp_path, HEADER + text.getvalue()))
    assert [row.line for row in found] == [2, 6]
    assert isinstance(found[0], Row)
    assert found[0].cells["properties"] == properties


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ('u,e,t,"open', "a quote is opened and never closed"),
        ('u,e,t,"a"b', "',' expected after '\"'"),
        ("u,e,t", "3 columns where the first line has 4"),
        ("u,e,t,p,q", "5 columns where the first line has 4"),
    ],
)
def test_a_bad_record_costs_its_first_line_only(tmp_path: Path, bad: str, reason: str) -> None:
    good = {"distinct_id": "u", "event": "e", "timestamp": "t", "properties": ""}
    path = written(tmp_path, HEADER + f"u,e,t,\n{bad}\nu,e,t,\nu,e,t,\n")
    assert seen(read(path)) == [(2, good), (3, reason), (4, good), (5, good)]


def test_text_that_is_not_utf_8_is_a_bad_row(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER.encode() + b"u,e,t,\xff\nu,e,t,\n")
    assert [row.line for row in read(path) if isinstance(row, BadRow)] == [2]


def test_a_line_that_is_too_long_is_one_bad_row_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_file, "LINE_BYTES_MAX", 100)
    for start, good in ((b"", b'{"a": 1}\n'), (HEADER.encode(), b"u,e,t,\n")):
        text = start + good + b'{"a": "' + b"x" * 300 + b'"}\n' + good
        found = read(written(tmp_path, text))
        bad = [row for row in found if isinstance(row, BadRow)]
        assert [row.continued for row in bad] == [False, True, True, True]
        assert b"".join(row.raw for row in found) == text[len(start) :]
        assert len(found) == 6
        assert found[-1].line == found[0].line + 2


def test_a_quote_that_is_never_closed_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_file, "LINE_BYTES_MAX", 100)
    found = read(written(tmp_path, HEADER + 'u,e,t,"\n' + "u,e,t,\n" * 50))
    assert seen(found)[0] == (2, "a quote is opened and not closed for too long")
    assert len([row for row in found if isinstance(row, Row)]) == 50


def test_stars_of_posthogs_tables_are_taken_off_and_win(tmp_path: Path) -> None:
    text = "event,*.event,*.distinct_id,*.timestamp,person.name,\nEVENT,page,ada,2024,Ada,7\n"
    assert seen(read(written(tmp_path, text))) == [
        (2, {"event": "page", "distinct_id": "ada", "timestamp": "2024", "person.name": "Ada"})
    ]


@pytest.mark.parametrize("name", ["events.jsonl", "events.csv.gz"])
def test_gzip_is_known_by_its_bytes_whatever_the_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(b'{"a": 1}\n') + gzip.compress(b'{"a": 2}\n'))
    assert seen(read(path)) == [(1, {"a": 1}), (2, {"a": 2})]


def test_a_gzip_file_that_breaks_off_says_where(tmp_path: Path) -> None:
    text = b"".join(b'{"a": %d}\n' % number for number in range(100_000))
    path = written(tmp_path, gzip.compress(text)[:-1000])
    with pytest.raises(PersonhoodError, match=r"cannot be read on after line \d+"):
        read(path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (b"PAR1\x00\x01", "neither UTF-8 text nor gzip'd"),
        (b"\x28\xb5\x2f\xfdabc", "neither UTF-8 text nor gzip'd"),
        ('{"a": 1}'.encode("utf-16"), "neither UTF-8 text nor gzip'd"),
        (b"\xff,event\n", "not UTF-8"),
        (b"[{}]", "one JSON array"),
        (b"a,b\n1,2\n", "no column distinct_id and no column event and no column timestamp"),
        (b"distinct_id,event,at\n1,2,3\n", "no column timestamp .*names distinct_id, event, at"),
        (b"distinct_id,event,timestamp,x,x\n", "the column x twice"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(
    tmp_path: Path, content: bytes, complaint: str
) -> None:
    with pytest.raises(InvalidSetting, match=complaint):
        read(written(tmp_path, content))


cell = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@given(st.lists(st.lists(cell, min_size=3, max_size=3)), st.sampled_from(",;\t|"))
def test_what_a_csv_writer_wrote_is_read_back(written: list[list[str]], delimiter: str) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows(written)
    lines = text.getvalue().encode().split(b"\n")
    pieces = [Piece(number, line + b"\n") for number, line in enumerate(lines[:-1], 2)]
    found = list(rows(iter(pieces), Header(delimiter, ["a", "b", "c"]), bytes_max=10_000))
    assert [list(row.cells.values()) for row in found if isinstance(row, Row)] == written
    assert b"".join(row.raw for row in found) == text.getvalue().encode()
    assert [row.line for row in found] == sorted({row.line for row in found})
