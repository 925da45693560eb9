"""`/api/person`: the persons of the key's own project, by the resource's oldest path.

A path of its own for the client alone: the router is given the newer one. Links to other pages are
made from what the client asked for, and so stay under the older path.
"""

import re

from litestar.types import ASGIApp, Receive, Scope, Send

PATH = "/api/person"
NEWER = "/api/projects/@current/persons"
# Also with a form at once behind it: `/api/person.csv`.
OLDER = re.compile(re.escape(PATH) + r"(?=$|[/.])")


class Flat:
    """An ASGI application that knows its persons by a path without a project, too."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (match := OLDER.match(scope["path"])):
            scope["path"] = NEWER + scope["path"][match.end() :]
        await self.app(scope, receive, send)
