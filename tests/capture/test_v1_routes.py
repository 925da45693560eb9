"""Protocol v1 through a real server: what SDKs are answered, and what is stored then."""

import gzip
import json
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import brotli
import httpx
import pytest
import zstandard

from personhood.store import embedded
from tests.capture.conftest import Front
from tests.server import TOKEN, Server, serving

PATH = "/i/v1/analytics/events"
AT = "2026-03-19T14:29:58.123Z"


def headers(**changed: str | None) -> dict[str, str]:
    all_of_them = {
        "authorization": f"Bearer {TOKEN}",
        "content-type": "application/json",
        "user-agent": "test/1",
        "posthog-sdk-info": "posthog-test/1.2.3",
        "posthog-attempt": "1",
        "posthog-request-id": str(uuid4()),
        "posthog-request-timestamp": datetime.now(UTC).isoformat(),
    }
    all_of_them |= {name.replace("_", "-"): text for name, text in changed.items()}
    return {name: text for name, text in all_of_them.items() if text is not None}


def event(**fields: Any) -> dict[str, Any]:
    return {"event": "e", "uuid": str(uuid4()), "distinct_id": "u", "timestamp": AT, **fields}


def batch(*events: Any, **fields: Any) -> bytes:
    return json.dumps({"created_at": AT, "batch": events, **fields}).encode()


def send(front: Front, body: bytes, **changed: str | None) -> httpx.Response:
    return front.http.post(PATH, content=body, headers=headers(**changed))


def results(front: Front, *events: Any, **fields: Any) -> list[dict[str, str]]:
    """What became of each event, in their order."""
    answer = send(front, batch(*events, **fields))
    assert answer.status_code == 200, answer.text
    assert "retry-after" not in answer.headers
    found = answer.json()["results"]
    assert list(found) == [each["uuid"] for each in events]
    return list(found.values())


def error(answer: httpx.Response) -> tuple[int, str]:
    body = answer.json()
    assert set(body) == {"error", "error_description", "error_uri"}
    assert body["error_description"]
    return answer.status_code, body["error"]


OK = {"result": "ok"}


@pytest.mark.parametrize("slash", ["", "/"])
def test_an_ok_is_committed_and_readable(front: Front, slash: str) -> None:
    one = event(properties={"$set": {"plan": "free"}}, session_id="s")
    answer = front.http.post(PATH + slash, content=batch(one), headers=headers())
    assert (answer.status_code, answer.text) == (
        200,
        f'{{"results":{{"{one["uuid"]}":{{"result":"ok"}}}}}}',
    )
    assert front.properties("u") == {"plan": "free"}
    stored = front.only()
    assert str(stored.uuid) == one["uuid"]
    assert stored.properties["$lib"] == "posthog-test"
    assert stored.properties["$session_id"] == "s"
    assert stored.properties["$ip"] == "127.0.0.1"
    assert "$sent_at" in stored.properties


def test_a_heatmap_has_no_result_of_its_own(front: Front) -> None:
    clicks = {"$heatmap_data": {"/": [{"x": 1}]}}
    unreadable = batch(event(properties={"$heatmap_data": 0})).replace(b": 0}", b": 1e999}")
    assert results(front, event(properties=clicks)) == [OK]
    assert sorted(each.name for each in front.stored()) == ["$$heatmap", "e"]
    [dropped] = send(front, unreadable).json()["results"].values()
    assert dropped == {"result": "drop", "details": "malformed_event_properties"}
    assert len(front.stored()) == 2


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("encoding", PACKERS)
def test_bodies_may_be_compressed(front: Front, encoding: str) -> None:
    pack = PACKERS[encoding]
    assert send(front, pack(batch(event())), content_encoding=encoding).status_code == 200
    assert len(front.stored()) == 1
    many = [event(distinct_id=str(number)) for number in range(3000)]
    assert send(front, pack(batch(*many)), content_encoding=encoding).status_code == 200
    assert len(front.stored()) == 3001


