"""The clocks of persons as a historical import finds them: what was kept, and the ledger since."""

from collections.abc import Collection, Mapping
from contextlib import aclosing
from uuid import UUID

from psycopg import AsyncConnection

from personhood.identity import backfill
from personhood.identity.backfill import CREATOR, NEVER, Clock
from personhood.identity.properties import Change
from personhood.model import BIGINT_MAX, EntryKind
from personhood.store import clock
from personhood.store.clock import Kept, Line

BY_HAND = UUID(int=2**128 - 1)  # later than the events of its moment
PARTINGS = (EntryKind.SPLIT, EntryKind.UNDONE)

Inherited = dict[tuple[int, str], int]  # who gave a person the value of a key


async def of_persons(
    conn: AsyncConnection,
    project_id: int,
    person_ids: Collection[int],
    *,
    below: Mapping[int, int] | None = None,
) -> dict[int, Clock]:
    """The clock of each of these persons, who are locked; of some as the ledger tells it `below` a
    version, if what was kept is newer."""
    ends = below or {}
    kept: dict[int, Kept] = {}
    versions: dict[int, int] = {}
    asked = set(person_ids)
    while asked:
        found = await clock.of_persons(conn, project_id, asked)
        found = {id: each for id, each in found.items() if each.version < ends.get(id, BIGINT_MAX)}
        kept |= found
        since = {id: found[id].version if id in found else -1 for id in asked}
        versions |= since
        asked = await clock.gave(conn, project_id, since) - versions.keys()
    clocks = {id: kept[id].clock if id in kept else Clock() for id in versions}
    inherited: Inherited = {}
    async with aclosing(clock.since(conn, project_id, versions)) as lines:
        async for line in lines:
            if line.version < ends.get(line.person_id, BIGINT_MAX):
                turn(clocks[line.person_id], line, inherited)
    for person_id, key in inherited:
        clocks[person_id][key] = times_of(clocks, inherited, person_id=person_id, key=key)
    return {id: clocks[id] for id in person_ids}


def turn(times: Clock, line: Line, inherited: Inherited) -> None:
    """Move a clock on by what the ledger tells."""
    changed = line.before.keys() | line.after.keys()
    for key in changed:
        inherited.pop((line.person_id, key), None)
    if line.kind in PARTINGS:
        # What went was not unset: it is another's.
        for key in changed:
            times.pop(key, None)
        backfill.settle(times)
    if line.kind == EntryKind.MERGED and line.source_id is not None:
        inherited |= dict.fromkeys(((line.person_id, key) for key in line.after), line.source_id)
        return
    before = {} if line.kind in PARTINGS else line.before
    moment = (line.at, line.event_uuid or BY_HAND)
    once = {CREATOR, *line.once} if line.kind == EntryKind.CREATED else line.once
    backfill.stamp(times, moment, Change(before, line.after), once=once)


def times_of(
    clocks: dict[int, Clock], inherited: Inherited, *, person_id: int, key: str
) -> backfill.Times:
    """A value that came by a merge has the time that it had where it came from."""
    while (source_id := inherited.get((person_id, key))) is not None:
        person_id = source_id
    return clocks[person_id].get(key, NEVER)
