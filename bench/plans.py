"""The plans of the statements that ingestion and look-ups run: `python -m bench.plans --help`.

The server's own code runs here, on connections that tell each statement's plan (auto_explain).
"""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from cyclopts import App
from psycopg import AsyncConnection
from psycopg.errors import Diagnostic
from psycopg_pool import AsyncConnectionPool

from bench import payloads
from bench.site import Site, site
from personhood.capture import claims
from personhood.capture.parse import parse
from personhood.model import Event, Project
from personhood.persons import Work, apply
from personhood.store import person_lookup, project
from personhood.store.person_lookup import Name
from personhood.store.pool import Pool, configure
from tests.server import TOKEN

TELL = """
LOAD 'auto_explain';
SET auto_explain.log_min_duration = 0;
SET auto_explain.log_analyze = on;
SET auto_explain.log_buffers = on;
SET auto_explain.log_level = 'notice'
"""
# psycopg prepares what it sees again, and PostgreSQL then settles on one plan for all parameters.
REPEATS = 8
QUERY = re.compile(
    r"Query Text:(.*?)(?:^Query Parameters:.*?)?(?=^\S.*\(cost=)", re.DOTALL | re.MULTILINE
)

app = App(name="bench-plans", help=__doc__)


@app.default
def run(*, persons: int = 10_000, events: int = 400, lookups: int = 32) -> None:
    """Show the plans of the last of some groups.

    Parameters
    ----------
    persons
        How many persons the database has.
    events
        How many events a group holds.
    lookups
        How many persons are looked up together.
    """
    with site("fill.sql", persons=persons, variables=[f"persons={persons}"], workers=1) as each:
        asyncio.run(tell(each, events=events, lookups=lookups))


async def tell(each: Site, *, events: int, lookups: int) -> None:
    rng = random.Random()

    async def ingested(pool: Pool) -> None:
        await apply(pool, [await work(pool, each, events, rng)])

    async def looked_up(pool: Pool) -> None:
        numbers = [rng.randint(1, each.persons) for _ in range(lookups)]
        names = [Name(1, f"user-{number}", 1000) for number in numbers]
        async with pool.connection() as conn:
            await person_lookup.owners(conn, names)

    await explained(each, ingested, f"One group of {events} events")
    await explained(each, looked_up, f"{lookups} persons by distinct id")


async def work(pool: Pool, each: Site, count: int, rng: random.Random) -> Work:
    persons = payloads.some_persons(each.persons, count=count, rng=rng)
    made = payloads.events(count, persons=persons, kind="plain", rng=rng)
    found = await first_project(pool)
    return Work(project=found, events=read(made, found))


async def first_project(pool: Pool) -> Project:
    async with pool.connection() as conn:
        found = await project.by_token(conn, TOKEN)
    assert found is not None, "the server makes it"
    return found


def read(made: list[bytes], project: Project) -> list[Event]:
    now = datetime.now(UTC)
    body = b'{"api_key":"%s","batch":[%s]}' % (TOKEN.encode(), b",".join(made))
    readings = [
        claims.read(sent, project, received_at=now, ip="127.0.0.1")
        for sent in parse(body, now=now).events
    ]
    return [reading.event for reading in readings if reading.event is not None]


async def explained(each: Site, verb: Callable[[Pool], Awaitable[None]], title: str) -> None:
    told: list[str] = []

    def note(diagnostic: Diagnostic) -> None:
        told.append(diagnostic.message_primary or "")

    async def telling(conn: AsyncConnection[Any]) -> None:
        await configure(conn)
        for statement in TELL.split(";"):
            await conn.execute(statement.encode())
        conn.add_notice_handler(note)

    pool: Pool = AsyncConnectionPool(
        each.url, min_size=1, max_size=1, open=False, configure=telling, kwargs={"autocommit": True}
    )
    async with pool:
        for _ in range(REPEATS):
            told.clear()
            await verb(pool)
    print(f"== {title}\n")
    shown: set[str] = set()
    for text in told:
        query = QUERY.search(text)
        statement = " ".join((query[1] if query else "").split())
        if statement in shown:
            continue  # one plan of each is enough
        shown.add(statement)
        print("--", statement[:160])
        print(QUERY.sub("", text).strip(), "\n")


if __name__ == "__main__":
    app()
