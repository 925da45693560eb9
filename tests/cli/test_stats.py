"""`personhood stats`."""

import asyncio
import json
from typing import Any

import pytest

from personhood.store import project
from personhood.store.pool import pool
from tests.cli.conftest import Command
from tests.test_merges import identify, send, set_


async def fill(url: str) -> None:
    async with pool(url, size=4) as opened:
        async with opened.connection() as conn:
            shop = await project.insert(conn, name="Shop", token="phc_shop")
        await send(opened, shop, set_("u", bio="x" * 1000), set_("a"), identify("u", "a"))
        await send(opened, shop, *(set_("u", n=number) for number in range(20)))


def stats(personhood: Command, url: str) -> dict[str, Any]:
    done = personhood("stats", "--json", DATABASE_URL=url)
    assert (done.code, done.err) == (0, "")
    return json.loads(done.out)


def test_what_there_is_is_counted(personhood: Command, database: str) -> None:
    asyncio.run(fill(database))
    told = stats(personhood, database)
    assert told["counts"] == {
        "persons": 1,
        "merged_persons": 1,
        "distinct_ids": 2,
        "ended_distinct_ids": 0,
        "events": 23,
        "ledger_entries": 23,
    }
    sizes = {each["table"]: each["bytes"] for each in told["tables"]}
    assert sizes.keys() >= {"person", "ledger", "event", "distinct_id", "merge"}
    assert all(size > 0 for size in (sizes["person"], sizes["ledger"], sizes["event"]))
    assert not any(name.startswith("event_2") for name in sizes)


def test_changes_take_less_than_whole_persons(personhood: Command, database: str) -> None:
    asyncio.run(fill(database))
    ledger = stats(personhood, database)["ledger"]
    assert (ledger["sampled_persons"], ledger["sampled_changes"]) == (2, 23)
    assert ledger["bytes_per_100_changes"] < ledger["snapshot_bytes_per_100_changes"] / 5
    done = personhood("stats", DATABASE_URL=database)
    assert "ledger entries" in done.out
    assert "23 changes of 2 persons" in done.out


def test_the_sample_is_bounded(
    personhood: Command, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(fill(database))
    monkeypatch.setattr("personhood.volumes.SAMPLE", 1)
    monkeypatch.setattr("personhood.volumes.CHANGES_MAX", 3)
    ledger = stats(personhood, database)["ledger"]
    assert (ledger["sampled_persons"], ledger["sampled_changes"]) == (1, 3)


def test_of_an_empty_database(personhood: Command, database: str) -> None:
    told = stats(personhood, database)
    assert set(told["counts"].values()) == {0}
    assert told["ledger"]["bytes_per_person"] is None
    assert "no persons yet" in personhood("stats", DATABASE_URL=database).out
