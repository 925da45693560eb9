"""The window of a timeline (contract: persons-api, 4.4)."""

from datetime import UTC, datetime

import pytest

from personhood.timeline.window import Dates, window

NOW = datetime(2020, 1, 9, 21, 37, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("dates", "start", "end"),
    [
        (Dates(), "2020-01-02T00:00:00", "2020-01-09T23:59:59.999999"),
        (Dates(date_from="-7d"), "2020-01-02T00:00:00", "2020-01-09T23:59:59.999999"),
        (Dates(date_from="-24h"), "2020-01-08T00:00:00", "2020-01-09T23:59:59.999999"),
        (Dates(date_from="-1mStart"), "2019-12-01T00:00:00", "2020-01-09T23:59:59.999999"),
        (Dates(date_from="all"), "2020-01-02T00:00:00", "2020-01-09T23:59:59.999999"),
        (
            Dates(date_from="-3d", date_to="-1d"),
            "2020-01-06T00:00:00",
            "2020-01-08T23:59:59.999999",
        ),
        (
            Dates(date_from="2020-01-02", date_to="2020-01-03", interval="week"),
            "2020-01-02T00:00:00",
            "2020-01-03T23:59:59.999999",
        ),
        (
            Dates(date_from="-2h", interval="hour"),
            "2020-01-09T19:00:00",
            "2020-01-09T21:59:59.999999",
        ),
        (
            Dates(date_from="-5h", date_to="-2h", interval="hour"),
            "2020-01-09T16:00:00",
            "2020-01-09T19:59:59.999999",
        ),
        (
            Dates(date_from="2020-01-02T10:20", date_to="2020-01-02T11:30:05", interval="hour"),
            "2020-01-02T10:00:00",
            "2020-01-02T11:30:05",
        ),
        (
            Dates(date_from="2020-01-31", date_to="2020-01-31", interval="month"),
            "2020-01-31T00:00:00",
            "2020-02-28T23:59:59.999999",
        ),
        (
            Dates(date_from="2020-01-02", date_to="2020-01-02", interval="week"),
            "2020-01-02T00:00:00",
            "2020-01-08T23:59:59.999999",
        ),
        (
            Dates(
                date_from="2020-01-02",
                date_to="2020-01-02",
                interval="month",
                display="ActionsTable",
            ),
            "2020-01-02T00:00:00",
            "2020-01-02T23:59:59.999999",
        ),
        (
            Dates(date_from="2020-01-02T10:20:30", date_to="2020-01-02T10:20:31", is_exact=True),
            "2020-01-02T10:20:30",
            "2020-01-02T10:20:31",
        ),
    ],
)
def test_windows(dates: Dates, start: str, end: str) -> None:
    found = window(dates, now=NOW, zone="UTC")
    assert found.start.isoformat() == f"{start}+00:00"
    assert found.end.isoformat() == f"{end}+00:00"


def test_days_are_those_of_the_zone_also_where_clocks_change() -> None:
    dates = Dates(date_from="2024-03-31", date_to="2024-03-31")
    found = window(dates, now=NOW, zone="Europe/Berlin")
    assert found.start.isoformat() == "2024-03-31T00:00:00+01:00"
    assert found.end.isoformat() == "2024-03-31T23:59:59.999999+02:00"
    assert found.since.isoformat() == "2024-03-30T23:00:00+00:00"
    assert found.until.isoformat() == "2024-03-31T21:59:59.999999+00:00"


def test_all_is_from_the_first_event_on() -> None:
    first = datetime(2011, 1, 1, 2, tzinfo=UTC)
    found = window(Dates(date_from="all"), now=NOW, zone="America/New_York", earliest=first)
    assert found.start.isoformat() == "2010-12-31T00:00:00-05:00"
