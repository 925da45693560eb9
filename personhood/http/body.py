"""The body of an SDK's request → the JSON text in it (contract: capture-and-identity, 1.3).

SDKs wrap the text in forms, base64, gzip and LZ-string, and often do not say so. Hence the
sniffing, in a fixed order. Nothing is unpacked beyond its limit, not even for a moment.
"""

import binascii
import codecs
import re
import zlib
from collections.abc import Mapping
from enum import Enum, auto
from urllib.parse import unquote_to_bytes

from personhood.errors import BadCapture, CaptureTooLarge
from personhood.http import lzstring

MIB = 1024 * 1024

RECEIVED_BYTES_MAX = 20 * MIB
DECODED_BYTES_MAX = 100 * MIB
# Only posthog-js before 2021 sends LZ-string, a page's events at a time; reading it is slow.
LZ_BYTES_MAX = 4 * MIB

FORM_FIELDS_MAX = 64
GZIP_MEMBERS_MAX = 1024

FORM = "application/x-www-form-urlencoded"
GZIP_MAGIC = b"\x1f\x8b\x08"


class Compression(Enum):
    GZIP = auto()
    LZ64 = auto()
    BASE64 = auto()


COMPRESSIONS = {
    "gzip": Compression.GZIP,
    "gzip-js": Compression.GZIP,
    "lz64": Compression.LZ64,
    "lz-string": Compression.LZ64,
    "base64": Compression.BASE64,
    "b64": Compression.BASE64,
}


def decode(
    body: bytes,
    *,
    query: Mapping[str, str],
    content_type: str | None,
    content_encoding: str | None,
    legacy: bool,
    received_bytes_max: int = RECEIVED_BYTES_MAX,
) -> bytes:
    """The JSON text, not yet parsed: UTF-8 and not empty, but maybe no JSON.

    `legacy` is for /e, /capture, /engage and /track, where base64 is looked for once more.
    """
    # The query string has been percent-decoded, which may leave any character.
    in_query = query.get("data", "").encode("utf-8", "surrogatepass")
    payload = in_query or body
    if len(payload) > received_bytes_max:
        raise CaptureTooLarge

    by_query = _compression(query.get("compression"))
    by_header = _compression(content_encoding)
    payload = _without_base64(payload, hint=by_query or by_header, quoted=bool(in_query))

    form = _form(payload, content_type)
    by_form = None
    if form is not None:
        by_form = _compression(form.get(b"compression", b"").decode("ascii", "replace"))
        hint = by_query or by_form or by_header
        payload = _without_base64(form.get(b"data", b""), hint=hint, quoted=True)

    text = _decompressed(payload, hint=by_query or by_form or by_header)
    if legacy:
        text = _without_base64(text)
    if not text:
        raise BadCapture("request missing data payload")
    _check_utf8(text)
    return text


def _compression(name: str | None) -> Compression | None:
    return COMPRESSIONS.get(name.strip().lower()) if name else None


# Base64


BASE64_SNIFF_BYTES = 128
BASE64_START = re.compile(rb"[A-Za-z0-9+/=_-]+")
QUOTED_BASE64_START = re.compile(rb"[A-Za-z0-9+/=_ -]+")
# What a form begins with could be read as base64, too.
FORM_STARTS = (b"data=", b"ver=", b"_=", b"ip=", b"compression=")
# A + that was not percent-encoded has become a space on its way through a form or query.
STANDARD_BASE64 = bytes.maketrans(b"-_ ", b"+/+")


def _without_base64(
    payload: bytes, *, hint: Compression | None = None, quoted: bool = False
) -> bytes:
    """What `payload` is base64 of, if it looks like base64; else itself.

    `quoted` is for what has been percent-decoded.
    """
    # LZ-string brings its own base64, to be left to it.
    if hint is Compression.LZ64 or len(payload) % 4 or payload.startswith(FORM_STARTS):
        return payload
    start = QUOTED_BASE64_START if quoted else BASE64_START
    if not start.fullmatch(payload[:BASE64_SNIFF_BYTES]):
        return payload
    try:
        return binascii.a2b_base64(payload.translate(STANDARD_BASE64), strict_mode=True)
    except binascii.Error:
        return payload


