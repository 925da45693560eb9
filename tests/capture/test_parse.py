import base64
import gzip
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from urllib.parse import quote_plus
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lzstring import LZString

from personhood.capture import parse as module
from personhood.capture.parse import parse
from personhood.errors import BadCapture, CaptureError, CaptureTooLarge, TokenRefused
from personhood.http.body import FORM, decode

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
T = "phc_0123456789abcdefghijklmnopqrstuvwxyz"
EV = {"event": "e", "distinct_id": "u", "properties": {}}


def dumped(value) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def parsed(value, **options):
    return parse(dumped(value), now=NOW, **options)


def only(value, **options):
    [sent] = parsed(value, **options).events
    return sent


def event(**fields):
    return {**EV, "api_key": T, **fields}


ONE = dumped(event())
BATCH = dumped({"api_key": T, "batch": [EV, EV], "sent_at": "2026-05-01T12:00:00Z"})
B64 = base64.b64encode(ONE)
LZ = LZString().compressToBase64(ONE.decode())
FORM_B64 = b"data=" + quote_plus(B64).encode()
FORM_SPACES = b"data=" + B64.replace(b"+", b" ")
FORM_LZ = b"data=" + quote_plus(LZ).encode()
TWO_TOKENS = [event(api_key="phc_A"), event(api_key="phc_B")]
HYDRATION = "failed to hydrate events from request: non-engage request missing event name attribute"
NO_FORM = "failed to decode request: expected form data in POST request payload"
ENGAGE = {"$token": T, "$distinct_id": "u", "$set": {"a": 1}}

