"""The hours in which large deletions may run, by the clock on a project's wall. Pure.

A window is open while that clock shows a time in it. So on the day that skips an hour, a window in
that hour does not open, and one that begins in it opens when the hour is skipped; on the day that
has an hour twice, a window in it is open both times.
"""

from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from msgspec import Struct

NOW = "now"
PATTERN = r"^(now|([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9])$"

MINUTE = timedelta(minutes=1)
SEARCHED_MAX = 3 * 24 * 60  # minutes: a day without the window, and some


class Window(Struct, frozen=True):
    """From one time of day until just before another; across midnight if that is earlier, and all
    day if it is the same."""

    opens: time
    closes: time


def window(text: str) -> Window | None:
    """The window of a setting that fits PATTERN; None for `now`, which is always."""
    if text == NOW:
        return None
    opens, _, closes = text.partition("-")
    return Window(time.fromisoformat(opens), time.fromisoformat(closes))


def is_open(window: Window | None, at: datetime, *, zone: str) -> bool:
    """`zone` is the name of a time zone."""
    if window is None:
        return True
    clock = at.astimezone(ZoneInfo(zone)).time()
    if window.opens < window.closes:
        return window.opens <= clock < window.closes
    return clock >= window.opens or clock < window.closes


def opening(window: Window | None, at: datetime, *, zone: str) -> datetime:
    """When the window is open next: `at` itself if it is open then, else a full minute (UTC)."""
    if is_open(window, at, zone=zone):
        return at
    assert window is not None, "no window is always open"
    return next_opening(window, at.astimezone(UTC).replace(second=0, microsecond=0), zone)


@lru_cache(maxsize=1024)
def next_opening(window: Window, minute: datetime, zone: str) -> datetime:
    """The first full minute after a closed one at which the window is open."""
    # Clocks are set by full minutes, so no arithmetic of hours and folds is needed.
    for _ in range(SEARCHED_MAX):
        minute += MINUTE
        if is_open(window, minute, zone=zone):
            return minute
    raise AssertionError("no clock leaves out a window for days")
