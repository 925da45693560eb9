"""A body as its `Content-Encoding` says → its bytes (contract: capture-and-identity, 1.9).

Nothing is unpacked beyond its limit, not even for a moment.
"""

import zlib
from collections.abc import Callable

import brotli
import zstandard

from personhood.errors import BadCapture, CaptureTooLarge

READ_BYTES = 1024 * 1024
# What a zstd frame may make us hold. The standard's own recommendation for decoders is 8 MiB, but
# a frame of a body within its limit, packed at a high level, may ask for as much as the body has.
ZSTD_WINDOW_BYTES_MAX = 64 * 1024 * 1024
ZLIB_START = b"\x78"


def decoded(body: bytes, encoding: str | None, *, bytes_max: int) -> bytes:
    """Raises CaptureTooLarge, or BadCapture when the body is not what `encoding` says.

    `encoding` must be None or one of DECODERS.
    """
    if encoding is not None:
        try:
            body = DECODERS[encoding](body, bytes_max)
        except (zlib.error, brotli.error, zstandard.ZstdError) as error:
            raise BadCapture(f"{encoding} decompression failed: {error}") from None
    if len(body) > bytes_max:
        raise CaptureTooLarge
    return body


# Each returns at most a little more than `bytes_max`.


def gunzipped(body: bytes, bytes_max: int) -> bytes:
    return inflated(body, bytes_max, wbits=zlib.MAX_WBITS | 16)


def undeflated(body: bytes, bytes_max: int) -> bytes:
    """`deflate` means the zlib format (RFC 9110, 8.4.1.2), but some send what is inside of it."""
    is_zlib = body.startswith(ZLIB_START)
    return inflated(body, bytes_max, wbits=zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)


def inflated(body: bytes, bytes_max: int, *, wbits: int) -> bytes:
    stream = zlib.decompressobj(wbits)
    text = stream.decompress(body, bytes_max + 1)
    if not stream.eof and len(text) <= bytes_max:
        raise BadCapture("the compressed body ends too early")
    return text


def unbrotlied(body: bytes, bytes_max: int) -> bytes:
    stream = brotli.Decompressor()
    text = bytearray(stream.process(body, output_buffer_limit=READ_BYTES))
    while not stream.is_finished() and len(text) <= bytes_max:
        if stream.can_accept_more_data():
            raise BadCapture("the compressed body ends too early")
        text += stream.process(b"", output_buffer_limit=READ_BYTES)
    return bytes(text)


def unzstded(body: bytes, bytes_max: int) -> bytes:
    """One that ends too early gives what there is of it, which is no JSON then."""
    unpacker = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES_MAX)
    text = bytearray()
    with unpacker.stream_reader(body, read_across_frames=True) as stream:
        while len(text) <= bytes_max and (piece := stream.read(READ_BYTES)):
            text += piece
    return bytes(text)


DECODERS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": gunzipped,
    "deflate": undeflated,
    "br": unbrotlied,
    "zstd": unzstded,
}
