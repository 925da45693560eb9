"""Entity tags and what requests say of them (RFC 9110, 8.8.3, 13.1.1 and 13.1.2). Pure."""

import hashlib
import re

import msgspec

ANY = "*"
TAG = re.compile(r'(W/)?"([^"]*)"')


def tag(*facts: object) -> str:
    """A strong entity tag: the same for the same facts, and for no others."""
    return f'"{hashlib.blake2b(msgspec.json.encode(facts), digest_size=12).hexdigest()}"'


def matches_strongly(header: str, tag: str) -> bool:
    """Whether an `If-Match` holds for what has the (strong) `tag`; a weak tag never does."""
    return header.strip() == ANY or any(
        not weak and f'"{opaque}"' == tag for weak, opaque in TAG.findall(header)
    )


def matches_weakly(header: str, tag: str) -> bool:
    """Whether an `If-None-Match` names what has the `tag`: the client knows it already."""
    return header.strip() == ANY or any(f'"{opaque}"' == tag for _, opaque in TAG.findall(header))
