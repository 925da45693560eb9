"""Requests that no SDK sends on purpose, to a real server: each gets its answer, and nobody else
notices."""

import gzip
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from personhood.http.body import DECODED_BYTES_MAX, RECEIVED_BYTES_MAX
from tests.capture.conftest import OK, Front
from tests.server import TOKEN

EV = {"event": "e", "distinct_id": "u", "properties": {}}
UNPARSED = "failed to parse request: "


def event(**fields: Any) -> dict[str, Any]:
    return {**EV, "api_key": TOKEN, **fields}


def raw(rest: bytes) -> bytes:
    """An event with `rest` behind its other fields, which need not be JSON."""
    return json.dumps(event()).encode()[:-1] + b"," + rest + b"}"


def is_well(front: Front) -> bool:
    return front.capture({**EV, "distinct_id": "somebody else"}) == OK


# What is no JSON, or none that can be kept


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"5",
        b'"text"',
        b"\xef\xbb\xbf" + json.dumps(event()).encode(),
        raw(b'"properties":{"a":NaN}'),
        raw(b'"properties":{"a":Infinity}'),
        raw(b'"properties":{"a":1e400}'),
        raw(b'"properties":{"$set":{"a":-1e400}}'),
        raw(b'"$set":{"a":1e400}'),
        raw(b'"$set_once":{"a":{"b":[1e400]}}'),
        raw(b'"properties":{"a":01}'),
        raw(b'"properties":{"a":"\x00"}'),
        raw(b'"properties":{"a":"\n"}'),
        raw(b'"properties":{"a":"\\ud8"}'),
        raw(b'"properties":{"a":1,}'),
        raw(b'"properties":[]'),
        raw(b'"offset":1e400'),
        raw(b'"distinct_id":1e400'),
        raw(b'"distinct_id":' + b"[" * 100_000),
        raw(b'"properties":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
        raw(b'"unknown":' + b"[" * 100_000 + b"]" * 100_000),
        b"[" * 5_000_000,
        b"[" + json.dumps(event()).encode() + b",5]",
    ],
    ids=lambda body: body[-60:].decode("utf-8", "replace"),
)
def test_what_is_broken_is_refused_whole(front: Front, body: bytes) -> None:
    status, text = front.post(body)
    assert (status, text[: len(UNPARSED)]) == (400, UNPARSED)
    assert front.stored() == []
    assert is_well(front)


@pytest.mark.parametrize(
    "value", [b"1" + b"0" * 400, b"9" * 5000, b"-" + b"9" * 5000, b"1e-400", b"1e-20000",
              b"1." + b"0" * 20_000 + b"1", b"0." + b"9" * 20_000]
)  # fmt: skip
@pytest.mark.parametrize(
    "field", ['"properties":{"a":%s}', '"properties":{"$set":{"a":%s}}', '"$set":{"a":%s}']
)
def test_a_number_beyond_every_machine_is_kept_or_refused(
    front: Front, field: str, value: bytes
) -> None:
    status, _ = front.post(raw(field.encode() % value))
    assert status in (200, 400)
    assert len(front.stored()) == (status == 200)
    if status == 200:
        assert front.read("u")["distinct_ids"] == ["u"]
    assert is_well(front)


NESTED_FIELDS = [
    '"properties":{"a":%s}', '"properties":{"$set":{"a":%s}}', '"properties":{"$elements":%s}',
    '"$set":{"a":%s}', '"$set_once":{"a":%s}', '"distinct_id":%s', '"ignored":%s',
]  # fmt: skip


@pytest.mark.parametrize("depth", [1, 126, 127, 128, 129, 300, *range(920, 1010, 9), 10_000])
@pytest.mark.parametrize("opened", ["[", '{"a":'])
@pytest.mark.parametrize("field", NESTED_FIELDS)
def test_nesting_is_kept_or_refused_and_what_is_kept_can_be_read(
    front: Front, field: str, opened: str, depth: int
) -> None:
    nested = opened * depth + "1" + {"[": "]", '{"a":': "}"}[opened] * depth
    body = raw((field % nested).encode())
    status, text = front.post(body)
    # PostHog's own limit is 128, counted from the outermost bracket of the body.
    if depth < 127:
        assert (status, text) == OK
    elif depth > 128 and "ignored" not in field:
        assert (status, text) == (400, "failed to parse request: recursion limit exceeded")
    stored = front.stored()
    assert len(stored) == (status == 200)
    if stored:
        assert front.post(body) == OK
        front.read(stored[0].distinct_id)


ODD = "\0 \ud83d \udc00 \U0001f600 \ufffe"
CLEAN = "\ufffd \ufffd \ufffd \U0001f600 \ufffe"


