"""Times in filters: read in New York, at noon of the day that its clocks went ahead."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from personhood.filters import moments

ZONE = ZoneInfo("America/New_York")
NOW = datetime(2024, 3, 10, 16, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-7d", "2024-03-03T17:00:00"),  # noon as well, before the clocks changed
        ("7d", "2024-03-03T17:00:00"),
        ("-24h", "2024-03-09T16:00:00"),
        ("-0d", "2024-03-10T16:00:00"),
        ("-1w", "2024-03-03T17:00:00"),
        ("-1m", "2024-02-10T17:00:00"),
        ("-1q", "2023-12-10T17:00:00"),
        ("-1y", "2023-03-10T17:00:00"),
        ("hStart", "2024-03-10T16:00:00"),
        ("dStart", "2024-03-10T05:00:00"),
        ("-1dStart", "2024-03-09T05:00:00"),
        ("dEnd", "2024-03-11T03:59:59.999999"),
        ("wStart", "2024-03-04T05:00:00"),
        ("mStart", "2024-03-01T05:00:00"),
        ("-1mEnd", "2024-03-01T04:59:59.999999"),
        ("qStart", "2024-01-01T05:00:00"),
        ("-1qStart", "2023-10-01T04:00:00"),
        ("yStart", "2024-01-01T05:00:00"),
        ("yEnd", "2025-01-01T04:59:59.999999"),
        ("2024-03-01", "2024-03-01T05:00:00"),
        ("2024-03-01T00:00", "2024-03-01T05:00:00"),
        ("2024-03-01 00:00:30.5", "2024-03-01T05:00:30.500000"),
        ("2024-03-01T00:00:00Z", "2024-03-01T00:00:00"),
        ("2024-03-01T00:00:00+05:30", "2024-02-29T18:30:00"),
        ("2024-03-01T00:00:00-0230", "2024-03-01T02:30:00"),
        ("2024-03-01T00:00:00.123456789Z", "2024-03-01T00:00:00.123456"),
        ("1709251200", "2024-03-01T00:00:00"),
        ("1709251200250", "2024-03-01T00:00:00.250000"),
    ],
)
def test_a_time(text: str, expected: str) -> None:
    moment = moments.read(text, now=NOW, zone=ZONE)
    assert moment is not None
    assert moment.at == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    "|d|soon|-7|-7x|--7d|2024-02-30|2024-13-01|2024-03-01T24:00|0000-01-01|2024-3-1|-9999999d|-99999y"
    "|2024-03-01T00:00:00+99:00|\N{ARABIC-INDIC DIGIT ONE}d".split("|"),
)
def test_no_time(text: str) -> None:
    assert moments.read(text, now=NOW, zone=ZONE) is None


def test_a_day_means_all_of_it_where_the_clocks_change() -> None:
    moment = moments.read("2024-03-10", now=NOW, zone=ZONE)
    assert moment is not None and moment.day is not None
    assert moment.day.high is not None and moment.day.low is not None
    assert moment.day.high - moment.day.low == timedelta(hours=23)