def test_identify_brings_the_anonymous_past_along(front: Front) -> None:
    claim = {"$anon_distinct_id": "anon", "$set": {"email": "a@b.example"}}
    anonymous = event(distinct_id="anon")
    identify = event(event="$identify", distinct_id="ada", properties=claim)
    assert results(front, anonymous, identify) == [OK, OK]
    found = front.read("anon")
    assert found["distinct_ids"] == ["anon", "ada"], "who came first"
    assert found["properties"]["email"] == "a@b.example"


def test_each_event_gets_its_own_verdict_and_each_drop_a_warning(front: Front) -> None:
    events = [
        event(),
        event(event=""),
        event(event="x" * 201),
        event(distinct_id="x" * 201),
        event(distinct_id=" "),
        event(timestamp="now"),
        event(properties=[]),
        event(options={"cookieless_mode": "perhaps"}),
        event(event="$performance_event"),
        event(event="$snapshot"),
        event(event="$identify", options={"process_person_profile": False}),
        event(properties={"n": 1}),
    ]
    details = [
        "missing_event_name",
        "event_name_too_long",
        "distinct_id_too_large",
        "missing_distinct_id",
        "invalid_event_timestamp",
        "malformed_event_properties",
        "invalid_options",
        "dropped_performance_event",
        "schema_validation_failed",
        "invalid_event_when_process_person_profile_is_false",
    ]
    dropped = [{"result": "drop", "details": code} for code in details]
    assert results(front, *events) == [OK, *dropped, OK]
    assert len(front.stored()) == 2
    warnings = front.warnings()
    assert [type for type, _ in warnings] == details
    assert warnings[0][1] == {"eventName": "", "distinctId": "u"}
    assert warnings[6][1]["options"] == ["cookieless_mode"]


def test_a_drop_leaves_one_warning_however_often_it_is_sent(front: Front) -> None:
    bad, other = event(event="x" * 201), event(event="x" * 201)
    for _ in range(3):
        assert results(front, bad) == [{"result": "drop", "details": "event_name_too_long"}]
    assert len(front.warnings()) == 1
    results(front, bad, other)
    assert len(front.warnings()) == 2


def test_a_number_out_of_range_drops_its_event_only(front: Front) -> None:
    good, bad = event(), event()
    body = batch(good, bad | {"properties": {"n": "HUGE"}}).replace(b'"HUGE"', b"1e999")
    found = send(front, body).json()["results"]
    assert found[good["uuid"]] == OK
    assert found[bad["uuid"]] == {"result": "drop", "details": "malformed_event_properties"}
    assert [type for type, _ in front.warnings()] == ["malformed_event_properties"]


def test_a_warning_of_the_client_is_taken_as_one(front: Front) -> None:
    name = "$$client_ingestion_warning"
    told = event(event=name, properties={f"{name}_message": "too many events"})
    assert results(front, told) == [OK]
    assert front.stored() == []
    assert front.warnings() == [("client_ingestion_warning", {"message": "too many events"})]


@pytest.mark.parametrize("name", ["e", "$identify"])
def test_an_id_of_nobody_makes_no_person(front: Front, name: str) -> None:
    given = {"$set": {"a": 1}, "$anon_distinct_id": "x"}
    assert results(front, event(event=name, distinct_id="undefined", properties=given)) == [
        {"result": "ok", "details": "person_processing_disabled"}
    ]
    assert front.persons() == []
    assert front.only().name == name
    assert front.only().properties["$process_person_profile"] is False


def test_an_event_sent_again_changes_nothing(front: Front) -> None:
    one = event(properties={"$set": {"n": 1}})
    two = event(properties={"$set": {"n": 2}})
    assert results(front, one) == [OK]
    assert results(front, two) == [OK]
    assert results(front, one) == [OK]
    assert front.properties("u") == {"n": 2}
    assert len(front.stored()) == 2


def test_both_protocols_know_an_event_by_its_uuid(front: Front) -> None:
    one = event()
    assert results(front, one) == [OK]
    front.capture({"event": "e", "distinct_id": "u", "uuid": one["uuid"]})
    assert len(front.stored()) == 1


