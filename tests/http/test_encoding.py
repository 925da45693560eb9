"""Bodies in every encoding of protocol v1, whole, broken and too large."""

import contextlib
import gzip
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from personhood.errors import BadCapture, CaptureTooLarge
from personhood.http.encoding import DECODERS, decoded

BYTES_MAX = 64 * 1024
TEXT = b'{"a":"caf\xc3\xa9"}' * 100


def raw_deflate(text: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(text) + stream.flush()


PACKERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "zlib": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstandard.ZstdCompressor().compress),
}
each = pytest.mark.parametrize("encoding, pack", PACKERS.values(), ids=PACKERS)


def test_every_encoding_is_tested() -> None:
    assert {encoding for encoding, _ in PACKERS.values()} == set(DECODERS)


@each
def test_it_is_unpacked(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    assert decoded(pack(TEXT), encoding, bytes_max=BYTES_MAX) == TEXT


@given(text=st.binary(max_size=5000))
def test_whatever_was_packed_comes_back(text: bytes) -> None:
    for encoding, pack in PACKERS.values():
        assert decoded(pack(text), encoding, bytes_max=BYTES_MAX) == text


@each
def test_exactly_the_limit_is_allowed(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    assert len(decoded(pack(b"x" * BYTES_MAX), encoding, bytes_max=BYTES_MAX)) == BYTES_MAX
    with pytest.raises(CaptureTooLarge):
        decoded(pack(b"x" * (BYTES_MAX + 1)), encoding, bytes_max=BYTES_MAX)


@each
def test_a_bomb_is_given_up_soon(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    bomb = pack(bytes(10_000_000))
    with pytest.raises(CaptureTooLarge):
        decoded(bomb, encoding, bytes_max=BYTES_MAX)


@pytest.mark.parametrize("encoding", DECODERS)
@pytest.mark.parametrize("body", [b"", b"rubbish", b"x" * 1000])
def test_rubbish_is_refused(encoding: str, body: bytes) -> None:
    if (encoding, body) == ("zstd", b""):
        assert decoded(body, encoding, bytes_max=BYTES_MAX) == b""
        return
    with pytest.raises(BadCapture):
        decoded(body, encoding, bytes_max=BYTES_MAX)


@each
def test_what_ends_too_early_is_not_taken_for_whole(
    encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    with contextlib.suppress(BadCapture):
        assert decoded(pack(TEXT)[:-9], encoding, bytes_max=BYTES_MAX) != TEXT


def test_two_zstd_frames_are_one_body() -> None:
    pack = zstandard.ZstdCompressor().compress
    assert decoded(pack(b"[1,") + pack(b"2]"), "zstd", bytes_max=BYTES_MAX) == b"[1,2]"


def test_a_zstd_frame_may_not_ask_for_much_memory() -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=27)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    frame = stream.compress(bytes(70_000_000)) + stream.flush()
    with pytest.raises((BadCapture, CaptureTooLarge)):
        decoded(frame, "zstd", bytes_max=BYTES_MAX)


def test_without_an_encoding_the_limit_holds_too() -> None:
    assert decoded(TEXT, None, bytes_max=BYTES_MAX) is TEXT
    with pytest.raises(CaptureTooLarge):
        decoded(bytes(BYTES_MAX + 1), None, bytes_max=BYTES_MAX)
