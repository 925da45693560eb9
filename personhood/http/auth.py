"""What a request says of who asks, and for which project (contract: persons-api, 8.1).

Whether that holds, `personhood.access` finds out.
"""

import re
from typing import Any

import msgspec
from litestar import Request
from msgspec import Struct

from personhood.errors import NotAuthenticated
from personhood.http import json_body
from personhood.model import JSON

BEARER = re.compile(r"Bearer\s+(\S.+)")


class Credentials(Struct, frozen=True, kw_only=True):
    """What a request says of itself: the key, where it was found, and the project it names."""

    key: str
    found_in: str
    project_id: str
    token: str | None


class Body(Struct, frozen=True):
    """The fields of a JSON body that may name a key or a project."""

    personal_api_key: JSON = None
    token: JSON = None
    api_key: JSON = None


decode_body = msgspec.json.Decoder(Body).decode


async def credentials(request: Request[Any, Any, Any]) -> Credentials:
    """Header first, then body, then query. The body is read before a connection is taken."""
    body = await body_of(request)
    key, found_in = key_of(request, body)
    query = request.query_params
    token = query.get("token") or next(
        (text for text in (body.token, body.api_key) if isinstance(text, str) and text), None
    )
    return Credentials(
        key=key, found_in=found_in, project_id=request.path_params["project_id"], token=token
    )


def key_of(request: Request[Any, Any, Any], body: Body) -> tuple[str, str]:
    if match := BEARER.fullmatch(request.headers.get("authorization", "")):
        return match[1].strip(), "Authorization header"
    if body.personal_api_key is not None:
        return str(body.personal_api_key), "body"
    if (key := request.query_params.get("personal_api_key")) is not None:
        return key, "query string"
    raise NotAuthenticated


async def body_of(request: Request[Any, Any, Any]) -> Body:
    """A body that cannot be read names nobody: what is wrong with it, the handler will say."""
    if request.method == "GET" and not request.headers.get("content-length"):
        return Body()
    if not json_body.is_json(request.headers.get("content-type", "")):
        return Body()
    try:
        return decode_body(await request.body())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Body()
