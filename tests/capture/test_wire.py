"""The wire contract through a real server (capture-and-identity, 7.1): what SDKs may send."""

import base64
import gzip
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote_plus
from uuid import UUID

import pytest
from lzstring import LZString

from personhood.http.body import FORM
from tests.capture.conftest import LEGACY, OK, PATHS, Front
from tests.server import TOKEN

EV = {"event": "e", "distinct_id": "u", "properties": {}}
SLASHES = [path + slash for path in PATHS for slash in ("", "/")]


def event(**fields: Any) -> dict[str, Any]:
    return {**EV, "api_key": TOKEN, **fields}


def batch(*events: Any, **fields: Any) -> dict[str, Any]:
    return {"api_key": TOKEN, "batch": events, **fields}


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


# The base64 of this has a plus in it.
ONE = dumped(event(properties={"a": "~~~>>>"}))
TWO = dumped(batch(EV, EV))
B64 = base64.b64encode(ONE)
assert b"+" in B64
FORM_B64 = b"data=" + quote_plus(B64).encode()
FORM_LZ = b"data=" + quote_plus(LZString().compressToBase64(ONE.decode())).encode()
AS_FORM = {"content-type": FORM}
BASE64 = {"compression": "base64"}
NAMELESS = {"$token": TOKEN, "$distinct_id": "u", "$set": {"a": 1}}
OF_PROPERTIES = {"event": "e", "properties": {"token": TOKEN, "distinct_id": "u"}}
HYDRATION = "failed to hydrate events from request: non-engage request missing event name attribute"
NO_FORM = "failed to decode request: expected form data in POST request payload"
NO_TOKEN = "event submitted without an api_key"


@dataclass
class Vector:
    """A request, and the stored events as `name distinct_id`; `text…` is how an answer begins."""

    id: str
    body: Any
    status: int = 200
    text: str = '{"status":"Ok"}'
    stored: tuple[str, ...] = ("e u",)
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "POST"
    paths: list[str] = field(default_factory=lambda: PATHS)


def refused(id: str, status: int, text: str, body: Any, **more: Any) -> Vector:
    return Vector(id, body, status, text, (), **more)


