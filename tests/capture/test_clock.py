import warnings
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from personhood.capture import clock
from personhood.capture.clock import EPOCH, event_time, read, sent_at_of_query, skew_of, uuid7

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)

VECTORS = [
    # id, timestamp, sent_at, offset_ms, ignores sent_at, stored
    ("T1", "2026-05-01T11:00:00Z", None, None, False, "2026-05-01T11:00:00Z"),
    ("T2", "2026-05-01T11:59:00Z", "2026-05-01T12:02:00Z", None, False, "2026-05-01T11:59:00Z"),
    ("T3", "2026-05-01T12:09:00Z", "2026-05-01T12:10:00Z", None, False, "2026-05-01T11:59:00Z"),
    ("T4", "2026-05-01T12:02:30Z", "2026-05-01T12:02:30Z", None, False, "2026-05-01T11:57:30Z"),
    ("T5", "2026-05-01T12:02:29Z", "2026-05-01T12:02:29Z", None, False, "2026-05-01T12:02:29Z"),
    ("T6", "2026-05-01T11:51:00Z", "2026-05-01T11:52:00Z", None, False, "2026-05-01T12:01:00Z"),
    ("T7", "2026-05-01T12:09:00Z", "2026-05-01T12:10:00Z", None, True, "2026-05-01T12:09:00Z"),
    ("T8", "2026-05-01T11:00:00Z", "2026-05-01T18:00:00Z", 5000, False, "2026-05-01T11:59:55Z"),
    ("T9", None, "2026-05-01T18:00:00Z", None, False, "2026-05-01T12:00:00Z"),
    ("T10", "2026-05-02T12:00:00Z", None, None, False, "2026-05-01T12:00:00Z"),
    ("T11", "2026-05-02T10:00:00Z", None, None, False, "2026-05-02T10:00:00Z"),
    ("T12", "garbage", None, None, False, "2026-05-01T12:00:00Z"),
    ("half of -5 min", "2026-05-01T11:00:00Z", "2026-05-01T11:57:30Z", None, False,
     "2026-05-01T11:05:00Z"),
    ("from the future", None, None, -82_800_001, False, "2026-05-01T12:00:00Z"),
    ("offset ends before year 1", None, None, 10**15, False, "1970-01-01T00:00:00Z"),
    ("offset beyond any date", None, None, 10**400, False, "1970-01-01T00:00:00Z"),
    ("offset beyond any date, ahead", None, None, -(10**18), False, "1970-01-01T00:00:00Z"),
    ("year 55840", "+055840-12-04T00:00:00.000Z", None, None, False, "1970-01-01T00:00:00Z"),
    ("year -1", "-000001-12-04T00:00:00.000Z", None, None, False, "1970-01-01T00:00:00Z"),
    ("year 0", "0000-12-04T00:00:00Z", None, None, False, "1970-01-01T00:00:00Z"),
    ("year 0 in UTC", "0001-01-01T00:00:00+05:00", None, None, False, "1970-01-01T00:00:00Z"),
    ("year 10000 in UTC", "9999-12-31T23:00:00-05:00", None, None, False, "1970-01-01T00:00:00Z"),
    ("skew leaves the calendar", "0001-01-02T00:00:00Z", "9999-01-01", None, False,
     "1970-01-01T00:00:00Z"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("timestamp", "sent_at", "offset_ms", "ignores", "stored"),
    [vector[1:] for vector in VECTORS],
    ids=[vector[0] for vector in VECTORS],
)
def test_time_of_an_event(timestamp, sent_at, offset_ms, ignores, stored):
    skew = skew_of(read(sent_at) if sent_at and not ignores else None, now=NOW)
    time, readable = event_time(timestamp, now=NOW, skew=skew, offset_ms=offset_ms)
    assert time == datetime.fromisoformat(stored)
    assert readable is (timestamp != "garbage")


def test_an_offset_does_not_hide_that_the_timestamp_is_unreadable():
    assert event_time("garbage", now=NOW, offset_ms=5000) == (NOW - timedelta(seconds=5), False)


FORMATS = {
    "2024-05-06T07:08:09Z": "2024-05-06T07:08:09",
    "2024-05-06T07:08:09z": "2024-05-06T07:08:09",
    "2024-05-06t07:08:09Z": "2024-05-06T07:08:09",
    "2024-05-06T07:08:09.123Z": "2024-05-06T07:08:09.123",
    "2024-05-06T07:08:09.123456789Z": "2024-05-06T07:08:09.123456",
    "2024-05-06T07:08:09": "2024-05-06T07:08:09",
    "2024-05-06 07:08:09": "2024-05-06T07:08:09",
    "2024-05-06T07:08:09+02": "2024-05-06T05:08:09",
    "2024-05-06T07:08:09+0200": "2024-05-06T05:08:09",
    "2024-05-06T07:08:09-05:30": "2024-05-06T12:38:09",
    "2024-05-06 07:08:09 +0200": "2024-05-06T05:08:09",
    "2024-05-06 07:08:09 UTC": "2024-05-06T07:08:09",
    " 2024-05-06T07:08:09Z ": "2024-05-06T07:08:09",
    "2024-05-06": "2024-05-06T00:00:00",
    "2024-05-06T07:08": "2024-05-06T07:08:00",
    "20240506T070809Z": "2024-05-06T07:08:09",
    "20240506": "2024-05-06T00:00:00",
    "1714979289": "2024-05-06T07:08:09",
    "1714979289.5": "2024-05-06T07:08:09.5",
    "1714979289123": "2024-05-06T07:08:09.123",
    "1714979289123456": "2024-05-06T07:08:09.123456",
    "1714979289123456789": "2024-05-06T07:08:09.123456",
    "999999999": "2001-09-09T01:46:39",
    "Mon, 06 May 2024 07:08:09 GMT": "2024-05-06T07:08:09",
    "Mon, 06 May 2024 07:08:09 +0200": "2024-05-06T05:08:09",
    "6 May 2024 07:08:09 EST": "2024-05-06T12:08:09",
    "Mon May 06 2024 07:08:09 GMT+0200 (Central European Summer Time)": "2024-05-06T05:08:09",
    "May 6, 2024, 7:08 PM": "2024-05-06T19:08:00",
    "2024/05/06 07:08:09": "2024-05-06T07:08:09",
    "5/6/2024": "2024-05-06T00:00:00",
    "6 May 2024": "2024-05-06T00:00:00",
}


@pytest.mark.parametrize(("text", "time"), FORMATS.items())
def test_a_timestamp_may_be_written_as(text, time):
    parsed = read(text)
    assert parsed == datetime.fromisoformat(time).replace(tzinfo=UTC)
    assert parsed.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "now",
        "today",
        "10:00",
        "10:00:00 UTC",
        "Monday",
        "Monday May 2024",
        "May",
        "May 6",
        "May 2024",
        "2024",
        "2024-05",
        "12",
        "1 2 3",
        "5/6/24",
        "2024-05-06x07:08:09",
        "2024-05-06T07:08:09 Mars/Phobos",
        "2024-05-06 07:08:09 CET",
        "2024-13-01",
        "2024-02-30",
        "2024-05-06T25:00:00",
        "2024-05-06T07:08:09+99:00",
        "1714979289e3",
        "NaN",
        "null",
        "²⁰²⁴-05-06",
        "٢٠٢٤-٠٥-٠٦",
        "2024-05-06 " * 50,
        "2024-05-06" + " " * 100_000 + "x",
    ],
)
def test_a_timestamp_is_not(text):
    with pytest.raises(ValueError):
        read(text)


