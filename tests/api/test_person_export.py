"""Both ways to make the file of persons give the same file, whatever the properties hold."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from personhood.api import person_export
from personhood.api.asked import Asked
from personhood.errors import InvalidInput, Throttled
from personhood.model import DISPLAY_NAME_PROPERTIES, Project
from personhood.store import person_copy
from personhood.store.person_export import Columns
from personhood.store.person_filter import Filter
from personhood.store.pool import Pool
from personhood.store.pool import pool as make_pool
from tests.api.conftest import CREATED_AT, People

TEXTS = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6
) | st.sampled_from(
    [
        *(
            "",
            "true",
            "false",
            "null",
            "0",
            "-0.00001",
            "0.00001",
            "=1+1",
            "+1",
            "-1",
            "-1-1",
            "@a",
        ),
        *("\t", "\r", "\n", "[]", "{}", "[1]", '"', ",", "a,b", "two\r\nlines", "\\.", " ", "é"),
        *("🦊", "%s", "%(a)s"),
    ]
)
NUMBERS = (
    st.integers(-(10**25), 10**25)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0, 0.0, -0.0, 1e-5, -1e-5, 0.0001, 1e-7, 5e-324, 1e15, 1e16, 1.5, 1e22, 0.1])
)
KEYS = st.sampled_from(
    ["email", "name", "a", "b", "a.b", "0", "$os", "%s", "'", '"', "=x", "é", ""]
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(KEYS | st.sampled_from(["1", "-1", "01"]), inner, max_size=3)
    ),
    max_leaves=5,
)
PERSONS = st.lists(
    st.tuples(
        st.dictionaries(KEYS, VALUES, max_size=5),
        st.lists(
            st.sampled_from(["ada", "a-b-c-d-e", "=id", "1"]) | TEXTS.filter(bool), max_size=3
        ),
        st.none() | st.integers(0, 3),
        st.sampled_from([0, 1, 500_000, 10**6, 3600 * 10**6]),
    ),
    max_size=4,
)


def asked(opened: Pool, project: Project) -> Asked:
    """A request, as far as an export looks at one."""
    app = SimpleNamespace(state=State(pool=opened))
    auth = SimpleNamespace(project=project)
    return cast("Asked", SimpleNamespace(app=app, auth=auth, receive=asyncio.Event().wait))


class State(dict[str, Any]):
    def __getattr__(self, name: str) -> Any:
        return self[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


PROJECT = Project(id=1, name="Shop", token="phc_shop", created_at=CREATED_AT)


async def file(opened: Pool, *, most: int | None = None, filter: Filter = Filter()) -> bytes:  # noqa: B008
    chunks = person_export.made(asked(opened, PROJECT), filter, most=most)
    return b"".join([chunk async for chunk in chunks])


async def fill(opened: Pool, persons: list[Any]) -> None:
    async with opened.connection() as conn, conn.transaction():
        # Not TRUNCATE, which makes new files of each table and index.
        await conn.execute("DELETE FROM distinct_id")
        await conn.execute("DELETE FROM person")
        for number, (properties, ids, target, micros) in enumerate(persons, 1):
            at = datetime(2021, 8, 25, tzinfo=UTC) + timedelta(microseconds=micros)
            await conn.execute(
                """
                INSERT INTO person (id, project_id, uuid, properties, is_identified, created_at,
                                    last_seen_at, version, merged_into_id)
                VALUES (%s, 1, %s, %s::jsonb, %s, %s, %s, 0, %s)
                """,
                (
                    number,
                    UUID(int=number),
                    msgspec.json.encode(properties).decode(),
                    micros > 0,
                    at,
                    at if micros else None,
                    # Only into an older one: merges make no circles.
                    None if target is None or not 1 <= target < number else target,
                ),
            )
            for text in ids:
                await conn.execute(
                    """
                    INSERT INTO distinct_id (project_id, distinct_id, person_id)
                    VALUES (1, %s, %s)
                    ON CONFLICT DO NOTHING
                    """,
                    (text, number),
                )


@pytest.fixture
def both(database: str) -> Iterator[Callable[[list[Any]], tuple[bytes, bytes]]]:
    """Makes a file of persons in both ways: by PostgreSQL, and by hand. On one pool."""

    async def made(opened: Pool, persons: list[Any]) -> tuple[bytes, bytes]:
        await fill(opened, persons)
        with pytest.MonkeyPatch.context() as patch:
            ours = await file(opened)
            patch.setattr(person_copy, "fits", lambda *_, **__: False)
            return ours, await file(opened)

    with asyncio.Runner() as runner:
        opened = make_pool(database, size=2)
        runner.run(opened.open())
        yield lambda persons: runner.run(made(opened, persons))
        runner.run(opened.close())


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(persons=PERSONS)
@example(persons=[({"a": []}, [], None, 0), ({"b": {}}, ["x"], None, 0)])
@example(persons=[({"a": {"b": 1}, "a.b": 2}, ["x"], None, 0)])
@example(persons=[({"a": {"-1": 1}}, ["x"], None, 0), ({"a": [1, 2]}, ["y"], None, 0)])
@example(persons=[({"email": {"a": 1}}, ["x"], None, 0)])
@example(persons=[({"email": [[]]}, ["x"], None, 0)])
@example(persons=[({}, ["=1"], None, 0), ({}, ["y"], 1, 0), ({}, ["z"], 2, 0)])
def test_both_ways_give_the_same_file(
    both: Callable[[list[Any]], tuple[bytes, bytes]], persons: list[Any]
) -> None:
    by_postgres, by_hand = both(persons)
    assert by_postgres == by_hand


def test_postgres_makes_the_columns_of_ordinary_persons() -> None:
    plain = Columns(paths=[("a",), ("b", "0"), ("b", "c d")], nesting={"b"}, ids=3, deep=False)
    assert person_copy.fits(plain, names=DISPLAY_NAME_PROPERTIES)


@pytest.mark.parametrize(
    "columns",
    [
        Columns(paths=[("a.b",), ("a", "b")], nesting={"a"}, ids=1, deep=False),
        Columns(paths=[("a", "-1")], nesting={"a"}, ids=1, deep=False),
        Columns(paths=[("a", "01")], nesting={"a"}, ids=1, deep=False),
        Columns(paths=[], nesting={"email"}, ids=1, deep=False),
        Columns(paths=[(str(n),) for n in range(1600)], nesting=set(), ids=1, deep=False),
        Columns(paths=[(str(n),) for n in range(1000)], nesting=set(), ids=600, deep=False),
    ],
)
def test_what_postgres_cannot_make_is_made_by_hand(columns: Columns) -> None:
    assert not person_copy.fits(columns, names=DISPLAY_NAME_PROPERTIES)


async def test_more_columns_than_postgres_has_are_made_by_hand(pool: Pool) -> None:
    persons = [
        ({f"key {n}": n for n in range(start, start + 1000)}, [f"id {start}"], None, start)
        for start in (0, 1000)
    ]
    await fill(pool, persons)
    header, *rows = (await file(pool)).decode().split("\r\n")
    assert len(header.split(",")) == 2000 + 9
    assert [len(row.split(",")) for row in rows] == [2009, 2009, 1]
    assert rows[1].startswith("2021-08-25 00:00:00+00:00,id 0,")


async def test_more_columns_than_a_spreadsheet_has_are_refused(pool: Pool) -> None:
    key = "k" * 10
    many = {f"{key}{n}": [n] for n in range(person_export.COLUMNS_MAX)}
    await fill(pool, [(many, ["x"], None, 0)])
    with pytest.raises(InvalidInput) as caught:
        await file(pool)
    assert caught.value.code == "too_many_columns"


async def test_the_newest_are_in_a_bounded_file(pool: Pool) -> None:
    await fill(pool, [({f"k{n}": n}, [str(n)] * n, None, n) for n in range(1, 6)])
    text = (await file(pool, most=2)).decode()
    assert text == (await file(pool, most=2)).decode()
    header, first, second, rest = text.split("\r\n")
    assert "properties.k4,properties.k5,type" in header
    assert "k3" not in header and rest == ""
    assert first.startswith("2021-08-25 00:00:00.000005+00:00,5,")
    assert second.startswith("2021-08-25 00:00:00.000004+00:00,4,")
    assert await file(pool, most=5) == await file(pool)


async def test_the_distinct_ids_of_a_family_are_all_there_of_a_large_one_the_first(
    pool: Pool,
) -> None:
    ids = [f"id {n}" for n in range(1100)]
    await fill(pool, [({}, ["first", "a-b-c-d-e"], None, 1), ({}, ids, 1, 1), ({}, ["z"], 2, 1)])
    header, row, _ = (await file(pool)).decode().split("\r\n")
    assert header.count("distinct_ids.") == 1000
    cells = dict(zip(header.split(","), row.split(","), strict=True))
    assert cells["distinct_ids.0"] == cells["name"] == "first"
    assert cells["distinct_ids.999"] == "a-b-c-d-e"
    assert cells["distinct_ids.998"] == "id 997"


async def test_one_file_shows_one_moment(pool: Pool) -> None:
    await fill(pool, [({"a": n}, [str(n)], None, n) for n in range(3)])
    chunks = person_export.made(asked(pool, PROJECT), Filter(), most=None)
    text = await anext(chunks)
    async with pool.connection() as conn:
        await conn.execute("UPDATE person SET properties = '{\"b\": 1}'")
        await conn.execute("DELETE FROM person WHERE id = 1")
    text += b"".join([chunk async for chunk in chunks])
    assert text.count(b"\r\n") == 4
    assert b"properties.b" not in text


@pytest.mark.parametrize(("size", "at_once"), [(2, 1), (4, 1), (8, 2), (40, 2)])
async def test_few_files_are_made_at_once(database: str, size: int, at_once: int) -> None:
    async with make_pool(database, size=size) as opened:
        await fill(opened, [({}, ["x"], None, 0)])
        await at_most(asked(opened, PROJECT), at_once)


async def at_most(request: Asked, at_once: int) -> None:
    running = [person_export.made(request, Filter(), most=None) for _ in range(at_once)]
    for each in running:
        assert (await anext(each)).startswith(b"created_at,")
    with pytest.raises(Throttled):
        await person_export.export(request, Filter(), all=True)
    for each in running:
        await each.aclose()
    assert (await person_export.export(request, Filter(), all=True)).status_code == 200


async def test_a_file_that_nobody_reads_on_ends_its_query(pool: Pool, people: People) -> None:
    """And its connection goes back as it came: for writing, at the usual isolation."""
    await fill(pool, [({"text": "x" * 10_000}, [str(n)], None, n) for n in range(300)])
    chunks = person_export.made(asked(pool, PROJECT), Filter(), most=None)
    await anext(chunks)
    assert len(await anext(chunks)) > 100_000
    await chunks.aclose()
    cursor = await people.conn.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%COPY%' AND state <> 'idle'"
        " AND pid <> pg_backend_pid()"
    )
    assert await cursor.fetchone() == (0,)
    for _ in range(4):
        async with pool.connection() as conn:
            cursor = await conn.execute("SHOW transaction_isolation")
            assert await cursor.fetchone() == ("read committed",)
            await conn.execute("UPDATE person SET version = 1 WHERE id = 1")


async def test_columns_of_very_long_names_are_refused(pool: Pool) -> None:
    long = [({"k" * 500_000 + str(n): n}, [str(n)], None, n) for n in range(1200, 1210)]
    await fill(pool, [({"a": 1}, [], None, n) for n in range(10)] + long)
    with pytest.raises(InvalidInput) as caught:
        await file(pool)
    assert caught.value.code == "too_many_columns"