# The wire vectors of the contract (7.1): path, request, and how many events or which refusal.
WIRE = [
    ("W01", "/e", {"body": ONE, "content_type": "application/json"}, 1),
    ("W02", "/e", {"body": ONE, "content_type": "text/plain"}, 1),
    ("W02", "/e", {"body": ONE}, 1),
    ("W03", "/i/v0/e", {"body": gzip.compress(ONE), "content_type": "text/plain"}, 1),
    ("W04", "/batch", {"body": gzip.compress(BATCH), "content_encoding": "gzip"}, 2),
    ("W05", "/e", {"body": gzip.compress(ONE), "query": {"compression": "gzip-js"}}, 1),
    ("W06", "/e", {"body": FORM_B64, "content_type": FORM, "query": {"compression": "base64"}}, 1),
    ("W07", "/e", {"body": FORM_SPACES, "content_type": FORM,
                   "query": {"compression": "base64"}}, 1),
    ("W08", "/e", {"body": FORM_LZ, "content_type": FORM, "query": {"compression": "lz64"}}, 1),
    ("W09", "/e", {"query": {"data": B64.decode()}}, 1),
    ("W10", "/e", {"body": B64}, 1),
    ("W11", "/e", {"body": ONE, "content_type": FORM}, BadCapture(NO_FORM)),
    ("W12", "/e", {"body": gzip.compress(ONE), "query": {"compression": "base64"}}, 1),
    ("W13", "/e", {"body": b"\x1f\x8b\x08rubbish"},
     BadCapture("failed to decode request: invalid GZIP data")),
    ("W14", "/e", {"body": b""}, BadCapture("request missing data payload")),
    ("W15", "/e", {"json": [{"event": "e", "properties": {"distinct_id": "u", "token": T}}] * 2},
     2),
    ("W16", "/batch", {"json": {"api_key": T, "batch": []}}, BadCapture("request holds no event")),
    ("W16", "/batch", {"json": []}, BadCapture("request holds no event")),
    ("W17", "/batch", {"json": {"batch": [EV]}}, BadCapture(HYDRATION)),
    ("W18", "/e", {"json": TWO_TOKENS},
     TokenRefused("batch submitted with inconsistent api_key values")),
    ("W19", "/e", {"json": EV}, TokenRefused("event submitted without an api_key")),
    ("W20", "/e", {"json": event(api_key="phx_abc")},
     TokenRefused("API key is not valid: personal_api_key")),
    ("W21", "/e", {"json": event(api_key="x" * 65)},
     TokenRefused("API key is not valid: too_long")),
    ("W22", "/e", {"json": event(api_key="hello\0")},
     TokenRefused("API key is not valid: null_byte")),
    ("W23", "/e", {"json": event(api_key="unknown")}, 1),
    ("W24", "/batch", {"json": {"api_key": T, "batch": [
        {"event": "e", "distinct_id": "u", "properties": {"token": "phc_B"}}]}}, 1),
    ("W25", "/batch", {"json": {"api_key": T, "batch": [EV, EV, EV, {"event": "e"}]}},
     BadCapture("event submitted without a distinct_id")),
    ("W26", "/e", {"json": event(event="")},
     BadCapture("event submitted with an empty event name")),
    ("W27", "/e", {"json": event(uuid="abc")}, BadCapture("failed to parse request: Invalid UUID")),
    ("W28", "/e", {"json": event(uuid="")}, 1),
    ("W29", "/e", {"json": event(timestamp=1700000000)}, BadCapture(
        "failed to parse request: Expected `str | null`, got `int` - at `$.timestamp`")),
    ("W30", "/batch", {"json": {"api_key": T, "batch": [EV], "sent_at": 1700000000}}, BadCapture(
        "failed to parse request: Expected `str | null`, got `int` - at `$.sent_at`")),
    ("W31", "/batch", {"json": {"api_key": T, "batch": [EV], "sent_at": "rubbish"}}, 1),
    ("W32", "/engage", {"json": ENGAGE}, 1),
    ("W33", "/e", {"json": ENGAGE}, BadCapture(HYDRATION)),
    ("W34", "/e", {"body": ONE, "query": {"beacon": "1"}}, 1),
    ("W35", "/e", {"json": event(**{"$unset": ["a"]})}, 1),
    ("W36", "/e", {"json": event(distinct_id="x" * 201)}, 1),
    ("W37", "/e", {"json": event(distinct_id=23)}, 1),
    ("W38", "/e", {"json": [event(event="$performance_event")] * 2}, 0),
    ("W40", "/e", {"json": event(properties={"$cookieless_mode": "yes"})},
     BadCapture("event submitted with invalid cookieless mode")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "request_", "outcome"),
    [vector[1:] for vector in WIRE],
    ids=[f"{vector[0]}-{number}" for number, vector in enumerate(WIRE)],
)
def test_wire_vector(path, request_, outcome):
    def captured():
        body = decode(
            request_["body"] if "body" in request_ else dumped(request_.get("json", "")),
            query=request_.get("query", {}),
            content_type=request_.get("content_type"),
            content_encoding=request_.get("content_encoding"),
            legacy=path in ("/e", "/engage"),
        )
        return parse(body, now=NOW, engage=path == "/engage")

    if isinstance(outcome, int):
        assert len(captured().events) == outcome
    else:
        with pytest.raises(type(outcome)) as refusal:
            captured()
        assert str(refusal.value) == str(outcome)


# Shapes


def test_a_batch_says_what_holds_for_all_its_events():
    capture = parsed(
        {
            "token": f" {T}\n",
            "batch": [EV, {**EV, "event": "f", "token": "other"}],
            "historical_migration": True,
            "sent_at": "2026-05-01T12:10:00Z",
        }
    )
    assert capture.token == T
    assert [sent.name for sent in capture.events] == ["e", "f"]
    assert all(sent.historical for sent in capture.events)
    assert {sent.sent_at for sent in capture.events} == {NOW + timedelta(minutes=10)}


def test_a_batch_of_thirty_thousand_events_is_one_batch():
    assert len(parsed({"api_key": T, "batch": [EV] * 30_000}).events) == 30_000


def test_sent_at_of_the_query_holds_where_the_body_says_nothing():
    sent_at = NOW + timedelta(minutes=10)
    timestamp = "2026-05-01T12:09:00Z"
    for value in (
        event(timestamp=timestamp),
        [event(timestamp=timestamp)],
        {"api_key": T, "batch": [{**EV, "timestamp": timestamp}]},
        {"api_key": T, "batch": [{**EV, "timestamp": timestamp}], "sent_at": "rubbish"},
    ):
        sent = only(value, sent_at=sent_at)
        assert (sent.sent_at, sent.timestamp) == (sent_at, NOW - timedelta(minutes=1))