def test_nothing_missing_is_filled_in_from_today():
    for text in ("10:00 May 2026", "6 May 10:00", "Fri 10:00 2026", "Sun 2026 May"):
        with pytest.raises(ValueError):
            read(text)


ODD_TEXT = st.text() | st.text(alphabet="0123456789 -:/.,+TZapmMGUTCeyFrid()", max_size=40)


@given(ODD_TEXT, st.integers() | st.none(), st.datetimes(timezones=st.just(UTC)))
@example("0:0:0 1e5 2024", None, NOW)
@example("9999-12-31T23:59:59.999999Z", None, EPOCH)
def test_any_text_gives_a_time_and_never_an_error(text, offset_ms, sent_at):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        skew = skew_of(sent_at, now=NOW)
        time, _ = event_time(text, now=NOW, skew=skew, offset_ms=offset_ms)
    assert time.tzinfo is UTC
    assert time <= NOW + timedelta(hours=23)


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)))
def test_what_isoformat_writes_is_read_back(time):
    time = time.replace(tzinfo=UTC)
    assert read(time.isoformat()) == time


@given(st.timedeltas(min_value=timedelta(days=-3), max_value=timedelta(days=3)))
def test_skew_is_a_multiple_of_five_minutes_and_at_most_half_of_that_away(ahead):
    skew = skew_of(NOW + ahead, now=NOW)
    assert skew % clock.SKEW_STEP == timedelta(0)
    assert abs(skew - ahead) <= clock.SKEW_STEP / 2
    assert skew_of(NOW - ahead, now=NOW) == -skew


@pytest.mark.parametrize(
    ("text", "sent_at"),
    [
        ("1777636800000", NOW),
        ("1777636800", None),  # seconds: read as milliseconds it is 1970
        ("1609459199999", None),  # the last of 2020
        ("1609459200000", datetime(2021, 1, 1, tzinfo=UTC)),
        ("253402300800000", None),
        ("9" * 5000, None),
        ("", None),
        ("-1", None),
        ("x", None),
        ("²", None),
        (None, None),
    ],
)
def test_sent_at_of_the_query(text, sent_at):
    assert sent_at_of_query(text) == sent_at


@given(
    st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)),
)
def test_uuid7_begins_with_the_time(time):
    uuid = uuid7(time)
    assert (uuid.version, uuid.variant) == (7, "specified in RFC 4122")
    assert uuid.int >> 80 == (time - EPOCH) // timedelta(milliseconds=1)
    assert uuid != uuid7(time)


def test_uuid7_before_1970_has_time_zero():
    assert uuid7(datetime(1, 1, 1, tzinfo=UTC)).int >> 80 == 0
