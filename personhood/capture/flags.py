"""Feature flags, surveys, tours, experiments: there are none, which SDKs want to be told.

The smallest answers that no SDK complains about (contract: capture-and-identity, 1.11).
"""

import hashlib
from typing import Any
from uuid import uuid4

import msgspec
from litestar import HttpMethod, MediaType, Request, Response, get, route
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath

from personhood import access
from personhood.capture import remote_config, scripts
from personhood.capture.receiving import AnyRequest, received
from personhood.errors import NotFound
from personhood.model import JSON

BODY_BYTES_MAX = 2 * 1024 * 1024
SCOPE = "feature_flag:read"

NO_DEFINITIONS = b'{"flags":[],"group_type_mapping":{},"cohorts":{}}'
DEFINITIONS_ETAG = f'W/"{hashlib.sha256(NO_DEFINITIONS).hexdigest()[:32]}"'

HIDDEN: dict[str, Any] = {
    "status_code": 200,
    "media_type": MediaType.JSON,
    "request_max_body_size": BODY_BYTES_MAX,
    "include_in_schema": False,
}
EITHER = [HttpMethod.POST, HttpMethod.GET]


def no_flags() -> dict[str, JSON]:
    """For every version of the request: the oldest SDKs read `featureFlags`, the newest `flags`."""
    return {
        "flags": {},
        "featureFlags": {},
        "featureFlagPayloads": {},
        "errorsWhileComputingFlags": False,
        "requestId": str(uuid4()),
    }


@route("/flags", http_method=EITHER, **HIDDEN)
async def flags(request: AnyRequest) -> Response[Any]:
    """Nothing of what is asked matters to the answer, but `config=true` for React Native."""
    await received(request)
    config: dict[str, JSON] = {}
    if request.query_params.get("config") == "true":
        config = remote_config.remote_config("", recording=remote_config.recording(request))
        del config["token"]
    return Response({**config, **no_flags()})


@route("/decide", http_method=EITHER, **HIDDEN)
async def decide(request: AnyRequest) -> Response[Any]:
    """What `/flags` and `/array/<token>/config` were before they were two."""
    await received(request)
    answer = {
        **no_flags(),
        "config": {"enable_collect_everything": True},
        "sessionRecording": remote_config.recording(request),
        "supportedCompression": ["gzip", "gzip-js"],
        "isAuthenticated": False,
        "siteApps": [],
        "toolbarParams": {},
    }
    if request.query_params.get("v", "1") == "1":
        answer["featureFlags"] = []  # the keys of those that are on
    return Response(answer)


# What needs a key


async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """As of the API; where the path names no project, it is the token's or the key's own."""
    connection.path_params.setdefault("project_id", "@current")
    await access.guard(connection, handler)


@get(
    ["/flags/definitions", "/api/feature_flag/local_evaluation"],
    guards=[guard],
    opt={"scope": SCOPE},
    **HIDDEN,
)
async def definitions(request: Request[Any, Any, Any]) -> Response[Any]:
    """For SDKs that evaluate flags by themselves, and ask again and again."""
    headers = {"ETag": DEFINITIONS_ETAG}
    if scripts.is_known(DEFINITIONS_ETAG, request.headers.get("if-none-match", "")):
        return Response(None, status_code=304, headers=headers)
    return Response(NO_DEFINITIONS, headers=headers, media_type=MediaType.JSON)


@get(
    "/api/projects/{project_id:str}/feature_flags/{key:str}/remote_config",
    guards=[guard],
    opt={"scope": SCOPE},
    **HIDDEN,
)
async def payload(key: FromPath[str]) -> Response[Any]:
    raise NotFound


# Lists


def empty(path: str, name: str) -> Any:
    """A list of which there is nothing."""
    nothing = msgspec.json.encode({name: list[JSON]()})

    async def none_of_them() -> Response[bytes]:
        return Response(nothing, media_type=MediaType.JSON)

    return get(path, **HIDDEN)(none_of_them)


route_handlers = [
    flags,
    decide,
    definitions,
    payload,
    empty("/api/surveys", "surveys"),
    empty("/api/early_access_features", "earlyAccessFeatures"),
    empty("/api/web_experiments", "experiments"),
    empty("/api/product_tours", "product_tours"),
]