# Forms


FORM_START = re.compile(rb"[A-Za-z_]+=")
UNQUOTE_BYTES = 64 * 1024


def _form(payload: bytes, content_type: str | None) -> dict[bytes, bytes] | None:
    """The fields of a form, or None when the payload is to be taken as it is."""
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if media_type != FORM or not payload:
        return None
    if not FORM_START.match(payload):
        # With parameters the type has always been ignored, as every other type is.
        if content_type != FORM:
            return None
        raise BadCapture(
            "failed to decode request: expected form data in POST request payload",
        )
    fields: dict[bytes, bytes] = {}
    for pair in payload.split(b"&", FORM_FIELDS_MAX)[:FORM_FIELDS_MAX]:
        name, _, value = pair.partition(b"=")
        fields.setdefault(name, _unquoted(value.replace(b"+", b" ")))
    return fields


def _unquoted(value: bytes) -> bytes:
    """`value` percent-decoded, a window at a time: a list of 7 million escapes is 400 MB."""
    unquoted = bytearray()
    start = 0
    while start < len(value):
        end = start + UNQUOTE_BYTES
        # An escape must not lie across two windows.
        split = value.rfind(b"%", end - 2, end)
        if split != -1:
            end = split
        unquoted += unquote_to_bytes(value[start:end])
        start = end
    return bytes(unquoted)


# Compression


GZIP_READ_BYTES = 64 * 1024


def _decompressed(payload: bytes, *, hint: Compression | None) -> bytes:
    # Newest posthog-js sends gzip as text/plain without a hint: the magic bytes decide.
    if hint is Compression.GZIP or payload.startswith(GZIP_MAGIC):
        return _gunzipped(payload)
    if hint is Compression.LZ64:
        if len(payload) > LZ_BYTES_MAX:
            raise CaptureTooLarge
        text = lzstring.decompress_from_base64(payload, limit=DECODED_BYTES_MAX).encode()
        if len(text) > DECODED_BYTES_MAX:
            raise CaptureTooLarge
        return text
    return payload


def _gunzipped(payload: bytes) -> bytes:
    """Every gzip member of `payload`, one after another; what follows the last is ignored."""
    text = bytearray()
    view = memoryview(payload)
    position = 0
    for _ in range(GZIP_MEMBERS_MAX):
        position += _gunzip_member(view[position:], text)
        if not payload.startswith(GZIP_MAGIC, position):
            return bytes(text)
    raise CaptureTooLarge


def _gunzip_member(view: memoryview, text: bytearray) -> int:
    """Append one member to `text`; the bytes that it took."""
    member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    position = 0
    try:
        while not member.eof:
            # Small reads, because zlib copies what it has not used.
            window = view[position : position + GZIP_READ_BYTES]
            if not window:
                raise BadCapture("failed to decode request: invalid GZIP data")
            text += member.decompress(window, DECODED_BYTES_MAX + 1 - len(text))
            if len(text) > DECODED_BYTES_MAX:
                raise CaptureTooLarge
            position += len(window) - len(member.unused_data) - len(member.unconsumed_tail)
    except zlib.error:
        raise BadCapture("failed to decode request: invalid GZIP data") from None
    return position


UTF8_READ_BYTES = MIB


def _check_utf8(text: bytes) -> None:
    if text.isascii():
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        # By windows: as one string, 100 MiB of text with one emoji would be 400.
        for start in range(0, len(text), UTF8_READ_BYTES):
            decoder.decode(text[start : start + UTF8_READ_BYTES])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise BadCapture("failed to decode request: invalid UTF-8") from None
