"""A decoded body of `/s/` → what it adds to recordings (contract: capture-and-identity, 6.1, 6.3).

All or nothing, as with other events. Each event counts by its own session and ids: SDKs never mix
them in a request. Pure: no clock, no I/O.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import Raw, Struct, field

from personhood.capture import rrweb
from personhood.capture.parse import (
    NESTED_TOO_DEEP,
    OBJECTS_MAX,
    check_nesting,
    check_size,
    checked_token,
    cleaned,
)
from personhood.errors import BadCapture, CaptureTooLarge, TokenRefused
from personhood.identity.distinct_id import text_of
from personhood.model import JSON, Recorded, SessionBlock, Warning

NAME = "$snapshot"
SESSION_ID = re.compile(r"[A-Za-z0-9-]{1,70}", re.ASCII)
TEXT_CHARACTERS_MAX = 1000
WINDOW_CHARACTERS_MAX = 200
DIFFERENCE_MAX = timedelta(days=7)
WEB = "web"

NO_SESSION = "replay event submitted without session id"
BAD_SESSION = "replay event has invalid session id"
NO_DATA = "replay event submitted without snapshot data"
NO_WINDOW = "replay event submitted without window id"
NO_NAME = "failed to hydrate events from request: non-engage request missing event name attribute"
OTHER_EVENT = "this endpoint takes $snapshot events only"


class Snapshot(Struct):
    """One event, checked: `items` are what rrweb recorded."""

    session_id: str
    distinct_id: str
    window_id: str
    source: str
    library: str
    items: list[Raw]


class Snapshots(Struct):
    """What a request holds for the project that `token` names; `size` is that of its text."""

    token: str
    events: list[Snapshot]
    size: int


def parse(body: bytes, *, user_agent: str | None = None) -> Snapshots:
    """Raises BadCapture, TokenRefused, CaptureTooLarge."""
    if body.count(b"{") > OBJECTS_MAX:
        raise CaptureTooLarge
    try:
        token, events = shaped(cleaned(body, nul=False).lstrip(b" \t\r\n"))
        if not events:
            raise BadCapture("request holds no event")
        if any(each.event is None for each in events):
            raise BadCapture(NO_NAME)
        token = checked_token(token_of_all(events) if token is None else clean(token))
        return Snapshots(
            token, [snapshot(each, user_agent=user_agent) for each in events], len(body)
        )
    except RecursionError:
        raise BadCapture(NESTED_TOO_DEEP) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadCapture(f"failed to parse request: {error}") from None


# On the wire. The body is not cleaned of NUL: compressed parts hold it as a byte among others.


_ABSENT = Raw()


class _Properties(Struct, gc=False):
    token: Raw = _ABSENT
    distinct_id: Raw = _ABSENT
    session_id: Raw = field(default=_ABSENT, name="$session_id")
    window_id: Raw = field(default=_ABSENT, name="$window_id")
    snapshot_data: Raw = field(default=_ABSENT, name="$snapshot_data")
    snapshot_source: Raw = field(default=_ABSENT, name="$snapshot_source")
    lib: Raw = field(default=_ABSENT, name="$lib")


class _Event(Struct, gc=False):
    event: str | None = None
    distinct_id: Raw = _ABSENT
    dollar_distinct_id: Raw = field(default=_ABSENT, name="$distinct_id")
    properties: _Properties | None = None
    timestamp: str | None = None
    offset: int | float | None = None
    token: str | None = None
    dollar_token: str | None = field(default=None, name="$token")
    api_key: str | None = None


class _Batch(Struct, gc=False):
    batch: list[_Event] | None = None
    api_key: str | None = None
    token: str | None = None


_EVENT = msgspec.json.Decoder(_Event)
_EVENTS = msgspec.json.Decoder(list[_Event])
_BATCH = msgspec.json.Decoder(_Batch)
_ITEMS = msgspec.json.Decoder(list[Raw])
_TEXT = msgspec.json.Decoder(str)
_VALUE = msgspec.json.Decoder()


def shaped(body: bytes) -> tuple[str | None, list[_Event]]:
    """The token that holds for all, if one is said to, and the events."""
    if body.startswith(b"["):
        return None, _EVENTS.decode(body)
    try:
        batch = _BATCH.decode(body)
    except msgspec.ValidationError:
        batch = _Batch()  # an event may have fields of a batch with other types in them
    token = batch.token if batch.api_key is None else batch.api_key
    if batch.batch is not None and token is not None:
        return token, batch.batch
    return None, [_EVENT.decode(body)]


def token_of_all(events: Iterable[_Event]) -> str:
    tokens = {clean(token).strip() for token in map(token_of, events) if token is not None}
    if len(tokens) > 1:
        raise TokenRefused("batch submitted with inconsistent api_key values")
    if not tokens:
        raise TokenRefused
    return tokens.pop()


def token_of(event: _Event) -> str | None:
    for token in (event.token, event.dollar_token, event.api_key):
        if token is not None:
            return token
    return text(event.properties.token) if event.properties is not None else None


# One event


def snapshot(event: _Event, *, user_agent: str | None) -> Snapshot:
    if not event.event:
        raise BadCapture("event submitted with an empty event name")
    properties = event.properties or _Properties()
    distinct_id = distinct_id_of(event, properties)
    session_id = text(properties.session_id)
    if session_id is None:
        raise BadCapture(NO_SESSION)
    if not SESSION_ID.fullmatch(session_id):
        raise BadCapture(BAD_SESSION)
    window_id = text(properties.window_id)
    if window_id is None and not is_nothing(properties.window_id):
        raise BadCapture(NO_WINDOW)
    items = items_of(properties.snapshot_data)
    if event.event != NAME:
        raise BadCapture(OTHER_EVENT)
    library = text(properties.lib)
    return Snapshot(
        session_id=session_id,
        distinct_id=distinct_id,
        window_id=(session_id if window_id is None else window_id)[:WINDOW_CHARACTERS_MAX],
        source=clean(text(properties.snapshot_source) or WEB)[:TEXT_CHARACTERS_MAX],
        library=clean(library or library_of(user_agent))[:TEXT_CHARACTERS_MAX],
        items=items,
    )


def items_of(given: Raw) -> list[Raw]:
    if rrweb.begins(given, b"["):
        return _ITEMS.decode(given)
    if rrweb.begins(given, b"{"):
        return [given]
    raise BadCapture(NO_DATA)


def library_of(user_agent: str | None) -> str:
    """Mobile SDKs say only there who they are."""
    name = (user_agent or "").partition("/")[0].strip()
    return name if "posthog" in name.lower() else WEB


def distinct_id_of(event: _Event, properties: _Properties) -> str:
    for given in (event.distinct_id, event.dollar_distinct_id, properties.distinct_id):
        if not is_nothing(given):
            value = value_of(given)
            if value == "":
                break
            return text_of(clean(value) if isinstance(value, str) else value)
    raise BadCapture("event submitted without a distinct_id")


def value_of(given: Raw) -> JSON:
    check_size(memoryview(given).nbytes)
    check_nesting(bytes(given))
    return _VALUE.decode(given)


def is_nothing(given: Raw) -> bool:
    return rrweb.begins(given, b"null") or not memoryview(given).nbytes


def text(given: Raw) -> str | None:
    """What is given if it is a text."""
    return _TEXT.decode(given) if rrweb.begins(given, b'"') else None


def clean(text: str) -> str:
    """PostgreSQL keeps no NUL."""
    return text.replace("\0", "\ufffd")


# What it amounts to


def blocks(
    events: Iterable[Snapshot], *, now: datetime
) -> tuple[list[SessionBlock], list[Warning]]:
    """A block for each session and distinct id, and what was odd."""
    together: dict[tuple[str, str], list[Snapshot]] = {}
    for each in events:
        together.setdefault((each.session_id, each.distinct_id), []).append(each)
    made: list[SessionBlock] = []
    odd: list[Warning] = []
    for parts in together.values():
        block, reason = block_of(parts, now=now)
        if block is not None:
            made.append(block)
        elif reason is not None:
            details = {"distinctId": parts[0].distinct_id, "sessionId": parts[0].session_id}
            odd.append(Warning(type=reason, at=now, event_uuid=None, details=details))
    return made, odd


def block_of(parts: list[Snapshot], *, now: datetime) -> tuple[SessionBlock | None, str | None]:
    """The block, or why there is none; neither where nothing was sent."""
    timed: list[tuple[float, Raw]] = []
    lines: list[bytes] = []
    for part in parts:
        window = msgspec.json.encode(part.window_id)
        for item in part.items:
            at = rrweb.timestamp_of(item)
            if at is not None:
                timed.append((at, item))
                lines.append(b"[%b,%b]\n" % (window, on_one_line(bytes(item))))
    if not timed:
        sent = any(part.items for part in parts)
        return None, "message_contained_no_valid_rrweb_events" if sent else None
    times = [at for at, _ in timed]
    bound, middle = DIFFERENCE_MAX.total_seconds() * 1000, now.timestamp() * 1000
    if max(abs(min(times) - middle), abs(max(times) - middle)) >= bound:
        return None, "message_timestamp_diff_too_large"
    first = parts[0]
    return (
        SessionBlock(
            session_id=first.session_id,
            distinct_id=first.distinct_id,
            source=first.source,
            library=first.library,
            lines=b"".join(lines),
            recorded=recorded(rrweb.summary(timed), events=len(timed)),
        ),
        None,
    )


def recorded(told: rrweb.Summary, *, events: int) -> Recorded:
    return Recorded(
        started_at=datetime.fromtimestamp(told.started_ms / 1000, UTC),
        ended_at=datetime.fromtimestamp(told.ended_ms / 1000, UTC),
        urls=list(told.urls),
        events=events,
        bytes=0,
        clicks=told.clicks,
        keypresses=told.keypresses,
        mouse_activity=told.mouse_activity,
        console_logs=told.console["log"],
        console_warnings=told.console["warn"],
        console_errors=told.console["error"],
        active_ms=told.active_ms,
    )


def on_one_line(event: bytes) -> bytes:
    """Between the parts of a JSON text a line may end; inside of a string none does."""
    if b"\n" in event or b"\r" in event:
        return event.replace(b"\n", b" ").replace(b"\r", b" ")
    return event
