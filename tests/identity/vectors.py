"""The identity vectors of the contract (section 7.2), as values of our own."""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from personhood.capture.parse import Capture, parse
from personhood.identity.distinct_id import person_uuid
from personhood.model import Project, Properties

VECTORS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("vectors.json").read_text())[
    "vectors"
]
EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
NOW = EPOCH + timedelta(days=1)

# Where a decision of the design is not what a vector says of an event's snapshot:
SNAPSHOTS: dict[str, list[Properties]] = {
    # NUL is replaced before anything is stored, so the snapshot has none either.
    "V01": [{"null_byte": "\ufffd"}],
    "V03": [{"b": 4, "c": 4, "e": 4, "toString": 1, "null_byte": "\ufffd"}],
    # An unset key is absent from the snapshot, also when the same event set it.
    "V20": [{}],
}

every_vector = pytest.mark.parametrize(
    "vector", [pytest.param(vector, id=vector["id"]) for vector in VECTORS]
)


def at(seconds: float) -> datetime:
    return EPOCH + timedelta(seconds=seconds)


def project(vector: dict[str, Any], id: int = 1) -> Project:
    return Project(
        id=id,
        name="Vectors",
        token="phc_vectors",
        created_at=EPOCH,
        person_processing=not vector["options"].get("opt_out", False),
        personless_flag_calls=vector["options"].get("ffc", False),
    )


def body(vector: dict[str, Any], token: str = "phc_vectors") -> dict[str, Any]:
    """The batch request that sends the vector's events."""
    return {
        "api_key": token,
        "batch": [
            {
                "uuid": str(UUID(int=(0x4 << 76) | (0x8 << 60) | number)),
                "timestamp": at(event["ts"]).isoformat(),
                **{
                    key: event[key]
                    for key in ("event", "distinct_id", "properties", "$set", "$set_once")
                    if key in event
                },
            }
            for number, event in enumerate(vector["events"], 1)
        ],
    }


def sent(vector: dict[str, Any]) -> Capture:
    return parse(json.dumps(body(vector)).encode(), now=NOW)


def expected_persons(vector: dict[str, Any], project_id: int = 1) -> list[Any]:
    return in_order(
        (
            sorted(person["distinct_ids"]),
            str(person_uuid(project_id, person["uuid_of"])),
            without_creator(person["properties"]),
            person["is_identified"],
            at(person["created_at"]),
        )
        for person in vector["expect"]["persons"]
    )


def expected_events(vector: dict[str, Any], project_id: int = 1) -> Iterator[dict[str, Any]]:
    """What each event shows: of `person_id`, `person_mode`, `person_properties` what is told."""
    uuids = {str(person_uuid(1, name)): name for name in names(vector)}
    for number, event in enumerate(vector["expect"]["events"]):
        expected = dict(event)
        if vector["id"] in SNAPSHOTS:
            expected["person_properties"] = SNAPSHOTS[vector["id"]][number]
        if "person_properties" in expected:
            expected["person_properties"] = without_creator(expected["person_properties"])
        if "person_id" in expected:
            expected["person_id"] = str(person_uuid(project_id, uuids[expected["person_id"]]))
        yield expected


def names(vector: dict[str, Any]) -> set[str]:
    """Every distinct id that a person of the vector may have its uuid from."""
    seeds = {text for seed in vector["seed_persons"] for text in seed["distinct_ids"]}
    return seeds | {event.distinct_id for event in sent(vector).events}


def in_order(persons: Iterable[Any]) -> list[Any]:
    return sorted(persons, key=str)


def without_creator(properties: Properties) -> Properties:
    return {key: value for key, value in properties.items() if key != "$creator_event_uuid"}
