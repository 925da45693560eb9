"""Protocol v1: headers and body → what becomes of each event (contract: capture-and-identity, 1.9).

Unlike v0, it judges events one by one: a bad one is dropped and named, its neighbours are taken. It
refuses a request only where it cannot tell its events apart. Pure.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

from personhood.capture import clock, v1_options
from personhood.capture.parse import (
    NAME_CHARACTERS_MAX,
    OBJECTS_MAX,
    Sent,
    check_nesting,
    check_size,
    checked_token,
    cleaned,
    uuid_of,
)
from personhood.errors import BadCapture, CaptureError, CaptureTooLarge, TokenRefused
from personhood.http.encoding import DECODERS
from personhood.model import JSON, Properties

SDK_INFO = "PostHog-Sdk-Info"
ATTEMPT = "PostHog-Attempt"
REQUEST_ID = "PostHog-Request-Id"
REQUEST_TIMESTAMP = "PostHog-Request-Timestamp"
REQUIRED = (SDK_INFO, ATTEMPT, REQUEST_ID, REQUEST_TIMESTAMP, "Content-Type", "User-Agent")

SDK_INFO_CHARACTERS_MAX = 200
DISTINCT_ID_BYTES_MAX = 200
NAME_BYTES_MAX = NAME_CHARACTERS_MAX
# Ids that stand for nobody, so the events of one are not those of one person.
ILLEGAL_DISTINCT_IDS = frozenset(
    """
    0 00000000-0000-0000-0000-000000000000 anonymous anonymous-user backend distinct_id distinctid
    email false guest id nan none not_authenticated null system true undefined user
    """.split()
) | {"[object object]"}
COOKIELESS = "$posthog_cookieless"

# These are told of a whole batch, and recorded as warnings all the same.
BATCH_WARNINGS = frozenset(
    "empty_batch invalid_batch missing_event_uuid invalid_event_uuid duplicate_event_uuid".split()
)
BEARER = re.compile(r"Bearer\s+(.*)", re.IGNORECASE | re.DOTALL)
RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


class BatchRefused(CaptureError):
    """The whole request is refused; `code` is what SDKs and tests read."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Envelope(Struct, frozen=True, kw_only=True):
    """What the headers say. `library` is the name and version of the SDK."""

    token: str
    encoding: str | None
    sent_at: datetime
    library: tuple[str, str] | None


class Verdict(Struct, kw_only=True):
    """What becomes of one event: it is `sent` on, or dropped because of `details`.

    `about` says more of a drop, for the warning.
    """

    uuid: UUID
    sent: Sent | None = None
    details: str | None = None
    about: Properties = msgspec.field(default_factory=dict)


class Batch(Struct):
    """Every event of a request, in order; one of an `internal` batch has no address."""

    verdicts: list[Verdict]
    internal: bool


def envelope(headers: Mapping[str, str]) -> Envelope:
    """Read the headers, whose names are compared without case. Raises BatchRefused."""
    if "authorization" not in headers:
        raise BatchRefused("invalid_api_token", "the Authorization header is missing")
    if missing := [name for name in REQUIRED if name.lower() not in headers]:
        raise BatchRefused(
            "missing_required_headers", f"request is missing required headers: {missing}"
        )
    token = token_of(text_of(headers, "Authorization"))
    content_type = text_of(headers, "Content-Type")
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise BatchRefused(
            "unsupported_content_type", f"unsupported content type: {content_type[:200]}"
        )
    encoding = None
    if "content-encoding" in headers:
        encoding = text_of(headers, "Content-Encoding").lower()
        if encoding not in DECODERS:
            raise BatchRefused(
                "unsupported_encoding", f"unsupported content encoding: {encoding[:200]}"
            )
    check_ids(headers)
    return Envelope(
        token=token,
        encoding=encoding,
        sent_at=request_time(text_of(headers, REQUEST_TIMESTAMP)),
        library=library_of(text_of(headers, SDK_INFO)),
    )


