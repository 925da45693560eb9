"""The ledger, read (contract: capture-and-identity, section 5)."""

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, cast
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from personhood.identity import properties
from personhood.identity.distinct_id import person_uuid
from personhood.identity.fold import fold
from personhood.identity.world import World
from personhood.ledger import book
from personhood.ledger.book import State
from personhood.model import (
    Cause,
    Claim,
    ClaimKind,
    DistinctId,
    Entry,
    EntryKind,
    Event,
    Person,
    PersonMode,
    Profile,
    Project,
    Properties,
)

AT = datetime(2024, 5, 1, tzinfo=UTC)
EARLIER = AT - timedelta(days=1)


def entry(version: int, kind: str = "set", *, by: int = 0, **fields: Any) -> Entry:
    return Entry(
        person_id=1,
        version=version,
        kind=cast(EntryKind, kind),
        at=AT,
        cause=Cause(event_uuid=UUID(int=by)),
        **fields,
    )


def event(number: int = 0, name: str = "x", **fields: Any) -> Event:
    return Event(
        **{
            "uuid": UUID(int=number),
            "name": name,
            "distinct_id": "ada",
            "timestamp": AT,
            "received_at": AT,
            "properties": b"{}",
            **fields,
        }
    )


CREATED = entry(0, "created", by=1, after={"a": 1, "b": 2}, is_identified=False, created_at=AT)


def test_before_the_first_entry_there_is_nobody() -> None:
    assert book.person_of([]) == State()
    assert book.person_of([CREATED], up_to=-1).version is None


def test_the_first_entry_is_the_person_as_it_was_made() -> None:
    assert book.person_of([CREATED]) == State(
        properties={"a": 1, "b": 2}, is_identified=False, created_at=AT, version=0
    )


def test_keys_come_change_and_go() -> None:
    changed = entry(1, before={"a": 1, "b": 2}, after={"b": 3, "c": None})
    assert book.person_of([CREATED, changed]).properties == {"b": 3, "c": None}


def test_what_an_entry_does_not_say_stays() -> None:
    entries = [CREATED, entry(1, "identified", is_identified=True), entry(2, after={"c": 1})]
    told = book.person_of(entries)
    assert (told.is_identified, told.created_at, told.version) == (True, AT, 2)


def test_versions_may_skip_as_they_do_by_merges() -> None:
    merged = entry(9, "merged", after={"c": 3}, is_identified=True, created_at=EARLIER, source_id=2)
    told = book.person_of([CREATED, merged])
    assert (told.version, told.created_at) == (9, EARLIER)
    assert book.person_of([CREATED, merged], up_to=8) == book.person_of([CREATED])


def test_kinds_that_nobody_heard_of_are_read_all_the_same() -> None:
    undone = entry(3, "taken back", before={"b": 2}, is_identified=False, created_at=AT)
    identified = entry(1, "identified", is_identified=True, created_at=EARLIER)
    assert book.person_of([CREATED, identified, undone]) == State(
        properties={"a": 1}, is_identified=False, created_at=AT, version=3
    )


def test_reading_changes_no_entry() -> None:
    entries = [CREATED, entry(1, before={"a": 1}, after={"c": 1})]
    kept = deepcopy(entries)
    told = book.person_of(entries)
    told.properties["d"] = 1
    assert entries == kept


def test_a_later_change_does_not_alter_an_earlier_snapshot() -> None:
    entries = [CREATED, entry(1, by=2, before={"a": 1}, after={"a": 5})]
    assert book.snapshot(entries, 0, event(1, set={"a": 1})) == {"a": 1, "b": 2}
    assert book.snapshot(entries, 1, event(2, set={"a": 5})) == {"a": 5, "b": 2}


def test_an_event_shows_its_set_also_where_the_filter_kept_it_off_the_person() -> None:
    assert book.snapshot([CREATED], 0, event(7, set={"$browser": "x"})) == {
        "a": 1,
        "b": 2,
        "$browser": "x",
    }


def test_set_once_shows_only_if_it_won() -> None:
    entries = [CREATED, entry(1, by=2, after={"c": 3})]
    assert book.snapshot(entries, 1, event(2, set_once={"a": 9, "c": 3}))["a"] == 1


def test_an_unset_key_is_absent() -> None:
    entries = [CREATED, entry(1, by=2, before={"a": 1})]
    assert book.snapshot(entries, 1, event(2, unset=("a",))) == {"b": 2}
    assert book.snapshot(entries, 1, event(2, unset=("a",), set={"a": 7})) == {"b": 2}


def test_unset_has_no_effect_on_what_the_same_event_brought() -> None:
    entries = [CREATED, entry(1, by=2, after={"c": 3})]
    assert book.snapshot(entries, 1, event(2, set={"c": 3}, unset=("c",)))["c"] == 3
    assert book.snapshot([CREATED], 0, event(1, set={"a": 1}, unset=("a",))) == {"a": 1, "b": 2}


