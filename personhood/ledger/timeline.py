"""A person's timeline: its events in order, by the states of the person that they met.

What an event met is told by the ledger (docs/decisions, 3); of the event itself nothing but time,
name and version is read, from an index.
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from datetime import datetime

from msgspec import Raw, Struct
from psycopg import AsyncConnection

from personhood.errors import InvalidInput
from personhood.model import BIGINT_MAX, Person, Properties
from personhood.store import past_state, timeline
from personhood.store.past_state import Place
from personhood.store.pool import encode
from personhood.store.timeline import Counted, Extent
from personhood.timeline import states
from personhood.timeline.question import Question
from personhood.timeline.states import Run, States
from personhood.timeline.window import Window

POINTS_MAX = 10_000
STATES_MAX = 1_000_000
LONG = 20_000  # versions: a ledger of more is not read all through
SHOWN_BYTES_MAX = 32 * 1024 * 1024  # of all points together
NOTHING = Raw(b"{}")
TOO_MANY = (
    f"There are more than {POINTS_MAX:,} points, or too large ones. Ask for a shorter time, or for "
    "properties that change less often."
)


class Shown(Struct, frozen=True, kw_only=True):
    """How many events, when the first of them was, and the JSON of what that showed."""

    number: int
    first: datetime
    properties: Raw


async def of_person(
    conn: AsyncConnection, person: Person, asked: Question, *, over: Window
) -> list[Shown]:
    """The points of a timeline. Raises InvalidInput if they are too many, or too large."""
    counted = Counted(person_id=person.id, names=asked.names, since=over.since, until=over.until)
    if asked.group is not None:
        return await of_groups(conn, person, counted, group=asked.group, keys=asked.keys)
    runs = await runs_of(conn, counted, await states_of(conn, person, counted, keys=asked.keys))
    shown = await shown_at(conn, person, runs)
    return [
        Shown(
            number=run.number,
            first=run.first,
            properties=NOTHING if run.version is None else shown[run.version],
        )
        for run in runs
    ]


async def of_groups(
    conn: AsyncConnection, person: Person, counted: Counted, *, group: int, keys: Sequence[str]
) -> list[Shown]:
    """The same by the groups of a type that the events name. Those have no ledger."""
    found: list[Shown] = []
    budget = SHOWN_BYTES_MAX
    runs = timeline.group_runs(conn, person.project_id, counted, group=group, keys=keys)
    async with aclosing(runs):
        async for run in runs:
            properties = Raw(run.properties.encode())
            found.append(Shown(number=run.number, first=run.first, properties=properties))
            budget -= len(run.properties)
            if len(found) > POINTS_MAX or budget < 0:
                raise InvalidInput(TOO_MANY)
    return found


async def states_of(
    conn: AsyncConnection, person: Person, counted: Counted, *, keys: Sequence[str]
) -> States:
    """The states of a person that differ in some keys: of a long ledger, those that events met."""
    known, over = States(keys), Extent(-1, BIGINT_MAX)
    if not keys:
        return known
    if person.version > LONG:
        met = await timeline.extent(conn, counted)
        if met is None:
            return known
        known.add(met.first, before={}, after=await properties_at(conn, person, met.first))
        over = met
    rows = timeline.changes(conn, person.project_id, person.id, keys=keys, over=over)
    async with aclosing(rows) as changes:
        async for change in changes:
            known.add(change.version, before=change.before, after=change.after)
            if len(known.bounds) > STATES_MAX:
                raise InvalidInput(TOO_MANY)
    return known


async def runs_of(conn: AsyncConnection, counted: Counted, known: States) -> list[Run]:
    """Events that met one state, one run after the other.

    States mostly come one after the other: then it is enough to count each. Where the times of
    events have another order than their changes, all events are gone through in that of time.
    """
    most = STATES_MAX + 2
    runs = states.in_order(await timeline.by_state(conn, counted, bounds=known.bounds, most=most))
    if runs is None:
        runs = await timeline.runs(conn, counted, bounds=known.bounds, most=most)
    joined = states.joined(runs, known.digests)
    if len(runs) == most or len(joined) > POINTS_MAX:
        raise InvalidInput(TOO_MANY)
    return joined


async def shown_at(conn: AsyncConnection, person: Person, runs: Sequence[Run]) -> dict[int, Raw]:
    """What the person was, as JSON, at the version of each run."""
    uses = Counter(run.version for run in runs if run.version is not None)
    budget = SHOWN_BYTES_MAX
    found: dict[int, Raw] = {}

    def show(version: int, properties: Properties) -> None:
        nonlocal budget
        found[version] = Raw(encode(properties))
        budget -= len(memoryview(found[version])) * uses[version]
        if budget < 0:
            raise InvalidInput(TOO_MANY)

    versions = sorted(uses)
    if not versions:
        return found
    properties = await properties_at(conn, person, versions[0])
    left = versions[::-1]
    async with aclosing(
        timeline.stretches(conn, person.project_id, person.id, versions=versions)
    ) as stretches:
        async for stretch in stretches:
            while left[-1] < stretch.version:
                show(left.pop(), properties)
            for key in stretch.gone:
                properties.pop(key, None)
            properties.update(stretch.come)
    while left:
        show(left.pop(), properties)
    return found


async def properties_at(conn: AsyncConnection, person: Person, version: int) -> Properties:
    """Read from whichever end of the ledger is nearer."""
    place = Place(person.id, version, person.version)
    read = past_state.backwards if place.is_near_the_end else past_state.forwards
    found = await read(conn, person.project_id, {person.id: version})
    return found.get(person.id, {})
