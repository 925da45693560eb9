"""What the store knew of the ids that events name, and what is to be written once they happened."""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from msgspec import Struct, field

from personhood.identity import size
from personhood.identity.backfill import Clock
from personhood.identity.merge import Refusal
from personhood.model import (
    Cause,
    DistinctId,
    Entry,
    Event,
    Person,
    PersonMode,
    Project,
    Properties,
    Warning,
)


class Merged(Struct, frozen=True, kw_only=True):
    """A merge that happened: versions are those of the two persons when it did.

    The leaves are those of the two names that were claimed to be one: what the merge rests on,
    whoever the roots were.
    """

    source_id: int
    target_id: int
    target_uuid: UUID
    source_leaf_id: int
    target_leaf_id: int
    source_version: int
    target_version: int
    at: datetime
    cause: Cause


class Applied(Struct, frozen=True, kw_only=True):
    """How one event stood: its distinct id, its person's root and version after it, if any."""

    distinct_id_id: int
    person_id: int | None
    version: int | None
    mode: PersonMode


class World(Struct, kw_only=True):
    """The ids that the events name, each with a row, and the persons that they lead to.

    `ids` are by text; those in `unstored` have a reserved surrogate id and no row yet. `persons`
    are roots, `versions` those they were read at. `parents` leads from a merged person's id
    upwards. `uuids` are what persons made for an id without one would get. In a `guarded` world the
    size of persons is looked at; that takes long and is for those that may be too large.

    If an event is of a historical import, the world `keeps_clocks`: those of all its persons, by
    root; those of the `backfilled` are to be written.
    """

    project: Project
    ids: dict[str, DistinctId]
    persons: dict[int, Person]
    parents: dict[int, int] = field(default_factory=dict)
    versions: dict[int, int] = field(default_factory=dict)
    unstored: set[str] = field(default_factory=set)
    uuids: dict[str, UUID] = field(default_factory=dict)
    person_ids: Iterator[int] = field(default_factory=lambda: iter(()))
    api_key_id: int | None = None
    request_id: UUID | None = None
    guarded: bool = False
    keeps_clocks: bool = False
    clocks: dict[int, Clock] = field(default_factory=dict)

    created: dict[int, Person] = field(default_factory=dict)
    changed: dict[int, Person] = field(default_factory=dict)
    seen: dict[int, Person] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    attached: list[DistinctId] = field(default_factory=list)
    merges: list[Merged] = field(default_factory=list)
    backfilled: set[int] = field(default_factory=set)
    entries: list[Entry] = field(default_factory=list)
    warnings: list[Warning] = field(default_factory=list)

    def root(self, text: str) -> Person | None:
        """The person that an id belongs to now."""
        person_id = self.ids[text].person_id
        return None if person_id is None else self.persons[self.top(person_id)]

    def top(self, person_id: int) -> int:
        """The root above a person."""
        while (parent := self.parents.get(person_id)) is not None:
            person_id = parent
        return person_id


def cause(world: World, event: Event) -> Cause:
    return Cause(
        event_uuid=event.uuid,
        distinct_id_id=world.ids[event.distinct_id].id,
        api_key_id=world.api_key_id,
        request_id=world.request_id,
    )


def warn(world: World, event: Event, *, type: str, details: Properties) -> None:
    world.warnings.append(
        Warning(type=type, at=event.received_at, event_uuid=event.uuid, details=details)
    )


def warn_refused(world: World, event: Event, *, source: Person, target: Person) -> None:
    assert event.claim is not None, "only a claim is refused"
    details = {
        "sourcePersonDistinctId": event.claim.source,
        "targetPersonDistinctId": event.claim.target,
        "distinctId": event.distinct_id,
        "eventUuid": str(event.uuid),
        "personId": str(target.uuid),
        "otherPersonId": str(source.uuid),
    }
    warn(world, event, type=Refusal.ALREADY_IDENTIFIED, details=details)


def warn_size(world: World, event: Event, person: Person | None) -> None:
    details: Properties = {
        "distinctId": event.distinct_id,
        "personId": None if person is None else str(person.uuid),
        "message": f"Person properties exceed {size.BYTES_MAX} bytes",
    }
    warn(world, event, type="person_properties_size_violation", details=details)
