"""An app on the test's own database, with two projects, a key for both, and persons by SQL."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from litestar import Litestar
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from personhood import settings
from personhood.app import create_app
from personhood.blobs import Blobs
from personhood.model import Project
from personhood.store import api_key, project
from personhood.store.pool import Pool

Client = httpx.AsyncClient

KEY = "phx_everything"
HEADERS = {"Authorization": f"Bearer {KEY}"}
CREATED_AT = datetime(2021, 8, 25, 22, 9, 14, 252000, tzinfo=UTC)


@pytest.fixture
async def conn(pool: Pool) -> AsyncIterator[AsyncConnection]:
    async with pool.connection() as opened:
        yield opened


@pytest.fixture
async def shop(conn: AsyncConnection) -> Project:
    made = await project.insert(conn, name="Shop", token="phc_shop")
    await api_key.insert(conn, KEY, label="all", scopes=["*"], project_id=None)
    return made


@pytest.fixture
async def other(conn: AsyncConnection, shop: Project) -> Project:
    """Another tenant, made after `shop`."""
    return await project.insert(conn, name="Other", token="phc_other")


def closed_window() -> str:
    """Hours for deletions that are not now, at whatever time of day the tests run."""
    now = datetime.now(UTC)
    opens, closes = now + timedelta(hours=6), now + timedelta(hours=8)
    return f"{opens:%H:%M}-{closes:%H:%M}"


@cache
def created(database: str) -> Litestar:
    return create_app(
        settings.read(
            {
                "PERSONHOOD_WARNING_RETENTION_S": "9999999999",
                "PERSONHOOD_DELETION_WINDOW": closed_window(),
            }
        ),
        database,
    )


@pytest.fixture
def stored() -> Blobs | None:
    """Where recordings are kept; a module that makes some says where."""
    return None


@pytest.fixture
async def app(database: str, stored: Blobs | None) -> AsyncIterator[Litestar]:
    """The application itself, in this test's event loop: a pool belongs to one.

    Made once: its routes take longer than a test does. What it keeps is this test's own.
    """
    made = created(database)
    before = made.state.copy()
    if stored is not None:
        made.state.blobs = stored
    async with made.lifespan():
        yield made
    made.state = before


@pytest.fixture
async def client(app: Litestar, shop: Project) -> AsyncIterator[Client]:
    """A client with a key for everything. Also a failing request gets its answer."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://testserver", headers=HEADERS
    ) as opened:
        yield opened


class People:
    """Makes persons of one project, each a minute younger than the one before."""

    def __init__(self, conn: AsyncConnection, project_id: int) -> None:
        self.conn, self.project_id, self.made = conn, project_id, 0

    async def add(
        self,
        *distinct_ids: str,
        merged_into: int | None = None,
        created_at: datetime | None = None,
        uuid: UUID | None = None,
        **properties: Any,
    ) -> tuple[int, UUID]:
        """The integer id and the uuid of a new person."""
        self.made += 1
        uuid = uuid or uuid4()
        cursor = await self.conn.execute(
            """
            INSERT INTO person (project_id, uuid, properties, is_identified, created_at, version,
                                merged_into_id)
            VALUES (%s, %s, %s, false, %s, 1, %s)
            RETURNING id
            """,
            (
                self.project_id,
                uuid,
                Jsonb(properties),
                created_at or CREATED_AT + timedelta(minutes=self.made),
                merged_into,
            ),
        )
        row = await cursor.fetchone()
        assert row is not None
        await self.give(row[0], distinct_ids)
        return row[0], uuid

    async def give(self, person_id: int, distinct_ids: Sequence[str]) -> None:
        for text in distinct_ids:
            await self.conn.execute(
                "INSERT INTO distinct_id (project_id, distinct_id, person_id) VALUES (%s, %s, %s)",
                (self.project_id, text, person_id),
            )


@pytest.fixture
async def people(conn: AsyncConnection, shop: Project) -> People:
    return People(conn, shop.id)


@pytest.fixture
async def strangers(conn: AsyncConnection, other: Project) -> People:
    """Persons of the other project."""
    return People(conn, other.id)
