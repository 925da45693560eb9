import base64
import gzip
import json
import tracemalloc
import zlib
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lzstring import LZString

from personhood.errors import BadCapture, CaptureError, CaptureTooLarge
from personhood.http import body as module
from personhood.http.body import FORM, decode

TEXT = json.dumps({"event": "e", "distinct_id": "ü>>>???~~~", "n": list(range(50))}).encode()
UNICODE = '{"event":"é€😀"}'.encode()
B64 = base64.b64encode(TEXT)
GZIP = gzip.compress(TEXT)
LZ = LZString().compressToBase64(TEXT.decode()).encode()


def decoded(body=b"", *, query=None, content_type=None, content_encoding=None, legacy=False):
    return decode(
        body,
        query=query or {},
        content_type=content_type,
        content_encoding=content_encoding,
        legacy=legacy,
    )


def form(data, **fields):
    return "&".join(f"{k}={quote_plus(v)}" for k, v in {"data": data, **fields}.items()).encode()


WRAPPED = {
    "plain JSON": {"body": TEXT},
    "plain JSON with any content type": {"body": TEXT, "content_type": "text/plain"},
    "content type is rubbish": {"body": TEXT, "content_type": ";;=/"},
    "JSON sent as a form type with parameters": {
        "body": TEXT,
        "content_type": f"{FORM}; charset=UTF-8",
    },
    "gzip without a hint": {"body": GZIP, "content_type": "text/plain"},
    "gzip by header": {"body": GZIP, "content_encoding": "gzip"},
    "gzip by header, in capitals": {"body": GZIP, "content_encoding": "GZIP"},
    "gzip by query": {"body": GZIP, "query": {"compression": "gzip-js"}},
    "gzip that the query calls base64": {"body": GZIP, "query": {"compression": "base64"}},
    "gzip that the query calls LZ-string": {"body": GZIP, "query": {"compression": "lz64"}},
    "unknown hints": {"body": TEXT, "query": {"compression": "br"}, "content_encoding": "zstd"},
    "gzip of several members": {"body": gzip.compress(TEXT[:40]) + gzip.compress(TEXT[40:])},
    "gzip with something behind it": {"body": GZIP + b"\0\0\0"},
    "base64 of the whole body": {"body": B64},
    "URL-safe base64": {"body": base64.urlsafe_b64encode(TEXT)},
    "base64 of gzip": {"body": base64.b64encode(GZIP)},
    "GET with base64": {"query": {"data": B64.decode()}},
    "GET with base64 whose + became spaces": {"query": {"data": B64.decode().replace("+", " ")}},
    "GET with JSON": {"query": {"data": TEXT.decode()}},
    "GET with LZ-string": {"query": {"data": LZ.decode(), "compression": "lz64"}},
    "data of the query goes before the body": {"query": {"data": TEXT.decode()}, "body": b"{}"},
    "empty data of the query": {"query": {"data": ""}, "body": TEXT},
    "LZ-string as the whole body": {"body": LZ, "query": {"compression": "lz-string"}},
    "LZ-string by header": {"body": LZ, "content_encoding": "lz64"},
    "form with base64": {"body": form(B64), "content_type": FORM, "query": {"compression": "b64"}},
    "form with a bare base64": {"body": b"data=" + B64, "content_type": FORM},
    "form with base64 of gzip": {"body": form(base64.b64encode(GZIP)), "content_type": FORM},
    "form with JSON": {"body": form(TEXT), "content_type": FORM},
    "form with a charset": {"body": form(B64), "content_type": f"{FORM}; charset=UTF-8"},
    "form with data at its end": {"body": b"ver=1.2&ip=1&" + form(B64), "content_type": FORM},
    "form that says LZ-string": {"body": form(LZ, compression="lz64"), "content_type": FORM},
    "query wins over form": {
        "body": form(LZ, compression="gzip"),
        "content_type": FORM,
        "query": {"compression": "LZ64"},
    },
    "form wins over header": {
        "body": form(LZ, compression="lz64"),
        "content_type": FORM,
        "content_encoding": "gzip",
    },
    "base64 twice, legacy path": {"body": base64.b64encode(B64), "legacy": True},
    "base64 in gzip, legacy path": {"body": gzip.compress(B64), "legacy": True},
}  # fmt: skip


@pytest.mark.parametrize("request_", WRAPPED.values(), ids=WRAPPED.keys())
def test_the_text_is_found_in(request_):
    assert decoded(**request_) == TEXT


def test_only_legacy_paths_unwrap_base64_twice():
    assert decoded(base64.b64encode(B64)) == B64


MISSING = "request missing data payload"
NO_FORM = "failed to decode request: expected form data in POST request payload"
BAD_GZIP = "failed to decode request: invalid GZIP data"

