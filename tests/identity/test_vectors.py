"""Every vector of section 7.2 through the pure rules."""

from collections.abc import Iterator
from itertools import count
from typing import Any

from personhood.capture import claims
from personhood.identity import properties
from personhood.identity.distinct_id import person_uuid
from personhood.identity.fold import fold
from personhood.identity.world import World
from personhood.model import DistinctId, Event, Person, PersonMode
from tests.identity.vectors import (
    NOW,
    at,
    every_vector,
    expected_events,
    expected_persons,
    in_order,
    project,
    sent,
    without_creator,
)


@every_vector
def test_vector(vector: dict[str, Any]) -> None:
    world, seen, warnings = play(vector)

    assert persons_of(world) == expected_persons(vector)
    assert {*warnings} == {*vector["expect"]["warnings"]}
    for got, expected in zip(seen, expected_events(vector), strict=True):
        assert got | expected == got


def play(vector: dict[str, Any]) -> tuple[World, list[dict[str, Any]], list[str]]:
    """The vector's events in a world of its seeds; what each event shows; warning types."""
    tenant = project(vector)
    readings = [claims.read(each, tenant, received_at=NOW, ip=None) for each in sent(vector).events]
    events = [reading.event for reading in readings if reading.event is not None]
    world = seeded(vector, events)
    shown = [show(world, event) for event in events]
    warnings = [warning.type for reading in readings for warning in reading.warnings]
    return world, shown, warnings + [warning.type for warning in world.warnings]


def seeded(vector: dict[str, Any], events: list[Event]) -> World:
    world = World(project=project(vector), ids={}, persons={}, person_ids=iter(range(100, 200)))
    surrogates = count(1)
    for number, seed in enumerate(vector["seed_persons"], 1):
        world.persons[number] = Person(
            id=number,
            project_id=1,
            uuid=person_uuid(1, seed["distinct_ids"][0]),
            created_at=at(seed["created_at"]),
            properties=seed["properties"],
            is_identified=seed["is_identified"],
        )
        for text in seed["distinct_ids"]:
            add(world, text, surrogates, person_id=number)
    for text in names(events):
        if text not in world.ids:
            add(world, text, surrogates)
            world.unstored.add(text)
            world.uuids[text] = person_uuid(1, text)
    return world


def add(world: World, text: str, ids: Iterator[int], person_id: int | None = None) -> None:
    world.ids[text] = DistinctId(id=next(ids), project_id=1, distinct_id=text, person_id=person_id)


def names(events: list[Event]) -> Iterator[str]:
    for event in events:
        yield event.distinct_id
        if event.claim is not None:
            yield event.claim.source


def show(world: World, event: Event) -> dict[str, Any]:
    """What the event shows of its person: its id, its mode and the snapshot (section 5)."""
    person = world.root(event.distinct_id)
    before = dict(person.properties) if person else {}
    applied = fold(world, event)
    person = world.root(event.distinct_id)
    uuid = person.uuid if person else person_uuid(1, event.distinct_id)
    full = person is not None and applied.mode is PersonMode.FULL
    snapshot = properties.snapshot(before, person.properties, event) if person and full else {}
    return {
        "person_id": str(uuid),
        "person_mode": applied.mode.name.lower(),
        "person_properties": without_creator(snapshot),
    }


def persons_of(world: World) -> list[Any]:
    owned: dict[int, list[str]] = {}
    for text in world.ids:
        if (root := world.root(text)) is not None:
            owned.setdefault(root.id, []).append(text)
    return in_order(seen_person(world.persons[id], texts) for id, texts in owned.items())


def seen_person(person: Person, texts: list[str]) -> Any:
    kept = without_creator(person.properties)
    return sorted(texts), str(person.uuid), kept, person.is_identified, person.created_at
