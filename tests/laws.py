"""What holds of every project, whatever came in and in whatever order.

Read by statements of its own and told by a fold of its own, so that it is independent of the code
that it judges.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import namedtuple_row

from personhood.capture import claims
from personhood.capture.parse import parse
from personhood.identity.distinct_id import person_uuid
from personhood.model import Project
from personhood.persons import Work

NOW = datetime(2024, 3, 5, 12, 30, tzinfo=UTC)
CLAIMS = {"$identify": "$anon_distinct_id", "$create_alias": "alias", "$merge_dangerously": "alias"}
REFUSALS = ("cannot_merge_with_illegal_distinct_id", "cannot_merge_already_identified")

Wire = dict[str, Any]  # an event as SDKs send it


def work(
    project: Project, events: Iterable[Wire], *, now: datetime = NOW, historical: bool = False
) -> Work:
    """What capture makes of a request with `events`; one without any is work as well."""
    batch = list(events)
    if not batch:
        return Work(project=project, events=[])
    request = {"api_key": project.token, "batch": batch, "historical_migration": historical}
    body = json.dumps(request).encode()
    readings = [
        claims.read(sent, project, received_at=now, ip=None) for sent in parse(body, now=now).events
    ]
    return Work(
        project=project,
        events=[reading.event for reading in readings if reading.event is not None],
        warnings=[warning for reading in readings for warning in reading.warnings],
    )


class Told(NamedTuple):
    """A person as its ledger tells it."""

    properties: dict[str, Any]
    is_identified: bool
    created_at: datetime
    version: int


class Kept:
    """All that a database keeps of a project, at one moment."""

    def __init__(self, conn: psycopg.Connection, project_id: int) -> None:
        self.project_id = project_id
        with conn.cursor(row_factory=namedtuple_row) as cursor:

            def rows(statement: str) -> list[Any]:
                return cursor.execute(statement, {"project_id": project_id}).fetchall()

            self.persons = {
                row.id: row
                for row in rows("SELECT * FROM person WHERE project_id = %(project_id)s")
            }
            self.ids = {
                row.id: row
                for row in rows(
                    """
                    SELECT * FROM distinct_id
                     WHERE project_id = %(project_id)s AND ended_at IS NULL
                     ORDER BY id
                    """
                )
            }
            self.ledger = defaultdict[int, list[Any]](list)
            for row in rows(
                "SELECT * FROM ledger WHERE project_id = %(project_id)s ORDER BY version"
            ):
                self.ledger[row.person_id].append(row)
            self.merges = {
                row.source_id: row
                for row in rows("SELECT * FROM merge WHERE project_id = %(project_id)s")
            }
            self.events = rows(
                "SELECT * FROM event WHERE project_id = %(project_id)s ORDER BY uuid"
            )
            self.keys = rows(
                "SELECT * FROM event_key WHERE project_id = %(project_id)s ORDER BY uuid"
            )
            self.groups = rows(
                """
                SELECT t.name, g.key, g.properties
                  FROM "group" g
                  JOIN group_type t ON t.project_id = g.project_id AND t.index = g.type_index
                 WHERE g.project_id = %(project_id)s
                 ORDER BY t.name, g.key
                """
            )
            self.warnings = rows(
                "SELECT * FROM ingestion_warning WHERE project_id = %(project_id)s ORDER BY id"
            )
            self.activity = rows(
                "SELECT * FROM activity WHERE project_id = %(project_id)s ORDER BY id"
            )

    def root(self, person_id: int) -> Any:
        """The person that a leaf's pointers lead to."""
        way = {person_id}
        while (parent := self.persons[person_id].merged_into_id) is not None:
            assert parent not in way, "the pointers go in a circle"
            way.add(person_id := parent)
        return self.persons[person_id]

    def forebears(self, person_id: int) -> list[int]:
        """The person itself, and each that it was absorbed by, in order."""
        way = [person_id]
        while (merge := self.merges.get(way[-1])) is not None:
            assert merge.target_id not in way, "the merges go in a circle"
            way.append(merge.target_id)
        return way

    def roots(self) -> list[Any]:
        return [row for row in self.persons.values() if row.merged_into_id is None]

    def of(self, text: str) -> Any:
        """The person of a distinct id."""
        [row] = [row for row in self.ids.values() if row.distinct_id == text]
        return self.root(row.person_id)

    def families(self) -> dict[int, set[str]]:
        """The distinct ids of each root."""
        found = defaultdict[int, set[str]](set)
        for row in self.ids.values():
            if row.person_id is not None:
                found[self.root(row.person_id).id].add(row.distinct_id)
        return found