REFUSED = {
    "nothing": ({}, MISSING),
    "a form without data": ({"body": b"ver=1", "content_type": FORM}, MISSING),
    "gzip of nothing": ({"body": gzip.compress(b"")}, MISSING),
    "JSON sent as a form": ({"body": TEXT, "content_type": FORM}, NO_FORM),
    "base64 sent as a form": ({"body": B64, "content_type": FORM}, NO_FORM),
    "gzip magic and rubbish": ({"body": b"\x1f\x8b\x08rubbish"}, BAD_GZIP),
    "gzip magic only": ({"body": b"\x1f\x8b\x08"}, BAD_GZIP),
    "gzip cut off": ({"body": GZIP[:-9]}, BAD_GZIP),
    "gzip with a wrong checksum": ({"body": GZIP[:-8] + b"\0" * 8}, BAD_GZIP),
    "a second member that is broken": ({"body": GZIP + GZIP[:20]}, BAD_GZIP),
    "no gzip where a hint says so": ({"body": TEXT, "content_encoding": "gzip"}, BAD_GZIP),
    "no LZ-string where a hint says so": (
        {"body": TEXT, "query": {"compression": "lz64"}},
        "failed to decode request: invalid LZ64 data",
    ),
    "no UTF-8": ({"body": b'{"a":"\xff"}'}, "failed to decode request: invalid UTF-8"),
    "UTF-8 cut off": ({"body": UNICODE[:-4]}, "failed to decode request: invalid UTF-8"),
    "surrogates as UTF-8": ({"query": {"data": '{"a":"\ud800"}'}},
                            "failed to decode request: invalid UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize(("request_", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_is(request_, message):
    with pytest.raises(BadCapture) as refusal:
        decoded(**request_)
    assert str(refusal.value) == message


def test_a_received_body_over_the_limit_is_too_large():
    at_limit = b" " * module.RECEIVED_BYTES_MAX
    assert len(decoded(at_limit)) == module.RECEIVED_BYTES_MAX
    with pytest.raises(CaptureTooLarge):
        decoded(at_limit + b" ")


def test_a_gzip_bomb_is_never_expanded(monkeypatch):
    monkeypatch.setattr(module, "DECODED_BYTES_MAX", 1_000_000)
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1_000_000)) for _ in range(100)) + packer.flush()
    tracemalloc.start()
    try:
        with pytest.raises(CaptureTooLarge):
            decoded(bomb)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 8_000_000


def test_the_limit_holds_over_all_members(monkeypatch):
    monkeypatch.setattr(module, "DECODED_BYTES_MAX", 1000)
    assert len(decoded(gzip.compress(b" " * 500) * 2)) == 1000
    with pytest.raises(CaptureTooLarge):
        decoded(gzip.compress(b" " * 500) * 2 + gzip.compress(b" "))


def test_endless_empty_members_are_too_large():
    with pytest.raises(CaptureTooLarge):
        decoded(gzip.compress(b"") * (module.GZIP_MEMBERS_MAX + 1))


def test_lz_string_over_its_limits_is_too_large(monkeypatch):
    with pytest.raises(CaptureTooLarge):
        decoded(b"A" * (module.LZ_BYTES_MAX + 4), content_encoding="lz64")
    monkeypatch.setattr(module, "DECODED_BYTES_MAX", 100)
    with pytest.raises(CaptureTooLarge):
        decoded(LZ, content_encoding="lz64")


def test_a_form_of_endless_fields_is_not_read_whole():
    assert decoded(form(TEXT) + b"&a=b" * 1_000_000, content_type=FORM) == TEXT
    with pytest.raises(BadCapture, match=MISSING):
        decoded(b"a=b&" * 1_000_000 + form(TEXT), content_type=FORM)


@pytest.mark.parametrize("shift", range(4))
def test_escapes_across_windows_are_decoded(monkeypatch, shift):
    monkeypatch.setattr(module, "UNQUOTE_BYTES", 16)
    text = (" " * shift).encode() + UNICODE * 20
    assert decoded(b"data=" + quote(text).encode(), content_type=FORM) == text


def test_characters_across_windows_are_valid(monkeypatch):
    monkeypatch.setattr(module, "UTF8_READ_BYTES", 3)
    assert decoded(UNICODE) == UNICODE


QUERIES = st.dictionaries(
    st.sampled_from(["data", "compression", "x"]),
    st.sampled_from(["gzip", "lz64", "base64", "", B64.decode(), LZ.decode()]) | st.text(),
)
BODIES = (
    st.binary()
    | st.binary().map(gzip.compress)
    | st.binary().map(base64.b64encode)
    | st.binary().map(lambda raw: b"data=" + base64.b64encode(raw))
    | st.binary().map(lambda raw: b"\x1f\x8b\x08" + raw)
)
TYPES = st.sampled_from([None, FORM, FORM + ";x", "application/json", ""])


@given(BODIES, QUERIES, TYPES, st.sampled_from([None, "gzip", "lz64"]), st.booleans())
@example(b"data=%", {}, FORM, None, True)
@example(b"data=%ff&&=&", {}, FORM, None, True)
def test_any_request_is_read_or_refused(body, query, content_type, content_encoding, legacy):
    try:
        text = decode(
            body,
            query=query,
            content_type=content_type,
            content_encoding=content_encoding,
            legacy=legacy,
        )
    except CaptureError:
        return
    assert text.decode("utf-8")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
WRAPS = [
    lambda text: {"body": text},
    lambda text: {"body": gzip.compress(text)},
    lambda text: {"body": base64.b64encode(text)},
    lambda text: {"body": form(text), "content_type": FORM},
    lambda text: {"body": form(base64.b64encode(text)), "content_type": FORM},
    lambda text: {"query": {"data": text.decode()}},
]


@given(
    st.dictionaries(st.text(max_size=10), JSON, max_size=5), st.sampled_from(WRAPS), st.booleans()
)
def test_a_json_object_comes_out_as_it_went_in(value, wrap, legacy):
    text = json.dumps(value, ensure_ascii=False).encode()
    assert decoded(**wrap(text), legacy=legacy) == text