def test_a_single_event_may_have_fields_of_a_batch_with_other_types():
    for odd in ({"sent_at": 5}, {"batch": 5}, {"historical_migration": "no"}):
        assert only({**event(), **odd}).name == "e"


@pytest.mark.parametrize("name", [{}, {"event": None}], ids=["missing", "null"])
def test_without_a_name_an_event_of_engage_is_an_identify(name):
    nameless = {"$token": T, "$distinct_id": "u", "$set": {"a": 1}, **name}
    for value in (nameless, [nameless], {"api_key": T, "batch": [nameless]}):
        sent = only(value, engage=True)
        assert (sent.name, sent.distinct_id, sent.set) == ("$identify", "u", {"a": 1})
    with pytest.raises(BadCapture, match="event 1 has no `event`"):
        parsed([event(), nameless])


@pytest.mark.parametrize(
    "body",
    [
        b"5",
        b'"text"',
        b"null",
        b"{",
        b"[1]",
        b"[null]",
        ONE + b"x",
        b"[" + ONE + b",]",
        b'{"event":"e","api_key":"t","distinct_id":1e999}',
        b'{"event":"e","api_key":"t","distinct_id":' + b"9" * 5000 + b"}",
        b'{"event":"e","api_key":"t","distinct_id":"u","properties":{"a":NaN}}',
        b'{"event":"e","api_key":"t","distinct_id":"u","properties":{"a":01}}',
        b'{"event":"e","api_key":"t","distinct_id":"u","properties":{"a":"\\x"}}',
        b'{"event":"e","api_key":"t","distinct_id":"u","properties":{"a":"\x00"}}',
        b'{"event":"e","api_key":"t","distinct_id":"u","properties":[]}',
        b'{"event":"e","api_key":"t","distinct_id":"u","properties":"{}"}',
        b'{"event":"e","api_key":"t","distinct_id":"u","offset":1.5}',
        b'{"event":"e","api_key":"t","distinct_id":"u","offset":"5"}',
        b'{"event":"e","api_key":"t","distinct_id":"u","$set":{"a":1e999}}',
        b'{"event":5,"api_key":"t","distinct_id":"u"}',
        b'{"event":"e","api_key":"t","distinct_id":"u","uuid":5}',
    ],
)
def test_what_does_not_fit_cannot_be_parsed(body):
    with pytest.raises(BadCapture, match=r"^failed to parse request: "):
        parse(body, now=NOW)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":',
        b'{"event":"e","distinct_id":"u","properties":{"a":',
        b'{"api_key":"t","batch":[{"event":"e","$set":{"a":',
        b'[{"distinct_id":',
    ],
)
@pytest.mark.parametrize("opened", [b"[", b'{"a":'], ids=["arrays", "objects"])
def test_endless_nesting_is_refused(body, opened):
    with pytest.raises(BadCapture) as refusal:
        parse(body + opened * 100_000, now=NOW)
    assert str(refusal.value) == "failed to parse request: recursion limit exceeded"


# Token


@pytest.mark.parametrize("key", ["token", "$token", "api_key"])
def test_a_token_may_be_named(key):
    assert parsed({**EV, key: f"\t{T} "}).token == T


def test_a_token_may_be_a_property_or_missing_from_some_events():
    with_token = {**EV, "properties": {"token": T}}
    assert parsed([EV, with_token, EV, event()]).token == T
    with pytest.raises(TokenRefused, match="inconsistent"):
        parsed([with_token, event(token="phc_other")])


def test_a_token_property_that_is_no_string_is_none():
    with pytest.raises(TokenRefused, match="without an api_key"):
        parsed({**EV, "properties": {"token": 5}})


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("x" * 65, "too_long"),
        ("phc_é", "not_ascii"),
        ("phx_x", "personal_api_key"),
        ("a\0b", "null_byte"),
    ],
)
def test_a_malformed_token_is_refused(token, reason):
    for value in ({**EV, "api_key": token}, {"api_key": token, "batch": [EV]}):
        with pytest.raises(TokenRefused) as refusal:
            parsed(value)
        assert str(refusal.value) == f"API key is not valid: {reason}"