def parse(body: bytes, of: Envelope, *, now: datetime) -> Batch:
    """Judge every event of a decoded body that came in at `now`.

    Raises BatchRefused, or CaptureTooLarge.
    """
    if not body:
        raise BatchRefused("empty_body", "request body is empty")
    if len(body) > 2 * OBJECTS_MAX and body.count(b"{") > OBJECTS_MAX:
        raise CaptureTooLarge
    try:
        batch = _BATCH.decode(cleaned(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BatchRefused("request_parsing_error", f"failed to parse request: {error}") from None
    if not batch.batch:
        raise BatchRefused("empty_batch", "request batch is empty")
    if rfc3339(batch.created_at) is None:
        raise BatchRefused(
            "invalid_batch", f"created_at is not valid RFC 3339: {batch.created_at[:200]}"
        )
    request = _Request(now, of, historical=batch.historical_migration)
    uuids = uuids_of(batch.batch)
    return Batch(
        [verdict(event, uuid, request) for event, uuid in zip(batch.batch, uuids, strict=True)],
        internal=v1_options.boolean(batch.capture_internal) is True,
    )


# Headers


def text_of(headers: Mapping[str, str], name: str) -> str:
    text = headers[name.lower()]
    if not text.isascii():
        raise BatchRefused("invalid_header_value", f"{name} contains non-visible ASCII characters")
    return text


def token_of(authorization: str) -> str:
    match = BEARER.fullmatch(authorization)
    if match is None:
        raise BatchRefused("invalid_header_value", "Authorization must use Bearer scheme")
    try:
        return checked_token(match[1])
    except TokenRefused as error:
        raise BatchRefused("invalid_api_token", str(error)) from None


def check_ids(headers: Mapping[str, str]) -> None:
    """Nothing is known by them here: an event that is sent again is known by its own uuid."""
    request_id = text_of(headers, REQUEST_ID)
    try:
        uuid_of(request_id)
    except msgspec.ValidationError:
        raise BatchRefused(
            "invalid_header_value", f"{REQUEST_ID} is not a valid UUID: {request_id[:200]}"
        ) from None
    attempt = text_of(headers, ATTEMPT)
    if not re.fullmatch(r"\+?0*[1-9][0-9]{0,9}", attempt):
        raise BatchRefused(
            "invalid_header_value", f"{ATTEMPT} must be a positive integer: {attempt[:200]}"
        )


def request_time(text: str) -> datetime:
    time = rfc3339(text)
    if time is None:
        raise BatchRefused(
            "invalid_header_value", f"{REQUEST_TIMESTAMP} is not valid RFC 3339: {text[:200]}"
        )
    return time


def library_of(text: str) -> tuple[str, str] | None:
    """Name and version; None, and not made up, when the header is something else."""
    if len(text) > SDK_INFO_CHARACTERS_MAX:
        return None
    name, _, version = (part.strip() for part in text.rpartition("/"))
    return (name, version) if name and version else None


def rfc3339(text: str) -> datetime | None:
    if not RFC3339.fullmatch(text):
        return None
    try:
        return clock.read(text.upper())
    except (ValueError, OverflowError):
        return None


# On the wire


_ABSENT = Raw()


class _WireEvent(Struct, gc=False):
    event: str
    distinct_id: str
    timestamp: str
    uuid: str = ""
    session_id: str | None = None
    window_id: str | None = None
    options: Raw = _ABSENT
    properties: Raw = _ABSENT


class _WireBatch(Struct, gc=False):
    created_at: str
    batch: list[_WireEvent]
    historical_migration: bool = False
    capture_internal: JSON = None


_BATCH = msgspec.json.Decoder(_WireBatch)


class _Request(Struct, frozen=True):
    """What holds for all events of a request."""

    now: datetime
    envelope: Envelope
    historical: bool


def uuids_of(events: list[_WireEvent]) -> list[UUID]:
    """One for each event: without them, nothing could be said of a single one."""
    uuids: dict[UUID, None] = {}
    for event in events:
        text = event.uuid.strip()
        if not text:
            raise BatchRefused("missing_event_uuid", "event submitted without a uuid")
        try:
            uuid = uuid_of(text)
        except msgspec.ValidationError:
            raise BatchRefused("invalid_event_uuid", f"invalid event uuid: {text[:200]}") from None
        if uuid in uuids:
            raise BatchRefused("duplicate_event_uuid", f"duplicate event uuid: {uuid}")
        uuids[uuid] = None
    return list(uuids)


# One event


def verdict(event: _WireEvent, uuid: UUID, request: _Request) -> Verdict:
    distinct_id = event.distinct_id.strip()
    about: Properties = {"eventName": event.event[:200], "distinctId": distinct_id[:200]}
    if flaw := flaw_of(event, distinct_id):
        return Verdict(uuid=uuid, details=flaw, about=about)
    options, unreadable = v1_options.read(bytes(event.options))
    if unreadable is not None:
        about["options"] = unreadable
        return Verdict(uuid=uuid, details="invalid_options", about=about)
    if distinct_id == COOKIELESS and options.cookieless_mode is not True:
        return Verdict(uuid=uuid, details="cookieless_mode_required", about=about)

    nobody = distinct_id.lower() in ILLEGAL_DISTINCT_IDS
    uncorrected = options.disable_skew_correction is True
    skew = clock.skew_of(request.envelope.sent_at, now=request.now)
    timestamp, _ = clock.event_time(
        event.timestamp.upper(), now=request.now, skew=clock.NO_SKEW if uncorrected else skew
    )
    text = with_added(
        bytes(event.properties) or b"{}", added(event, options, request, nobody=nobody)
    )
    sent = Sent(
        name=event.event,
        distinct_id=distinct_id,
        uuid=uuid,
        timestamp=timestamp,
        properties=text,
        sent_at=request.envelope.sent_at,
        historical=request.historical,
        personless=nobody,
        size=len(text),
    )
    details = "person_processing_disabled" if nobody else None
    return Verdict(uuid=uuid, sent=sent, details=details, about=about)


def flaw_of(event: _WireEvent, distinct_id: str) -> str | None:
    """Why the event is dropped, if it is, but for its options."""
    if event.event == "$performance_event":
        return "dropped_performance_event"
    if not event.event:
        return "missing_event_name"
    if len(event.event.encode()) > NAME_BYTES_MAX:
        return "event_name_too_long"
    if not distinct_id:
        return "missing_distinct_id"
    if len(distinct_id.encode()) > DISTINCT_ID_BYTES_MAX:
        return "distinct_id_too_large"
    if rfc3339(event.timestamp) is None:
        return "invalid_event_timestamp"
    text = bytes(event.properties) or b"{}"
    try:
        check_size(len(text))
        check_nesting(text)
    except CaptureTooLarge:
        return "event_too_big"
    except (BadCapture, msgspec.DecodeError, RecursionError):
        return "malformed_event_properties"
    return None if text.startswith(b"{") else "malformed_event_properties"


def added(
    event: _WireEvent, options: v1_options.Options, request: _Request, *, nobody: bool
) -> Properties:
    """What v1 says beside the properties and v0 said in them; null where it says nothing."""
    name, version = request.envelope.library or (None, None)
    all_of_them: dict[str, Any] = {
        "$session_id": event.session_id,
        "$window_id": event.window_id,
        "$cookieless_mode": options.cookieless_mode,
        "$ignore_sent_at": options.disable_skew_correction,
        "$product_tour_id": options.product_tour_id,
        "$process_person_profile": False if nobody else options.process_person_profile,
        "$lib": name,
        "$lib_version": version,
    }
    return {key: value for key, value in all_of_them.items() if value is not None}


def with_added(text: bytes, more: Properties) -> bytes:
    """The object `text` with `more` behind its keys: of two equal keys the last counts."""
    if not more:
        return text
    start = text.rstrip()[:-1].rstrip()
    comma = b"" if start.endswith(b"{") and len(start) == 1 else b","
    return start + comma + msgspec.json.encode(more)[1:]
