"""The JSON object in a request's body (contract: persons-api, 1 and 8.4)."""

import json
from typing import Any

import msgspec
from litestar import Request

from personhood.errors import BrokenJson, InvalidInput, UnsupportedMediaType
from personhood.model import JSON, Properties

BODY_BYTES_MAX = 20 * 1024 * 1024
NESTING_MAX = 200  # deeper values could be read, but not always be written again


async def read(request: Request[Any, Any, Any]) -> Properties:
    """The body as an object; an empty body is the empty object.

    A body over BODY_BYTES_MAX is refused by the routes' `request_max_body_size`.
    """
    body = await request.body()
    if not body:
        return {}
    if not is_json(content_type := request.headers.get("content-type", "")):
        raise UnsupportedMediaType(f'Unsupported media type "{content_type}" in request.')
    value = decode(body)
    if not isinstance(value, dict):
        raise InvalidInput("Invalid data. Expected a JSON object.")
    return value


def is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/json"


def decode(body: bytes) -> JSON:
    """The value of a JSON text that PostgreSQL can keep: no NUL, no lone surrogate, no infinity.

    Raises BrokenJson, with the words Python's own parser would use.
    """
    try:
        try:
            value = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            value = msgspec.json.decode(mended(body))
        if b"\\u0000" in body or body.count(b"[") + body.count(b"{") > NESTING_MAX:
            value = storable(value)
    except RecursionError:
        raise BrokenJson("JSON parse error - nested too deeply") from None
    except (ValueError, msgspec.DecodeError) as error:
        raise BrokenJson(f"JSON parse error - {error}") from None
    return value


def mended(body: bytes) -> bytes:
    """The text with U+FFFD for lone surrogates, which Python reads and UTF-8 cannot hold."""
    text = json.dumps(json.loads(body), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def storable(value: JSON, depth: int = 0) -> JSON:
    if depth > NESTING_MAX:
        raise RecursionError
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, list):
        return [storable(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {
            key.replace("\0", "\ufffd"): storable(item, depth + 1) for key, item in value.items()
        }
    return value
