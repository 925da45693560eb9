"""A decoded capture body → the events it holds, as sent (contract: capture-and-identity, 1.5-2.5).

All or nothing: one event that does not fit refuses the request. Pure: no clock, no I/O. What the
events mean for persons is read by `capture.claims`.
"""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

import msgspec
from msgspec import Raw, Struct, field

from personhood.capture import clock
from personhood.errors import BadCapture, CaptureTooLarge, TokenRefused
from personhood.identity.distinct_id import text_of
from personhood.model import JSON, ClaimKind, Properties

EVENT_BYTES_MAX = 1024 * 1024
# Bounds the memory of a small body that unpacks to nothing but empty objects.
OBJECTS_MAX = 1_000_000
# What is kept must be read again, by code that may be deep in a stack of its own.
NESTING_MAX = 128
NAME_CHARACTERS_MAX = 200
TOKEN_CHARACTERS_MAX = 64

DROPPED = "$performance_event"
NESTED_TOO_DEEP = "failed to parse request: recursion limit exceeded"


class Sent(Struct, kw_only=True):
    """One event as an SDK sent it: checked, its time computed, its meaning not yet read.

    `properties` is the raw JSON object text (UTF-8, no NUL, no lone surrogate; a number in it may
    be out of range). `set` and `set_once` are the top-level `$set` and `$set_once` when they are
    objects. `sent_at` is when the client says it sent the request. `invalid_timestamp` is the
    client's text when it names no time. `size` is that of the properties and of both, in bytes.
    A `personless` event is kept whatever its name says of persons, and touches none.
    """

    name: str
    distinct_id: str
    uuid: UUID
    timestamp: datetime
    properties: bytes
    sent_at: datetime | None = None
    set: Properties | None = None
    set_once: Properties | None = None
    historical: bool = False
    invalid_timestamp: str | None = None
    personless: bool = False
    size: int = 0


class Capture(Struct):
    """What a request holds: `events` are of the project that `token` names, in order."""

    token: str
    events: list[Sent]


def parse(
    body: bytes, *, now: datetime, sent_at: datetime | None = None, engage: bool = False
) -> Capture:
    """Read a decoded body that came in at `now`; `sent_at` is what the query says.

    `engage` is for /engage, where an object without an event name is a `$identify`.
    """
    try:
        return _parse(cleaned(body), now=now, sent_at=sent_at, engage=engage)
    except RecursionError:
        raise BadCapture(NESTED_TOO_DEEP) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadCapture(f"failed to parse request: {error}") from None


# On the wire


_ABSENT = Raw()


class _WireEvent(Struct, gc=False):
    """An event object. What is not listed is dropped, as it always was, top-level `$unset` too."""

    event: str | None = None
    distinct_id: Raw = _ABSENT
    dollar_distinct_id: Raw = field(default=_ABSENT, name="$distinct_id")
    uuid: str | None = None
    properties: Raw = _ABSENT
    timestamp: str | None = None
    offset: int | float | None = None
    set: Raw = field(default=_ABSENT, name="$set")
    set_once: Raw = field(default=_ABSENT, name="$set_once")
    token: str | None = None
    dollar_token: str | None = field(default=None, name="$token")
    api_key: str | None = None


class _WireBatch(Struct, gc=False):
    batch: list[_WireEvent] | None = None
    api_key: str | None = None
    token: str | None = None
    historical_migration: bool | None = None
    sent_at: str | None = None


class _BatchShape(Struct):
    """As much of an object as tells whether it was meant as a batch."""

    batch: Raw = _ABSENT
    api_key: Raw = _ABSENT
    token: Raw = _ABSENT


class _WireProperties(Struct, gc=False):
    """The properties that capture itself needs; the others are not made into objects here."""

    token: Any = None
    distinct_id: Any = None
    cookieless_mode: Any = field(default=False, name="$cookieless_mode")
    ignore_sent_at: Any = field(default=None, name="$ignore_sent_at")


_EVENT = msgspec.json.Decoder(_WireEvent)
_EVENTS = msgspec.json.Decoder(list[_WireEvent])
_BATCH = msgspec.json.Decoder(_WireBatch)
_BATCH_SHAPE = msgspec.json.Decoder(_BatchShape)
_PROPERTIES = msgspec.json.Decoder(_WireProperties)
_VALUE = msgspec.json.Decoder()
_OBJECT = msgspec.json.Decoder(dict[str, Any])


