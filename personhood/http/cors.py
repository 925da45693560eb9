"""Cross-origin requests: web pages send events from anywhere (contract: capture-and-identity, 1.2).

The origin and the headers that are asked for are echoed on every path, errors included. No answer
depends on a cookie, so a foreign page learns nothing that it could not ask for itself.
"""

from litestar.types import ASGIApp, Message, Receive, Scope, Send

METHODS = b"GET, POST, OPTIONS"
PREFLIGHT_AGE_S = b"86400"
OK = b'{"status":"Ok"}'


class Cors:
    """An ASGI application with CORS; it answers OPTIONS itself."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        asked = {
            name: value
            for name, value in scope["headers"]
            if name in (b"origin", b"access-control-request-headers")
        }
        headers = allowed(asked)
        if scope["method"] == "OPTIONS":
            await answer_options(headers, send)
            return

        async def send_with_cors(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        await self.app(scope, receive, send_with_cors if headers else send)


def allowed(asked: dict[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    if b"origin" not in asked:
        return []
    headers = [
        (b"access-control-allow-origin", asked[b"origin"]),
        (b"access-control-allow-credentials", b"true"),
        (b"vary", b"origin"),
    ]
    if b"access-control-request-headers" in asked:
        headers += [
            (b"access-control-allow-headers", asked[b"access-control-request-headers"]),
            (b"access-control-allow-methods", METHODS),
            (b"access-control-max-age", PREFLIGHT_AGE_S),
        ]
    return headers


async def answer_options(headers: list[tuple[bytes, bytes]], send: Send) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(OK)).encode()),
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": OK, "more_body": False})
