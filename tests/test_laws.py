"""Random histories: few ids, few keys, every kind of event, in groups of every size."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from personhood import persons
from personhood.identity.distinct_id import person_uuid
from personhood.identity.fold import fold
from personhood.identity.world import World
from personhood.model import DistinctId, Event, Project
from personhood.store import project as project_store
from personhood.store.pool import Pool
from tests import laws
from tests.laws import NOW, Kept, Wire, same

IDS = ["a", "b", "c", "d", "é" * 200, "Guest", "'0'", "null"]
KEYS = ["k", "l", "email", "$browser", "$os", "$initial_browser", "__proto__"]
COPIED = ["$browser", "$os", "$os_name", "utm_source"]
VALUES = [
    None, True, False, 0, 1, 1.0, -0.0, 1.5, 1e-7, 2**70, "", "1", "x\ufffd", [], [1], [True],
    {}, {"k": {"k": None}}, {"k": [1.0, {}]},
]  # fmt: skip
NAMES = ["page", "$set", "$identify", "$create_alias", "$merge_dangerously", "$exception",
         "$feature_flag_called", "$groupidentify"]  # fmt: skip
DROPPED = "invalid_event_when_process_person_profile_is_false"
# Before the first, within the grace of personless events, within the hour, next day, next month.
SECONDS = [-7200, -60, 0, 30, 90, 3000, 86400, 30 * 86400]

Law = Callable[[Kept], None]

numbers = count(1)
values = st.sampled_from(VALUES)
objects = st.dictionaries(st.sampled_from(KEYS), values, max_size=3)
optional_properties = {
    "$set": objects | st.just("odd"),
    "$set_once": objects,
    "$unset": st.lists(st.sampled_from(KEYS), max_size=3) | objects,
    "$anon_distinct_id": st.sampled_from(IDS) | st.none(),
    "alias": st.sampled_from(IDS) | st.just(""),
    "$process_person_profile": st.booleans() | st.just("odd"),
    "$update_person_last_seen_at": st.booleans(),
    "$is_server": st.just(True),
    "$group_type": st.sampled_from(["company", "team"]),
    "$group_key": st.sampled_from(["x", "y"]),
    "$group_set": objects,
    **dict.fromkeys(COPIED, values),
}
times = st.sampled_from([(NOW + timedelta(seconds=seconds)).isoformat() for seconds in SECONDS])
# The uuids are few, so that some of a history's events are the same one sent again.
events = st.fixed_dictionaries(
    {
        "event": st.sampled_from(NAMES),
        "distinct_id": st.sampled_from(IDS),
        "uuid": st.integers(1, 40).map(
            lambda number: str(UUID(int=(4 << 76) | (8 << 60) | number))
        ),
        "timestamp": times,
        "properties": st.fixed_dictionaries({}, optional=optional_properties),
    },
    optional={"$set": objects, "$set_once": objects},
)
claims = st.fixed_dictionaries(
    {
        "event": st.sampled_from(NAMES[2:5]),
        "distinct_id": st.sampled_from(IDS[:5]),
        "properties": st.fixed_dictionaries(
            {
                "$anon_distinct_id": st.sampled_from(IDS[:5]),
                "alias": st.sampled_from(IDS[:5]),
                "$set": objects,
            }
        ),
    }
)
# Half of all events join persons.
histories = st.lists(events | st.builds(lambda event, claim: event | claim, events, claims),
                     min_size=1, max_size=14)  # fmt: skip


def each_once(history: list[Wire]) -> list[Wire]:
    return list({event["uuid"]: event for event in history}.values())


cuts = st.sets(st.integers(1, 13), max_size=5)
# The ways in which a project may treat events.
tempers = st.sampled_from([{}, {}, {"personless_flag_calls": True}, {"person_processing": False}])

law = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@dataclass
class Bench:
    """A database in which each example has projects of its own."""

    pool: Pool
    conn: psycopg.Connection

    async def project(self, temper: dict[str, bool]) -> Project:
        async with self.pool.connection() as conn:
            made = await project_store.insert(conn, name="Laws", token=f"phc_{next(numbers)}")
        return replace(made, **temper)

    async def play(self, project: Project, groups: list[list[Wire]]) -> Kept:
        """Let the groups happen, one after another; tells what is kept then."""
        for group in groups:
            await persons.apply(self.pool, [laws.work(project, group)])
        return Kept(self.conn, project.id)


@pytest.fixture
def bench(pool: Pool, database: str) -> Iterator[Bench]:
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("SET timezone = 'UTC'")
        yield Bench(pool, conn)


def split(history: list[Wire], at: set[int]) -> list[list[Wire]]:
    starts = [0, *sorted(cut for cut in at if cut < len(history))]
    return [history[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]


@pytest.mark.parametrize("holds", laws.LAWS, ids=lambda holds: holds.__name__)
@law
@given(history=histories, at=cuts, temper=tempers)
async def test_law(
    bench: Bench, holds: Law, history: list[Wire], at: set[int], temper: dict[str, bool]
) -> None:
    project = await bench.project(temper)
    holds(await bench.play(project, split(history, at)))


@law
@given(history=histories.map(each_once), at=cuts, temper=tempers)
async def test_how_events_are_grouped_makes_no_difference(
    bench: Bench, history: list[Wire], at: set[int], temper: dict[str, bool]
) -> None:
    together = await bench.play(await bench.project(temper), split(history, at))
    one_by_one = await bench.play(await bench.project(temper), [[event] for event in history])
    assert_same(shown(together), shown(one_by_one))
    assert warned(together) == warned(one_by_one)


@law
@given(history=histories, at=cuts, temper=tempers)
async def test_the_database_keeps_what_the_rules_make_of_it_in_memory(
    bench: Bench, history: list[Wire], at: set[int], temper: dict[str, bool]
) -> None:
    project = await bench.project(temper)
    kept = await bench.play(project, split(history, at))
    world = folded(project, laws.work(project, history).events)
    assert_same(persons_of(kept), persons_in(world))


@law
@given(
    history=histories,
    at=cuts,
    again=st.lists(st.tuples(st.integers(0, 13), times), max_size=14),
    again_at=cuts,
)
async def test_what_is_sent_again_changes_nothing(
    bench: Bench,
    history: list[Wire],
    at: set[int],
    again: list[tuple[int, str]],
    again_at: set[int],
) -> None:
    project = await bench.project({})
    kept = await bench.play(project, split(history, at))
    # What posthog-js sends again tells another time.
    repeated = [
        history[number % len(history)] | {"timestamp": timestamp} for number, timestamp in again
    ]
    after = await bench.play(project, split(repeated, again_at))
    assert rows(after) == rows(kept)


@law
@given(history=histories, at=cuts)
async def test_what_is_sent_again_beside_new_events_changes_nothing(
    bench: Bench, history: list[Wire], at: set[int]
) -> None:
    groups = split(history, at)
    stuttering = [
        [event for group in (*groups[:number], groups[number - 1]) for event in group]
        for number in range(1, len(groups) + 1)
    ]
    assert_same(
        shown(await bench.play(await bench.project({}), stuttering)),
        shown(await bench.play(await bench.project({}), groups)),
    )


# What of a project can be held against another


def shown(kept: Kept) -> dict[str, Any]:
    """All that does not tell by its surrogate ids which project it is of."""
    return {
        "persons": persons_of(kept),
        "ledger": {
            name_of(kept, id): [
                [entry.version, entry.kind, entry.at, entry.event_uuid, entry.before, entry.after,
                 entry.is_identified, entry.created_at, len(entry.ids or [])]
                for entry in entries
            ]
            for id, entries in kept.ledger.items()
        },
        "events": [
            [event.uuid, event.name, event.timestamp, event.properties, event.person_mode,
             event.person_id and name_of(kept, event.person_id), event.person_version]
            for event in kept.events
        ],
        "groups": [[*group] for group in kept.groups],
    }  # fmt: skip


def warned(kept: Kept) -> list[tuple[str, str]]:
    return sorted((warning.type, str(warning.event_uuid)) for warning in kept.warnings)


def persons_of(kept: Kept) -> dict[str, Any]:
    return {
        name_of(kept, id): description(kept.persons[id], texts, kept.project_id)
        for id, texts in kept.families().items()
    }


def persons_in(world: World) -> dict[str, Any]:
    families: dict[int, set[str]] = {}
    for text in world.ids:
        if (root := world.root(text)) is not None:
            families.setdefault(root.id, set()).add(text)
    names = {world.ids[text].id: text for text in world.ids}
    first = {entry.person_id: names[entry.ids[0]] for entry in world.entries if entry.version == 0}
    return {
        first[id]: description(world.persons[id], texts, world.project.id)
        for id, texts in families.items()
    }


def description(person: Any, texts: set[str], project_id: int) -> list[Any]:
    [of] = [text for text in IDS if person_uuid(project_id, text) == person.uuid]
    return [of, sorted(texts), person.properties, person.is_identified, person.created_at,
            person.last_seen_at, person.version]  # fmt: skip


def name_of(kept: Kept, person_id: int) -> str:
    return kept.ids[kept.ledger[person_id][0].ids[0]].distinct_id


def stored_warnings(kept: Kept) -> list[Any]:
    """Without those of events that were dropped, which nobody knows when they come again."""
    return [warning for warning in kept.warnings if warning.type != DROPPED]


def rows(kept: Kept) -> list[Any]:
    return [kept.persons, kept.ids, kept.ledger, kept.merges, kept.events, kept.keys, kept.groups,
            stored_warnings(kept)]  # fmt: skip


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """The assertion is there for what pytest shows of it."""
    if not same(one, other):
        assert one == other
        raise AssertionError(f"a number for a truth value, or the other way: {one}")


def folded(project: Project, events: list[Event]) -> World:
    """`events` in a world without a database."""
    first: dict[UUID, Event] = {}
    for event in events:
        first.setdefault(event.uuid, event)
    world = World(project=project, ids={}, persons={}, person_ids=count(1))
    for number, text in enumerate(IDS):
        world.ids[text] = DistinctId(id=number, project_id=project.id, distinct_id=text)
        world.uuids[text] = person_uuid(project.id, text)
    for event in first.values():
        fold(world, event)
    return world