def hold(database_url: str, project_id: int) -> Kept:
    """Fail when the project breaks a law; tells what it keeps."""
    with psycopg.connect(database_url) as conn:
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        conn.execute("SET LOCAL timezone = 'UTC'")
        kept = Kept(conn, project_id)
    for law in LAWS:
        law(kept)
    return kept


# The laws


def every_person_is_what_its_ledger_tells(kept: Kept) -> None:
    assert kept.ledger.keys() == kept.persons.keys()
    for id, person in kept.persons.items():
        told = fold(kept, id)
        assert same(told.properties, person.properties), (told, person)
        assert told.is_identified == person.is_identified, (told, person)
        assert told.created_at == person.created_at, (told, person)
        assert told.version == person.version, (told, person)


def every_id_was_gained_once_and_stays_in_the_family(kept: Kept) -> None:
    """An id that joined a merged person may be kept with the one that it was claimed to be."""
    gained = [
        (id, entry)
        for entries in kept.ledger.values()
        for entry in entries
        for id in entry.ids or []
    ]
    bound = {id for id, row in kept.ids.items() if row.person_id is not None}
    assert sorted(id for id, _ in gained) == sorted(bound)
    for id, entry in gained:
        leaf = kept.ids[id].person_id
        if entry.kind == "created":
            assert leaf == entry.person_id, entry
        else:
            assert entry.person_id in kept.forebears(leaf), entry


def every_id_leads_to_one_person(kept: Kept) -> None:
    texts = [row.distinct_id for row in kept.ids.values()]
    assert len(texts) == len(set(texts))
    assert kept.families().keys() == {row.id for row in kept.roots()}, "a person without ids"


def pointers_are_shortened_merges(kept: Kept) -> None:
    merged = {id for id, row in kept.persons.items() if row.merged_into_id is not None}
    assert kept.merges.keys() == merged
    for id, merge in kept.merges.items():
        assert kept.root(id) == kept.root(merge.target_id), merge
        assert kept.persons[id].merged_into_id in kept.forebears(merge.target_id), merge
    told = {
        (entry.source_id, entry.person_id, entry.version, entry.event_uuid)
        for entries in kept.ledger.values()
        for entry in entries
        if entry.kind == "merged"
    }
    assert told == {
        (merge.source_id, merge.target_id, merge.target_version, merge.event_uuid)
        for merge in kept.merges.values()
    }


def every_merge_is_in_the_activity_log(kept: Kept) -> None:
    told = [
        (line.other_id, line.person_id, line.person_uuid, line.version, line.event_uuid)
        for line in kept.activity
        if line.kind == "merged"
    ]
    assert sorted(told) == sorted(
        (id, row.target_id, kept.persons[row.target_id].uuid, row.target_version, row.event_uuid)
        for id, row in kept.merges.items()
    )


def versions_grow_on_the_way_to_the_root(kept: Kept) -> None:
    for id, merge in kept.merges.items():
        assert kept.persons[id].version == merge.source_version, "changed after it was absorbed"
        assert merge.source_version < merge.target_version, merge
        assert merge.target_version <= kept.persons[merge.target_id].version, merge
        assert kept.persons[id].version < kept.persons[kept.persons[id].merged_into_id].version


def uuids_are_those_of_the_first_ids(kept: Kept) -> None:
    for id, person in kept.persons.items():
        created = kept.ledger[id][0]
        first = kept.ids[created.ids[0]]
        assert created.distinct_id_id == first.id, "the primary id is the one of the event itself"
        assert person.uuid == person_uuid(kept.project_id, first.distinct_id)


def events_name_states_that_the_ledger_tells(kept: Kept) -> None:
    states = {(id, entry.version) for id, entries in kept.ledger.items() for entry in entries}
    for event in kept.events:
        if event.person_id is None:
            assert event.person_version is None
        else:
            assert (event.person_id, event.person_version) in states
            leaf = kept.ids[event.distinct_id_id].person_id
            assert kept.root(event.person_id) == kept.root(leaf)


