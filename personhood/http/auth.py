"""Who asks, and for which project (contract: persons-api, 8.1 to 8.3).

`guard` runs before a handler's parameters are read: first the key (401), then the project (404,
403), then the scope (403). A handler finds the outcome as `request.auth`, an `Access`, and says
what it needs by `opt={"scope": "person:read"}`.
"""

import re
import time
from typing import Any

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from msgspec import Struct

from personhood.errors import AuthenticationFailed, NotAuthenticated, NotFound, PermissionDenied
from personhood.http import accept, json_body
from personhood.model import JSON, ApiKey, Project
from personhood.store import api_key as api_keys
from personhood.store import project as projects
from personhood.store.lookups import Lookups
from personhood.store.pool import Pool

BEARER = re.compile(r"Bearer\s+(\S.+)")
PROJECT_ID = re.compile(r"[0-9]+", re.ASCII)
BIGINT_MAX = 2**63 - 1
TOUCH_EVERY_S = 60.0


class Access(Struct, frozen=True):
    """A key that may use a project."""

    key: ApiKey
    project: Project


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


async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Let a request pass to its handler, or raise what it is refused with."""
    assert isinstance(connection, Request), "guards of HTTP routes are given the request"
    accept.check(connection)
    given = await credentials(connection)
    state = connection.app.state
    key = await state.lookups.keys.get(given.key)
    if key is None:
        raise AuthenticationFailed(
            f"Personal API key found in request {given.found_in} is invalid."
        )
    project = await project_of(state, key, given)
    permit(key, project, scopes_of(handler))
    if is_stale(key.id, state.setdefault("keys_touched", {})):
        async with state.pool.connection() as conn:
            await api_keys.touch(conn, key.id)
    connection.scope["auth"] = Access(key, project)


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


async def project_of(state: State, key: ApiKey, given: Credentials) -> Project:
    """The project of a token if one is given, else of the path; `@current` is the key's own."""
    lookups: Lookups = state.lookups
    if given.token is not None:
        project = await of_token(state.pool, given.token)
        if project is None:
            raise AuthenticationFailed("Incorrect authentication credentials.")
    elif given.project_id == "@current":
        project = await current(state, key)
    elif PROJECT_ID.fullmatch(given.project_id) and len(given.project_id) < 20:
        number = int(given.project_id)
        project = await lookups.projects.get(number) if number <= BIGINT_MAX else None
    else:
        project = None
    if project is None:
        raise NotFound("Project not found.")
    return project


async def of_token(pool: Pool, token: str) -> Project | None:
    if "\0" in token:
        return None
    async with pool.connection() as conn:
        return await projects.by_token(conn, token)


async def current(state: State, key: ApiKey) -> Project | None:
    if key.project_id is not None:
        return await state.lookups.projects.get(key.project_id)
    async with state.pool.connection() as conn:
        return next(iter(await projects.all_projects(conn)), None)


def permit(key: ApiKey, project: Project, required: tuple[str, ...]) -> None:
    """Raise PermissionDenied unless `key` may do what needs every scope of `required`.

    A key with no scopes at all is an old one, and may do everything.
    """
    if key.project_id not in (None, project.id):
        raise PermissionDenied(
            f"API key does not have access to the requested project: ID {project.id}."
        )
    if not key.scopes:
        return
    if not required:
        raise PermissionDenied("This action does not support Personal API Key access")
    for scope in required:
        if not holds(key.scopes, scope):
            raise PermissionDenied(f"API key missing required scope '{scope}'")


def holds(scopes: list[str], scope: str) -> bool:
    """Writing includes reading of the same object, not the other way round."""
    subject, _, verb = scope.partition(":")
    return "*" in scopes or scope in scopes or (verb == "read" and f"{subject}:write" in scopes)


def scopes_of(handler: BaseRouteHandler) -> tuple[str, ...]:
    scope: str | tuple[str, ...] = handler.opt.get("scope", ())
    return (scope,) if isinstance(scope, str) else scope


def is_stale(key_id: int, touched: dict[int, float]) -> bool:
    """Whether to note the use of a key: at most once a minute in each process."""
    now = time.monotonic()
    if now - touched.get(key_id, -TOUCH_EVERY_S) < TOUCH_EVERY_S:
        return False
    touched[key_id] = now
    return True
