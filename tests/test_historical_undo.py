"""Undoing merges and splitting after historical imports: as if the persons had been apart."""

from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from personhood import merges, persons, rejoins, splits
from personhood.splits import Wish
from personhood.store import merge, person_lookup
from personhood.store.person_lookup import Name, Owner
from tests import laws
from tests.laws import NOW, Wire
from tests.test_historical import Make, Shop, changes, days, make, shop, wire
from tests.test_merges import BY

__all__ = ["make", "shop"]

NAMES = ["ada", "b", "c"]
law = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)
Step = tuple[bool, Wire]  # whether it is of an import


async def owner(of: Shop, name: str) -> Owner:
    async with of.pool.connection() as conn:
        found = await person_lookup.owner(conn, Name(of.project.id, name))
    assert found is not None
    return found


async def play(of: Shop, steps: list[Step], *, since: int = 0) -> None:
    """Each comes in a second after the one before."""
    for second, (historical, event) in enumerate(steps, start=since):
        at = NOW + timedelta(seconds=second)
        work = laws.work(of.project, [event], now=at, historical=historical)
        await persons.apply(of.pool, [work])


async def split(of: Shop, name: str, *names: str) -> splits.Outcome:
    root = (await owner(of, name)).person
    wish = Wish(listed=list(names))
    return await splits.split_off(of.pool, of.project, root, wish=wish, by=BY, dry_run=False)


async def undo_merge(of: Shop, name: str) -> None:
    root = (await owner(of, name)).person
    async with of.pool.connection() as conn:
        [made, *_] = await merge.of_family(conn, of.project.id, root.id)
    await merges.undo(of.pool, of.project, root, merge_id=made.id, by=BY, preview=False)


async def test_a_split_gives_the_newest_value_of_an_import(shop: Shop) -> None:
    await shop.backfill(wire(-1, "b", __set={"plan": "new"}), wire(-2, "b", __set={"plan": "old"}))
    await shop.live(wire(0, __set={"n": 1}))
    await shop.live(wire(0, "ada", "$identify", __anon_distinct_id="b"))
    await shop.backfill(wire(-3, "b", __set={"plan": "older", "seats": 1}))
    await split(shop, "ada", "b")
    assert await shop.properties("b") == {"plan": "new", "seats": 1}
    assert await shop.properties("ada") == {"n": 1}


async def test_an_undone_merge_leaves_the_newest_values(shop: Shop) -> None:
    await shop.live(wire(-9, "b"), wire(-9, "ada"))
    await shop.live(wire(-8, "ada", "$merge_dangerously", alias="b"))
    await shop.backfill(wire(-1, "b", __set={"plan": "new"}))
    await shop.backfill(wire(-2, "b", __set={"plan": "old"}), wire(-2, __set={"plan": "ada"}))
    await undo_merge(shop, "ada")
    assert await shop.properties("b") == {"plan": "new"}
    assert await shop.properties("ada") == {"plan": "ada"}


# Laws


@st.composite
def histories(draw: st.DrawFn) -> list[Step]:
    """All have a person first; then they write, and are claimed to be one, live and imported."""
    steps = [(draw(st.booleans()), wire(draw(days), name)) for name in NAMES]
    for _ in range(draw(st.integers(2, 9))):
        event = wire(draw(days), draw(st.sampled_from(NAMES)))
        event["properties"] |= draw(changes)
        if draw(st.integers(0, 2)) == 0:
            event["event"] = "$merge_dangerously"
            event["properties"]["alias"] = draw(st.sampled_from(NAMES))
        steps.append((draw(st.booleans()), event))
    return steps


def claim(event: Wire) -> set[str]:
    """The two names that an event claims to be one."""
    return {event["distinct_id"], event["properties"].get("alias", event["distinct_id"])}


def without(steps: list[Step], gone: list[Wire]) -> list[Step]:
    """The same, but some events claim nothing."""
    return [
        (historical, event | {"properties": {k: v for k, v in said.items() if k != "alias"}})
        if any(event is each for each in gone)
        else (historical, event)
        for historical, event in steps
        for said in [event["properties"]]
    ]


