"""LZ-string, the compression of early posthog-js, in its base64 form: decompression only.

The text is a row of bits, six to a base64 character. Codes are read from it low bit first, each
wide enough for the dictionary built so far, which begins with three marks: a new 8-bit character, a
new 16-bit character, the end. Characters are UTF-16 code units, as in JavaScript.
"""

import binascii

from personhood.errors import BadCapture, CaptureTooLarge

NEW_8_BIT, NEW_16_BIT, END = range(3)

INVALID = "failed to decode request: invalid LZ64 data"

_FROM_URL_SAFE = bytes.maketrans(b"-_ ", b"+/+")


def decompress_from_base64(text: str | bytes, *, limit: int) -> str:
    """The text that `compressToBase64` was given; a lone surrogate comes out as U+FFFD.

    Raises CaptureTooLarge as soon as it would be longer than `limit` code units.
    """
    units = "".join(_pieces(_Bits(text), limit=limit))
    return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _pieces(bits: "_Bits", *, limit: int) -> list[str]:
    dictionary: list[str] = ["", "", ""]
    pieces: list[str] = []
    length = 0
    width = 2
    last = ""
    while (code := bits.read(width)) != END:
        if code <= NEW_16_BIT:
            dictionary.append(chr(bits.read(16 if code == NEW_16_BIT else 8)))
            code = len(dictionary) - 1
        # The writer refers to the entry that it is only just making, when a piece repeats at once.
        if code < len(dictionary):
            piece = dictionary[code]
        elif code == len(dictionary) and last:
            piece = last + last[0]
        else:
            raise BadCapture(INVALID)
        # A few bytes may stand for any length: look before keeping, not after.
        length += len(piece)
        if length > limit:
            raise CaptureTooLarge
        pieces.append(piece)
        if last:
            dictionary.append(last + piece[0])
        last = piece
        # The writer counts the entry that the next code may refer to.
        width = len(dictionary).bit_length()
    return pieces


class _Bits:
    """The bits of a base64 text, read `width` at a time, low bit first."""

    def __init__(self, text: str | bytes) -> None:
        try:
            raw = text.encode("ascii") if isinstance(text, str) else text
            # LZ-string pads by one rule and base64 by another; A is six zero bits.
            raw = raw.translate(_FROM_URL_SAFE).rstrip(b"=")
            packed = binascii.a2b_base64(raw + b"A" * (-len(raw) % 4), strict_mode=True)
        except ValueError:
            raise BadCapture(INVALID) from None
        # Reversed once here, so that each code is a plain slice in `int`'s own bit order.
        self._digits = format(int.from_bytes(packed), f"0{len(packed) * 8}b")[::-1]
        self._position = len(self._digits)

    def read(self, width: int) -> int:
        start = self._position - width
        if start < 0:
            raise BadCapture(INVALID)
        code = int(self._digits[start : self._position], 2)
        self._position = start
        return code
