"""Whether the process lives, whether it can do its work, and its figures. Nobody needs a key."""

import asyncio

import psycopg
from litestar import MediaType, Response, get
from litestar.datastructures import State
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import Example
from litestar.status_codes import HTTP_200_OK, HTTP_503_SERVICE_UNAVAILABLE
from prometheus_client import CONTENT_TYPE_LATEST

from personhood import metrics
from personhood.settings import Settings
from personhood.store import embedded
from personhood.store.pool import Pool

READINESS_TIMEOUT_S = 2
AWAY = "The database does not answer."
FULL = "The database does not answer; the disk of its data folder is full."
FIGURES = """\
# HELP personhood_events_stored_total Events committed to the database.
# TYPE personhood_events_stored_total counter
personhood_events_stored_total 20.0
"""


@get("/", media_type=MediaType.TEXT, include_in_schema=False)
async def root() -> str:
    return "capture"


def said(example: str, description: str) -> ResponseSpec:
    return ResponseSpec(
        str,
        media_type=MediaType.TEXT,
        generate_examples=False,
        description=description,
        examples=[Example(summary="Example", value=example)],
    )


@get(
    ["/_health", "/_liveness", "/_livez"],
    media_type=MediaType.TEXT,
    tags=["health"],
    responses={200: said("ok", "The process lives.")},
)
async def alive() -> str:
    """200 while the process answers; says nothing of the database."""
    return "ok"


@get(
    ["/_readiness", "/_readyz"],
    media_type=MediaType.TEXT,
    tags=["health"],
    responses={
        200: said("ok", "It can do its work."),
        503: said(AWAY, "It cannot; why."),
    },
)
async def ready(state: State) -> Response[str]:
    """200 when the database answers, else 503 and why.

    By the connections that events have, which slow queries of the API do not take.
    """
    if reason := await obstacle(state.ingest_pool):
        settings: Settings = state.settings
        if settings.database_url is None and embedded.fullness(settings.data_dir):
            reason = FULL
        return Response(reason, status_code=HTTP_503_SERVICE_UNAVAILABLE)
    return Response("ok", status_code=HTTP_200_OK)


async def obstacle(pool: Pool) -> str | None:
    """What keeps us from the database. No word of the driver's: it may name hosts and accounts."""
    try:
        async with asyncio.timeout(READINESS_TIMEOUT_S), pool.connection() as conn:
            await pool.check_connection(conn)
    except (psycopg.Error, TimeoutError):
        return AWAY
    return None


@get(
    "/metrics",
    media_type=MediaType.TEXT,
    tags=["health"],
    sync_to_thread=True,
    responses={200: said(FIGURES, "Every figure, of all workers.")},
)
def figures() -> Response[bytes]:
    """Counters, gauges and histograms in the Prometheus text format."""
    return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


route_handlers = [root, alive, ready, figures]