def joins(steps: list[Step], *, but: str | None = None) -> list[set[frozenset[str]]]:
    """Who is one person after each step, not counting some name."""
    family = {name: {name} for name in NAMES}
    found: list[set[frozenset[str]]] = []
    for _, event in steps:
        together = set[str]().union(*(family[name] for name in claim(event)))
        family |= dict.fromkeys(together, together)
        found.append({frozenset(left) for names in family.values() if (left := names - {but})})
    return found


def forgets(steps: list[Step]) -> bool:
    """Whether an import comes to a key that another had unset before a live merge, which does not
    tell of a key that nobody has when it was unset (docs/decisions, 16)."""
    unset, merged = set[str](), set[str]()
    for historical, event in steps:
        said = event["properties"]
        if not historical:
            merged |= unset if len(claim(event)) > 1 else set()
        elif merged & {key for way in ("$set", "$set_once", "$unset") for key in said.get(way, ())}:
            return True
        else:
            unset |= set(said.get("$unset", ()))
    return False


async def people(of: Shop) -> dict[tuple[str, ...], Any]:
    """Not when they were last seen: who is parted was seen when its own ids were, even if a live
    merge had kept the time of one side."""
    found: dict[tuple[str, ...], Any] = {}
    for name in NAMES:
        each = await owner(of, name)
        told = {k: v for k, v in each.person.properties.items() if k != "$creator_event_uuid"}
        found[tuple(sorted(each.distinct_ids))] = (
            told,
            each.person.created_at,
            each.person.is_identified,
        )
    return found


@law
@given(steps=histories(), name=st.sampled_from(NAMES))
async def test_a_split_gives_what_would_be_had_they_been_apart(
    make: Make, steps: list[Step], name: str
) -> None:
    assume(not forgets(steps))
    apart = without(
        steps, [each for _, each in steps if len(claim(each)) > 1 and name in claim(each)]
    )
    assume(joins(steps, but=name) == joins(apart, but=name))
    assume(all(names != frozenset({name}) for names in joins(steps)[-1]))
    real, other = await make(), await make()
    await play(real, steps)
    await play(other, apart)
    await split(real, name, name)
    assert await people(real) == await people(other)


@law
@given(steps=histories(), choice=st.integers(0, 9))
async def test_undoing_a_merge_gives_what_would_be_had_it_not_happened(
    make: Make, steps: list[Step], choice: int
) -> None:
    real, other = await make(), await make()
    await play(real, steps)
    made: list[Any] = []
    async with real.pool.connection() as conn:
        for id in {(await owner(real, name)).person.id for name in NAMES}:
            made += [(id, each) for each in await merge.of_family(conn, real.project.id, id)]
    assume(made)
    root_id, wanted = made[choice % len(made)]
    [event] = [each for _, each in steps if each["uuid"] == str(wanted.event_uuid)]
    apart = without(steps, [event])
    assume(joins(apart)[-1] != joins(steps)[-1])
    [root] = {
        id: person for name in NAMES if (id := (person := await real.person(name)).id) == root_id
    }.values()
    await merges.undo(real.pool, real.project, root, merge_id=wanted.id, by=BY, preview=False)
    await play(other, apart)
    assert await people(real) == await people(other)


@law
@given(
    steps=histories(), later=histories(), name=st.sampled_from(NAMES), imported_later=st.booleans()
)
async def test_undoing_a_split_gives_what_would_be_had_it_not_happened(
    make: Make, steps: list[Step], later: list[Step], name: str, imported_later: bool
) -> None:
    """With imports on both sides of a split, those before it that changed nothing no longer count
    for what came after it (docs/decisions, 16)."""
    steps, later = [
        [(historical and imported, event) for historical, event in each]
        for each, imported in ((steps, not imported_later), (later, imported_later))
    ]
    assume(all(names != frozenset({name}) for names in joins(steps)[-1]))
    real, other = await make(), await make()
    later = without(later[len(NAMES) :], [each for _, each in later])
    await play(real, steps)
    outcome = await split(real, name, name)
    await play(real, later, since=len(steps))
    [kept, *_] = outcome.distinct_ids
    root = (await owner(real, kept)).person
    assert outcome.split_id is not None
    await rejoins.rejoin(
        real.pool, real.project, root, split_id=outcome.split_id, by=BY, preview=False
    )
    await play(other, steps + later)
    assert await people(real) == await people(other)