def _parse(body: bytes, *, now: datetime, sent_at: datetime | None, engage: bool) -> Capture:
    if len(body) > 2 * OBJECTS_MAX and body.count(b"{") > OBJECTS_MAX:
        raise CaptureTooLarge
    batch = _read(body.lstrip(b" \t\r\n"), engage=engage)
    events = batch.batch
    if not events:
        raise BadCapture("request holds no event")
    token = _batch_token(batch)
    token = checked_token(_token_of_all(events) if token is None else token)

    sent_at = _sent_at_of_batch(batch) or sent_at
    request = _Request(
        now=now,
        sent_at=sent_at,
        skew=clock.skew_of(sent_at, now=now),
        historical=batch.historical_migration is True,
    )
    all_sent = [_sent(event, request) for event in events]
    return Capture(token, [sent for sent in all_sent if sent.name != DROPPED])


# Body shapes (1.5)


def _read(body: bytes, *, engage: bool) -> _WireBatch:
    """An array or a single event is a batch that says nothing of itself."""
    if body.startswith(b"["):
        batch = _WireBatch(_EVENTS.decode(body))
    elif (found := _read_batch(body)) is not None:
        batch = found
    else:
        event = _EVENT.decode(body)
        if event.event is None and not engage:
            raise BadCapture(
                "failed to hydrate events from request: "
                "non-engage request missing event name attribute"
            )
        batch = _WireBatch([event])

    for index, event in enumerate(batch.batch or ()):
        if event.event is None:
            if not engage:
                raise BadCapture(f"failed to parse request: event {index} has no `event`")
            event.event = str(ClaimKind.IDENTIFY)
    return batch


def _read_batch(body: bytes) -> _WireBatch | None:
    """None when the object has not the shape of a batch, and so must be an event."""
    try:
        batch = _BATCH.decode(body)
    except msgspec.ValidationError:
        # An event may have fields of a batch with other types in them; else this is a bad batch.
        shape = _BATCH_SHAPE.decode(body)
        has_token = bytes(shape.api_key or shape.token).startswith(b'"')
        if has_token and bytes(shape.batch).startswith(b"["):
            raise
        return None
    return None if batch.batch is None or _batch_token(batch) is None else batch


def _batch_token(batch: _WireBatch) -> str | None:
    return batch.token if batch.api_key is None else batch.api_key


def _sent_at_of_batch(batch: _WireBatch) -> datetime | None:
    if batch.sent_at is None:
        return None
    try:
        return clock.read(batch.sent_at)
    except (ValueError, OverflowError):
        return None


# Token (1.6)


def _token_of_all(events: Iterable[_WireEvent]) -> str:
    tokens = {token.strip() for token in map(_token_of, events) if token is not None}
    if len(tokens) > 1:
        raise TokenRefused("batch submitted with inconsistent api_key values")
    if not tokens:
        raise TokenRefused("event submitted without an api_key")
    return tokens.pop()


def _token_of(event: _WireEvent) -> str | None:
    for token in (event.token, event.dollar_token, event.api_key):
        if token is not None:
            return token
    token = _PROPERTIES.decode(_properties_text(event)).token
    return token if isinstance(token, str) else None


def checked_token(token: str) -> str:
    """`token` trimmed, if it is well-formed. Whether a project has it is asked elsewhere."""
    token = token.strip()
    if not token:
        reason = "empty"
    elif len(token) > TOKEN_CHARACTERS_MAX:
        reason = "too_long"
    # By now a NUL has become U+FFFD.
    elif "\0" in token or REPLACEMENT in token:
        reason = "null_byte"
    elif not token.isascii():
        reason = "not_ascii"
    elif token.startswith("phx_"):
        reason = "personal_api_key"
    else:
        return token
    raise TokenRefused(f"API key is not valid: {reason}")


# One event (2.1-2.5)


class _Request(Struct):
    """What holds for all events of a request."""

    now: datetime
    sent_at: datetime | None
    skew: timedelta
    historical: bool


def _sent(event: _WireEvent, request: _Request) -> Sent:
    if not event.event:
        raise BadCapture("event submitted with an empty event name")
    text = _properties_text(event)
    properties = _PROPERTIES.decode(text)
    distinct_id = _distinct_id(event, properties)
    if not isinstance(properties.cookieless_mode, bool):
        raise BadCapture("event submitted with invalid cookieless mode")

    timestamp, readable = clock.event_time(
        event.timestamp,
        now=request.now,
        skew=clock.NO_SKEW if properties.ignore_sent_at is True else request.skew,
        offset_ms=None if event.offset is None else _offset_ms(event.offset),
    )
    sent = Sent(
        name=event.event[:NAME_CHARACTERS_MAX],
        distinct_id=distinct_id,
        uuid=uuid_of(event.uuid) if event.uuid else clock.uuid7(timestamp),
        timestamp=timestamp,
        properties=text,
        sent_at=request.sent_at,
        historical=request.historical,
        size=len(text),
    )
    if not readable:
        sent.invalid_timestamp = event.timestamp
    if event.set is not _ABSENT:
        sent.set = _object(event.set, of=sent)
    if event.set_once is not _ABSENT:
        sent.set_once = _object(event.set_once, of=sent)
    return sent


