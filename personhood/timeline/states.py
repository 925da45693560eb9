"""Versions of a person → states that differ in what is asked for; events in order → points."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import sha256
from itertools import pairwise

import msgspec
from msgspec import Struct

from personhood.model import JSON, Properties

DIGEST_BYTES = 16


class Run(Struct, frozen=True, kw_only=True):
    """Events of one state, one after the other: how many, the first and the last time.

    `version` is the person's when the first of them was applied; None showed nothing of it.
    """

    state: int
    number: int
    first: datetime
    last: datetime
    version: int | None


class States:
    """State 0 is from the beginning, without any of `keys`; state n begins at the nth of `bounds`.

    Of each state a digest of its values is kept: they are only ever compared.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = keys
        self.bounds: list[int] = []
        self.values: dict[str, str] = dict.fromkeys(keys, "")
        self.digests = [self.digest()]

    def add(self, version: int, *, before: Properties, after: Properties) -> None:
        """The next change, in the order of versions."""
        for key in self.keys:
            if key in after:
                self.values[key] = text(after[key])
            elif key in before:
                self.values[key] = ""
        digest = self.digest()
        if digest != self.digests[-1]:
            self.bounds.append(version)
            self.digests.append(digest)

    def digest(self) -> bytes:
        return sha256(msgspec.json.encode(list(self.values.values()))).digest()[:DIGEST_BYTES]

    def at(self, version: int) -> int:
        return bisect_right(self.bounds, version)


def text(value: JSON) -> str:
    """By what values are compared: 123 and "123" are the same (contract: 4.5)."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def in_order(runs: Iterable[Run]) -> list[Run] | None:
    """Runs, one of each state, in the order of time; None if they overlap."""
    found = sorted(runs, key=lambda run: (run.first, run.last, run.state))
    return found if all(run.last <= after.first for run, after in pairwise(found)) else None


def joined(runs: Iterable[Run], digests: Sequence[bytes]) -> list[Run]:
    """Neighbours that look the same as one."""
    found: list[Run] = []
    for run in runs:
        if found and digests[found[-1].state] == digests[run.state]:
            first = found[-1]
            found[-1] = msgspec.structs.replace(
                first, number=first.number + run.number, last=run.last
            )
        else:
            found.append(run)
    return found
