"""A ledger without what came of somebody who is to be forgotten, and leads to the same person.

Who was once one with the forgotten has its values in its own ledger, from when they became one
until a split or an undone merge parted them. What the forgotten said is taken out of there; what
was said by others stays, version by version; and the last parting tells what is left to be the
person that it led to. Where it cannot be told who said something, it is taken out. Pure.
"""

from collections.abc import Collection, Iterable

import msgspec
from msgspec import Struct

from personhood.identity import properties as rules
from personhood.model import Entry, EntryKind, Properties

PARTINGS = (EntryKind.SPLIT, EntryKind.UNDONE)


class Forgotten(Struct, frozen=True):
    """The persons and distinct ids that are forgotten; `near` are others that were one with them,
    whose values may be theirs."""

    persons: Collection[int]
    ids: Collection[int]
    near: Collection[int] = ()


def redacted(entries: Iterable[Entry], forgotten: Forgotten) -> list[Entry]:
    """Those of a person's entries that are to change, as they are to be."""
    entries = list(entries)
    last = max((each.version for each in entries if each.kind in PARTINGS), default=None)
    if last is None:
        return []
    changed: list[Entry] = []
    full: Properties = {}
    clean: Properties = {}
    together = False
    for entry in entries:
        if entry.version > last:
            break
        turn(full, entry)
        told = tells_of(entry, forgotten)
        together = together or told
        after = dict(clean)
        if entry.version == last or is_made_by_split(entry, entries):
            after = dict(full)
        elif not told and not (together and entry.kind in PARTINGS):
            turn(after, entry)
        line = without_names(entry, forgotten)
        change = rules.difference(clean, after)
        line.before, line.after = change.before, change.after
        clean = after
        if together and line != entry:
            changed.append(line)
    return changed


def tells_of(entry: Entry, forgotten: Forgotten) -> bool:
    """Whether an entry is by the forgotten, or took in somebody who may have been one with them."""
    return (
        entry.source_id in forgotten.persons
        or entry.cause.distinct_id_id in forgotten.ids
        or any(id in forgotten.ids for id in entry.ids)
        or (entry.kind is EntryKind.MERGED and entry.source_id in forgotten.near)
    )


def is_made_by_split(entry: Entry, entries: list[Entry]) -> bool:
    """Such a person has one id, and begins with what that id alone had said."""
    return entry is entries[0] and entry.kind is EntryKind.SPLIT


def without_names(entry: Entry, forgotten: Forgotten) -> Entry:
    by_them = entry.cause.distinct_id_id in forgotten.ids
    cause = msgspec.structs.replace(
        entry.cause,
        distinct_id_id=None if by_them else entry.cause.distinct_id_id,
        event_uuid=None if by_them else entry.cause.event_uuid,
    )
    return msgspec.structs.replace(
        entry,
        cause=cause,
        ids=[id for id in entry.ids if id not in forgotten.ids],
        source_id=None if entry.source_id in forgotten.persons else entry.source_id,
    )


def turn(properties: Properties, entry: Entry) -> None:
    for key in entry.before.keys() - entry.after.keys():
        properties.pop(key, None)
    properties.update(entry.after)