def test_sixty_four_characters_make_a_token():
    assert parsed({**EV, "api_key": "x" * 64}).token == "x" * 64


# Fields


def test_names_are_cut_to_200_characters():
    assert only(event(event="é" * 201)).name == "é" * 200


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("u", "u"),
        (" u ", " u "),
        ("null", "null"),
        ("a\0b\0", "a\ufffdb\ufffd"),
        ("\ud83d", "\ufffd"),
        ("😀" * 201, "😀" * 200),
        (23, "23"),
        (23.0, "23"),
        (23.4, "23.4"),
        (0, "0"),
        (False, "false"),
        (True, "true"),
        (2**70, str(2**70)),
        ([], "[]"),
        (["x"], '["x"]'),
        ({"b": 1, "a": ["é"]}, '{"a":["é"],"b":1}'),
    ],
)
def test_the_text_of_a_distinct_id(given, text):
    assert only(event(distinct_id=given)).distinct_id == text


@pytest.mark.parametrize(
    ("fields", "distinct_id"),
    [
        ({"distinct_id": "top", "$distinct_id": "dollar", "properties": {"distinct_id": "p"}},
         "top"),
        ({"distinct_id": None, "$distinct_id": "dollar", "properties": {"distinct_id": "p"}},
         "dollar"),
        ({"distinct_id": None, "properties": {"distinct_id": "p"}}, "p"),
        ({"properties": {"distinct_id": "p"}}, "p"),
        ({"properties": {"distinct_id": 0}}, "0"),
    ],
)  # fmt: skip
def test_where_the_distinct_id_is_found(fields, distinct_id):
    assert only({"event": "e", "api_key": T, **fields}).distinct_id == distinct_id


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"distinct_id": None},
        {"distinct_id": ""},
        {"distinct_id": "", "properties": {"distinct_id": "p"}},
        {"properties": {"distinct_id": None}},
        {"properties": {"distinct_id": ""}},
        {"properties": None},
    ],
)
def test_an_event_must_have_a_distinct_id(fields):
    with pytest.raises(BadCapture) as refusal:
        parsed({"event": "e", "api_key": T, **fields})
    assert str(refusal.value) == "event submitted without a distinct_id"


UUID_TEXT = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.mark.parametrize(
    "text",
    [
        UUID_TEXT,
        UUID_TEXT.upper(),
        UUID_TEXT.replace("-", ""),
        f"urn:uuid:{UUID_TEXT}",
        f"{{{UUID_TEXT}}}",
    ],
)
def test_a_uuid_may_be_written_as(text):
    assert only(event(uuid=text)).uuid == UUID(UUID_TEXT)


@pytest.mark.parametrize("text", [" ", UUID_TEXT + " ", "{" + UUID_TEXT, UUID_TEXT[1:], "\0"])
def test_a_uuid_is_not(text):
    with pytest.raises(BadCapture, match=r"^failed to parse request: "):
        parsed(event(uuid=text))


@pytest.mark.parametrize("absent", [{}, {"uuid": None}, {"uuid": ""}])
def test_a_missing_uuid_is_made_from_the_time_of_the_event(absent):
    sent = only(event(timestamp="2026-04-01T00:00:00Z", **absent))
    assert sent.uuid.version == 7
    assert sent.uuid.int >> 80 == sent.timestamp.timestamp() * 1000


def test_properties_stay_as_they_were_sent():
    text = b'{ "b": 1.10, "a" :"\\u00e9\\/", "b":2,"n":123456789012345678901234567890 }'
    body = b'{"event":"e","api_key":"t","distinct_id":"u","properties":  ' + text + b"  }"
    [sent] = parse(body, now=NOW).events
    assert sent.properties == text
    assert sent.size == len(text)


