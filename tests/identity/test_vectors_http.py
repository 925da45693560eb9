"""Every vector of section 7.2 through a real server: sent as SDKs do, and read back.

A project for each vector and way of sending. Persons and warnings are what the API tells, snapshots
what the ledger tells.
"""

from collections.abc import AsyncIterator
from datetime import datetime
from itertools import count
from typing import Any
from uuid import UUID

import httpx
import pytest
from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from personhood.identity.distinct_id import person_uuid
from personhood.ledger import book
from personhood.model import Event, PersonMode, Profile
from personhood.store import entry
from personhood.store.pool import configure
from tests.identity.vectors import (
    at,
    body,
    every_vector,
    expected_events,
    expected_persons,
    in_order,
    project,
    without_creator,
)
from tests.server import Server

Vector = dict[str, Any]

READ_ONLY = ("$exception", "$$heatmap")  # they never change a person (4.4)

tokens = count(1)


@pytest.fixture(scope="module")
async def http(shared_server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=shared_server.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
async def db(shared_server: Server) -> AsyncIterator[AsyncConnection]:
    async with await AsyncConnection.connect(shared_server.database_url, autocommit=True) as conn:
        await configure(conn)
        yield conn


class Tenant:
    """A project that holds what a vector finds, and what can be told of it from outside."""

    def __init__(self, server: Server, http: httpx.AsyncClient, db: AsyncConnection) -> None:
        self.server, self.http, self.db = server, http, db
        self.token, self.id = f"phc_vector_{next(tokens)}", 0

    async def row(self, query: str, values: dict[str, Any]) -> Any:
        """The first column of the one row that a statement returns."""
        row = await (await self.db.execute(query, values)).fetchone()
        assert row is not None
        return row[0]

    async def make(self, vector: Vector) -> None:
        settings = project(vector)
        self.id = await self.row(
            """
            INSERT INTO project (name, token, person_processing, personless_flag_calls)
            VALUES (%(name)s, %(token)s, %(processing)s, %(flag_calls)s)
            RETURNING id
            """,
            {
                "name": vector["title"],
                "token": self.token,
                "processing": settings.person_processing,
                "flag_calls": settings.personless_flag_calls,
            },
        )
        for seed in vector["seed_persons"]:
            await self.add(seed)

    async def add(self, seed: dict[str, Any]) -> None:
        """A person as it was made: its row, its ids, and the ledger entry that tells of it."""
        facts = {
            "project": self.id,
            "uuid": person_uuid(self.id, seed["distinct_ids"][0]),
            "properties": Jsonb(seed["properties"]),
            "identified": seed["is_identified"],
            "at": at(seed["created_at"]),
        }
        facts["person"] = await self.row(
            """
            INSERT INTO person (project_id, uuid, properties, is_identified, created_at, version)
            VALUES (%(project)s, %(uuid)s, %(properties)s, %(identified)s, %(at)s, 0)
            RETURNING id
            """,
            facts,
        )
        facts["ids"] = [
            await self.row(
                """
                INSERT INTO distinct_id (project_id, distinct_id, person_id)
                VALUES (%(project)s, %(text)s, %(person)s)
                RETURNING id
                """,
                {**facts, "text": text},
            )
            for text in seed["distinct_ids"]
        ]
        await self.db.execute(
            """
            INSERT INTO ledger (project_id, person_id, version, kind, at, after, is_identified,
                                created_at, ids)
            VALUES (%(project)s, %(person)s, 0, 'created', %(at)s, %(properties)s, %(identified)s,
                    %(at)s, %(ids)s)
            """,
            facts,
        )

    async def capture(self, path: str, request: dict[str, Any]) -> None:
        answer = await self.http.post(path, json=request)
        assert (answer.status_code, answer.text) == (200, '{"status":"Ok"}')

    async def read(self, resource: str) -> list[dict[str, Any]]:
        answer = await self.http.get(
            f"/api/projects/{self.id}/{resource}/", headers=self.server.headers
        )
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert page["next"] is None
        return page["results"]

    async def persons(self) -> list[Any]:
        return in_order(
            (
                sorted(row["distinct_ids"]),
                row["uuid"],
                without_creator(row["properties"]),
                row["is_identified"],
                datetime.fromisoformat(row["created_at"]),
            )
            for row in await self.read("persons")
        )

    async def events(self) -> list[dict[str, Any]]:
        """What each stored event shows of its person, in the order that they were sent."""
        async with self.db.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(
                """
                SELECT d.distinct_id, e.uuid, e.name, e.timestamp, e.received_at, e.person_id,
                       e.person_version, e.person_mode, e.properties, p.uuid AS person_uuid
                  FROM event e
                  JOIN distinct_id d ON d.id = e.distinct_id_id
                  LEFT JOIN person p ON p.id = e.person_id
                 WHERE e.project_id = %(project)s
                 ORDER BY e.uuid
                """,
                {"project": self.id},
            )
            return [await self.show(row) for row in await cursor.fetchall()]

    async def show(self, row: dict[str, Any]) -> dict[str, Any]:
        mode, shown = PersonMode(row["person_mode"]), {}
        if mode is PersonMode.FULL and row["person_id"] is not None:
            entries = await entry.of_person(self.db, self.id, row["person_id"])
            shown = book.snapshot(entries, row["person_version"], event_of(row))
        uuid: UUID = row["person_uuid"] or person_uuid(self.id, row["distinct_id"])
        return {
            "person_id": str(uuid),
            "person_mode": mode.name.lower(),
            "person_properties": without_creator(shown),
        }

    async def groups(self) -> dict[str, Any]:
        cursor = await self.db.execute(
            """
            SELECT t.name || ':' || g.key, g.properties
              FROM "group" g
              JOIN group_type t ON t.project_id = g.project_id AND t.index = g.type_index
             WHERE g.project_id = %(project)s
            """,
            {"project": self.id},
        )
        return dict(await cursor.fetchall())


def event_of(row: dict[str, Any]) -> Event:
    """A stored event, as far as it says something of its person."""
    stored = row["properties"]
    return Event(
        uuid=row["uuid"],
        name=row["name"],
        distinct_id=row["distinct_id"],
        timestamp=row["timestamp"],
        received_at=row["received_at"],
        properties=b"",
        profile=Profile.READ_ONLY if row["name"] in READ_ONLY else Profile.FULL,
        set=stored.get("$set", {}),
        set_once=stored.get("$set_once", {}),
        unset=tuple(stored.get("$unset", ())),
    )


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "one by one"])
@every_vector
async def test_vector(
    shared_server: Server,
    http: httpx.AsyncClient,
    db: AsyncConnection,
    *,
    vector: Vector,
    together: bool,
) -> None:
    tenant = Tenant(shared_server, http, db)
    await tenant.make(vector)

    batch = body(vector, tenant.token)
    if together:
        await tenant.capture("/batch/", batch)
    else:
        for event in batch["batch"]:
            await tenant.capture("/i/v0/e/", {"api_key": tenant.token, **event})

    expect = vector["expect"]
    assert await tenant.persons() == expected_persons(vector, tenant.id)
    assert {each["type"] for each in await tenant.read("ingestion_warnings")} == {
        *expect["warnings"]
    }
    for got, expected in zip(
        await tenant.events(), expected_events(vector, tenant.id), strict=True
    ):
        assert got | expected == got
    assert await tenant.groups() == expect.get("groups", {})
