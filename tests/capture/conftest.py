"""A real server for a module of tests, what was stored in it, and an empty project for each."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from psycopg.rows import class_row, dict_row

from tests.server import TOKEN, Server

PATHS = ["/batch", "/i/v0/e", "/e", "/capture", "/track", "/engage"]
LEGACY = ["/e", "/capture", "/track", "/engage"]
OK = (200, '{"status":"Ok"}')


@dataclass
class Stored:
    project_id: int
    distinct_id: str
    uuid: UUID
    name: str
    timestamp: datetime
    received_at: datetime
    properties: dict[str, Any]
    elements_chain: str | None


class Front:
    """The server from both sides: what it answers to SDKs, and what is in its database then."""

    def __init__(self, server: Server, http: httpx.Client, db: psycopg.Connection) -> None:
        self.server, self.http, self.db = server, http, db

    def clear(self) -> None:
        self.db.execute(
            """
            DELETE FROM event; DELETE FROM event_key; DELETE FROM ledger; DELETE FROM merge;
            DELETE FROM person; DELETE FROM distinct_id; DELETE FROM ingestion_warning;
            """
        )

    def post(self, body: Any, path: str = "/e/", **options: Any) -> tuple[int, str]:
        """Send bytes as they are and anything else as JSON; status and text of the answer."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = self.http.post(path, content=content, **options)
        return answer.status_code, answer.text

    def capture(self, *events: dict[str, Any], token: str = TOKEN) -> tuple[int, str]:
        return self.post({"api_key": token, "batch": events}, "/batch/")

    def project(self, token: str, **settings: Any) -> int:
        """The id of another project; its token must be new in its module."""
        names = ", ".join(["name", "token", *settings])
        values = ", ".join(["%s"] * (2 + len(settings)))
        row = self.db.execute(
            f"INSERT INTO project ({names}) VALUES ({values}) RETURNING id",
            (token, token, *settings.values()),
        ).fetchone()
        assert row is not None
        return row[0]

    def stored(self) -> list[Stored]:
        """Every event of every project."""
        with self.db.cursor(row_factory=class_row(Stored)) as cursor:
            cursor.execute(
                """
                SELECT e.project_id, d.distinct_id, e.uuid, e.name, e.timestamp, e.received_at,
                       e.properties, e.elements_chain
                  FROM event e
                  JOIN distinct_id d ON d.id = e.distinct_id_id
                 ORDER BY e.received_at, e.uuid
                """
            )
            return cursor.fetchall()

    def only(self) -> Stored:
        [event] = self.stored()
        return event

    def warnings(self) -> list[tuple[str, dict[str, Any]]]:
        return self.db.execute("SELECT type, details FROM ingestion_warning ORDER BY id").fetchall()

    def persons(self) -> list[dict[str, Any]]:
        """Every person of every project."""
        with self.db.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(
                "SELECT * FROM person WHERE merged_into_id IS NULL ORDER BY id"
            ).fetchall()

    def read(self, distinct_id: str, *, project_id: int | None = None) -> dict[str, Any]:
        """The one person of `distinct_id`, as the API tells it."""
        answer = self.http.get(
            f"/api/projects/{project_id or self.server.project_id}/persons/",
            params={"distinct_id": distinct_id},
            headers=self.server.headers,
        )
        assert answer.status_code == 200, answer.text
        [person] = answer.json()["results"]
        return person

    def properties(self, distinct_id: str, **options: Any) -> dict[str, Any]:
        """Those of the person, without the event that made it."""
        properties = self.read(distinct_id, **options)["properties"]
        return {key: value for key, value in properties.items() if key != "$creator_event_uuid"}


@pytest.fixture(scope="module")
def open_front(shared_server: Server) -> Iterator[Front]:
    with (
        httpx.Client(base_url=shared_server.url, timeout=60) as http,
        psycopg.connect(shared_server.database_url, autocommit=True) as db,
    ):
        yield Front(shared_server, http, db)


@pytest.fixture
def front(open_front: Front) -> Front:
    open_front.clear()
    return open_front
