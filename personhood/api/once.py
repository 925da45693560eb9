"""`Idempotency-Key`: a POST that is sent again is answered again, and done once.

`begin` runs before a handler, when it is known who asks: the first request with a key claims it.
`Once`, around the route, keeps what it was answered before the client sees it. Only successes are
kept. A refusal changed nothing, so the key stays free for the same request or a better one.

A server that is killed leaves a claim without an answer. Who finds it abandoned looks whether the
request had its effect, by the id that the effect's own transaction wrote down: if not, it runs; if
so, nobody knows the answer any more, and that is what the client is told. Nothing is done twice.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import psycopg
import structlog
from litestar import Response
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from psycopg import AsyncConnection

from personhood.access import writes
from personhood.api.asked import REQUEST_ID, Asked, pool_of
from personhood.errors import Conflict, InvalidInput, Unprocessable
from personhood.http import accept, auth, sealing
from personhood.http.sealing import Answer, Seal
from personhood.store import idempotency
from personhood.store.idempotency import Claim
from personhood.store.pool import Pool

KEY_LENGTH_MAX = 255
BEAT_S = 5
ABANDONED_S = 30  # since the last beat
RETRY_AFTER_S = 1
ATTEMPTS_MAX = 10

HEADER = "idempotency-key"
REPLAYED = (b"idempotent-replayed", b"true")
RUN = "personhood_run"

KEY_MALFORMED = f"Idempotency-Key has to be one text of 1 to {KEY_LENGTH_MAX} characters."
RUNNING = "A request with this Idempotency-Key is still running."
ANSWER_LOST = (
    "The request with this Idempotency-Key was carried out, but its answer was lost. Read what is "
    "there now; nothing was done again."
)
ANOTHER = "This Idempotency-Key was used for another request."

log = structlog.get_logger(__name__)


@dataclass
class Run:
    """A request that has claimed its key."""

    pool: Pool
    claim: Claim
    seal: Seal
    beating: asyncio.Task[None]

    async def conclude(self, answer: Answer) -> None:
        """Keep a success, or free the key. If neither can be done, the claim is soon abandoned."""
        try:
            async with self.pool.connection() as conn:
                if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
                    await idempotency.keep(conn, self.claim, answer=self.seal.close(answer))
                elif not await idempotency.had_effect(conn, self.claim.request_id):
                    await idempotency.drop(conn, self.claim)
        except (psycopg.OperationalError, OSError) as error:
            log.warning("answer_not_kept", error=type(error).__name__)


class Again(Response[None]):
    """An answer as it was given before."""

    def __init__(self, answer: Answer) -> None:
        # No media type of ours: the form that is wanted was wanted then, too.
        super().__init__(None, status_code=answer.status, media_type="application/octet-stream")
        self.answer = answer

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIApp:  # pyright: ignore[reportIncompatibleMethodOverride]
        async def respond(scope: Scope, receive: Receive, send: Send) -> None:
            await send_answer(self.answer, [REPLAYED], send=send)

        return respond


class Once:
    """A route whose answer is kept before it is sent, if its request has claimed a key."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        held: list[Message] = []

        async def keep_and_send(message: Message) -> None:
            run: Run | None = scope.get(RUN)
            if run is None:
                await send(message)
                return
            held.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                answer = answer_of(held)
                await run.conclude(answer)
                await send_answer(answer, [], send=send)

        try:
            await self.app(scope, receive, keep_and_send)
        finally:
            if run := scope.get(RUN):
                run.beating.cancel()
                with suppress(asyncio.CancelledError):
                    await run.beating


async def begin(request: Asked) -> Response[None] | None:
    """What was answered before, or nothing and the handler runs.

    Raises InvalidInput, Conflict while the first still runs, or Unprocessable.
    """
    key = key_of(request)
    if key is None or not writes(request.route_handler):
        return None
    project_id, credentials = request.auth.project.id, await auth.credentials(request)
    seal = sealing.seal(api_key=credentials.key, idempotency_key=key, project_id=project_id)
    fingerprint = seal.fingerprint(
        request.method.encode(),
        request.scope["path"].rstrip("/").encode("utf-8", "replace"),
        request.scope["query_string"],
        accept.wanted.get().encode(),
        await request.body(),
    )
    pool = pool_of(request)
    async with pool.connection() as conn:
        found = await claimed(
            conn,
            project_id,
            seal.hash(),
            fingerprint=fingerprint,
            kept_s=request.app.state.settings.idempotency_retention_s,
        )
    if isinstance(found, bytes):
        return Again(seal.open(found))
    request.scope[REQUEST_ID] = found.request_id  # pyright: ignore[reportGeneralTypeIssues]
    request.scope[RUN] = Run(pool, found, seal, asyncio.create_task(beat(pool, found)))  # pyright: ignore[reportGeneralTypeIssues]
    return None


def key_of(request: Asked) -> str | None:
    """The key of a POST, in quotes (as the IETF's draft has it) or not. Raises InvalidInput."""
    keys = request.headers.getall(HEADER, []) if request.method == "POST" else []
    if not keys:
        return None
    key = keys[0].strip()
    if len(keys) > 1 or not key.strip('"') or len(key) > KEY_LENGTH_MAX:
        raise InvalidInput(KEY_MALFORMED)
    return key


async def claimed(
    conn: AsyncConnection, project_id: int, hash: bytes, *, fingerprint: bytes, kept_s: int
) -> Claim | bytes:
    """The right to run, or the answer of who did."""
    for _ in range(ATTEMPTS_MAX):
        claim = await idempotency.insert(conn, project_id, hash, fingerprint=fingerprint)
        if claim is not None:
            return claim
        known = await idempotency.find(
            conn, project_id, hash, abandoned_s=ABANDONED_S, kept_s=kept_s
        )
        if known is None:
            continue  # freed a moment ago
        theirs = Claim(
            project_id=project_id, hash=hash, request_id=known.request_id, attempt=known.attempt
        )
        if known.is_expired:
            await idempotency.drop(conn, theirs)
        elif known.fingerprint != fingerprint:
            raise Unprocessable(ANOTHER)
        elif known.answer is not None:
            return known.answer
        elif not known.is_abandoned:
            break
        elif await idempotency.had_effect(conn, known.request_id):
            raise Conflict(ANSWER_LOST, code="answer_lost")
        elif claim := await idempotency.take_over(conn, theirs):
            return claim
    raise Conflict(RUNNING, retry_after_s=RETRY_AFTER_S)


async def beat(pool: Pool, claim: Claim) -> None:
    """Tell for ever that a request still runs."""
    while True:
        await asyncio.sleep(BEAT_S)
        with suppress(psycopg.OperationalError, OSError):
            async with pool.connection() as conn:
                await idempotency.stay(conn, claim)


def answer_of(messages: list[Message]) -> Answer:
    start, *parts = messages
    assert start["type"] == "http.response.start", "an answer begins with its status"
    return Answer(
        status=start["status"],
        headers=[(bytes(name), bytes(value)) for name, value in start["headers"]],
        body=b"".join(part["body"] for part in parts if part["type"] == "http.response.body"),
    )


async def send_answer(
    answer: Answer, more_headers: list[tuple[bytes, bytes]], *, send: Send
) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [*answer.headers, *more_headers],
        }
    )
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})
