"""Times in filters: ISO 8601, seconds or milliseconds since 1970, or relative to now.

`-7d` is seven days ago to the second, `-1mStart` the beginning of last month, `dEnd` the end of
today; hours, days, weeks (from Monday), months, quarters and years, in the project's time zone.
"""

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from dateutil.relativedelta import relativedelta
from msgspec import Struct

from personhood.filters.tree import Span

# The same as `instant_of` in the database (migration 0005).
ISO = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6})[0-9]{0,3})?)?"
    r" ?(?:(Z)|([+-])([0-9]{2})(?::?([0-9]{2}))?)?)?"
)
UNIX = re.compile(r"([0-9]{10})([0-9]{3})?")
RELATIVE = re.compile(r"-?([0-9]{0,6})([hdwmqy])(Start|End)?")
STEPS = {
    "h": relativedelta(hours=1),
    "d": relativedelta(days=1),
    "w": relativedelta(weeks=1),
    "m": relativedelta(months=1),
    "q": relativedelta(months=3),
    "y": relativedelta(years=1),
}


class Moment(Struct, frozen=True):
    """A time, and the day that is meant where no hour is named."""

    at: datetime
    day: Span[datetime] | None = None


def read(text: str, *, now: datetime, zone: tzinfo) -> Moment | None:
    """What `text` means at `now`, in UTC; None if it is no time, or beyond the years 1 to 9999."""
    try:
        return relative(text, now=now, zone=zone) or absolute(text, zone)
    except (ValueError, OverflowError):
        return None


def written(text: str, *, zone: tzinfo) -> Moment | None:
    """The same, of a time that does not depend on when it is read."""
    try:
        return absolute(text, zone)
    except (ValueError, OverflowError):
        return None


def absolute(text: str, zone: tzinfo) -> Moment | None:
    if match := UNIX.fullmatch(text):
        seconds, thousandths = match.groups(default="0")
        return Moment(
            datetime.fromtimestamp(int(seconds), UTC) + timedelta(milliseconds=int(thousandths))
        )
    match = ISO.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, _, sign, hours, minutes = match.groups("0")
    on = date(int(year), int(month), int(day))
    if match[4] is None:
        return whole_day(on, zone)
    naive = datetime.combine(
        on, time(int(hour), int(minute), int(second), int(fraction.ljust(6, "0")))
    )
    if match[8]:
        return Moment(naive.replace(tzinfo=UTC))
    if match[9]:
        ahead = offset(sign, int(hours), int(minutes))
        return Moment(naive.replace(tzinfo=UTC) - ahead)
    return Moment(naive.replace(tzinfo=zone).astimezone(UTC))


def offset(sign: str, hours: int, minutes: int) -> timedelta:
    if hours > 15 or minutes > 59:
        raise ValueError("no such time zone")
    ahead = timedelta(hours=hours, minutes=minutes)
    return -ahead if sign == "-" else ahead


def relative(text: str, *, now: datetime, zone: tzinfo) -> Moment | None:
    """A time before now; it means its day, if it is counted in days or more."""
    match = RELATIVE.fullmatch(text)
    if match is None or not (match[1] or match[3]):
        return None
    count, unit, end = int(match[1] or 0), match[2], match[3]
    if unit == "h" and not end:
        return Moment(now - timedelta(hours=count))
    # A wall clock: a week before 9:00 was 9:00, also where the clocks changed meanwhile.
    local = now.astimezone(zone).replace(tzinfo=None) - STEPS[unit] * count
    if not end:
        at = local.replace(tzinfo=zone).astimezone(UTC)
        return Moment(at, whole_day(local.date(), zone).day)
    start = start_of(unit, local)
    if end == "Start":
        return Moment(start.replace(tzinfo=zone).astimezone(UTC))
    after = (start + STEPS[unit]).replace(tzinfo=zone).astimezone(UTC)
    return Moment(after - timedelta(microseconds=1))


def start_of(unit: str, local: datetime) -> datetime:
    if unit == "h":
        return local.replace(minute=0, second=0, microsecond=0)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    match unit:
        case "w":
            return midnight - timedelta(days=midnight.weekday())
        case "m":
            return midnight.replace(day=1)
        case "q":
            return midnight.replace(day=1, month=1 + (midnight.month - 1) // 3 * 3)
        case "y":
            return midnight.replace(day=1, month=1)
        case _:
            return midnight


def whole_day(on: date, zone: tzinfo) -> Moment:
    start, until = (
        datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)
        for day in (on, on + timedelta(days=1))
    )
    return Moment(start, Span(start, until))


def span(operator: str, moment: Moment) -> Span[datetime]:
    """The times that stand so to `moment`; a day counts by its first moment."""
    match operator:
        case "<":
            return Span(None, moment.at)
        case "<=":
            return Span(None, moment.at, "[]")
        case ">":
            return Span(moment.at, None, "()")
        case ">=":
            return Span(moment.at, None)
        case _:
            return moment.day or Span(moment.at, moment.at, "[]")