@pytest.mark.parametrize("fields", [{}, {"properties": None}])
def test_missing_properties_are_none(fields):
    assert only({"event": "e", "api_key": T, "distinct_id": "u", **fields}).properties == b"{}"


def test_set_and_set_once_are_kept_only_as_objects():
    sent = only(event(**{"$set": {"a": [1]}, "$set_once": {}}))
    assert (sent.set, sent.set_once) == ({"a": [1]}, {})
    for odd in (None, [], "x", 5, True):
        sent = only(event(**{"$set": odd, "$set_once": odd}))
        assert (sent.set, sent.set_once) == (None, None)


def test_timestamps_go_by_the_clock():
    assert only(event()).timestamp == NOW
    assert only(event(timestamp=None)).timestamp == NOW
    assert only(event(timestamp="2026-05-01T11:00:00Z", offset=5000)).timestamp == (
        NOW - timedelta(seconds=5)
    )
    assert only(event(offset=5000.0)).timestamp == NOW - timedelta(seconds=5)
    assert only(event(offset=None)).timestamp == NOW
    assert only(event(offset=10**30)).timestamp == datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(("ignores", "minute"), [(True, 9), (False, -1), ("true", -1), (1, -1)])
def test_only_true_ignores_sent_at(ignores, minute):
    late = event(timestamp="2026-05-01T12:09:00Z", properties={"$ignore_sent_at": ignores})
    sent = only(late, sent_at=NOW + timedelta(minutes=10))
    assert sent.timestamp == NOW + timedelta(minutes=minute)


def test_an_unreadable_timestamp_is_kept_for_a_warning():
    sent = only(event(timestamp="garbage"))
    assert (sent.timestamp, sent.invalid_timestamp) == (NOW, "garbage")
    assert only(event(timestamp="2026-05-01")).invalid_timestamp is None


@pytest.mark.parametrize("mode", [None, 0, 1, "", "true", [], {}])
def test_cookieless_mode_is_a_boolean(mode):
    with pytest.raises(BadCapture) as refusal:
        parsed(event(properties={"$cookieless_mode": mode}))
    assert str(refusal.value) == "event submitted with invalid cookieless mode"


def test_cookieless_mode_may_be_true_or_false():
    for mode in (True, False):
        assert only(event(properties={"$cookieless_mode": mode})).name == "e"


def test_performance_events_are_dropped_from_among_others():
    capture = parsed([event(event="$performance_event"), event(event="kept")])
    assert [sent.name for sent in capture.events] == ["kept"]


# Limits


@pytest.mark.parametrize("key", ["properties", "$set", "$set_once", "distinct_id"])
def test_an_event_over_its_limit_is_too_large(key):
    with pytest.raises(CaptureTooLarge, match=r"^maximum event size exceeded: "):
        parsed(event(**{key: {"a": "x" * module.EVENT_BYTES_MAX}}))


