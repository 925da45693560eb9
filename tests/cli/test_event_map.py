"""What an imported row means: `--map`, PostHog's own rows, cells of text."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personhood.cli.event_csv import Row
from personhood.cli.event_map import (
    BadCell,
    Reader,
    Source,
    lacking,
    mapping,
    typed,
)
from personhood.errors import InvalidSetting
from personhood.model import JSON, Properties

NOW = datetime(2024, 6, 1, tzinfo=UTC)
UUID_1 = "0190a0b0-0000-7000-8000-000000000001"


def event(
    cells: Properties, *maps: str, line: int = 2, raw: bytes = b"{}", text_cells: bool = False
) -> Properties:
    mapped = mapping(maps) if maps else None
    reader = Reader(token="phc_a", mapped=mapped, text_cells=text_cells, now=NOW)
    return msgspec.json.decode(reader.event(Row(line, raw, cells)))


def exported(**cells: JSON) -> Properties:
    return event({"distinct_id": "ada", "event": "page", "timestamp": "2024-01-02", **cells})


# --map


def test_a_map_names_columns_constants_and_a_format() -> None:
    assert mapping(["distinct_id=user_id,event='purchase',timestamp=date:%Y%m%d"]) == {
        "distinct_id": Source(column="user_id"),
        "event": Source(constant="purchase"),
        "timestamp": Source(column="date", format="%Y%m%d"),
    }


def test_a_map_may_be_given_in_parts_and_commas_and_colons_may_be_in_names() -> None:
    assert mapping(["distinct_id=a,b", 'event="x, y"', "timestamp=c:d:%d, %m %Y"]) == {
        "distinct_id": Source(column="a,b"),
        "event": Source(constant="x, y"),
        "timestamp": Source(column="c", format="d:%d, %m %Y"),
    }


def test_what_a_map_does_not_name_is_the_column_of_that_name() -> None:
    mapped = mapping(["distinct_id=user"])
    assert lacking(["user", "event"], mapped) == ["timestamp"]
    assert lacking(["user", "event", "timestamp"], mapped) == []


@pytest.mark.parametrize("text", ["", "user", "distinct_id=", "user=distinct_id", "=a"])
def test_a_map_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidSetting, match="--map does not understand"):
        mapping([text])


def test_all_other_columns_are_properties() -> None:
    made = event(
        {"u": "7", "what": "buy", "at": "1.2.2024", "price": "9.50", "$set.plan": "pro", "no": ""},
        "distinct_id=u,event=what,timestamp=at:%d.%m.%Y",
        text_cells=True,
    )
    made.pop("uuid")
    assert made == {
        "event": "buy",
        "distinct_id": "7",
        "timestamp": "2024-02-01T00:00:00+00:00",
        "properties": {"price": 9.5, "$set": {"plan": "pro"}},
    }


# PostHog's rows


def test_a_row_of_a_batch_export() -> None:
    made = exported(
        uuid=UUID_1,
        properties='{"$browser": "Firefox", "n": 1}',
        set='{"plan": "pro"}',
        set_once={"first": True},
        elements_chain="a:",
        ip="192.0.2.1",
        team_id=1,
        site_url="https://example.com",
        person_id="x",
        person_properties='{"email": "a@example.com"}',
        created_at="2024-01-02T00:00:01Z",
    )
    assert made == {
        "uuid": UUID_1,
        "event": "page",
        "distinct_id": "ada",
        "timestamp": "2024-01-02T00:00:00+00:00",
        "properties": {
            "$browser": "Firefox",
            "n": 1,
            "$elements_chain": "a:",
            "$ip": "192.0.2.1",
        },
        "$set": {"plan": "pro"},
        "$set_once": {"first": True},
    }


def test_a_row_of_the_events_api_has_its_uuid_as_id() -> None:
    made = exported(id=UUID_1, properties={"a": [1]}, elements=[], person={"is_identified": True})
    assert (made["uuid"], made["properties"]) == (UUID_1, {"a": [1]})
    assert UUID(exported(id="017")["uuid"]).version == 5


def test_a_table_with_a_column_for_each_property() -> None:
    made = event(
        {
            "distinct_id": "007", "event": "page", "timestamp": "2024-01-02 10:00:00",
            "properties": '{"a": "1"}', "properties.$browser": "Safari", "properties.n": "5",
            "properties.$set.email": "a@example.com", "properties.$set_once.n": "1",
            "properties.$unset.0": "x", "properties.$unset.1": "y", "properties.empty": "",
        },
        text_cells=True,
    )  # fmt: skip
    assert made["distinct_id"] == "007"
    assert made["properties"] == {
        "a": "1",
        "$browser": "Safari",
        "n": 5,
        "$set": {"email": "a@example.com"},
        "$set_once": {"n": 1},
        "$unset": ["x", "y"],
    }


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"event": ""}, "no event name"),
        ({"event": None}, "no event name"),
        ({"event": "$performance_event"}, "not kept"),
        ({"timestamp": None}, "no timestamp"),
        ({"timestamp": "soon"}, "timestamp not understood: 'soon'"),
        ({"timestamp": True}, "timestamp not understood"),
        ({"timestamp": "2024-06-02T00:00:00Z"}, "timestamp in the future"),
        ({"uuid": "7"}, "uuid is not one: '7'"),
        ({"properties": "{"}, "properties is not JSON"),
        ({"properties": [1]}, "properties is not a JSON object"),
        ({"set": "7"}, "set is not a JSON object"),
    ],
)
def test_a_row_that_is_no_event_says_why(cells: Properties, reason: str) -> None:
    with pytest.raises(BadCell, match=reason):
        exported(**cells)


@pytest.mark.parametrize(
    ("timestamp", "read"),
    [
        (1704067200, "2024-01-01T00:00:00+00:00"),
        (1704067200123, "2024-01-01T00:00:00.123000+00:00"),
        ("2024-01-01 00:00:00.5 UTC", "2024-01-01T00:00:00.500000+00:00"),
        ("2024-01-01T02:00:00+02:00", "2024-01-01T00:00:00+00:00"),
        ("1997-01-01", "1997-01-01T00:00:00+00:00"),
    ],
)
def test_timestamps_stay_what_they_are(timestamp: JSON, read: str) -> None:
    assert exported(timestamp=timestamp)["timestamp"] == read


# uuids


def derived(**changes: object) -> str:
    token = str(changes.pop("token", "phc_a"))
    maps = [str(changes.pop("map"))] if "map" in changes else []
    row = {"line": 2, "raw": b"a row\n", **changes}
    reader = Reader(token=token, mapped=mapping(maps), text_cells=False, now=NOW)
    return str(reader.derived_uuid(Row(cells={}, **row)))  # type: ignore[arg-type]


def test_a_row_without_uuid_gets_the_same_one_each_time() -> None:
    assert derived() == derived() == derived(raw=b"a row\r\n") == derived(raw=b"a row")
    others = [
        derived(token="phc_b"),
        derived(line=3),
        derived(raw=b"another row\n"),
        derived(map="distinct_id=u"),
    ]
    assert len({derived(), *others}) == 5


# Cells of text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("-1.50", -1.5), ("2e3", 2000.0), ("true", True), ("false", False),
        ("007", "007"), ("+1", "+1"), (".5", ".5"), ("1.", "1."), ("True", "True"),
        ("1e999", "1e999"), ("NaN", "NaN"), ("null", "null"), ("١", "١"), (" 1", " 1"),
        ("999999999999999", 999999999999999), ("1234567890123456", "1234567890123456"),
        ("37.77492950439453", 37.77492950439453), ("[1]", "[1]"),
    ],
)  # fmt: skip
def test_plain_numbers_and_booleans_become_those(text: str, value: JSON) -> None:
    assert (typed(text), type(typed(text))) == (value, type(value))


@given(st.text())
def test_a_cell_stays_as_it_is_or_is_the_json_it_reads_as(text: str) -> None:
    value = typed(text)
    assert value == text or msgspec.json.decode(text.encode()) == value


@given(st.integers(-(10**15) + 1, 10**15 - 1) | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_written_as_json_come_back(number: float) -> None:
    assert typed(msgspec.json.encode(number).decode()) == number
