"""What rrweb recorded of a page, looked at as far as counting needs (contract:
capture-and-identity, 6.2 and 6.3). Pure; what an event holds stays the client's own bytes.
"""

from collections.abc import Iterable
from typing import TypeVar

import msgspec
from msgspec import Raw, Struct, field

INCREMENTAL, PLUGIN = 3, 6
MOUSE_INTERACTION, INPUT = 2, 5
CLICKS = frozenset([2, 3, 4, 9])
MOUSE = frozenset([1, 2, 6])
ACTIVE = frozenset([1, 2, 3, 4, 5, 6, 7, 12])
CONSOLE = "rrweb/console@1"
INFO = "log info count timeEnd trace dir dirxml group groupCollapsed debug timeLog".split()
LEVELS = {
    **dict.fromkeys(INFO, "log"),
    **dict.fromkeys(["warn", "countReset"], "warn"),
    **dict.fromkeys(["error", "assert"], "error"),
}
ACTIVITY_GAP_MS = 5_000
BEYOND_MS = 1e18  # what no clock shows
URLS_MAX = 25
URL_CHARACTERS_MAX = 4096

T = TypeVar("T")


class Summary(Struct, kw_only=True):
    """What some events amount to; times are milliseconds since 1970, as the client has them."""

    started_ms: float
    ended_ms: float
    urls: dict[str, None] = field(default_factory=dict)
    clicks: int = 0
    keypresses: int = 0
    mouse_activity: int = 0
    console: dict[str, int] = field(default_factory=lambda: {"log": 0, "warn": 0, "error": 0})
    active_ms: int = 0


class _Stamped(Struct, gc=False):
    timestamp: int | float


class _Kind(Struct, gc=False):
    type: int | float | None = None


class _Incremental(Struct, gc=False):
    source: int | float | None = None


class _Interaction(Struct, gc=False):
    type: int | float | None = None


class _Href(Struct, gc=False):
    href: str | None = None


class _Payload(Struct, gc=False):
    payload: _Href | None = None


class _Level(Struct, gc=False):
    level: str | None = None


class _Console(Struct, gc=False):
    plugin: str | None = None
    payload: _Level | None = None


class _Data(Struct, gc=False):
    data: Raw = Raw()


def timestamp_of(event: Raw) -> float | None:
    """When an event was; None if it is none."""
    found = read(event, _Stamped)
    if found is None or not found.timestamp > 0:
        return None
    return float(min(found.timestamp, BEYOND_MS))


def summary(events: Iterable[tuple[float, Raw]]) -> Summary:
    """Of at least one event, each with its time."""
    timed = list(events)
    times = [at for at, _ in timed]
    told = Summary(started_ms=min(times), ended_ms=max(times))
    moments: list[tuple[float, bool]] = []
    for at, event in timed:
        moments.append((at, count(told, event)))
    told.active_ms = active_ms(moments)
    return told


def count(told: Summary, event: Raw) -> bool:
    """Add an event to a summary; tells whether somebody was active in it."""
    kind, holder = read(event, _Kind), read(event, _Data)
    data = Raw() if holder is None else holder.data
    if not begins(data, b"{"):
        return False
    note_url(told, data)
    type = None if kind is None else kind.type
    if type == PLUGIN:
        console = read(data, _Console)
        if console is not None and console.plugin == CONSOLE and console.payload is not None:
            level = LEVELS.get(console.payload.level or "")
            if level is not None:
                told.console[level] += 1
    if type != INCREMENTAL:
        return False
    found = read(data, _Incremental)
    source = None if found is None else found.source
    if source == MOUSE_INTERACTION:
        interaction = read(data, _Interaction)
        told.clicks += interaction is not None and interaction.type in CLICKS
    told.keypresses += source == INPUT
    told.mouse_activity += source in MOUSE
    return source in ACTIVE


def note_url(told: Summary, data: Raw) -> None:
    if len(told.urls) >= URLS_MAX:
        return
    here, below = read(data, _Href), read(data, _Payload)
    url = here.href if here is not None else None
    if url is None and below is not None and below.payload is not None:
        url = below.payload.href
    url = (url or "").strip().replace("\0", "\ufffd")[:URL_CHARACTERS_MAX]
    if url:
        told.urls.setdefault(url)


def active_ms(moments: Iterable[tuple[float, bool]]) -> int:
    """How long somebody was active, of times and whether somebody was, in any order."""
    total, began, last, ended = 0.0, None, 0.0, 0.0
    for at, is_active in sorted(moments, key=lambda moment: moment[0]):
        near = began is not None and at - last <= ACTIVITY_GAP_MS
        if is_active:
            if not near:
                total += length(began, ended)
                began = at
            last = ended = at
        elif near:
            ended = at
        elif began is not None:
            total += length(began, ended)
            began = None
    return round(total + length(began, ended))


def length(began: float | None, ended: float) -> float:
    if began is None:
        return 0
    return ended - began or 1


def begins(text: Raw, start: bytes) -> bool:
    """Looked at without a copy: it may be large."""
    return bytes(memoryview(text)[: len(start)]) == start


def read(text: Raw, shape: type[T]) -> T | None:
    """`text` as `shape`; None where it does not fit."""
    try:
        return msgspec.json.decode(text, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
