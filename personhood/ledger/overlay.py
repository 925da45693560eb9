"""Properties as events laid them over one another (contract: persons-api, 2.7). Pure.

Events are given backwards, the newest first: of each key the first `$set` that comes up holds, and
what lies under it need not be kept.
"""

import msgspec
from msgspec import Raw

from personhood.store.set_event import SetEvent

BYTES_MAX = 16 * 1024 * 1024  # some 25 times what a person can hold
KEY_BYTES = 100  # what a key takes beside its text

decode = msgspec.json.Decoder(dict[str, Raw]).decode


class Overlay:
    """`$set` beats whatever came before it; `$set_once` only fills what nothing had filled."""

    def __init__(self, *, include_set_once: bool) -> None:
        self.include_set_once = include_set_once
        self.set: dict[str, Raw] = {}
        self.set_once: dict[str, Raw] = {}
        self.bytes = 0

    def add_older(self, event: SetEvent) -> None:
        for key, value in read(event.set).items():
            if key not in self.set:
                self.keep(self.set, key, value)
        if self.include_set_once:
            for key, value in read(event.set_once).items():
                self.keep(self.set_once, key, value)

    def keep(self, kept: dict[str, Raw], key: str, value: Raw) -> None:
        # A copy, else the whole text of the event would stay with it.
        kept[key] = value.copy()
        self.bytes += KEY_BYTES + len(key) + len(memoryview(value))

    @property
    def is_full(self) -> bool:
        return self.bytes > BYTES_MAX

    @property
    def properties(self) -> dict[str, Raw]:
        return {**self.set_once, **self.set}


def read(text: str | None) -> dict[str, Raw]:
    """The keys of a JSON object; what is no object sets nothing."""
    if text is None:
        return {}
    try:
        return decode(text)
    except msgspec.ValidationError:
        return {}
