"""The official Python SDK with `capture_mode="v1"`, and what it asks for beside events."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from posthog import Posthog
from posthog.capture_v1 import CaptureV1Error

from tests.sdk.conftest import person, persons, said
from tests.server import Server


class Sdk:
    """Makes clients, and knows what went wrong in any of them."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.errors: list[Exception] = []

    def client(self, **options: Any) -> Posthog:
        options = {"capture_mode": "v1", **options}
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


@pytest.fixture(params=["none", "gzip", "deflate", "zstd"])
def client(sdk: Sdk, request: pytest.FixtureRequest) -> Iterator[Posthog]:
    opened = sdk.client(capture_compression=request.param)
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
    assert found["name"] == "a@b.example"
    assert found["properties"]["$creator_event_uuid"] == sent
    [(event, _, properties)] = stored(sdk.server, name)
    assert (event, properties["plan"]) == ("signed up", "free")
    assert properties["$lib"] == "posthog-python"
    assert properties["$lib_version"]
    assert "$sent_at" in properties


def test_set_and_set_once(client: Posthog, sdk: Sdk, name: str) -> None:
    client.set_once(distinct_id=name, properties={"first": "yes", "both": "once"})
    client.set(distinct_id=name, properties={"city": "Paris", "both": "set"})
    client.set(distinct_id=name, properties={"city": "Rome", "nested": {"a": [1, None, "é"]}})
    client.set_once(distinct_id=name, properties={"first": "no"})
    client.flush()
    assert said(sdk.server, name) == {
        "first": "yes",
        "both": "set",
        "city": "Rome",
        "nested": {"a": [1, None, "é"]},
    }


def test_alias_and_identify_make_one_person_of_two(client: Posthog, sdk: Sdk, name: str) -> None:
    client.set(distinct_id=f"{name} anonymous", properties={"came by": "ad"})
    client.set(distinct_id=f"{name} 2", properties={"b": 2})
    claim = {"$anon_distinct_id": f"{name} anonymous", "$set": {"email": "x@y.example"}}
    client.capture("$identify", distinct_id=name, properties=claim)
    client.alias(name, f"{name} 2")
    client.flush()
    assert len(person(sdk.server, name)["distinct_ids"]) == 3
    assert said(sdk.server, name) == {"came by": "ad", "email": "x@y.example", "b": 2}


def test_without_an_id_an_event_makes_no_person(client: Posthog, sdk: Sdk) -> None:
    before = len(persons(sdk.server, limit="1000"))
    client.capture("nobody did this")
    client.flush()
    assert len(persons(sdk.server, limit="1000")) == before


def test_groups_and_exceptions(client: Posthog, sdk: Sdk, name: str) -> None:
    client.group_identify("company", name, {"plan": "paid"}, distinct_id=name)
    client.capture("visited", distinct_id=name, groups={"company": name})
    try:
        raise ValueError("a test's own")
    except ValueError as error:
        client.capture_exception(error, distinct_id=name)
    client.flush()
    [(_, _, identified), (_, _, visited), (_, _, exception)] = stored(sdk.server, name)
    assert identified["$group_set"] == {"plan": "paid"}
    assert visited["$groups"] == {"company": name}
    assert exception["$exception_list"][0]["value"] == "a test's own"


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


def test_in_sync_mode_an_event_can_be_read_when_the_call_returns(sdk: Sdk, name: str) -> None:
    client = sdk.client(sync_mode=True)
    for number in range(20):
        client.set(distinct_id=name, properties={"n": number})
        assert said(sdk.server, name) == {"n": number}
    client.shutdown()


def test_an_id_of_nobody_is_no_error(sdk: Sdk) -> None:
    client = sdk.client()
    client.capture("e", distinct_id="undefined", properties={"$set": {"a": 1}})
    client.shutdown()
    assert persons(sdk.server, distinct_id="undefined") == []


def test_the_caller_is_told_which_event_was_dropped(sdk: Sdk, name: str) -> None:
    client = sdk.client(flush_at=10)
    client.capture("good", distinct_id=name)
    dropped = client.capture("bad", distinct_id="x" * 201)
    client.shutdown()
    [error] = sdk.errors
    assert isinstance(error, CaptureV1Error)
    assert error.drops == [(dropped, "distinct_id_too_large")]
    assert [event for event, _, _ in stored(sdk.server, name)] == ["good"]
    sdk.errors.clear()


def test_a_wrong_token_is_an_error_that_the_caller_hears_of(sdk: Sdk) -> None:
    heard: list[Exception] = []
    client = Posthog(
        "phc_nobody",
        host=sdk.server.url,
        capture_mode="v1",
        on_error=lambda error, _: heard.append(error),
    )
    client.capture("e", distinct_id="u")
    client.shutdown()
    [error] = heard
    assert isinstance(error, CaptureV1Error)
    assert error.status == 401


# Beside events, in either mode


@pytest.mark.parametrize("mode", ["v0", "v1"])
def test_no_flag_is_on_and_nothing_is_logged(sdk: Sdk, name: str, mode: str) -> None:
    client = sdk.client(capture_mode=mode)
    assert client.get_all_flags(name) == {}
    assert client.get_all_flags_and_payloads(name)["featureFlagPayloads"] == {}
    assert client.evaluate_flags(name).is_enabled("any") is False
    client.shutdown()


@pytest.mark.parametrize("mode", ["v0", "v1"])
def test_flag_definitions_are_polled_with_a_key(sdk: Sdk, name: str, mode: str) -> None:
    client = sdk.client(capture_mode=mode, secret_key=sdk.server.key)
    client.load_feature_flags()
    client.load_feature_flags()
    assert client.feature_flags == []
    assert client.get_all_flags(name) == {}
    client.shutdown()


def test_ai_events_go_their_own_way(sdk: Sdk, name: str) -> None:
    client = sdk.client(enable_full_ai_capture=True)
    client.capture_ai("$ai_generation", distinct_id=name, properties={"$ai_model": "m"})
    client.shutdown()
    [(event, _, properties)] = stored(sdk.server, name)
    assert (event, properties["$ai_model"]) == ("$ai_generation", "m")
