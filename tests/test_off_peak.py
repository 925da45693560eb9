"""The window of deletions, around midnight and on the days that clocks are set."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personhood.off_peak import PATTERN, is_open, opening, window

NIGHT = window("02:00-05:00")
BERLIN = "Europe/Berlin"
HALF_HOUR = "Australia/Lord_Howe"  # its clocks are set by half an hour


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("now", True),
        ("02:00-05:00", True),
        ("23:30-00:30", True),
        ("00:00-23:59", True),
        ("24:00-05:00", False),
        ("2:00-5:00", False),
        ("02:60-05:00", False),
        ("02:00", False),
        ("", False),
        ("NOW", False),
    ],
)
def test_a_window_is_now_or_two_times_of_day(text: str, fits: bool) -> None:
    assert bool(re.search(PATTERN, text)) == fits


@pytest.mark.parametrize(
    ("text", "zone", "at", "opens"),
    [
        # In the window, at its ends, before and after it.
        ("02:00-05:00", "UTC", "2026-06-01T02:00", "2026-06-01T02:00"),
        ("02:00-05:00", "UTC", "2026-06-01T04:59:59.999", "2026-06-01T04:59:59.999"),
        ("02:00-05:00", "UTC", "2026-06-01T05:00", "2026-06-02T02:00"),
        ("02:00-05:00", "UTC", "2026-06-01T01:59:59.999", "2026-06-01T02:00"),
        # Across midnight.
        ("22:30-01:00", "UTC", "2026-06-01T00:59", "2026-06-01T00:59"),
        ("22:30-01:00", "UTC", "2026-06-01T01:00", "2026-06-01T22:30"),
        ("22:30-01:00", "UTC", "2026-06-01T23:59", "2026-06-01T23:59"),
        # All day.
        ("03:00-03:00", "UTC", "2026-06-01T17:00", "2026-06-01T17:00"),
        # By the project's clock.
        ("02:00-05:00", "America/New_York", "2026-01-10T12:00", "2026-01-11T07:00"),
        ("02:00-05:00", "Asia/Kolkata", "2026-01-10T12:00", "2026-01-10T20:30"),
        # Spring: after 01:59 comes 03:00 (01:00 UTC).
        ("02:00-05:00", BERLIN, "2026-03-28T22:00", "2026-03-29T01:00"),
        ("02:30-05:00", BERLIN, "2026-03-28T22:00", "2026-03-29T01:00"),
        ("02:00-03:00", BERLIN, "2026-03-29T00:00", "2026-03-30T00:00"),
        ("01:00-02:30", BERLIN, "2026-03-29T01:00", "2026-03-29T23:00"),
        # Autumn: after 02:59 comes 02:00 again (01:00 UTC).
        ("02:00-03:00", BERLIN, "2026-10-24T22:00", "2026-10-25T00:00"),
        ("02:00-03:00", BERLIN, "2026-10-25T01:59", "2026-10-25T01:59"),
        ("02:00-03:00", BERLIN, "2026-10-25T02:00", "2026-10-26T01:00"),
        ("01:30-02:30", BERLIN, "2026-10-25T00:30", "2026-10-25T01:00"),
        ("02:00-02:15", HALF_HOUR, "2026-10-03T12:00", "2026-10-04T15:00"),
    ],
)
def test_when_a_window_opens(text: str, zone: str, at: str, opens: str) -> None:
    assert opening(window(text), utc(at), zone=zone) == utc(opens)


def test_now_is_always() -> None:
    assert opening(window("now"), utc("2026-06-01T12:34:56"), zone=BERLIN) == utc(
        "2026-06-01T12:34:56"
    )


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-29", 2), ("2026-10-25", 4), ("2026-06-01", 3)]
)
def test_how_long_it_is_open_when_clocks_are_set(day: str, hours: int) -> None:
    start = utc(f"{day}T00:00") - timedelta(hours=4)
    minutes = [start + timedelta(minutes=n) for n in range(20 * 60)]
    assert sum(is_open(NIGHT, at, zone=BERLIN) for at in minutes) == hours * 60


times = st.times().map(lambda at: f"{at:%H:%M}")


@given(
    opens=times,
    closes=times,
    zone=st.sampled_from(["UTC", BERLIN, HALF_HOUR, "America/St_Johns", "Pacific/Apia"]),
    at=st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)),
)
def test_it_is_open_when_it_opens_and_closed_until_then(
    opens: str, closes: str, zone: str, at: datetime
) -> None:
    at = at.replace(tzinfo=UTC)
    asked = window(f"{opens}-{closes}")
    found = opening(asked, at, zone=zone)
    assert at <= found and is_open(asked, found, zone=zone)
    if found > at:
        assert not is_open(asked, found - timedelta(minutes=1), zone=zone)
        assert not is_open(asked, at, zone=zone)
