"""Pages behind a mark: whatever is written between two of them, each person is on one page."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personhood.filters import tree
from personhood.store import person_page
from personhood.store.person_filter import Filter
from personhood.store.person_page import Mark
from personhood.store.pool import Pool, pool
from tests.conftest import new_database

AT = datetime(2024, 3, 1, tzinfo=UTC)
Connection = psycopg.Connection[Any]


@pytest.fixture(scope="module")
def url(postgres: str) -> Iterator[str]:
    with new_database(postgres) as made:
        yield made


class World:
    """Persons of a project, and what happens to them; minutes are how old they are."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn
        conn.execute("TRUNCATE person, distinct_id")
        self.gone: set[int] = set()

    def make(self, minutes: int) -> int:
        row = self.conn.execute(
            """
            INSERT INTO person (project_id, uuid, properties, is_identified, created_at, version)
            VALUES (1, gen_random_uuid(), '{"email": "ada@example.com"}', false, %s, 0)
            RETURNING id
            """,
            (AT - timedelta(minutes=minutes),),
        ).fetchone()
        assert row is not None
        self.conn.execute(
            "INSERT INTO distinct_id (project_id, distinct_id, person_id) VALUES (1, %s, %s)",
            (f"ada-{row[0]}", row[0]),
        )
        return row[0]

    def merge(self, source: int, target: int) -> None:
        """As ingestion does: the survivor is as old as the older of both."""
        if source == target or {source, target} & self.gone:
            return
        self.conn.execute("UPDATE person SET merged_into_id = %s WHERE id = %s", (target, source))
        self.conn.execute(
            """
            UPDATE person
               SET created_at = least(created_at, (SELECT created_at FROM person WHERE id = %s))
             WHERE id = %s
            """,
            (source, target),
        )
        self.gone.add(source)

    def delete(self, id: int) -> None:
        self.conn.execute("UPDATE distinct_id SET ended_at = now() WHERE person_id = %s", (id,))
        self.conn.execute("DELETE FROM person WHERE id = %s", (id,))
        self.gone.add(id)


CHANGES = st.one_of(
    st.tuples(st.just("make"), st.integers(-50, 50), st.just(0)),
    st.tuples(st.just("merge"), st.integers(0, 20), st.integers(0, 20)),
    st.tuples(st.just("delete"), st.integers(0, 20), st.just(0)),
)
FILTERS = [
    Filter(),
    Filter(search="ada"),
    Filter(search="zz"),
    Filter(properties=tree.Present(tree.Property("person", "email"))),
]


@settings(max_examples=60, deadline=None)
@given(
    ages=st.lists(st.integers(0, 5), max_size=12),
    between=st.lists(st.lists(CHANGES, max_size=3), max_size=8),
    limit=st.integers(1, 4),
    filter=st.sampled_from(FILTERS),
)
def test_pages_neither_skip_nor_repeat(
    url: str, ages: list[int], between: list[list[Any]], limit: int, filter: Filter
) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        world = World(conn)
        first = [world.make(age) for age in ages]
        seen = asyncio.run(read(url, world, [*first], between, limit=limit, filter=filter))
        assert len(seen) == len(set(seen))
        if filter.search != "zz":
            # Who was there at first and still is was seen; who is gone may have been seen before.
            assert set(first) - world.gone <= set(seen)
        else:
            assert not seen


async def read(
    url: str,
    world: World,
    persons: list[int],
    between: list[list[Any]],
    *,
    limit: int,
    filter: Filter,
) -> list[int]:
    seen: list[int] = []
    mark: Mark | None = None
    async with pool(url, size=1) as opened, opened.connection() as conn:
        while True:
            page = await person_page.page_behind(conn, 1, filter, behind=mark, limit=limit)
            assert len(page.persons) == limit or page.mark is None
            seen += [person.id for person in page.persons]
            if page.mark is None:
                return seen
            mark = page.mark
            for verb, a, b in between.pop(0) if between else []:
                if verb == "make":
                    persons.append(world.make(a))
                elif persons and verb == "merge":
                    world.merge(persons[a % len(persons)], persons[b % len(persons)])
                elif persons and persons[a % len(persons)] not in world.gone:
                    world.delete(persons[a % len(persons)])


@pytest.fixture
async def opened(url: str) -> AsyncIterator[Pool]:
    async with pool(url, size=4) as made:
        yield made


async def test_ids_come_in_batches_in_the_order_of_pages(url: str, opened: Pool) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        world = World(conn)
        for _ in range(23):
            world.make(random.randint(0, 5))
    async with opened.connection() as conn:
        listed, batched = [], []
        page = await person_page.page_behind(conn, 1, Filter(search="ada"), limit=100)
        listed = sorted(page.persons, key=lambda each: (each.created_at, each.id), reverse=True)
        mark: Mark | None = None
        while True:
            ids, mark = await person_page.ids(conn, 1, Filter(search="ada"), behind=mark, limit=5)
            batched.append(ids)
            if mark is None:
                break
    assert [len(ids) for ids in batched] == [5, 5, 5, 5, 3]
    assert [id for ids in batched for id in ids] == [person.id for person in listed]


async def test_pages_hold_while_others_write_all_the_time(url: str, opened: Pool) -> None:
    """Merges and new persons from another connection, not only between pages."""
    with psycopg.connect(url, autocommit=True) as conn:
        world = World(conn)
        first = [world.make(n % 7) for n in range(300)]
        finished = asyncio.Event()

        def change() -> None:
            source, target = random.sample(first, 2)
            world.merge(source, target)
            world.make(random.randint(-9, 9))

        async def write() -> None:
            while not finished.is_set():
                await asyncio.to_thread(change)

        writer = asyncio.create_task(write())
        seen: list[int] = []
        mark: Mark | None = None
        async with opened.connection() as reading:
            while True:
                page = await person_page.page_behind(reading, 1, Filter(), behind=mark, limit=10)
                seen += [person.id for person in page.persons]
                mark = page.mark
                if mark is None:
                    break
        finished.set()
        await writer
    assert len(seen) == len(set(seen))
    assert set(first) - world.gone <= set(seen)