VECTORS = [
    Vector("W01", event(), headers={"content-type": "application/json"}),
    Vector("W02 text", event(), headers={"content-type": "text/plain"}),
    Vector("W02 none", event()),
    Vector("W02 rubbish", event(), headers={"content-type": ";;/"}),
    Vector("W03", gzip.compress(ONE), headers={"content-type": "text/plain"}),
    Vector("W04", gzip.compress(TWO), headers={"content-encoding": "gzip"},
           stored=("e u", "e u")),
    Vector("W05", gzip.compress(ONE), query={"compression": "gzip-js"}),
    Vector("W06", FORM_B64, query=BASE64, headers=AS_FORM),
    Vector("W07", b"data=" + B64.replace(b"+", b" "), query=BASE64, headers=AS_FORM),
    Vector("W08", FORM_LZ, query={"compression": "lz64"}, headers=AS_FORM),
    Vector("W09", b"", query={"data": B64.decode()}, method="GET"),
    Vector("W09 json", b"", query={"data": ONE.decode()}, method="GET"),
    Vector("W09 post", b"", query={"data": B64.decode()}),
    Vector("W10", B64),
    Vector("W10 twice", base64.b64encode(B64), paths=LEGACY),
    refused("W10 twice", 400, "failed to parse request: …", base64.b64encode(B64),
            paths=["/batch", "/i/v0/e"]),
    refused("W11", 400, NO_FORM, ONE, headers=AS_FORM),
    Vector("W12", gzip.compress(ONE), query=BASE64),
    refused("W13", 400, "failed to decode request: invalid GZIP data", b"\x1f\x8b\x08rubbish"),
    refused("W14", 400, "request missing data payload", b""),
    refused("W14 GET", 400, "request missing data payload", b"", method="GET"),
    Vector("W15", [OF_PROPERTIES, OF_PROPERTIES], stored=("e u", "e u")),
    refused("W16", 400, "request holds no event", batch()),
    refused("W16 array", 400, "request holds no event", []),
    refused("W17", 400, HYDRATION, {"batch": [EV]}, paths=PATHS[:-1]),
    refused("W17", 401, NO_TOKEN, {"batch": [EV]}, paths=["/engage"]),
    refused("W18", 401, "batch submitted with inconsistent api_key values",
            [event(), event(api_key="phc_B")]),
    refused("W19", 401, NO_TOKEN, EV),
    refused("W20", 401, "API key is not valid: personal_api_key", event(api_key="phx_abc")),
    refused("W21", 401, "API key is not valid: too_long", event(api_key="x" * 65)),
    refused("W22", 401, "API key is not valid: null_byte", event(api_key="hello\0")),
    refused("empty token", 401, "API key is not valid: empty", event(api_key=" ")),
    refused("not ASCII", 401, "API key is not valid: not_ascii", event(api_key="phc_é")),
    Vector("W23", event(api_key="phc_unknown"), stored=()),
    Vector("W24", batch({**EV, "properties": {"token": "phc_B"}})),
    refused("W25", 400, "event submitted without a distinct_id",
            batch(EV, EV, EV, {"event": "e", "properties": {}})),
    refused("W25 empty", 400, "event submitted without a distinct_id", event(distinct_id="")),
    refused("W26", 400, "event submitted with an empty event name", event(event="")),
    refused("W26 batch", 400, "event submitted with an empty event name",
            batch(EV, event(event=""))),
    refused("W27", 400, "failed to parse request: …", event(uuid="abc")),
    refused("W27 batch", 400, "failed to parse request: …", batch(EV, {**EV, "uuid": "abc"})),
    refused("W29", 400, "failed to parse request: …", event(timestamp=1700000000)),
    refused("W30", 400, "failed to parse request: …", batch(EV, sent_at=1700000000)),
    refused("W33", 400, HYDRATION, NAMELESS, paths=PATHS[:-1]),
    Vector("W34", event(), 204, "", query={"beacon": "1"}),
    Vector("W38", [event(event="$performance_event")] * 2, stored=()),
    Vector("W38 mixed", [event(event="$performance_event"), event()]),
    refused("W40", 400, "event submitted with invalid cookieless mode",
            event(properties={"$cookieless_mode": "yes"})),
    refused("a beacon that is refused", 401, NO_TOKEN, EV, query={"beacon": "1"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("vector", "path"),
    [
        pytest.param(vector, path + slash, id=f"{vector.id} {path}{slash}")
        for vector in VECTORS
        for path in vector.paths
        for slash in ("", "/")
    ],
)
def test_wire_vector(front: Front, vector: Vector, path: str) -> None:
    answer = front.http.request(
        vector.method,
        path,
        params=vector.query or None,
        headers=vector.headers,
        content=vector.body if isinstance(vector.body, bytes) else dumped(vector.body),
    )
    assert answer.status_code == vector.status
    if vector.text.endswith("…"):
        assert answer.text.startswith(vector.text[:-1])
    else:
        assert answer.text == vector.text
    if answer.status_code != 204:
        kind = "application/json" if answer.is_success else "text/plain; charset=utf-8"
        assert answer.headers["content-type"] == kind
    stored = front.stored()
    assert [f"{each.name} {each.distinct_id}" for each in stored] == list(vector.stored)
    assert {each.project_id for each in stored} <= {front.server.project_id}
    assert len(front.persons()) == len({each.distinct_id for each in stored})


def test_w24_an_event_cannot_name_another_project_than_its_batch(front: Front) -> None:
    other = front.project("phc_w24")
    of_other = {**EV, "token": "phc_w24", "properties": {"token": "phc_w24"}}
    assert front.post(batch(of_other), "/batch/") == OK
    assert [each.project_id for each in front.stored()] == [front.server.project_id]
    assert front.capture(EV, token="phc_w24") == OK
    assert {each.project_id for each in front.stored()} == {front.server.project_id, other}
    assert [each["project_id"] for each in front.persons()] == [front.server.project_id, other]


def test_w28_an_empty_uuid_is_replaced_by_one_of_the_events_own_time(front: Front) -> None:
    at = datetime.fromisoformat("2024-05-06T07:08:09.123Z")
    assert front.post(event(uuid="", timestamp=at.isoformat())) == OK
    stored = front.only()
    assert stored.uuid.version == 7
    assert stored.uuid.int >> 80 == at.timestamp() * 1000


def test_w31_sent_at_that_is_rubbish_corrects_nothing(front: Front) -> None:
    body = batch({**EV, "timestamp": "2024-05-06T07:08:09Z"}, sent_at="rubbish")
    assert front.post(body, "/batch/") == OK
    assert front.only().timestamp == datetime.fromisoformat("2024-05-06T07:08:09Z")
    assert "$sent_at" not in front.only().properties


@pytest.mark.parametrize("slash", ["", "/"])
def test_w32_engage_makes_an_identify_of_what_has_no_name(front: Front, slash: str) -> None:
    assert front.post(NAMELESS, f"/engage{slash}") == OK
    assert (front.only().name, front.only().distinct_id) == ("$identify", "u")
    assert front.properties("u") == {"a": 1}
    assert front.read("u")["is_identified"] is False


def test_w35_unset_at_the_top_level_does_nothing(front: Front) -> None:
    assert front.post(event(**{"$set": {"a": 1, "b": 2}})) == OK
    assert front.post(event(**{"$unset": ["a"]})) == OK
    assert front.properties("u") == {"a": 1, "b": 2}
    assert front.post(event(properties={"$unset": ["a"]})) == OK
    assert front.properties("u") == {"b": 2}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("x" * 201, "x" * 200),
        ("😀" * 201, "😀" * 200),
        (23, "23"),
        (23.4, "23.4"),
        (["x"], '["x"]'),
        ({"b": 1, "a": None}, '{"a":null,"b":1}'),
        (True, "true"),
        (0, "0"),
        (" ", " "),
        ("undefined", "undefined"),
        ("a\0\ud800", "a\ufffd\ufffd"),
        ("%2F&?#'\"\\", "%2F&?#'\"\\"),
    ],
)
def test_w36_w37_a_distinct_id_is_kept_as_text(front: Front, given: Any, text: str) -> None:
    assert front.post(event(distinct_id=given)) == OK
    assert front.only().distinct_id == text
    assert front.read(text)["distinct_ids"] == [text]