def test_the_parts_of_an_event_share_one_limit():
    half = {"a": "x" * (module.EVENT_BYTES_MAX // 2 - 100)}
    assert only(event(**{"properties": half, "$set": half})).set == half
    with pytest.raises(CaptureTooLarge):
        parsed(event(**{"properties": half, "$set": half, "$set_once": {"a": "x" * 300}}))


def test_endless_objects_are_too_large():
    with pytest.raises(CaptureTooLarge):
        parse(b"[" + b"{}," * module.OBJECTS_MAX + b"{}]", now=NOW)


# Characters


DIRTY = {
    rb"a\u0000b": rb"a\ufffdb",
    rb"\\u0000": rb"\\u0000",
    rb"\\\u0000": rb"\\\ufffd",
    rb"\ud83d\ude00": rb"\ud83d\ude00",
    rb"\uD83D\uDE00\u0000": rb"\uD83D\uDE00\ufffd",
    rb"\ud83d": rb"\ufffd",
    rb"\ude00": rb"\ufffd",
    rb"\ude00\ud83d": rb"\ufffd\ufffd",
    rb"\ud83d\ud83d\ude00": rb"\ufffd\ud83d\ude00",
    rb"\ud83d\ude00\ude00": rb"\ud83d\ude00\ufffd",
    rb"\ud83d\u0041": rb"\ufffd\u0041",
    rb"\\ud83d\ude00": rb"\\ud83d\ufffd",
    rb"\ud83d\\ude00": rb"\ufffd\\ude00",
    rb"\ud83d\n\ude00": rb"\ufffd\n\ufffd",
    rb"\\ud83d\\ude00": rb"\\ud83d\\ude00",
}


@pytest.mark.parametrize(("dirty", "clean"), DIRTY.items())
def test_nul_and_lone_surrogates_are_replaced_everywhere(dirty, clean):
    text = b'{"%s":["%s",{"x":"%s"}],"n":1.10}'
    event_text = b'{"event":"%s","api_key":"t","distinct_id":"%s","properties":%s,"$set":%s}'
    [sent] = parse(event_text % (dirty, dirty, text % ((dirty,) * 3), text % ((dirty,) * 3)),
                   now=NOW).events  # fmt: skip
    assert sent.properties == text % ((clean,) * 3)
    plain = json.loads(b'"%s"' % clean)
    assert (sent.name, sent.distinct_id) == (plain, plain)
    assert sent.set == {plain: [plain, {"x": plain}], "n": 1.1}


ESCAPES = st.sampled_from(
    [rb"\u0000", rb"\ud83d", rb"\uDE00", rb"\\", rb"\"", rb"\n", rb"\u0041", b"u0000", b"ud83d"]
)


@given(st.lists(ESCAPES, max_size=8).map(b"".join))
def test_cleaning_does_what_a_json_reader_would_do(escaped):
    body = b'{"event":"e","api_key":"t","distinct_id":"u","properties":{"a":"%s"}}' % escaped
    [sent] = parse(body, now=NOW).events
    wanted = json.loads(b'"%s"' % escaped).encode("utf-16-le", "surrogatepass")
    wanted = wanted.decode("utf-16-le", "replace").replace("\0", "\ufffd")
    assert json.loads(sent.properties)["a"] == wanted


# Laws


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["event", "distinct_id", "$distinct_id", "uuid", "properties", "timestamp", "offset", "$set",
     "$set_once", "token", "$token", "api_key", "batch", "sent_at", "historical_migration"]
)  # fmt: skip
VALUES = (
    ANYTHING | st.just(T) | st.just("2026-05-01") | st.just(UUID_TEXT) | st.just([EV]) | st.just({})
)
ODD_EVENTS = st.dictionaries(KEYS, VALUES).map(lambda odd: {"event": "e", **odd})
NO_SURROGATES = st.text(alphabet=st.characters(exclude_categories=["Cs"]))


@given(
    st.binary()
    | st.lists(ODD_EVENTS, max_size=3).map(dumped)
    | ODD_EVENTS.map(dumped)
    | st.dictionaries(KEYS, VALUES).map(dumped),
    st.booleans(),
)
@example(b'{"event":"\xff"}', False)
@example(b'{"event":"e","api_key":"\\ud800","distinct_id":"u"}', False)
def test_any_body_is_parsed_or_refused(body, engage):
    with suppress(CaptureError):
        parse(body, now=NOW, engage=engage)


OBJECTS = st.dictionaries(NO_SURROGATES, ANYTHING, max_size=5).filter(
    lambda properties: "$cookieless_mode" not in properties
)


@given(OBJECTS, NO_SURROGATES.filter(bool), NO_SURROGATES.filter(bool))
def test_what_is_clean_comes_out_as_it_went_in(properties, name, distinct_id):
    try:
        text = json.dumps(properties, allow_nan=False, ensure_ascii=False)
        text.encode()
    except ValueError:
        return
    if "\\u0000" in text or "\0" in name or "\0" in distinct_id:
        return
    body = json.dumps(
        {"event": name, "distinct_id": distinct_id, "api_key": T, "properties": properties},
        ensure_ascii=False,
    )
    [sent] = parse(body.encode(), now=NOW).events
    assert sent.properties == text.encode()
    assert (sent.name, sent.distinct_id) == (name[:200], distinct_id[:200])