def every_event_is_there_once_and_was_applied_once(kept: Kept) -> None:
    stored = [(event.uuid, event.distinct_id_id, event.timestamp) for event in kept.events]
    assert [(key.uuid, key.distinct_id_id, key.timestamp) for key in kept.keys] == stored
    assert len({uuid for uuid, *_ in stored}) == len(stored)
    causes = {entry.event_uuid for entries in kept.ledger.values() for entry in entries}
    assert causes <= {uuid for uuid, *_ in stored}
    for entries in kept.ledger.values():
        done = [(entry.event_uuid, entry.kind) for entry in entries]
        assert len(done) == len(set(done))


def ids_are_joined_that_were_claimed_to_be_one(kept: Kept) -> None:
    refused = {row.event_uuid for row in kept.warnings if row.type in REFUSALS}
    family = {row.distinct_id: {row.distinct_id} for row in kept.ids.values() if row.person_id}
    for event in kept.events:
        key = CLAIMS.get(event.name)
        if key is None or not event.properties.get(key) or event.uuid in refused:
            continue
        together = (
            family[kept.ids[event.distinct_id_id].distinct_id] | family[event.properties[key]]
        )
        family |= dict.fromkeys(together, together)
    expected = {frozenset(names) for names in family.values()}
    assert {frozenset(names) for names in kept.families().values()} == expected


LAWS = [
    every_id_leads_to_one_person,
    every_id_was_gained_once_and_stays_in_the_family,
    every_person_is_what_its_ledger_tells,
    pointers_are_shortened_merges,
    every_merge_is_in_the_activity_log,
    versions_grow_on_the_way_to_the_root,
    uuids_are_those_of_the_first_ids,
    events_name_states_that_the_ledger_tells,
    every_event_is_there_once_and_was_applied_once,
    ids_are_joined_that_were_claimed_to_be_one,
]


# The ledger


def fold(kept: Kept, person_id: int) -> Told:
    """A person from nothing but its entries, each of which must fit what stands before it."""
    created, *later = kept.ledger[person_id]
    assert (created.kind, created.version, created.before) == ("created", 0, None)
    told = Told(created.after or {}, created.is_identified, created.created_at, 0)
    assert told.is_identified == (len(created.ids) > 1), created
    for entry in later:
        told = after(kept, told, entry)
    return told


def after(kept: Kept, told: Told, entry: Any) -> Told:
    expected = told.version + 1
    if entry.kind == "merged":
        expected = max(told.version, kept.merges[entry.source_id].source_version) + 1
    assert entry.version == expected
    check_form(entry)
    gone, come = entry.before or {}, entry.after or {}
    assert same(gone, {key: told.properties.get(key, "absent") for key in gone})
    assert not (come.keys() - gone.keys()) & told.properties.keys()
    kept_as_it_was = {key: told.properties[key] for key in told.properties.keys() - gone.keys()}
    if entry.created_at is not None:
        assert entry.created_at < told.created_at, "only ever lowered"
    if entry.is_identified is not None:
        assert entry.is_identified > told.is_identified, "only ever set"
    return Told(
        properties=kept_as_it_was | come,
        is_identified=entry.is_identified or told.is_identified,
        created_at=entry.created_at or told.created_at,
        version=entry.version,
    )


def check_form(entry: Any) -> None:
    """Each kind of entry tells what it is there for, and nothing else."""
    told = {
        name
        for name in ("before", "after", "is_identified", "created_at", "ids", "source_id")
        if getattr(entry, name) is not None
    }
    match entry.kind:
        case "set":
            # Only a historical import knows of an earlier beginning.
            assert told and told <= {"before", "after", "created_at"}
        case "attached":
            assert {"ids"} <= told <= {"ids", "is_identified"}
            assert len(entry.ids) == 1
        case "identified":
            assert told == {"is_identified"}
        case "merged":
            # In a historical import the newer value wins, so the target may lose its own.
            may = {"source_id", "before", "after", "is_identified", "created_at"}
            assert {"source_id"} <= told <= may
        case kind:
            raise AssertionError(f"{kind} is no kind of change")


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are one, where 1 is 1.0 and true is not."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and one == other