# Times: what is sent is relative to now, and the skews are far from where they would round over


@dataclass
class Time:
    """In seconds from now, as `expected` is: from what was sent, or from the time of receipt."""

    id: str
    timestamp: float | str | None
    sent_at: float | None = None
    offset: int | None = None
    properties: dict[str, Any] = field(default_factory=dict)
    corrected: float | None = None
    received: float | None = None


TIMES = [
    Time("T1", -3600, corrected=0),
    Time("T2", -60, sent_at=60, corrected=0),
    Time("T3", 540, sent_at=600, corrected=-600),
    Time("T4", 299, sent_at=299, corrected=-300),
    Time("T5", 59, sent_at=60, corrected=0),
    Time("T6", -540, sent_at=-500, corrected=600),
    Time("T7", 540, sent_at=600, properties={"$ignore_sent_at": True}, corrected=0),
    Time("T8", -3600, offset=5000, received=-5),
    Time("T8 with sent_at", -3600, sent_at=7200, offset=5000, received=-5),
    Time("T9", None, received=0),
    Time("T9 with sent_at", None, sent_at=7200, received=0),
    Time("T10", 24 * 3600, received=0),
    Time("T11", 22 * 3600, corrected=0),
    Time("T12", "garbage", received=0),
]


@pytest.mark.parametrize("by", ["body", "_", "sent_at"])
@pytest.mark.parametrize("time", TIMES, ids=lambda time: time.id)
def test_time_of_an_event(front: Front, time: Time, by: str) -> None:
    now = datetime.now().astimezone().replace(microsecond=0)

    def at(seconds: float) -> datetime:
        return now + timedelta(seconds=seconds)

    sent: dict[str, Any] = {**EV, "properties": time.properties}
    if isinstance(time.timestamp, str):
        sent["timestamp"] = time.timestamp
    elif time.timestamp is not None:
        sent["timestamp"] = at(time.timestamp).isoformat()
    if time.offset is not None:
        sent["offset"] = time.offset
    body, query = batch(sent), {}
    if time.sent_at is not None:
        if by == "body":
            body["sent_at"] = at(time.sent_at).isoformat()
        else:
            query[by] = str(int(at(time.sent_at).timestamp() * 1000))

    assert front.post(body, "/batch/", params=query) == OK
    stored = front.only()
    if time.corrected is not None:
        assert isinstance(time.timestamp, int)
        assert stored.timestamp == at(time.timestamp + time.corrected)
    else:
        assert time.received is not None
        assert stored.timestamp == stored.received_at + timedelta(seconds=time.received)
    if time.sent_at is not None:
        assert datetime.fromisoformat(stored.properties["$sent_at"]) == at(time.sent_at)
    expected = ["ignored_invalid_timestamp"] if time.timestamp == "garbage" else []
    assert [type for type, _ in front.warnings()] == expected


# CORS (W41)


ASKED = {
    "origin": "https://shop.example",
    "access-control-request-method": "POST",
    "access-control-request-headers": "content-type, x-odd",
}


@pytest.mark.parametrize("path", [*SLASHES, "/", "/nowhere", "/_health"])
def test_w41_a_preflight_is_granted_on_every_path(front: Front, path: str) -> None:
    answer = front.http.options(path, headers=ASKED)
    assert (answer.status_code, answer.text) == OK
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    assert answer.headers["access-control-allow-headers"] == "content-type, x-odd"
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert "POST" in answer.headers["access-control-allow-methods"]


@pytest.mark.parametrize("path", SLASHES)
def test_options_that_are_no_preflight_are_ok(front: Front, path: str) -> None:
    answer = front.http.options(path)
    assert (answer.status_code, answer.text) == OK
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/e/", dumped(event()), 200),
        ("POST", "/e/?beacon=1", dumped(event()), 204),
        ("POST", "/e/", b"", 400),
        ("POST", "/e/", b"{", 400),
        ("POST", "/e/", dumped(EV), 401),
        ("PUT", "/e/", b"", 405),
        ("GET", "/nowhere", b"", 404),
        ("POST", "/e/", dumped(event(properties={"a": "x" * 1024 * 1024})), 413),
        ("POST", "/e/", b" " * (20 * 1024 * 1024 + 1), 413),
    ],
)
def test_every_answer_is_open_to_the_page_that_asked(
    front: Front, method: str, path: str, body: bytes, status: int
) -> None:
    answer = front.http.request(method, path, content=body, headers={"origin": "null"})
    assert answer.status_code == status
    assert answer.headers.get_list("access-control-allow-origin") == ["null"]
    assert answer.headers["access-control-allow-credentials"] == "true"


def test_a_known_uuid_is_kept_in_any_spelling(front: Front) -> None:
    uuid = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
    for text in (str(uuid).upper(), uuid.hex, f"{{{uuid}}}", uuid.urn):
        assert front.post(event(uuid=text)) == OK
    assert front.only().uuid == uuid
