"""What SDKs talk to: the route table (contract: capture-and-identity, 1.1)."""

from collections.abc import Sequence
from http import HTTPStatus

from litestar import HttpMethod, Litestar, MediaType, route
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send

from personhood.capture import docs, flags, remote_config, replay, scripts, v1_routes
from personhood.capture.receiving import AnyRequest
from personhood.capture.v0 import OK, Endpoint, Events, Sink

EITHER = (HttpMethod.POST, HttpMethod.GET)

ENDPOINTS: dict[str, Endpoint] = {
    "/batch": Events(),
    "/i/v0/e": Events(),
    "/e": Events(legacy=True),
    "/capture": Events(legacy=True),
    "/track": Events(legacy=True),
    "/engage": Events(legacy=True, engage=True),
    "/i/v0/ai/batch": Events(ai=True),
    "/s": replay.Snapshots(),
    "/test/black_hole": Sink(OK),
}


def at(
    path: str, *, methods: Sequence[HttpMethod] = EITHER, shown: bool = False
) -> HTTPRouteHandler:
    """The framework's way to an endpoint: it documents it, and knows what else is no route."""

    async def take(request: AnyRequest) -> ASGIApp:
        return ENDPOINTS[path]

    return route(
        path,
        http_method=list(methods),
        status_code=HTTPStatus.OK,
        media_type=MediaType.JSON,
        **(docs.SHOWN if shown else docs.HIDDEN),
    )(take)


route_handlers = [
    at("/batch", methods=[HttpMethod.POST], shown=True),
    at("/batch", methods=[HttpMethod.GET]),
    at("/i/v0/e"),
    at("/e"),
    at("/capture"),
    at("/track"),
    at("/engage"),
    at("/i/v0/ai/batch", methods=[HttpMethod.POST]),
    *v1_routes.route_handlers,  #     /i/v1/analytics/events
    at("/s"),
    at("/test/black_hole"),
    *remote_config.route_handlers,  # /array/<token>/config, config.js, array.js
    *scripts.route_handlers,  #       /static/<file>, /static/<version>/<file>
    *flags.route_handlers,  #         /flags, /decide, /api/surveys, …
]


class Front:
    """The application, with a short way past the framework for what SDKs POST most."""

    def __init__(self, app: Litestar) -> None:
        self.app = app
        self.templates = {path: path for path in ENDPOINTS} | {f"{p}/": p for p in ENDPOINTS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            template = self.templates.get(scope["path"])
            if template is not None:
                scope["litestar_app"] = self.app
                scope["path_template"] = template  # what requests are counted by
                await ENDPOINTS[template](scope, receive, send)
                return
        await self.app(scope, receive, send)
