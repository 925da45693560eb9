"""Protocol v1 without a server: what headers and bodies say, and what becomes of each event."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.datastructures import Headers

from personhood.capture import claims, v1, v1_options
from personhood.capture.parse import EVENT_BYTES_MAX
from personhood.errors import CaptureTooLarge
from personhood.model import Profile, Project

NOW = datetime(2026, 3, 19, 14, 30, tzinfo=UTC)
AT = "2026-03-19T14:29:58.123Z"
PROJECT = Project(id=1, name="p", token="phc_t", created_at=NOW)
HEADERS = {
    "authorization": "Bearer phc_t",
    "content-type": "application/json",
    "user-agent": "test/1",
    "posthog-sdk-info": "posthog-test/1.2.3",
    "posthog-attempt": "1",
    "posthog-request-id": str(uuid4()),
    "posthog-request-timestamp": "2026-03-19T14:30:00Z",
}


def envelope(**changed: str | None) -> v1.Envelope:
    """Of headers that fit, but for those changed; None leaves one out."""
    all_of_them = HEADERS | {name.replace("_", "-"): text for name, text in changed.items()}
    return v1.envelope(Headers({k: v for k, v in all_of_them.items() if v is not None}))


def event(**fields: Any) -> dict[str, Any]:
    made = {"event": "e", "uuid": str(uuid4()), "distinct_id": "u", "timestamp": AT}
    return {key: value for key, value in (made | fields).items() if value is not ...}


def batch(*events: Any, **fields: Any) -> bytes:
    return json.dumps({"created_at": AT, "batch": events, **fields}).encode()


def verdicts(*events: Any, of: v1.Envelope | None = None, **fields: Any) -> list[v1.Verdict]:
    return v1.parse(batch(*events, **fields), of or envelope(), now=NOW).verdicts


def verdict(of: v1.Envelope | None = None, **fields: Any) -> v1.Verdict:
    [only] = verdicts(event(**fields), of=of)
    return only


def sent(**fields: Any) -> Any:
    found = verdict(**fields)
    assert found.sent is not None, found.details
    return found.sent


def properties(of: v1.Envelope | None = None, **fields: Any) -> dict[str, Any]:
    found = sent(of=of, **fields)
    return json.loads(found.properties)


def refusal(body: bytes) -> str:
    with pytest.raises(v1.BatchRefused) as refused:
        v1.parse(body, envelope(), now=NOW)
    return refused.value.code


# Headers


def test_headers_say_who_sends_and_when() -> None:
    assert envelope() == v1.Envelope(
        token="phc_t", encoding=None, sent_at=NOW, library=("posthog-test", "1.2.3")
    )


@pytest.mark.parametrize(
    "changed, code",
    [
        ({"authorization": None}, "invalid_api_token"),
        ({"authorization": "Bearer phx_personal"}, "invalid_api_token"),
        ({"authorization": "Bearer  "}, "invalid_api_token"),
        ({"authorization": "Bearer " + "x" * 65}, "invalid_api_token"),
        ({"authorization": "Basic phc_t"}, "invalid_header_value"),
        ({"authorization": "phc_t"}, "invalid_header_value"),
        ({"user_agent": None}, "missing_required_headers"),
        ({"content_type": None}, "missing_required_headers"),
        ({"posthog_sdk_info": None}, "missing_required_headers"),
        ({"posthog_attempt": None}, "missing_required_headers"),
        ({"posthog_request_id": None}, "missing_required_headers"),
        ({"posthog_request_timestamp": None}, "missing_required_headers"),
        ({"content_type": "text/plain"}, "unsupported_content_type"),
        ({"content_type": "application/jsonx"}, "unsupported_content_type"),
        ({"content_encoding": "lz4"}, "unsupported_encoding"),
        ({"content_encoding": ""}, "unsupported_encoding"),
        ({"posthog_request_id": "1"}, "invalid_header_value"),
        ({"posthog_attempt": "0"}, "invalid_header_value"),
        ({"posthog_attempt": "-1"}, "invalid_header_value"),
        ({"posthog_attempt": "first"}, "invalid_header_value"),
        ({"posthog_request_timestamp": "yesterday"}, "invalid_header_value"),
        ({"posthog_request_timestamp": "2026-03-19T14:30:00"}, "invalid_header_value"),
    ],
)
def test_headers_that_do_not_fit_refuse_the_request(
    changed: dict[str, str | None], code: str
) -> None:
    with pytest.raises(v1.BatchRefused) as refused:
        envelope(**changed)
    assert refused.value.code == code


def test_every_missing_header_is_named() -> None:
    with pytest.raises(v1.BatchRefused, match=r"'PostHog-Attempt', 'User-Agent'"):
        envelope(posthog_attempt=None, user_agent=None)


@pytest.mark.parametrize(
    "changed",
    [
        {"authorization": "bearer   phc_t  "},
        {"content_type": "Application/JSON; charset=utf-8"},
        {"posthog_attempt": "17"},
        {"posthog_request_timestamp": "2026-03-19T15:30:00.000+01:00"},
        {"posthog_request_timestamp": "2026-03-19t14:30:00z"},
    ],
)
def test_headers_are_read_leniently_where_http_is(changed: dict[str, str]) -> None:
    assert envelope(**changed) == envelope()


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd", "GZip"])
def test_four_encodings(name: str) -> None:
    assert envelope(content_encoding=name).encoding == name.lower()


@pytest.mark.parametrize(
    "text, library",
    [
        ("posthog/sub-sdk/2.3.4", ("posthog/sub-sdk", "2.3.4")),
        ("  posthog-rs / 1.2.3  ", ("posthog-rs", "1.2.3")),
        ("posthog-rs/" + "9" * 200, None),
        ("no-slash", None),
        ("/1.0.0", None),
        ("posthog-rs/", None),
        ("", None),
    ],
)
def test_the_sdk_is_name_and_version(text: str, library: tuple[str, str] | None) -> None:
    assert envelope(posthog_sdk_info=text).library == library


# The batch


@pytest.mark.parametrize(
    "body, code",
    [
        (b"", "empty_body"),
        (b"{{{", "request_parsing_error"),
        (b"[]", "request_parsing_error"),
        (b'{"batch":[]}', "request_parsing_error"),
        (b'{"created_at":"%s"}' % AT.encode(), "request_parsing_error"),
        (batch(), "empty_batch"),
        (batch(event(), created_at="yesterday"), "invalid_batch"),
        (batch(event(), created_at="2026-03-19T14:30:00"), "invalid_batch"),
        (batch(event(uuid=...)), "missing_event_uuid"),
        (batch(event(uuid="  ")), "missing_event_uuid"),
        (batch(event(uuid="1")), "invalid_event_uuid"),
        (batch(event(event=...)), "request_parsing_error"),
        (batch(event(distinct_id=...)), "request_parsing_error"),
        (batch(event(timestamp=...)), "request_parsing_error"),
        (batch(event(distinct_id=5)), "request_parsing_error"),
        (batch(event(), historical_migration="yes"), "request_parsing_error"),
        (b'{"created_at":"\xff","batch":[]}', "request_parsing_error"),
        (b"[" * 100_000, "request_parsing_error"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused_whole(body: bytes, code: str) -> None:
    assert refusal(body) == code


def test_the_same_uuid_twice_is_refused_in_whatever_form() -> None:
    one = uuid4()
    two = event(uuid=f" {one.hex.upper()} ")
    assert refusal(batch(event(uuid=str(one)), two)) == "duplicate_event_uuid"


def test_too_many_objects_are_refused_before_they_are_made() -> None:
    with pytest.raises(CaptureTooLarge):
        v1.parse(b'{"a":[' + b"{}," * 1_000_001 + b"{}]}", envelope(), now=NOW)


@pytest.mark.parametrize("value, internal", [(True, True), ("yes", True), (0, False), ([], False)])
def test_an_internal_batch(value: Any, internal: bool) -> None:
    assert (
        v1.parse(batch(event(), capture_internal=value), envelope(), now=NOW).internal is internal
    )


# One event


def test_an_event_is_sent_on_as_it_is() -> None:
    uuid = uuid4()
    found = sent(uuid=f" {uuid} ", distinct_id="  u ", properties={"a": [1, None, "é"]})
    assert (found.uuid, found.name, found.distinct_id) == (uuid, "e", "u")
    assert found.timestamp == datetime(2026, 3, 19, 14, 29, 58, 123000, tzinfo=UTC)
    assert found.sent_at == NOW
    assert json.loads(found.properties) == {
        "a": [1, None, "é"],
        "$lib": "posthog-test",
        "$lib_version": "1.2.3",
    }
    assert not found.historical


def test_a_history_is_historical() -> None:
    [only] = verdicts(event(), historical_migration=True)
    assert only.sent is not None
    assert only.sent.historical


def test_the_sdk_of_the_headers_counts() -> None:
    assert properties(properties={"$lib": "x", "$lib_version": "0"})["$lib"] == "posthog-test"
    of = envelope(posthog_sdk_info="odd")
    assert properties(of, properties={"$lib": "x"}) == {"$lib": "x"}


def test_what_stands_beside_the_properties_is_put_into_them() -> None:
    of = envelope(posthog_sdk_info="odd")
    options = {
        "cookieless_mode": "off",
        "disable_skew_correction": 1,
        "product_tour_id": "t",
        "process_person_profile": "TRUE",
        "unknown": {},
    }
    assert properties(of, session_id="s", window_id="w", options=options) == {
        "$session_id": "s",
        "$window_id": "w",
        "$cookieless_mode": False,
        "$ignore_sent_at": True,
        "$product_tour_id": "t",
        "$process_person_profile": True,
    }
    assert properties(of, session_id=None, options={"product_tour_id": " "}) == {}
    assert properties(of, options=None) == {}


@pytest.mark.parametrize("text", ["{}", "{ }", "{\n}", '{"a":1}', '{ "a" : 1 }\t', '{"a":{}}'])
def test_adding_to_properties_keeps_them(text: str) -> None:
    added = json.loads(v1.with_added(text.encode(), {"b": 2}))
    assert added == {**json.loads(text), "b": 2}
    assert v1.with_added(text.encode(), {}) == text.encode()


@given(
    st.dictionaries(st.text(max_size=5), st.recursive(st.integers() | st.text(), st.lists)),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
)
def test_what_is_added_wins(before: dict[str, Any], more: dict[str, int]) -> None:
    assert json.loads(v1.with_added(json.dumps(before).encode(), more)) == {**before, **more}


@pytest.mark.parametrize(
    "fields, details",
    [
        ({"event": "$performance_event"}, "dropped_performance_event"),
        ({"event": ""}, "missing_event_name"),
        ({"event": "x" * 201}, "event_name_too_long"),
        ({"event": "é" * 101}, "event_name_too_long"),
        ({"distinct_id": ""}, "missing_distinct_id"),
        ({"distinct_id": " \t"}, "missing_distinct_id"),
        ({"distinct_id": "x" * 201}, "distinct_id_too_large"),
        ({"distinct_id": "é" * 101}, "distinct_id_too_large"),
        ({"timestamp": "2026-03-19T14:29:58"}, "invalid_event_timestamp"),
        ({"timestamp": "2026-02-30T14:29:58Z"}, "invalid_event_timestamp"),
        ({"timestamp": "1773930598"}, "invalid_event_timestamp"),
        ({"timestamp": ""}, "invalid_event_timestamp"),
        ({"properties": [1]}, "malformed_event_properties"),
        ({"properties": None}, "malformed_event_properties"),
        ({"properties": "x"}, "malformed_event_properties"),
        ({"properties": {"a": "x" * EVENT_BYTES_MAX}}, "event_too_big"),
        ({"options": 5}, "invalid_options"),
        ({"options": {"cookieless_mode": "perhaps"}}, "invalid_options"),
        ({"options": {"product_tour_id": 5}}, "invalid_options"),
        ({"distinct_id": "$posthog_cookieless"}, "cookieless_mode_required"),
    ],
)
def test_a_bad_event_is_dropped_and_its_neighbours_are_taken(
    fields: dict[str, Any], details: str
) -> None:
    good, bad, other = verdicts(event(), event(**fields), event())
    assert (bad.sent, bad.details) == (None, details)
    assert good.sent is not None
    assert other.sent is not None


def test_an_event_nested_too_deep_is_dropped() -> None:
    deep: Any = 1
    for _ in range(200):
        deep = {"a": deep}
    assert verdict(properties=deep).details == "malformed_event_properties"


def test_exactly_200_bytes_are_taken() -> None:
    found = sent(event="é" * 100, distinct_id="é" * 100)
    assert len(found.name) == len(found.distinct_id) == 100


def test_what_postgresql_cannot_keep_is_replaced() -> None:
    found = sent(distinct_id="a\0b", properties={"k\0": "\ud800"})
    assert found.distinct_id == "a\ufffdb"
    assert json.loads(found.properties)["k\ufffd"] == "\ufffd"


ILLEGAL = ["0", "undefined", "NULL", "[object Object]", "Anonymous", "User", "nAn", " guest "]


@pytest.mark.parametrize("distinct_id", ILLEGAL)
@pytest.mark.parametrize("name", ["e", "$identify", "$create_alias", "$groupidentify", "$set"])
def test_an_id_of_nobody_makes_its_event_personless(name: str, distinct_id: str) -> None:
    given = {"$set": {"a": 1}, "$anon_distinct_id": "x", "alias": "y"}
    found = verdict(
        event=name,
        distinct_id=distinct_id,
        properties=given,
        options={"process_person_profile": True},
    )
    assert found.details == "person_processing_disabled"
    assert found.sent is not None
    reading = claims.read(found.sent, PROJECT, received_at=NOW, ip=None)
    assert reading.warnings == []
    assert reading.event is not None, "it is kept, whatever it says of persons"
    assert reading.event.profile is Profile.PERSONLESS
    assert (reading.event.claim, reading.event.set) == (None, {})
    stored = json.loads(reading.event.properties)
    assert stored["$process_person_profile"] is False
    assert "$set" not in stored


@pytest.mark.parametrize("distinct_id", ["users", "'0'", "00", "undefined1", "null-user"])
def test_other_ids_are_of_somebody(distinct_id: str) -> None:
    found = verdict(distinct_id=distinct_id)
    assert found.details is None
    assert found.sent is not None
    assert not found.sent.personless


# Time


@pytest.mark.parametrize(
    "ahead, options, expected",
    [
        (timedelta(minutes=2), {}, AT),
        (timedelta(minutes=10), {}, "2026-03-19T14:19:58.123Z"),
        (timedelta(minutes=-8), {}, "2026-03-19T14:39:58.123Z"),
        (timedelta(minutes=10), {"disable_skew_correction": True}, AT),
        (timedelta(minutes=10), {"disable_skew_correction": False}, "2026-03-19T14:19:58.123Z"),
    ],
)
def test_the_clock_of_the_request_corrects_that_of_its_events(
    ahead: timedelta, options: dict[str, Any], expected: str
) -> None:
    of = envelope(posthog_request_timestamp=(NOW + ahead).isoformat())
    found = sent(of=of, options=options)
    assert found.timestamp == datetime.fromisoformat(expected)
    assert found.sent_at == NOW + ahead


@pytest.mark.parametrize(
    "text, expected",
    [
        ("2026-03-19T15:29:58+01:00", "2026-03-19T14:29:58Z"),
        ("2026-03-19 14:29:58z", "2026-03-19T14:29:58Z"),
        ("2026-03-19T14:29:58.123456789Z", "2026-03-19T14:29:58.123456Z"),
        ("2030-01-01T00:00:00Z", NOW.isoformat()),
    ],
)
def test_times_are_rfc_3339(text: str, expected: str) -> None:
    assert sent(timestamp=text).timestamp == datetime.fromisoformat(expected)


# Options


@pytest.mark.parametrize(
    "value, meaning",
    [
        *[(each, True) for each in (True, 1, -1, 0.5, 10**400, "true", " T ", "Yes", "y", "ON")],
        *[(each, True) for each in ("1", "0.5", "-3")],
        *[(each, False) for each in (False, 0, 0.0, "false", "F", "no", "N", "off", "0", "0.0")],
        *[(each, None) for each in (None, "", "  ")],
    ],
)
def test_booleans_are_read_leniently(value: Any, meaning: bool | None) -> None:
    read, unreadable = v1_options.read(json.dumps({"cookieless_mode": value}).encode())
    assert (read.cookieless_mode, unreadable) == (meaning, None)


@pytest.mark.parametrize("value", ["perhaps", "nan", "inf", "-Infinity", [], {}, [True]])
def test_what_means_nothing_is_named(value: Any) -> None:
    text = json.dumps({"process_person_profile": value, "product_tour_id": 1}).encode()
    _, unreadable = v1_options.read(text)
    assert unreadable == ["process_person_profile", "product_tour_id"]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(
            ["event", "uuid", "distinct_id", "timestamp", "options", "properties", "session_id"]
        ),
        JSON_VALUES,
    )
)
def test_whatever_comes_gets_a_verdict_or_a_refusal(fields: dict[str, Any]) -> None:
    made = event() | fields
    try:
        [only] = v1.parse(batch(made), envelope(), now=NOW).verdicts
    except v1.BatchRefused as refused:
        assert refused.code in v1.BATCH_WARNINGS | {"request_parsing_error"}
    else:
        assert isinstance(only.uuid, UUID)
        assert (only.sent is None) <= (only.details is not None)