def check_size(size: int) -> None:
    """To be asked before anything of that size is made into objects, which take many times it."""
    if size > EVENT_BYTES_MAX:
        raise CaptureTooLarge(
            f"maximum event size exceeded: {size} bytes, allowed are {EVENT_BYTES_MAX}"
        )


def check_nesting(text: bytes) -> None:
    """`text` is JSON. Only what has that many brackets can be nested that deeply."""
    if text.count(b"{") + text.count(b"[") <= NESTING_MAX:
        return
    level: list[JSON] = [_VALUE.decode(text)]
    for _ in range(NESTING_MAX):
        level = [member for value in level for member in _members(value)]
    if any(isinstance(value, dict | list) for value in level):
        raise BadCapture(NESTED_TOO_DEEP)


def _members(value: JSON) -> Iterable[JSON]:
    if isinstance(value, dict):
        return cast(Properties, value).values()
    return cast(list[JSON], value) if isinstance(value, list) else ()


def _properties_text(event: _WireEvent) -> bytes:
    # Copied: the event outlives the request's buffer.
    text = bytes(event.properties)
    if text.startswith(b"{"):
        check_size(len(text))
        check_nesting(text)
        return text
    if not text or text == b"null":
        return b"{}"
    raise BadCapture("failed to parse request: `properties` is not an object")


def _object(raw: Raw, *, of: Sent) -> Properties | None:
    """The members of `raw` if it is an object; it adds to the size of the event either way."""
    text = bytes(raw)
    of.size += len(text)
    check_size(of.size)
    check_nesting(text)
    return _OBJECT.decode(text) if text.startswith(b"{") else None


def _distinct_id(event: _WireEvent, properties: _WireProperties) -> str:
    value = _value(event.distinct_id)
    if value is None:
        value = _value(event.dollar_distinct_id)
    if value is None:
        value = properties.distinct_id
    if value is None or value == "":
        raise BadCapture("event submitted without a distinct_id")
    return text_of(value)


def _value(raw: Raw) -> JSON:
    text = bytes(raw)
    check_size(len(text))
    check_nesting(text)
    return _VALUE.decode(text) if text else None


def _offset_ms(offset: float) -> int:
    if isinstance(offset, float) and not offset.is_integer():
        raise BadCapture("failed to parse request: `offset` is not an integer")
    return int(offset)


def uuid_of(text: str) -> UUID:
    try:
        return msgspec.convert(text, UUID)
    except msgspec.ValidationError:
        bare = text.removeprefix("urn:uuid:")
        if bare.startswith("{") and bare.endswith("}"):
            bare = bare[1:-1]
        # Raises for good when it was neither prefix nor braces that stood in the way.
        return msgspec.convert(bare, UUID)


# Characters that PostgreSQL cannot keep


REPLACEMENT = "\ufffd"
_HIGH, _LOW = rb"[dD][89abAB]..", rb"[dD][c-fC-F].."
# Reading every escape is slow, so look first for one that may be a NUL or a lone surrogate. A
# backslash before a surrogate may be escaped itself, which only reading in order can tell.
_SUSPECT_SURROGATE = (
    rb"\\u" + _HIGH + rb"(?!\\u" + _LOW + rb")"
    rb"|\\u" + _LOW + rb"(?<!\\u" + _HIGH + rb"\\u" + _LOW + rb")"
    rb"|\\\\u[dD]"
)
_LONE = re.compile(_SUSPECT_SURROGATE, re.DOTALL)
_SUSPECT = re.compile(rb"\\u0000|" + _SUSPECT_SURROGATE, re.DOTALL)
_ESCAPE = re.compile(
    rb"\\(?:u(?:(0000)|" + _HIGH + rb"\\u" + _LOW + rb"|([dD][89a-fA-F]..))|.)", re.DOTALL
)


def cleaned(body: bytes, *, nul: bool = True) -> bytes:
    r"""`body` with \ufffd for each surrogate without its other half, and for \u0000 if `nul`."""
    if b"\\" not in body or not (_SUSPECT if nul else _LONE).search(body):
        return body
    last = 0 if nul else 1  # the group that is not replaced
    return _ESCAPE.sub(lambda at: rb"\ufffd" if (at.lastindex or 0) > last else at[0], body)
