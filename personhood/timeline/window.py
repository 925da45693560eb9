"""The time that is asked for → two moments, both inside (contract: persons-api, 4.4)."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta
from msgspec import Struct

from personhood.errors import InvalidInput
from personhood.filters import moments

ALL = "all"
INTERVALS = ("hour", "day", "week", "month")
# Displays that have no axis of time: equal dates mean one moment to them.
NO_SERIES = ("ActionsTable", "ActionsPie", "ActionsBarValue", "WorldMap", "BoldNumber")
DEFAULT = relativedelta(days=7)


class Dates(Struct, frozen=True, kw_only=True):
    """As clients send them; an empty text is nothing. `is_exact` leaves times as they are said."""

    date_from: str = ""
    date_to: str = ""
    interval: str = "day"
    display: str = ""
    is_exact: bool = False


class Window(Struct, frozen=True):
    """In the project's time zone. Events are held against it by whole seconds."""

    start: datetime
    end: datetime

    @property
    def since(self) -> datetime:
        return self.start.astimezone(UTC).replace(microsecond=0)

    @property
    def until(self) -> datetime:
        return self.end.astimezone(UTC).replace(microsecond=999_999)


def window(dates: Dates, *, now: datetime, zone: str, earliest: datetime | None = None) -> Window:
    """The window; `earliest` is where `all` begins. Raises InvalidInput."""
    if dates.interval not in INTERVALS:
        raise InvalidInput(f"Interval must be one of {', '.join(INTERVALS)}.", attr="interval")
    found = ZoneInfo(zone)
    try:
        made = made_of(dates, now.astimezone(found), earliest)
        return Window(inside(made.start), inside(made.end))
    except (ValueError, OverflowError):
        raise InvalidInput("The dates are too far away.", attr="date_from") from None


def made_of(dates: Dates, now: datetime, earliest: datetime | None) -> Window:
    start = start_of(dates, now, earliest)
    if not dates.date_to:
        end = now
    elif dates.date_to == dates.date_from:
        end = offset(dates, start)
    else:
        end = moment(dates.date_to, now, attr="date_to")
    if dates.is_exact:
        return Window(start, end)
    if dates.interval != "hour":
        return Window(midnight(start), last_moment(end))
    is_open = not dates.date_to or is_relative(dates.date_to, end)
    return Window(hour(start), end_of_hour(end) if is_open else end)


def start_of(dates: Dates, now: datetime, earliest: datetime | None) -> datetime:
    if dates.date_from and dates.date_from != ALL:
        return moment(dates.date_from, now, attr="date_from")
    if dates.date_from and earliest is not None:
        return earliest.astimezone(now.tzinfo)
    return midnight(wall(now, now.replace(tzinfo=None) - DEFAULT))


def offset(dates: Dates, start: datetime) -> datetime:
    """What equal dates end with: the interval that begins there, if it is shown as one."""
    if dates.display in NO_SERIES:
        return start
    naive = start.replace(tzinfo=None)
    match dates.interval:
        case "month":
            return midnight(wall(start, naive + relativedelta(months=1) - timedelta(days=1)))
        case "week":
            return midnight(wall(start, naive + timedelta(days=6)))
        case "hour":
            return (start.astimezone(UTC) + timedelta(hours=1)).astimezone(start.tzinfo)
        case _:
            return last_moment(start)


def moment(text: str, now: datetime, *, attr: str) -> datetime:
    assert now.tzinfo is not None, "it is in the project's zone"
    # In a query that nobody encoded, the plus of an offset has become a blank.
    text = text.replace(" ", "+") if "T" in text else text
    found = moments.read(text, now=now, zone=now.tzinfo)
    if found is None:
        raise InvalidInput(f'"{text[:50]}" is no date that can be read.', attr=attr)
    return found.at.astimezone(now.tzinfo)


def is_relative(text: str, end: datetime) -> bool:
    assert end.tzinfo is not None, "it is in the project's zone"
    text = text.replace(" ", "+") if "T" in text else text
    return moments.written(text, zone=end.tzinfo) is None


def midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def last_moment(at: datetime) -> datetime:
    return at.replace(hour=23, minute=59, second=59, microsecond=999_999)


def hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def end_of_hour(at: datetime) -> datetime:
    return at.replace(minute=59, second=59, microsecond=999_999)


def wall(like: datetime, naive: datetime) -> datetime:
    """A time of the clock on the wall, where `like` is."""
    return naive.replace(tzinfo=like.tzinfo)


def inside(at: datetime) -> datetime:
    """The same; raises OverflowError for a moment beyond the years that UTC has."""
    at.astimezone(UTC)
    return at
