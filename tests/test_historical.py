"""Historical imports: whatever order the events come in, the person is what their times make it."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from personhood import corrections, persons
from personhood.corrections import Correction
from personhood.model import ActivityKind, Cause, Person, Project
from personhood.store import clock, person_lookup
from personhood.store import project as project_store
from personhood.store.person_lookup import Name
from personhood.store.pool import Pool
from tests import laws
from tests.laws import NOW, Wire

numbers = count(1)
law = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Shop:
    """A project, and what SDKs and imports do to it."""

    def __init__(self, pool: Pool, project: Project, url: str) -> None:
        self.pool, self.project, self.url = pool, project, url

    async def live(self, *events: Wire) -> None:
        await persons.apply(self.pool, [laws.work(self.project, events)])

    async def backfill(self, *events: Wire) -> None:
        await persons.apply(self.pool, [laws.work(self.project, events, historical=True)])

    async def person(self, text: str = "ada") -> Person:
        async with self.pool.connection() as conn:
            found = await person_lookup.owner(conn, Name(self.project.id, text))
        assert found is not None
        return found.person

    async def properties(self, text: str = "ada") -> dict[str, Any]:
        properties = (await self.person(text)).properties
        return {key: value for key, value in properties.items() if key != "$creator_event_uuid"}

    def kept(self) -> laws.Kept:
        return laws.hold(self.url, self.project.id)


Make = Callable[[], Awaitable[Shop]]


@pytest.fixture
def make(pool: Pool, database: str) -> Make:
    async def shop() -> Shop:
        async with pool.connection() as conn:
            token = f"phc_historical_{next(numbers)}"
            made = await project_store.insert(conn, name="Shop", token=token)
        return Shop(pool, made, database)

    return shop


@pytest.fixture
async def shop(make: Make) -> Shop:
    return await make()


def wire(day: int, distinct_id: str = "ada", name: str = "page", **properties: Any) -> Wire:
    return {
        "event": name,
        "distinct_id": distinct_id,
        "uuid": str(UUID(int=(4 << 76) | (8 << 60) | next(numbers))),
        "timestamp": (NOW + timedelta(days=day)).isoformat(),
        "properties": {key.replace("__", "$"): value for key, value in properties.items()},
    }


async def test_an_older_value_does_not_overwrite_a_newer_one(shop: Shop) -> None:
    await shop.live(wire(0, __set={"plan": "paid"}))
    await shop.backfill(wire(-10, __set={"plan": "free", "city": "Ulm"}))
    assert await shop.properties() == {"plan": "paid", "city": "Ulm"}


async def test_a_newer_value_overwrites(shop: Shop) -> None:
    await shop.live(wire(-10, __set={"plan": "free"}))
    await shop.backfill(wire(-5, __set={"plan": "paid"}))
    assert await shop.properties() == {"plan": "paid"}


async def test_live_events_overwrite_in_the_order_they_come(shop: Shop) -> None:
    await shop.backfill(wire(0, __set={"plan": "paid"}))
    await shop.live(wire(-10, __set={"plan": "free"}))
    assert await shop.properties() == {"plan": "free"}
    # The value has the time of the event that gave it, so this is newer.
    await shop.backfill(wire(-5, __set={"plan": "trial"}))
    assert await shop.properties() == {"plan": "trial"}


async def test_the_first_set_once_is_the_earliest(shop: Shop) -> None:
    await shop.live(wire(0, utm_source="ads"))
    await shop.backfill(wire(-10, utm_source="news"), wire(-20, utm_source="friend"))
    assert await shop.properties() == {"utm_source": "ads", "$initial_utm_source": "friend"}


async def test_a_live_set_is_not_taken_for_a_set_once(shop: Shop) -> None:
    await shop.live(wire(0, __set={"plan": "paid"}))
    await shop.backfill(wire(-10, __set_once={"plan": "free"}))
    assert await shop.properties() == {"plan": "paid"}


async def test_a_person_is_as_old_as_its_oldest_event(shop: Shop) -> None:
    created = wire(0, __set={"a": 1})
    await shop.live(created)
    await shop.backfill(wire(-10), first := wire(-20))
    person = await shop.person()
    assert person.created_at == NOW - timedelta(days=20)
    assert person.properties["$creator_event_uuid"] == first["uuid"]
    shop.kept()


async def test_what_changed_nothing_is_remembered(shop: Shop) -> None:
    """The same value again, later: what comes in between is older than that."""
    await shop.backfill(wire(-30, __set={"plan": "free"}))
    await shop.backfill(wire(-10, __set={"plan": "free"}))
    await shop.backfill(wire(-20, __set={"plan": "paid"}))
    assert await shop.properties() == {"plan": "free"}


async def test_what_was_unset_later_does_not_come_back(shop: Shop) -> None:
    await shop.backfill(wire(-10, __unset=["plan"]), wire(-20, __set={"plan": "paid"}))
    assert await shop.properties() == {}
    await shop.backfill(wire(-5, __set={"plan": "free"}))
    assert await shop.properties() == {"plan": "free"}


async def test_what_a_key_wrote_or_removed_stays(shop: Shop) -> None:
    await shop.live(wire(-30, __set={"plan": "free", "city": "Ulm"}))
    id, by = (await shop.person()).id, Cause(api_key_id=1)
    written = Correction(kind=ActivityKind.UPDATED, by=by, set={"plan": "paid"})
    removed = Correction(kind=ActivityKind.PROPERTY_DELETED, by=by, unset=("city",))
    for each in (written, removed):
        await corrections.correct(shop.pool, shop.project, id, correction=each)
    await shop.backfill(wire(-5, __set={"plan": "trial", "city": "Bonn"}))
    assert await shop.properties() == {"plan": "paid"}


async def test_a_value_that_came_by_a_merge_has_the_time_it_had(shop: Shop) -> None:
    await shop.live(wire(-30, "anon", __set={"plan": "free"}), wire(-30))
    await shop.live(wire(0, "ada", "$identify", __anon_distinct_id="anon"))
    await shop.backfill(wire(-10, __set={"plan": "paid"}))
    assert await shop.properties() == {"plan": "paid"}


async def test_live_and_historical_events_of_one_group(shop: Shop) -> None:
    live = laws.work(shop.project, [wire(0, __set={"plan": "paid"})])
    old = laws.work(shop.project, [wire(-10, __set={"plan": "free", "a": 1})], historical=True)
    live.events += old.events
    await persons.apply(shop.pool, [live])
    assert await shop.properties() == {"plan": "paid", "a": 1}


async def test_live_events_ask_for_no_clock(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    await shop.backfill(wire(-10, __set={"plan": "free"}))

    async def asked(*_: Any, **__: Any) -> None:
        raise AssertionError("a live event needs no clock")

    monkeypatch.setattr(clock, "of_persons", asked)
    monkeypatch.setattr(clock, "write_all", asked)
    await shop.live(wire(0, __set={"plan": "paid"}))
    assert await shop.properties() == {"plan": "paid"}


# Laws

KEYS = ["k", "l", "$browser"]
objects = st.dictionaries(
    st.sampled_from(KEYS), st.sampled_from([None, 0, 1, "x", [1]]), max_size=2
)
changes = st.fixed_dictionaries(
    {},
    optional={
        "$set": objects,
        "$set_once": objects,
        "$unset": st.lists(st.sampled_from(KEYS), max_size=1),
        "$os": st.sampled_from(["Mac", "BeOS"]),
    },
)
days = st.integers(-6, 0)
NAMES = ["ada", "b", "c", "d"]


@st.composite
def imports(draw: st.DrawFn, *, names: list[str] = NAMES) -> list[Wire]:
    """Events of some ids that are all claimed to be one, each once."""
    drawn = st.tuples(days, st.sampled_from(names), changes)
    events = [
        wire(day, name) | {"properties": properties}
        for day, name, properties in draw(st.lists(drawn, min_size=1, max_size=9))
    ]
    claim = draw(st.sampled_from(["$identify", "$merge_dangerously"]))
    attr = "$anon_distinct_id" if claim == "$identify" else "alias"
    for index, name in enumerate(names[1:], start=1):
        # A star for $identify; any tree for what is never refused.
        target = names[0 if claim == "$identify" else draw(st.integers(0, index - 1))]
        properties = {attr: name} | draw(changes)
        events.append(wire(draw(days), target, claim) | {"properties": properties})
    return events


def twice(events: list[Wire]) -> st.SearchStrategy[tuple[list[Wire], list[Wire]]]:
    """The events in the order of time, and in any."""
    in_order = sorted(events, key=lambda event: (event["timestamp"], event["uuid"]))
    return st.tuples(st.just(in_order), st.permutations(events))


def plain(events: list[Wire]) -> list[Wire]:
    """Without what has a rule of its own in imports: the filter (4.3), what follows an unset."""
    for event in events:
        event["properties"].pop("$unset", None)
        event["properties"].pop("$os", None)
        event["properties"].get("$set", {}).pop("$browser", None)
    return events


def shown(person: Person) -> tuple[Any, ...]:
    return person.properties, person.created_at, person.is_identified, person.last_seen_at


@law
@given(events=imports().flatmap(twice), cuts=st.sets(st.integers(1, 11), max_size=4))
async def test_any_permutation_of_an_import_gives_the_same_person(
    make: Make, events: tuple[list[Wire], list[Wire]], cuts: set[int]
) -> None:
    in_order, shuffled = await make(), await make()
    await in_order.backfill(*events[0])
    starts = [0, *sorted(cuts)]
    for start, end in zip(starts, [*starts[1:], None], strict=True):
        await shuffled.backfill(*events[1][start:end])
    assert shown(await shuffled.person()) == shown(await in_order.person())
    assert [*shuffled.kept().families().values()] == [{*NAMES}]


@law
@given(events=imports(names=["ada"]).map(plain).flatmap(twice))
async def test_an_import_is_what_live_events_in_the_order_of_time_are(
    make: Make, events: tuple[list[Wire], list[Wire]]
) -> None:
    live, imported = await make(), await make()
    for event in events[0]:
        await live.live(event)
    await imported.backfill(*events[1])
    assert shown(await imported.person()) == shown(await live.person())
