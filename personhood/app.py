"""The composition root: opens the pool and the ingester, lists the routes, maps errors."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial

from litestar import Litestar
from litestar.types import ASGIApp

from personhood import blobs
from personhood.api import health, routes, schema, throttle
from personhood.capture import docs as capture_docs
from personhood.capture import routes as capture_routes
from personhood.capture.intake import Ingester
from personhood.capture.projects import Projects
from personhood.http.cors import Cors
from personhood.http.envelope import exception_handlers
from personhood.http.flat import Flat
from personhood.http.head import Headed
from personhood.http.negotiated import Negotiated
from personhood.http.segments import Segmented
from personhood.jobs import bulk_deletions, deletions
from personhood.jobs.queue import working
from personhood.metrics import Measured
from personhood.recordings import Recorder
from personhood.settings import Settings
from personhood.store import event
from personhood.store.lookups import lookups
from personhood.store.pool import Pool, pool

# Above every limit of capture, which has its own answers for what is too large.
REQUEST_BODY_BYTES_MAX = 32 * 1024 * 1024

# Two keep the processor busy while the database is, and the database while the processor is.
LANES = 2
JOBS_POOL_SIZE = 6  # a deletion may need two at once, one of many three


def served(settings: Settings, database_url: str) -> ASGIApp:
    """The application as a worker serves it: every answer counted, and open to foreign pages."""
    return Measured(Cors(capture_routes.Front(create_app(settings, database_url))))


def create_app(settings: Settings, database_url: str) -> Litestar:
    """The application of one worker process. `app.state` has `settings`, `pool`, `ingester`.

    Events have connections of their own, so that nothing that the API does keeps them waiting.
    """
    app = Litestar(
        route_handlers=[
            *capture_routes.route_handlers,
            *health.route_handlers,
            *routes.route_handlers,
        ],
        lifespan=[partial(running, settings=settings, database_url=database_url)],
        exception_handlers=exception_handlers,
        openapi_config=schema.openapi_config({capture_docs.TAG: capture_docs.TAG_TEXT}),
        request_max_body_size=REQUEST_BODY_BYTES_MAX,
        logging_config=None,  # see `logs`
    )
    app.asgi_handler = Headed(Segmented(Flat(Negotiated(app.asgi_handler))))
    app.state.settings = settings
    app.state.blobs = blobs.opened(settings.blob_url, settings.data_dir)
    app.state.limits = throttle.limits_of(settings)
    return app


@asynccontextmanager
async def running(app: Litestar, *, settings: Settings, database_url: str) -> AsyncIterator[None]:
    """Have for as long as the application runs what it needs for that."""
    async with (
        pool(
            database_url,
            size=settings.pool_size,
            statement_timeout_s=settings.statement_timeout_s,
            lock_timeout_s=settings.lock_timeout_s,
        ) as opened,
        pool(
            database_url,
            size=settings.ingest_pool_size,
            lock_timeout_s=settings.lock_timeout_s,
        ) as ingest_pool,
        pool(database_url, size=JOBS_POOL_SIZE, ready=0) as jobs_pool,
        Ingester(ingest_pool, queue_bytes=settings.ingest_queue_bytes, lanes=LANES) as ingester,
        working(settings, database_url, jobs_pool) as jobs,
    ):
        app.state.enqueue = deletions.enqueuing(jobs, settings)
        app.state.enqueue_bulk = bulk_deletions.enqueuing(jobs)
        app.state.pool = opened
        app.state.ingest_pool = ingest_pool
        async with ingest_pool.connection() as conn:
            await event.make_partition(conn, event.month_of(datetime.now(UTC)))
        app.state.ingester = ingester
        app.state.projects = Projects(ingest_pool)
        app.state.recorder = recorder(settings, ingest_pool, app.state.blobs)
        app.state.lookups = lookups(opened)
        yield


def recorder(settings: Settings, pool: Pool, stored: blobs.Blobs) -> Recorder:
    return Recorder(
        pool,
        stored,
        retention_s=settings.recording_retention_s,
        bytes_max=settings.ingest_queue_bytes,
    )
