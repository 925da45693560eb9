"""The official Python SDK against a real server: it is pointed there with `host`, and all works."""

import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from posthog import Posthog

from personhood.store import embedded
from tests.sdk.conftest import person, persons, said
from tests.server import Server, serving


class Sdk:
    """Makes clients, and knows what went wrong in any of them."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.errors: list[Exception] = []

    def client(self, **options: Any) -> Posthog:
        return Posthog(
            self.server.token,
            host=self.server.url,
            on_error=lambda error, _: self.errors.append(error),
            **options,
        )


@pytest.fixture
def sdk(shared_server: Server, caplog: pytest.LogCaptureFixture) -> Iterator[Sdk]:
    made = Sdk(shared_server)
    yield made
    assert made.errors == []
    complaints = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert complaints == [], [each.getMessage() for each in complaints]


@pytest.fixture(params=[False, True], ids=["plain", "gzip"])
def client(sdk: Sdk, request: pytest.FixtureRequest) -> Iterator[Posthog]:
    opened = sdk.client(gzip=request.param)
    yield opened
    opened.shutdown()


@pytest.fixture
def name() -> str:
    """A distinct id that no other test has."""
    return f"user {uuid4()}"


def stored(server: Server, distinct_id: str) -> list[tuple[str, datetime, dict[str, Any]]]:
    with psycopg.connect(server.database_url) as conn:
        return conn.execute(
            """
            SELECT e.name, e.timestamp, e.properties
              FROM event e JOIN distinct_id d ON d.id = e.distinct_id_id
             WHERE d.distinct_id = %s
             ORDER BY e.received_at, e.timestamp
            """,
            [distinct_id],
        ).fetchall()


def test_a_captured_event_makes_a_person(client: Posthog, sdk: Sdk, name: str) -> None:
    sent = client.capture(
        "signed up", distinct_id=name, properties={"plan": "free", "$set": {"email": "a@b.example"}}
    )
    client.flush()
    found = person(sdk.server, name)
    assert found["distinct_ids"] == [name]
    assert found["name"] == "a@b.example"
    assert found["is_identified"] is False
    assert found["properties"]["$creator_event_uuid"] == sent
    assert "$os" not in found["properties"], "that of the server that sends says nothing of users"
    [(event, _, properties)] = stored(sdk.server, name)
    assert (event, properties["plan"], properties["$lib"]) == (
        "signed up",
        "free",
        "posthog-python",
    )
    assert "$sent_at" in properties


def test_set_and_set_once(client: Posthog, sdk: Sdk, name: str) -> None:
    client.set_once(distinct_id=name, properties={"first": "yes", "both": "once"})
    client.set(distinct_id=name, properties={"city": "Paris", "both": "set"})
    client.set(distinct_id=name, properties={"city": "Rome", "nested": {"a": [1, None, "é"]}})
    client.set_once(distinct_id=name, properties={"first": "no", "late": 1})
    client.flush()
    assert said(sdk.server, name) == {
        "first": "yes",
        "both": "set",
        "city": "Rome",
        "nested": {"a": [1, None, "é"]},
        "late": 1,
    }


def test_an_alias_makes_one_person_of_two(client: Posthog, sdk: Sdk, name: str) -> None:
    client.set(distinct_id=name, properties={"a": 1})
    client.set(distinct_id=f"{name} 2", properties={"a": 2, "b": 2})
    client.alias(name, f"{name} 2")
    client.flush()
    assert sorted(person(sdk.server, name)["distinct_ids"]) == [name, f"{name} 2"]
    assert person(sdk.server, name)["is_identified"] is True
    assert said(sdk.server, f"{name} 2") == {"a": 1, "b": 2}, "the previous id's side survives"


def test_an_identify_event_brings_the_anonymous_past_along(
    client: Posthog, sdk: Sdk, name: str
) -> None:
    anonymous = str(uuid4())
    client.capture("looked", distinct_id=anonymous, properties={"$set_once": {"came by": "ad"}})
    client.capture(
        "$identify",
        distinct_id=name,
        properties={"$anon_distinct_id": anonymous, "$set": {"email": "x@y.example"}},
    )
    client.capture("bought", distinct_id=name)
    client.flush()
    found = person(sdk.server, anonymous)
    assert found["distinct_ids"] == [name, anonymous]
    assert found["is_identified"] is True
    assert said(sdk.server, name) == {"came by": "ad", "email": "x@y.example"}


def test_without_an_id_an_event_makes_no_person(client: Posthog, sdk: Sdk) -> None:
    before = len(persons(sdk.server, limit="1000"))
    client.capture("nobody did this")
    client.flush()
    assert len(persons(sdk.server, limit="1000")) == before


def test_groups(client: Posthog, sdk: Sdk, name: str) -> None:
    client.group_identify("company", name, {"plan": "paid"}, distinct_id=name)
    client.capture("visited", distinct_id=name, groups={"company": name})
    client.flush()
    [(event, _, identified), (_, _, visited)] = stored(sdk.server, name)
    assert (event, identified["$group_set"]) == ("$groupidentify", {"plan": "paid"})
    assert visited["$groups"] == {"company": name}
    assert said(sdk.server, name) == {}, "what is said of a group is not said of the person"


def test_an_exception_is_kept_and_changes_nobody(client: Posthog, sdk: Sdk, name: str) -> None:
    client.set(distinct_id=name, properties={"a": 1})
    try:
        raise ValueError("a test's own")
    except ValueError as error:
        client.capture_exception(error, distinct_id=name)
    client.flush()
    [_, (event, _, properties)] = stored(sdk.server, name)
    assert event == "$exception"
    assert properties["$exception_list"][0]["value"] == "a test's own"
    assert said(sdk.server, name) == {"a": 1}


def test_odd_ids_and_values_arrive(client: Posthog, sdk: Sdk, name: str) -> None:
    client.set(
        distinct_id=f"{name} 😀/é%2F?&",
        properties={"at": datetime(2024, 5, 6, tzinfo=UTC), "id": uuid4(), "nul": "a\0b", "": 1},
    )
    client.capture("x" * 300, distinct_id=f"{name} 5", properties={"$set": {"n": 10**15}})
    client.flush()
    assert said(sdk.server, f"{name} 😀/é%2F?&")["nul"] == "a\ufffdb"
    assert said(sdk.server, f"{name} 5") == {"n": 10**15}


def test_many_events_arrive_in_order(client: Posthog, sdk: Sdk, name: str) -> None:
    for number in range(500):
        client.set(distinct_id=name, properties={"n": number, f"key {number % 7}": number})
    client.flush()
    assert said(sdk.server, name)["n"] == 499
    assert len(stored(sdk.server, name)) == 500


def test_a_history_keeps_its_times(sdk: Sdk, name: str) -> None:
    at = datetime(2019, 5, 6, 7, 8, 9, tzinfo=UTC)
    client = sdk.client(historical_migration=True)
    client.capture("ordered", distinct_id=name, timestamp=at)
    client.shutdown()
    [(_, timestamp, _)] = stored(sdk.server, name)
    assert timestamp == at
    assert datetime.fromisoformat(person(sdk.server, name)["created_at"]) == at


def test_in_sync_mode_an_event_can_be_read_when_the_call_returns(sdk: Sdk, name: str) -> None:
    client = sdk.client(sync_mode=True)
    for number in range(20):
        client.set(distinct_id=name, properties={"n": number})
        assert said(sdk.server, name) == {"n": number}
    client.shutdown()


def test_shutdown_sends_what_waits(sdk: Sdk, name: str) -> None:
    client = sdk.client(flush_at=1000, flush_interval=3600)
    for number in range(50):
        client.capture("e", distinct_id=name, properties={"n": number})
    client.shutdown()
    assert len(stored(sdk.server, name)) == 50


def test_a_killed_server_loses_nothing_and_repeats_nothing(data_dir: Path) -> None:
    """The SDK's own retries carry its events over to the next server, by their uuids."""
    events, errors = 400, []
    with serving("--data-dir", str(data_dir)) as server:
        port = server.port
        client = Posthog(
            server.token,
            host=server.url,
            on_error=lambda error, _: errors.append(error),
            flush_at=5,
            flush_interval=0.01,
        )
        uuids: list[str | None] = []

        def send() -> None:
            for number in range(events):
                uuids.append(
                    client.capture("e", distinct_id="u", properties={"$set": {"n": number}})
                )
                time.sleep(0.001)

        sender = threading.Thread(target=send)
        sender.start()
        while len(persons(server)) == 0:
            time.sleep(0.001)
        server.process.kill()
        server.process.wait()

    with serving("--data-dir", str(data_dir), port=port) as server:
        sender.join()
        client.shutdown()
        assert errors == []
        assert said(server, "u") == {"n": events - 1}
        with psycopg.connect(embedded.url(data_dir / "postgres")) as conn:
            kept = [str(uuid) for (uuid,) in conn.execute("SELECT uuid FROM event")]
            versions = conn.execute("SELECT count(*), max(version) + 1 FROM ledger").fetchone()
    assert sorted(kept) == sorted(filter(None, uuids))
    assert versions == (events, events)
