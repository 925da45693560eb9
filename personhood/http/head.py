"""HEAD: what GET would answer, without its body. Load balancers and link checkers ask so.

Not where a GET brings events: whoever only looks must not be counted.
"""

from litestar.types import ASGIApp, Message, Receive, Scope, Send

PATHS = ("/api/", "/_", "/metrics", "/static/", "/array/")


class Headed:
    """An ASGI application that is asked GET for HEAD."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD" or not is_read(scope["path"]):
            await self.app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        # In place: the router adds to the scope what those around this one look for.
        scope["method"] = "GET"
        try:
            await self.app(scope, receive, send_without_body)
        finally:
            scope["method"] = "HEAD"


def is_read(path: str) -> bool:
    return path == "/" or path.startswith(PATHS)
