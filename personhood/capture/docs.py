"""What `/api/docs` says of capture: words and examples, no behaviour."""

from dataclasses import dataclass
from typing import Any

from litestar import MediaType
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import (
    Example,
    OpenAPIMediaType,
    Operation,
    RequestBody,
    Schema,
)
from litestar.openapi.spec.enums import OpenAPIType
from msgspec import Struct

TAG = "Capture"
TAG_TEXT = "Where SDKs send events. A project's token names it; no key is needed."

SUMMARY = "Send events"
DESCRIPTION = """
Take one event, a list of events, or a batch of them. 200 means that they are committed, and that
the next read sees what they did to persons. An event whose `uuid` was sent before changes nothing.

```sh
curl http://127.0.0.1:8000/batch/ -H 'Content-Type: application/json' -d '{
  "api_key": "phc_your_token",
  "batch": [{"event": "signed up", "distinct_id": "ada",
             "properties": {"$set": {"email": "ada@example.com"}}}]}'
```

The body may be gzipped (with `Content-Encoding: gzip`, `?compression=gzip`, or without a word),
base64, a form with a `data` field, or LZ-string; a GET has it in `?data=`. `/e/`, `/capture/`,
`/track/`, `/engage/` and `/i/v0/e/` take the same. Errors are plain text: what is answered with 4xx
can never succeed, what is answered with 503 should be sent again.
"""
EXAMPLE = {
    "api_key": "phc_your_token",
    "sent_at": "2026-05-04T12:00:00Z",
    "batch": [
        {
            "event": "$identify",
            "distinct_id": "ada",
            "uuid": "0190a1f2-7e2b-7c3d-9a4e-5f6071829304",
            "timestamp": "2026-05-04T11:59:58Z",
            "properties": {"$anon_distinct_id": "anonymous-1", "$set": {"plan": "scale"}},
        }
    ],
}
TEXT = Schema(type=OpenAPIType.STRING)
OBJECT = Schema(type=OpenAPIType.OBJECT)
EVENT = Schema(
    type=OpenAPIType.OBJECT,
    properties={
        "event": TEXT,
        "distinct_id": TEXT,
        "uuid": Schema(type=OpenAPIType.STRING, description="The same for each retry."),
        "timestamp": Schema(type=OpenAPIType.STRING, description="ISO 8601."),
        "properties": OBJECT,
        "$set": OBJECT,
        "$set_once": OBJECT,
    },
    required=["event", "distinct_id"],
)
BATCH = Schema(
    type=OpenAPIType.OBJECT,
    properties={
        "api_key": Schema(type=OpenAPIType.STRING, description="The project's token, `phc_…`."),
        "batch": Schema(type=OpenAPIType.ARRAY, items=EVENT),
        "sent_at": Schema(type=OpenAPIType.STRING, description="The client's clock when sending."),
        "historical_migration": Schema(type=OpenAPIType.BOOLEAN),
    },
    required=["api_key", "batch"],
)


class Taken(Struct):
    """The answer to events that were taken."""

    status: str = "Ok"


@dataclass
class Captured(Operation):
    """An operation that takes a batch, which its handler decodes by itself."""

    def __post_init__(self) -> None:
        content = OpenAPIMediaType(
            schema=BATCH, examples={"example": Example(summary="Example", value=EXAMPLE)}
        )
        self.request_body = RequestBody(content={"application/json": content}, required=True)


def refusal(description: str, text: str) -> ResponseSpec:
    return ResponseSpec(
        str,
        generate_examples=False,
        media_type=MediaType.TEXT,
        description=description,
        examples=[Example(summary="Example", value=text)],
    )


RESPONSES: dict[int, ResponseSpec] = {
    200: ResponseSpec(
        Taken,
        generate_examples=False,
        description="Committed.",
        examples=[Example(summary="Example", value=Taken())],
    ),
    400: refusal(
        "The body does not fit: nothing of it is stored. Or the database cannot keep one of its "
        "events: the text names it, an ingestion warning tells why, and all others are stored.",
        "event submitted without a distinct_id",
    ),
    401: refusal("No token, or none that is well-formed.", "event submitted without an api_key"),
    408: refusal("The body did not come to its end.", "client stopped sending data"),
    413: refusal("Body or event are too large.", "request body is too large"),
    503: refusal("Send it again, after `Retry-After` seconds.", "transient error, please retry"),
}

SHOWN: dict[str, Any] = {
    "operation_id": "capture_batch",
    "summary": SUMMARY,
    "description": DESCRIPTION.strip(),
    "tags": [TAG],
    "operation_class": Captured,
    "responses": RESPONSES,
}
# The other paths, and GET, take the same; SDKs know them.
HIDDEN: dict[str, Any] = {"include_in_schema": False}