def test_what_postgresql_cannot_keep_is_replaced_wherever_it_is(front: Front) -> None:
    sent = {
        "event": ODD,
        "distinct_id": ODD,
        "timestamp": ODD,
        "properties": {ODD: ODD, "$ip": ODD, "$elements_chain": ODD, "$anon_distinct_id": ODD,
                       "alias": ODD, "$unset": [ODD], "$process_person_profile": ODD},
        "$set": {ODD: ODD, "deep": {ODD: [ODD]}},
        "$set_once": {f"{ODD} once": ODD},
        ODD: ODD,
    }  # fmt: skip
    assert front.post({"api_key": TOKEN, "batch": [sent], "sent_at": ODD, ODD: ODD}) == OK
    stored = front.only()
    assert (stored.name, stored.distinct_id, stored.elements_chain) == (CLEAN, CLEAN, CLEAN)
    assert stored.properties[CLEAN] == CLEAN
    assert front.properties(CLEAN) == {
        CLEAN: CLEAN,
        "deep": {CLEAN: [CLEAN]},
        f"{CLEAN} once": CLEAN,
    }


@pytest.mark.parametrize("name", ["$identify", "$create_alias", "$merge_dangerously"])
def test_ids_that_claim_something_are_cleaned_alike(front: Front, name: str) -> None:
    claim = {"$anon_distinct_id": ODD, "alias": ODD}
    assert front.post(event(distinct_id=ODD)) == OK
    assert front.post(event(event=name, distinct_id="known", properties=claim)) == OK
    assert sorted(front.read("known")["distinct_ids"]) == ["known", CLEAN]


@pytest.mark.parametrize("source", ["", " ", None, 0, 5, [], {}, {"a": [1e300]}, "x" * 5000, True])
@pytest.mark.parametrize("name", ["$identify", "$create_alias", "$merge_dangerously"])
def test_whatever_an_event_claims_it_is_stored(front: Front, name: str, source: Any) -> None:
    claim = {"$anon_distinct_id": source, "alias": source}
    assert front.post(event(event=name, properties=claim)) == OK
    assert front.only().name == name
    assert "u" in front.read("u")["distinct_ids"]


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(event()).encode() + b"\xff",
        raw(b'"properties":{"a":"\xed\xa0\x80"}'),
        raw(b'"properties":{"a":"\xc0\x80"}'),
        json.dumps(event()).encode("utf-16"),
        b"\x80",
    ],
)
def test_what_is_not_utf_8_is_refused(front: Front, body: bytes) -> None:
    assert front.post(body) == (400, "failed to decode request: invalid UTF-8")
    assert front.post(gzip.compress(body)) == (400, "failed to decode request: invalid UTF-8")
    assert front.stored() == []


# Query and headers


@pytest.mark.parametrize(
    "query",
    [
        b"data=%ED%A0%80", b"data=%FF", b"data=%00", b"data", b"data=&data=", b"_=%FF",
        b"_=99999999999999999999999999", b"_=-5", b"sent_at=%F0%9F%98%80", b"compression=%FF%00",
        b"beacon=%FF", b"%FF=%FF", b"&&&==", b"a=" + b"x" * 50_000,
    ],
)  # fmt: skip
def test_an_odd_query_does_no_harm(front: Front, query: bytes) -> None:
    answer = front.http.post(f"/e/?{query.decode()}", json=event())
    assert answer.status_code == (400 if query[:6] == b"data=%" else 200)
    assert len(front.stored()) == (answer.status_code == 200)


@pytest.mark.parametrize(
    "name",
    ["content-type", "content-encoding", "origin", "x-forwarded-for", "user-agent", "cookie",
     "authorization", "accept", "referer", "x-capture-debug"],
)  # fmt: skip
@pytest.mark.parametrize("value", [b"\xff\xfe", b"a" * 8000, b"gzip, br;q=\xe9", b"", b",;=\t,"])
def test_an_odd_header_does_no_harm(front: Front, name: str, value: bytes) -> None:
    answer = front.http.post("/e/", json=event(), headers={name.encode(): value})
    assert (answer.status_code, answer.text) == OK
    assert len(front.stored()) == 1


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "HEAD"])
def test_other_methods_are_not_allowed(front: Front, method: str) -> None:
    answer = front.http.request(method, "/e/", content=json.dumps(event()).encode())
    assert answer.status_code == 405
    assert front.stored() == []


# Sizes


@pytest.mark.parametrize("path", ["/batch/", "/i/v0/e/", "/e/", "/engage/"])
def test_w39_a_body_over_20_mib_is_refused(front: Front, path: str) -> None:
    answer = front.http.post(path, content=b" " * (RECEIVED_BYTES_MAX + 1))
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    fits = json.dumps(event()).encode().ljust(RECEIVED_BYTES_MAX)
    assert front.post(fits, path) == OK
    assert len(front.stored()) == 1


