from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lzstring import LZString

from personhood.errors import BadCapture, CaptureError, CaptureTooLarge
from personhood.http.lzstring import decompress_from_base64

LIMIT = 1_000_000


def as_javascript_sees_it(text: str) -> str:
    """One character for each UTF-16 code unit, which is what LZ-string packs in a browser."""
    units = text.encode("utf-16-le")
    return "".join(chr(int.from_bytes(units[i : i + 2], "little")) for i in range(0, len(units), 2))


def compressed(text: str) -> str:
    return LZString().compressToBase64(as_javascript_sees_it(text))


@given(st.text())
def test_any_text_comes_back(text):
    assert decompress_from_base64(compressed(text), limit=LIMIT) == text


@given(st.text(alphabet="ab😀é", min_size=50, max_size=2000))
def test_repetitive_text_comes_back(text):
    assert decompress_from_base64(compressed(text), limit=LIMIT) == text


def test_a_lone_surrogate_becomes_the_replacement_character():
    packed = LZString().compressToBase64("a\ud83db")
    assert decompress_from_base64(packed, limit=LIMIT) == "a\ufffdb"


def test_padding_and_url_safe_characters_do_not_matter():
    text = "".join(map(chr, range(32, 600)))
    packed = compressed(text)
    assert "+" in packed and "/" in packed
    for variant in (
        packed.rstrip("="),
        packed.replace("+", " "),
        packed.replace("+", "-").replace("/", "_"),
    ):
        assert decompress_from_base64(variant, limit=LIMIT) == text


def test_the_limit_holds_while_decompressing():
    packed = compressed("a" * 1_000_000)
    assert len(packed) < 5_000
    with pytest.raises(CaptureTooLarge):
        decompress_from_base64(packed, limit=999_999)
    assert len(decompress_from_base64(packed, limit=1_000_000)) == 1_000_000


CUT_OFF = compressed("a longer text, cut off in the middle")[:20]


@pytest.mark.parametrize("text", ["", "!", CUT_OFF, "AAAA", "{}", "é", "=" * 8])
def test_what_is_no_lz_string_is_refused(text):
    with pytest.raises(BadCapture, match=r"^failed to decode request: "):
        decompress_from_base64(text, limit=LIMIT)


@given(st.text() | st.from_regex(r"\A[A-Za-z0-9+/]{1,200}={0,3}\Z"))
def test_any_input_is_read_or_refused(text):
    with suppress(CaptureError):
        decompress_from_base64(text, limit=10_000)
