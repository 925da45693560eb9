"""Where SDKs send events by protocol v1 (contract: capture-and-identity, 1.9). Everything is JSON.

A result is `ok` when its event is committed, and only then. When nothing can be committed the whole
request is answered 503 with `Retry-After`: the SDKs send all of it again as they would send events
with the result `retry`, proxies and graphs see the outage, and no warning about a dropped event is
lost with it. So there is no `retry` among the results.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import psycopg
import structlog
from litestar import MediaType, Response, post
from litestar.exceptions import ClientException, HTTPException
from msgspec import Struct
from psycopg_pool import PoolTimeout

from personhood.capture import claims, heatmap, v1
from personhood.capture.receiving import (
    RETRY_AFTER_S,
    AnyRequest,
    aside,
    client_address,
    received,
)
from personhood.errors import BadCapture, CaptureTooLarge, Overloaded
from personhood.http import encoding
from personhood.model import Event, Project, Warning

log = structlog.get_logger(__name__)

MIB = 1024 * 1024
RECEIVED_BYTES_MAX = 10 * MIB
DECODED_BYTES_MAX = 50 * MIB
INTERNAL_ADDRESS = "127.0.0.1"

STATUSES: Mapping[str, int] = {
    "invalid_api_token": HTTPStatus.UNAUTHORIZED,
    "unsupported_content_type": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "unsupported_encoding": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
}
# What else of HTTP a request may be refused with.
CODES: Mapping[int, str] = {
    HTTPStatus.REQUEST_TIMEOUT: "request_timeout",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "payload_too_large",
}


class Result(Struct, omit_defaults=True):
    """What became of one event. `details` is a code."""

    result: str
    details: str | None = None


class Results(Struct):
    """The answer to a request: by the uuid of each event, as it was sent."""

    results: dict[str, Result]


class Refusal(Struct):
    """The answer to a request that is refused whole."""

    error: str
    error_description: str
    error_uri: str = "/api/docs"


async def events(request: AnyRequest) -> Response[Results]:
    received_at = datetime.now(UTC)
    envelope = v1.envelope(request.headers)
    payload = await received(request)
    project = await request.app.state.projects.by_token(envelope.token)
    if project is None:
        # Unlike v0, whose SDKs tell nobody of a 401: those of v1 hand it to the caller.
        raise v1.BatchRefused("invalid_api_token", "no project has this token")

    def unpack() -> tuple[v1.Batch, int]:
        text = encoding.decoded(payload, envelope.encoding, bytes_max=DECODED_BYTES_MAX)
        return v1.parse(text, envelope, now=received_at), len(text)

    try:
        batch, size = await aside(len(payload), unpack)
    except v1.BatchRefused as refusal:
        if refusal.code in v1.BATCH_WARNINGS:
            told = Warning(type=refusal.code, at=received_at, details={"message": str(refusal)})
            await request.app.state.ingester.ingest(project, [], [told], size=0)
        raise
    ip = INTERNAL_ADDRESS if batch.internal else client_address(request.scope)
    readings = await aside(size, read_all, batch, project, received_at=received_at, ip=ip)
    submission = await request.app.state.ingester.submit(
        project, readings.events, readings.warnings, size=size
    )
    for uuid in {str(each) for each in submission.refused} & readings.results.keys():
        readings.results[uuid] = Result("drop", "rejected")
    return Response(Results(readings.results), media_type=MediaType.JSON)


class Readings(Struct):
    """What a batch came to, before anything of it is stored."""

    events: list[Event]
    warnings: list[Warning]
    results: dict[str, Result]


def read_all(
    batch: v1.Batch, project: Project, *, received_at: datetime, ip: str | None
) -> Readings:
    readings = Readings([], [], {})
    for each in batch.verdicts:
        parts = readings_of(each, project, received_at=received_at, ip=ip)
        for reading in parts:
            readings.warnings += reading.warnings
            if reading.event is not None:
                readings.events.append(reading.event)
        readings.results[str(each.uuid)] = result_of(each, parts[0])
    return readings


def readings_of(
    verdict: v1.Verdict, project: Project, *, received_at: datetime, ip: str | None
) -> list[claims.Reading]:
    """The event, and its heatmap behind it. A drop leaves a warning; what only reading it whole
    could tell is a drop, too.
    """
    if verdict.sent is not None:
        try:
            return [
                claims.read(sent, project, received_at=received_at, ip=ip)
                for sent in heatmap.parted(verdict.sent)
            ]
        except BadCapture as error:
            verdict.sent, verdict.details = None, "malformed_event_properties"
            verdict.about["message"] = str(error)
    assert verdict.details is not None, "a drop has its reason"
    told = Warning(
        type=verdict.details, at=received_at, event_uuid=verdict.uuid, details=verdict.about
    )
    return [claims.Reading(None, [told])]


def result_of(verdict: v1.Verdict, reading: claims.Reading) -> Result:
    if verdict.sent is None:
        return Result("drop", verdict.details)
    if reading.event is not None or verdict.sent.name == claims.CLIENT_WARNING:
        return Result("ok", verdict.details)
    return Result("drop", reading.warnings[-1].type)


# Errors


def refused(_: AnyRequest, error: v1.BatchRefused) -> Response[Refusal]:
    return told(STATUSES.get(error.code, HTTPStatus.BAD_REQUEST), error.code, str(error))


def not_decoded(_: AnyRequest, error: BadCapture) -> Response[Refusal]:
    return told(HTTPStatus.BAD_REQUEST, "request_decoding_error", str(error))


def too_large(_: AnyRequest, error: CaptureTooLarge) -> Response[Refusal]:
    return told(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "payload_too_large", str(error))


def http_error(_: AnyRequest, error: HTTPException) -> Response[Refusal]:
    """What the framework refuses: a body over the limit, one that does not come to its end."""
    code = CODES.get(error.status_code, "request_decoding_error")
    return told(error.status_code, code, str(error.detail))


def unavailable(_: AnyRequest, error: Exception) -> Response[Refusal]:
    log.warning("capture v1 cannot store", reason=type(error).__name__)
    return told(HTTPStatus.SERVICE_UNAVAILABLE, "service_unavailable", str(Overloaded()))


def failed(request: AnyRequest, error: Exception) -> Response[Refusal]:
    log.error("capture failed", path=request.scope["path"], exc_info=error)
    return told(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "Internal Server Error")


def told(status: int, code: str, description: str) -> Response[Refusal]:
    headers = {"Accept": "application/json", "Accept-Encoding": ", ".join(encoding.DECODERS)}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return Response(
        Refusal(code, description), status_code=status, headers=headers, media_type=MediaType.JSON
    )


# The API's own handlers are in force for whatever is more special than what stands here.
exception_handlers: dict[Any, Any] = {
    v1.BatchRefused: refused,
    BadCapture: not_decoded,
    CaptureTooLarge: too_large,
    HTTPException: http_error,
    ClientException: http_error,
    Overloaded: unavailable,
    psycopg.OperationalError: unavailable,
    PoolTimeout: unavailable,
    Exception: failed,
}

route_handlers = [
    post(
        "/i/v1/analytics/events",
        status_code=HTTPStatus.OK,
        request_max_body_size=RECEIVED_BYTES_MAX,
        exception_handlers=exception_handlers,
        include_in_schema=False,
    )(events)
]
