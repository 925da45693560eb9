"""When an event happened (contract: capture-and-identity, 2.4).

A device's clock may be wrong: `sent_at` against the server's `now` tells by how much. Pure, but for
the random part of a made uuid.
"""

import os
import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from uuid import UUID

from dateutil.parser import parser, parserinfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NO_SKEW = timedelta()
SKEW_STEP = timedelta(minutes=5)
AHEAD_MAX = timedelta(hours=23)


def event_time(
    text: str | None, *, now: datetime, skew: timedelta = NO_SKEW, offset_ms: int | None = None
) -> tuple[datetime, bool]:
    """The time of an event that says it was at `text`, and whether `text` could be read.

    It is `now` when the event does not say, or says nonsense. `skew` is by how much the client's
    clock is ahead. `offset_ms`, the event's age when it was sent, overrides both.
    """
    readable = True
    try:
        result = now
        if text is not None:
            try:
                result = read(text) - skew
            except ValueError:
                readable = False
        if offset_ms is not None:
            result = now - timedelta(milliseconds=offset_ms)
    except OverflowError:
        return EPOCH, readable
    return (now if result - now > AHEAD_MAX else result), readable


def skew_of(sent_at: datetime | None, *, now: datetime) -> timedelta:
    """By how much the clock of a client is ahead that sent at `sent_at` what came in at `now`.

    In steps of five minutes, half a step away from zero, so that the way here is no skew.
    """
    if sent_at is None:
        return NO_SKEW
    ahead = sent_at - now
    steps = (abs(ahead) + SKEW_STEP / 2) // SKEW_STEP
    return SKEW_STEP * steps if ahead > NO_SKEW else SKEW_STEP * -steps


def sent_at_of_query(text: str | None) -> datetime | None:
    """What `_` or `sent_at` in the query says: milliseconds, and never up to 2020."""
    if not text or not text.isascii() or not text.isdigit() or len(text) > len("253402300799999"):
        return None
    try:
        sent_at = EPOCH + timedelta(milliseconds=int(text))
    except OverflowError:
        return None
    # Some SDKs send seconds, which read as milliseconds lie in 1970.
    return sent_at if sent_at.year > 2020 else None


def uuid7(timestamp: datetime) -> UUID:
    """A UUIDv7 whose time part is `timestamp`; times before 1970 count as 1970."""
    ms = max(0, (timestamp - EPOCH) // timedelta(milliseconds=1))
    number = ms << 80 | int.from_bytes(os.urandom(10))
    number = number & ~(0xF << 76) | 7 << 76
    return UUID(int=number & ~(3 << 62) | 2 << 62)


# Reading timestamps


CHARACTERS_MAX = 100
ISO_SEPARATORS = frozenset(["", "T", "t", " "])
EPOCH_NUMBER = re.compile(r"(\d{9,10}|\d{13}|\d{16}|\d{19})(\.\d{1,9})?", re.ASCII)
UNITS_BY_DIGITS = {
    9: timedelta(seconds=1),
    10: timedelta(seconds=1),
    13: timedelta(milliseconds=1),
    16: timedelta(microseconds=1),
}
# JavaScript's form of a year outside 0 to 9999.
EXPANDED_YEAR = re.compile(r"[+-]\d{6}-\d\d-\d\d(T.*)?|0000-\d\d-\d\d([T ].*)?", re.ASCII)


def read(text: str) -> datetime:
    """The time that `text` names, in UTC; without a zone it is taken as UTC.

    Raises ValueError when it names none, OverflowError when it is out of the years 1 to 9999.
    """
    # All but a few SDKs send ISO 8601, so try that before anything else.
    if text[4:5] == "-" and text[10:11] in ISO_SEPARATORS:
        try:
            return _in_utc(datetime.fromisoformat(text))
        except ValueError:
            pass
    return _read_rare(text)


def _in_utc(time: datetime) -> datetime:
    if time.tzinfo is UTC:
        return time
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _read_rare(text: str) -> datetime:
    text = text.strip()
    if len(text) > CHARACTERS_MAX:
        raise ValueError("too long for a time")
    if EPOCH_NUMBER.fullmatch(text):
        return _read_epoch(text)
    if EXPANDED_YEAR.fullmatch(text):
        raise OverflowError(text)
    return _in_utc(_read_free_form(text))


def _read_epoch(text: str) -> datetime:
    whole, _, fraction = text.partition(".")
    if len(whole) == 19:
        return EPOCH + timedelta(microseconds=int(whole) // 1000)
    unit = UNITS_BY_DIGITS[len(whole)]
    return EPOCH + int(whole) * unit + float(f"0.{fraction or 0}") * unit


# Free form: RFC 2822, JavaScript's Date.toString(), "May 26, 2021, 12:49 AM", "2024/3/31" …


FREE_FORM = re.compile(r"[\dA-Za-z ,:./+-]{8,}", re.ASCII)
COMMENT = re.compile(r"\s*\([^()]*\)$")
# dateutil takes "GMT+0200" the POSIX way round, as two hours *behind*.
ZONE_WORD = re.compile(r"\b(?:GMT|UTC) ?(?=[+-]\d)")
# Of RFC 2822; any other name is not the same everywhere, or not known to everybody.
ZONES = {
    "UTC": 0,
    "GMT": 0,
    "UT": 0,
    "Z": 0,
    "EST": -5,
    "EDT": -4,
    "CST": -6,
    "CDT": -5,
    "MST": -7,
    "MDT": -6,
    "PST": -8,
    "PDT": -7,
}
# dateutil fills what is missing from a default. These two share neither year, month nor day, and
# are too far apart for a weekday to meet: whatever was filled in differs.
DEFAULTS = (datetime(2000, 1, 1), datetime(2004, 2, 15))


class _FourDigitYears(parserinfo):
    def convertyear(self, year: int, century_specified: bool = False) -> int:
        # The century would be guessed from today's date.
        if year < 100 and not century_specified:
            raise ValueError("two-digit year")
        return year


_PARSER = parser(_FourDigitYears())


def _read_free_form(text: str) -> datetime:
    text = ZONE_WORD.sub("", COMMENT.sub("", text))
    if not FREE_FORM.fullmatch(text):
        raise ValueError(text)
    try:
        one, other = (_PARSER.parse(text, default=default, tzinfos=_zone) for default in DEFAULTS)
    # dateutil lets all of these out on odd input.
    except (ArithmeticError, AttributeError, IndexError, TypeError) as error:
        raise ValueError(text) from error
    if one.replace(tzinfo=None) != other.replace(tzinfo=None):
        raise ValueError(f"incomplete date: {text}")
    return one


def _zone(name: str | None, offset_s: int | None) -> tzinfo | None:
    if offset_s is not None:
        return timezone(timedelta(seconds=offset_s))
    if name is None:
        return None
    if name.upper() not in ZONES:
        raise ValueError(f"unknown time zone: {name}")
    return timezone(timedelta(hours=ZONES[name.upper()]))
