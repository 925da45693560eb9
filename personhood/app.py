"""The composition root: opens the pool and the ingester, lists the routes, maps errors."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar import Litestar

from personhood.api import health
from personhood.settings import Settings
from personhood.store.pool import pool

# Above every limit of capture, which has its own answers for what is too large.
REQUEST_BODY_BYTES_MAX = 32 * 1024 * 1024


def create_app(settings: Settings, database_url: str) -> Litestar:
    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with pool(database_url, size=settings.pool_size) as opened:
            app.state.pool = opened
            yield

    app = Litestar(
        route_handlers=[*health.route_handlers],
        lifespan=[lifespan],
        request_max_body_size=REQUEST_BODY_BYTES_MAX,
        logging_config=None,
    )
    app.state.settings = settings
    return app
