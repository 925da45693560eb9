"""JSON objects as bytes: what is added goes behind what is there, and nothing is decoded."""

from typing import Any

import msgspec

encode = msgspec.json.Encoder().encode


def spliced(text: bytes, added: dict[str, Any]) -> bytes:
    """An object's text with members behind its own; of two equal keys jsonb keeps the last."""
    start = text.rstrip()[:-1].rstrip()
    separator = b"" if start.endswith(b"{") and len(start.lstrip()) == 1 else b","
    return start + separator + encode(added)[1:]
