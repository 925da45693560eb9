"""Who asks, and for which project (contract: persons-api, 8.1 to 8.3).

`guard` runs before a handler's parameters are read: first the key (401), then the project (404,
403), then the scope (403). A handler finds the outcome as `request.auth`, an `Access`, and says
what it needs by `opt={"scope": "person:read"}`. Both `api` and `capture` have such handlers.
"""

import re
import time
from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from msgspec import Struct

from personhood.errors import AuthenticationFailed, NotFound, PermissionDenied
from personhood.http import accept, auth
from personhood.model import BIGINT_MAX, ApiKey, Project
from personhood.store import api_key as api_keys
from personhood.store import project as projects
from personhood.store.lookups import Lookups
from personhood.store.pool import Pool

PROJECT_ID = re.compile(r"[0-9]+", re.ASCII)
TOUCH_EVERY_S = 60.0


class Access(Struct, frozen=True):
    """A key that may use a project."""

    key: ApiKey
    project: Project


async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Let a request pass to its handler, or raise what it is refused with."""
    assert isinstance(connection, Request), "guards of HTTP routes are given the request"
    accept.check(connection)
    given = await auth.credentials(connection)
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


async def project_of(state: State, key: ApiKey, given: auth.Credentials) -> Project:
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


def writes(handler: BaseRouteHandler) -> bool:
    """Whether a handler may change something; what only reads is done again without harm."""
    return any(scope.endswith(":write") for scope in scopes_of(handler))


def is_stale(key_id: int, touched: dict[int, float]) -> bool:
    """Whether to note the use of a key: at most once a minute in each process."""
    now = time.monotonic()
    if now - touched.get(key_id, -TOUCH_EVERY_S) < TOUCH_EVERY_S:
        return False
    touched[key_id] = now
    return True