def test_a_body_of_unknown_length_has_the_same_limit(front: Front) -> None:
    def chunks() -> Any:
        for _ in range(RECEIVED_BYTES_MAX // 65536 + 1):
            yield b" " * 65536

    assert front.http.post("/e/", content=chunks()).status_code == 413
    assert front.http.post("/e/", content=iter([json.dumps(event()).encode()])).text == OK[1]
    assert len(front.stored()) == 1


def test_one_event_over_its_limit_is_refused_with_the_whole_batch(front: Front) -> None:
    large = {**EV, "properties": {"a": "x" * 1024 * 1024}}
    for body in ({"api_key": TOKEN, "batch": [EV, large]}, [event(), {**event(), **large}]):
        status, text = front.post(body)
        assert status == 413
        assert text.startswith("maximum event size exceeded: ")
    over_all = {"properties": {"a": "x" * 600_000}, "$set": {"b": "x" * 500_000}}
    assert front.post(event(**over_all))[0] == 413
    assert front.stored() == []
    fits = {"properties": {"a": "x" * 1_000_000}}
    assert front.post({"api_key": TOKEN, "batch": [EV, {**EV, **fits}]}) == OK
    assert len(front.stored()) == 2


def worker_peak_bytes(front: Front) -> int:
    parent = front.server.process.pid
    [worker] = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    [line] = [
        line
        for line in Path(f"/proc/{worker}/status").read_text().splitlines()
        if line.startswith("VmHWM")
    ]
    return int(line.split()[1]) * 1024


def test_a_gzip_bomb_is_refused_before_it_fills_the_memory(front: Front) -> None:
    bomb = gzip.compress(b" " * 2 * DECODED_BYTES_MAX, compresslevel=1)
    several = gzip.compress(b" " * (DECODED_BYTES_MAX // 2)) * 3
    before = worker_peak_bytes(front)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(front.post, [bomb, several, bomb, several]))
    assert [status for status, _ in answers] == [413] * 4
    assert worker_peak_bytes(front) - before < 6 * DECODED_BYTES_MAX
    assert is_well(front)


# Connections


def talk(front: Front, *parts: bytes, shut: bool = False) -> bytes:
    """Send bytes as they are; all that comes back until the server closes or is silent."""
    with socket.create_connection(("127.0.0.1", front.server.port), timeout=20) as connection:
        for part in parts:
            connection.sendall(part)
        if shut:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while b"\r\n\r\n" not in answer or not answer.rstrip().endswith((b"}", b"Ok")):
            received = connection.recv(65536)
            if not received:
                break
            answer += received
        return answer


def request(body: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join([b"POST /e/ HTTP/1.1", b"Host: localhost", *headers, b"", b""]) + body


BODY = json.dumps(event()).encode()


@pytest.mark.parametrize("sent", [0, 1, len(BODY) - 1, len(BODY)])
def test_a_client_that_leaves_in_the_middle_of_its_body_has_sent_nothing(
    front: Front, sent: int
) -> None:
    """Even if what came so far is a whole event: it promised more."""
    length = b"Content-Length: %d" % (len(BODY) + 10)
    with socket.create_connection(("127.0.0.1", front.server.port)) as connection:
        connection.sendall(request(BODY[:sent], length))
    chunked = b"%x\r\n%s\r\n" % (sent or 1, BODY[: sent or 1])
    with socket.create_connection(("127.0.0.1", front.server.port)) as connection:
        connection.sendall(request(chunked, b"Transfer-Encoding: chunked"))
    assert is_well(front)
    assert [each.distinct_id for each in front.stored()] == ["somebody else"]


@pytest.mark.parametrize(
    "lie",
    [
        [b"Content-Length: -1"], [b"Content-Length: abc"], [b"Content-Length: " + b"9" * 20],
        [b"Content-Length: 5", b"Content-Length: 6"], [b"Transfer-Encoding: odd"],
    ],
)  # fmt: skip
def test_a_length_that_is_none_stores_nothing(front: Front, lie: list[bytes]) -> None:
    assert b" 200 " not in talk(front, request(BODY, *lie), shut=True)
    assert is_well(front)
    assert [each.distinct_id for each in front.stored()] == ["somebody else"]


def test_what_is_beyond_the_length_is_not_read(front: Front) -> None:
    answer = talk(front, request(BODY + b"x" * 50, b"Content-Length: %d" % len(BODY)), shut=True)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert len(front.stored()) == 1


def test_a_body_may_come_byte_by_byte_and_after_a_question(front: Front) -> None:
    head = request(b"", b"Content-Length: %d" % len(BODY), b"Expect: 100-continue")
    answer = talk(front, head, *(bytes([byte]) for byte in BODY))
    assert b"HTTP/1.1 200 " in answer
    assert answer.endswith(OK[1].encode())
    assert len(front.stored()) == 1


def test_paths_are_taken_as_they_are(front: Front) -> None:
    for path in ("/e//", "//e/", "/E/", f"/{quote('é')}/", "/e/x", "/e/%00", "/batch/..", "/%ff"):
        answer = front.http.post(path, json=event())
        assert answer.status_code in (200, 404, 405), path
        assert len(front.stored()) == (answer.status_code == 200)
        front.clear()