def test_a_history_keeps_its_times(front: Front) -> None:
    old = event(timestamp="2019-05-06T07:08:09Z")
    assert results(front, old, historical_migration=True) == [OK]
    assert front.only().timestamp == datetime(2019, 5, 6, 7, 8, 9, tzinfo=UTC)


def test_a_wrong_clock_is_corrected_unless_that_is_not_wanted(front: Front) -> None:
    now = datetime.now(UTC)
    ahead = now + timedelta(hours=2)
    as_it_is = event(timestamp=ahead.isoformat(), options={"disable_skew_correction": True})
    corrected = event(timestamp=ahead.isoformat())
    body = batch(as_it_is, corrected)
    assert send(front, body, posthog_request_timestamp=ahead.isoformat()).status_code == 200
    times = {str(each.uuid): each.timestamp for each in front.stored()}
    assert times[as_it_is["uuid"]] == ahead
    assert abs(times[corrected["uuid"]] - now) < timedelta(minutes=3)


# The whole request


@pytest.mark.parametrize(
    "changed, status, code",
    [
        ({"authorization": None}, 401, "invalid_api_token"),
        ({"authorization": "Bearer phc_nobody"}, 401, "invalid_api_token"),
        ({"posthog_attempt": None}, 400, "missing_required_headers"),
        ({"posthog_request_id": "1"}, 400, "invalid_header_value"),
        ({"content_type": "text/plain"}, 415, "unsupported_content_type"),
        ({"content_encoding": "lz4"}, 415, "unsupported_encoding"),
        ({"content_encoding": "gzip"}, 400, "request_decoding_error"),
    ],
)
def test_headers_that_do_not_fit(
    front: Front, changed: dict[str, str | None], status: int, code: str
) -> None:
    answer = send(front, batch(event()), **changed)
    assert error(answer) == (status, code)
    assert answer.headers["accept-encoding"] == "gzip, deflate, br, zstd"
    assert front.stored() == []


@pytest.mark.parametrize(
    "body, code",
    [
        (batch(), "empty_batch"),
        (batch(event(), created_at="?"), "invalid_batch"),
        (batch(event(uuid="")), "missing_event_uuid"),
        (batch(event(uuid="1")), "invalid_event_uuid"),
        (batch(event(uuid=str(uuid4())), *[event(uuid=str(uuid4()).upper())] * 2),
         "duplicate_event_uuid"),
    ],
)  # fmt: skip
def test_a_batch_that_does_not_fit_leaves_a_warning(front: Front, body: bytes, code: str) -> None:
    assert error(send(front, body)) == (400, code)
    assert front.stored() == []
    assert [type for type, _ in front.warnings()] == [code]


@pytest.mark.parametrize("body, code", [(b"", "empty_body"), (b"{{{", "request_parsing_error")])
def test_a_body_that_is_no_batch(front: Front, body: bytes, code: str) -> None:
    assert error(send(front, body)) == (400, code)


def test_limits(front: Front) -> None:
    assert error(send(front, b" " * (10 * 1024 * 1024 + 1))) == (413, "payload_too_large")
    bomb = gzip.compress(batch(event()) + b" " * (50 * 1024 * 1024))
    assert error(send(front, bomb, content_encoding="gzip")) == (413, "payload_too_large")


def test_other_methods(front: Front) -> None:
    assert front.http.get(PATH).status_code == 405
    asked = {"origin": "https://shop.example", "access-control-request-headers": "posthog-attempt"}
    answer = front.http.options(PATH, headers=asked)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-headers"] == "posthog-attempt"
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"


def test_without_a_database_everything_is_to_be_sent_again(data_dir: Path) -> None:
    with embedded.running(data_dir) as url, serving(DATABASE_URL=url) as server:
        assert post(server, batch(event())).status_code == 200
        embedded.stop(data_dir.resolve() / "postgres")
        answer = post(server, batch(event()))
        assert error(answer) == (503, "service_unavailable")
        assert int(answer.headers["retry-after"]) > 0


def post(server: Server, body: bytes) -> httpx.Response:
    return httpx.post(server.url + PATH, content=body, headers=headers(), timeout=60)
