"""`/s/`: what browsers and phones record of sessions (contract: capture-and-identity, 6.1)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from litestar import Request
from litestar.types import HTTPScope, Receive

from personhood.capture import snapshots
from personhood.capture.receiving import aside, body_of, header
from personhood.capture.v0 import BEACON, OK, Answer, Endpoint
from personhood.http import body, encoding
from personhood.model import SessionBlock, Warning

RECEIVED_BYTES_MAX = 25 * body.MIB
MORE_ENCODINGS = ("deflate", "br", "zstd")  # beside those that v0 sniffs out


class Snapshots(Endpoint):
    """Takes `$snapshot` events; the answer comes when they are durable."""

    async def answer(self, scope: HTTPScope, receive: Receive) -> Answer:
        received_at = datetime.now(UTC)
        state = scope["litestar_app"].state
        query: Mapping[str, str] = {}
        if scope["query_string"]:
            query = Request[Any, Any, Any](scope).query_params

        def unpack(payload: bytes) -> snapshots.Snapshots:
            named = (header(scope, b"content-encoding") or "").strip().lower()
            if named in MORE_ENCODINGS:
                payload = encoding.decoded(payload, named, bytes_max=body.DECODED_BYTES_MAX)
            text = body.decode(
                payload,
                query=query,
                content_type=header(scope, b"content-type"),
                content_encoding=header(scope, b"content-encoding"),
                legacy=False,
                received_bytes_max=body.DECODED_BYTES_MAX,
            )
            return snapshots.parse(text, user_agent=header(scope, b"user-agent"))

        payload = await body_of(scope, receive, bytes_max=RECEIVED_BYTES_MAX)
        async with state.recorder.turn(len(payload)):
            given = await aside(len(payload), unpack, payload)
        project = await state.projects.by_token(given.token)
        if project is not None:
            size = given.size

            def gather() -> tuple[list[SessionBlock], list[Warning]]:
                return snapshots.blocks(given.events, now=received_at)

            async with state.recorder.room(size):
                made, odd = await aside(size, gather)
                if made:
                    odd += await state.recorder.keep(project, made, received_at=received_at)
            if odd:
                await state.ingester.ingest(project, [], odd, size=0)
        return BEACON if query.get("beacon") == "1" else OK
