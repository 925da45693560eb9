"""The ledger, read: what a person was after any change, and what an event showed of its person.

Pure. Entries are those of one person, the first version first. What their kinds are called does not
matter here: each says itself what it left.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec import Struct, field

from personhood.identity import properties as rules
from personhood.model import Entry, Event, Properties


class State(Struct, kw_only=True):
    """A person as its ledger tells it; before the first entry, without a version."""

    properties: Properties = field(default_factory=dict)
    is_identified: bool = False
    created_at: datetime | None = None
    version: int | None = None


def person_of(entries: Iterable[Entry], *, up_to: int | None = None) -> State:
    """The person after all of `entries`, or after those up to a version.

    The state shares its values with the entries, and its dict with nobody.
    """
    state = State()
    for entry in entries:
        if up_to is not None and entry.version > up_to:
            break
        turn(state, entry)
    return state


def snapshot(entries: Sequence[Entry], version: int | None, event: Event) -> Properties:
    """What `event`, applied at `version` of the person, showed of it (contract: section 5).

    Of the event its uuid, profile, `set` and `unset` count; an event that was stored in another
    mode than full shows nothing, and is not to be asked for. A key that the event unset was there
    before if its last change found it there: a merge by the same event goes before that.
    """
    if version is None:
        return {}
    after = person_of(entries, up_to=version)
    own = any(each.version == version and each.cause.event_uuid == event.uuid for each in entries)
    before = person_of(entries, up_to=version - 1) if own else after
    return rules.snapshot(before.properties, after.properties, event)


def turn(state: State, entry: Entry) -> None:
    """Turn `state` into the one that `entry` left."""
    for key in entry.before.keys() - entry.after.keys():
        state.properties.pop(key, None)
    state.properties.update(entry.after)
    if entry.is_identified is not None:
        state.is_identified = entry.is_identified
    if entry.created_at is not None:
        state.created_at = entry.created_at
    state.version = entry.version