def test_an_unset_key_that_came_by_the_events_own_merge_is_absent() -> None:
    merged = entry(5, "merged", by=2, after={"c": 3}, source_id=2)
    removed = entry(6, by=2, before={"c": 3})
    shown = book.snapshot([CREATED, merged, removed], 6, event(2, set={"c": 4}, unset=("c",)))
    assert shown == {"a": 1, "b": 2}


def test_an_event_that_changed_nothing_found_what_was_left_before_it() -> None:
    """It would have brought the key that another event removed, had it not been too large."""
    entries = [CREATED, entry(1, by=2, before={"a": 1})]
    assert book.snapshot(entries, 1, event(7, set={"a": 9}, unset=("a",))) == {"a": 9, "b": 2}


def test_a_read_only_event_shows_the_person_as_it_was() -> None:
    reading = event(7, "$exception", profile=Profile.READ_ONLY, set={"a": 9}, unset=("b",))
    assert book.snapshot([CREATED], 0, reading) == {"a": 1, "b": 2}


def test_an_event_without_a_person_shows_nothing() -> None:
    assert book.snapshot([], None, event(7, set={"a": 9})) == {}


# Laws: whatever happens by the rules, the ledger tells it.

NAMES = ("ada", "grace", "anon", "null")
keys = st.sampled_from(["a", "b", "$browser", "$current_url"])
values = st.sampled_from([None, True, 1, "x", {"deep": 1}])
some = st.dictionaries(keys, values, max_size=3)


@st.composite
def events(draw: st.DrawFn) -> Event:
    """An event of one of the names; one in two claims, whatever it is called."""
    distinct_id = draw(st.sampled_from(NAMES))
    claim = None
    if draw(st.booleans()):
        claim = Claim(draw(st.sampled_from(ClaimKind)), draw(st.sampled_from(NAMES)), distinct_id)
    profile = draw(st.sampled_from([Profile.FULL] * 6 + [Profile.READ_ONLY, Profile.PERSONLESS]))
    return event(
        name=claim.kind if claim else draw(st.sampled_from(["x", "$set"])),
        distinct_id=distinct_id,
        timestamp=AT + timedelta(hours=draw(st.integers(0, 5))),
        claim=claim if profile is Profile.FULL else None,
        profile=profile,
        set=draw(some),
        set_once=draw(some),
        unset=tuple(draw(st.lists(keys, max_size=2))),
    )


def empty_world() -> World:
    project = Project(id=1, name="Shop", token="phc_shop", created_at=AT)
    ids = {
        text: DistinctId(id=number, project_id=1, distinct_id=text)
        for number, text in enumerate(NAMES, 1)
    }
    uuids = {text: person_uuid(1, text) for text in NAMES}
    return World(
        project=project,
        ids=ids,
        persons={},
        person_ids=count(1),
        uuids=uuids,
        unstored=set(NAMES),
    )


def state_of(person: Person) -> State:
    return State(
        properties=dict(person.properties),
        is_identified=person.is_identified,
        created_at=person.created_at,
        version=person.version,
    )


def found(world: World, happening: Event) -> dict[str, tuple[int, Properties]]:
    """The persons of the names in an event; its own name comes last."""
    names = [happening.claim.source] if happening.claim else []
    roots = {text: world.root(text) for text in (*names, happening.distinct_id)}
    return {text: (root.id, dict(root.properties)) for text, root in roots.items() if root}


@settings(max_examples=300)
@given(st.lists(events(), max_size=12))
def test_the_ledger_tells_each_state_and_each_snapshot(happenings: list[Event]) -> None:
    world = empty_world()
    states, shown = [], []
    for number, happening in enumerate(happenings, 1):
        happening.uuid = UUID(int=number)
        known = found(world, happening)
        applied = fold(world, happening)
        states += [(id, state_of(person)) for id, person in world.persons.items()]
        if applied.person_id is not None and applied.mode is PersonMode.FULL:
            before: Properties = {}
            for text, (_, kept) in known.items():
                if (root := world.root(text)) and root.id == applied.person_id:
                    before |= kept
            after = world.persons[applied.person_id].properties
            shown.append((applied, happening, properties.snapshot(before, after, happening)))

    book_of = {id: [each for each in world.entries if each.person_id == id] for id in world.persons}
    for id, state in states:
        assert book.person_of(book_of[id], up_to=state.version) == state
    for applied, happening, snapshot in shown:
        assert book.snapshot(book_of[applied.person_id], applied.version, happening) == snapshot
    for id, person in world.persons.items():
        assert book.person_of(book_of[id]) == state_of(person)
