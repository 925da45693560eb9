"""Distinct ids in a path: `/persons/distinct_id:<value>/activity`, with a value that may hold `/`.

Routes are found by the decoded path, where `%2F` is a slash like any other. So a segment that names
a distinct id goes to the router encoded, in one form whatever the client's, and whoever reads it
decodes it.
"""

from urllib.parse import quote, unquote

from litestar.types import ASGIApp, Receive, Scope, Send

PREFIX = "distinct_id:"
PATHS = ("/api/projects/", "/api/environments/", "/api/person/")


class Segmented:
    """An ASGI application whose paths keep a distinct id in one piece."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if scope["type"] == "http" and f"/{PREFIX}" in path and path.startswith(PATHS):
            scope["path"] = kept_whole(scope["raw_path"])
        await self.app(scope, receive, send)


def kept_whole(raw_path: bytes) -> str:
    """The path, decoded but for the values of distinct ids."""
    raw = raw_path.partition(b"?")[0].decode("latin-1")
    return "/".join(encoded(unquote(segment)) for segment in raw.split("/"))


def encoded(segment: str) -> str:
    return (
        PREFIX + quote(segment[len(PREFIX) :], safe="") if segment.startswith(PREFIX) else segment
    )


def decoded(segment: str) -> str:
    """What a segment of the path says, as the client meant it."""
    return unquote(segment) if segment.startswith(PREFIX) else segment
