"""Splitting persons: each side is what its own ids made of it, and both can be one again."""

from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from personhood import merges, persons, rejoins, splits
from personhood.capture import claims
from personhood.errors import Conflict
from personhood.identity.distinct_id import person_uuid
from personhood.model import Merge, Project
from personhood.persons import Work
from personhood.rejoins import Rejoined
from personhood.splits import Outcome, Wish
from personhood.store.pool import Pool
from tests.test_merges import (
    BY,
    NAMES,
    History,
    facts,
    family,
    folded,
    histories,
    identify,
    owner,
    people,
    play,
    send,
    set_,
    tenant,
    writes,
)
from tests.test_merges import claims as claimed
from tests.test_persons import NOW, sent, shop

__all__ = ["shop"]


async def split(
    pool: Pool,
    of: Project,
    name: str,
    *listed: str,
    main: str | None = None,
    dry_run: bool = False,
) -> Outcome:
    root = (await owner(pool, of, name)).person
    wish = Wish(main=main, listed=list(listed) or None)
    return await splits.split_off(pool, of, root, wish=wish, by=BY, dry_run=dry_run)


async def values(pool: Pool, of: Project, name: str) -> dict[str, Any]:
    return facts(await owner(pool, of, name))["properties"]


async def test_a_split_of_a_merge_gives_the_persons_there_were(pool: Pool, shop: Project) -> None:
    await send(pool, shop, set_("a", plan="free", seen=1), set_("u", plan="paid", name="U"))
    before = [facts(await owner(pool, shop, name)) for name in ("a", "u")]
    await send(pool, shop, identify("u", "a"))
    await split(pool, shop, "u", "a")
    after = [await owner(pool, shop, name) for name in ("a", "u")]
    assert [facts(each) for each in after] == before
    for each in after:
        await folded(pool, each.person)
    assert await family(pool, shop, "u") == []


async def test_each_side_keeps_what_its_own_ids_set(pool: Pool, shop: Project) -> None:
    await send(pool, shop, set_("u", a=1), identify("u", "anon", b=1))
    await send(pool, shop, set_("anon", c=1, a=2), set_("u", d=1), set_("anon", d=2, b=1))
    assert await values(pool, shop, "u") == {"a": 2, "b": 1, "c": 1, "d": 2}
    outcome = await split(pool, shop, "u", main="u")
    assert await values(pool, shop, "u") == {"a": 1, "b": 1, "d": 1}
    assert await values(pool, shop, "anon") == {"a": 2, "b": 1, "c": 1, "d": 2}
    [part] = outcome.parts
    anon = await owner(pool, shop, "anon")
    assert part.person.uuid == anon.person.uuid == person_uuid(shop.id, "anon")
    assert not anon.person.is_identified
    for name in ("u", "anon"):
        await folded(pool, (await owner(pool, shop, name)).person)


async def undo(
    pool: Pool, of: Project, name: str, outcome: Outcome, *, preview: bool = False
) -> Rejoined:
    root = (await owner(pool, of, name)).person
    assert outcome.split_id is not None
    return await rejoins.rejoin(pool, of, root, split_id=outcome.split_id, by=BY, preview=preview)


async def test_split_then_undo_gives_the_person_before(pool: Pool, shop: Project) -> None:
    await send(pool, shop, set_("a", plan="free", a=1), set_("u", plan="paid"), identify("u", "a"))
    await send(pool, shop, set_("a", b=1), set_("u", b=2), identify("u", "new"))
    before = facts(await owner(pool, shop, "u"))
    merges = await family(pool, shop, "u")
    outcome = await split(pool, shop, "u")
    assert len(outcome.parts) == 2
    first = await everybody(pool, shop, "a", "u", "new")
    await undo(pool, shop, outcome.distinct_ids[0], outcome)
    assert facts(await owner(pool, shop, "u")) == before
    assert await family(pool, shop, "u") == merges
    await folded(pool, (await owner(pool, shop, "u")).person)
    again = await split(pool, shop, "u")
    assert again.split_id != outcome.split_id
    assert await everybody(pool, shop, "a", "u", "new") == first


async def everybody(pool: Pool, of: Project, *names: str) -> list[dict[str, Any]]:
    return [facts(await owner(pool, of, name)) for name in names]


law = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.filter_too_much,
        HealthCheck.too_slow,
    ],
)
later = st.lists(writes | writes | claimed, max_size=6)


@law
@given(history=histories, pick=st.integers(0, 9), mask=st.integers(0, 29))
async def test_a_split_gives_what_would_be_had_they_been_apart(
    pool: Pool, history: History, pick: int, mask: int
) -> None:
    name = joined(history, pick)
    real = await tenant(pool)
    await play(pool, real, history)
    ids = (await owner(pool, real, name)).distinct_ids
    moved = part_of(ids, mask)
    without = apart(history, set(moved))
    assume(joins(history, but=moved) == joins(without, but=moved))
    other = await tenant(pool)
    await play(pool, other, without)
    await split(pool, real, name, *moved)

    after, expected = await people(pool, real), await people(pool, other)
    assert after == expected
    for each in NAMES:
        await folded(pool, (await owner(pool, real, each)).person)


def joined(history: History, pick: int) -> str:
    """One of the names that are joined with others. Before it is played, which takes the time."""
    [*_, families] = joins(history, but=[])
    names = sorted(name for each in families if len(each) > 1 for name in each)
    assume(names)
    return names[pick % len(names)]


def part_of(ids: list[str], mask: int) -> list[str]:
    """Some of them, never all."""
    assert len(ids) > 1
    some = 1 + mask % (2 ** len(ids) - 2)
    return [id for number, id in enumerate(ids) if some >> number & 1]


def apart(history: History, names: set[str]) -> History:
    """The same without the claims that touch one of `names`."""
    return [
        (event, id, {k: v for k, v in said.items() if k != "alias"})
        if id != said.get("alias") and {id, said.get("alias")} & names
        else (event, id, said)
        for event, id, said in history
    ]


def joins(history: History, *, but: list[str]) -> list[set[frozenset[str]]]:
    """Who is one person after each event, not counting some names.

    If others were joined only by way of those, it is another history without them.
    """
    family = {name: {name} for name in NAMES}
    found: list[set[frozenset[str]]] = []
    for _, id, said in history:
        if "alias" in said:
            together = family[id] | family[said["alias"]]
            family |= dict.fromkeys(together, together)
        found.append({frozenset(left) for names in family.values() if (left := names - set(but))})
    return found


class Clock:
    """Time goes by: each event is received a second after the one before."""

    def __init__(self) -> None:
        self.now = NOW

    async def play(self, pool: Pool, of: Project, history: History) -> None:
        for name, id, said in history:
            self.now += timedelta(seconds=1)
            event = sent(name, id, **said)
            reading = claims.read(event, of, received_at=self.now, ip=None)
            assert reading.event is not None
            await persons.apply(pool, [Work(project=of, events=[reading.event])])


START: History = [("page", name, {}) for name in NAMES]


@law
@given(history=histories, later=later, pick=st.integers(0, 9), mask=st.integers(0, 29))
async def test_undoing_a_split_gives_what_would_be_had_it_not_happened(
    pool: Pool, history: History, later: History, pick: int, mask: int
) -> None:
    name = joined(history, pick)
    real, other, clock = await tenant(pool), await tenant(pool), Clock()
    await clock.play(pool, real, START + history)
    ids = (await owner(pool, real, name)).distinct_ids
    moved = part_of(ids, mask)
    [kept, *_] = [id for id in ids if id not in moved]
    outcome = await split(pool, real, name, *moved)
    await clock.play(pool, real, later)
    await Clock().play(pool, other, START + history + later)
    try:
        shown = await undo(pool, real, kept, outcome, preview=True)
    except Conflict:
        assume(False)
        raise
    done = await undo(pool, real, kept, outcome)
    assert (shown.person.properties, shown.distinct_ids, shown.returned) == (
        done.person.properties,
        done.distinct_ids,
        done.returned,
    )
    after, expected = await people(pool, real), await people(pool, other)
    assume(after.keys() == expected.keys())
    assert after == expected
    for each in NAMES:
        await folded(pool, (await owner(pool, real, each)).person)


@law
@given(
    history=histories,
    later=later,
    pick=st.integers(0, 9),
    mask=st.integers(0, 29),
    choice=st.integers(0, 9),
    rejoined=st.booleans(),
)
async def test_merges_can_be_undone_after_a_split(
    pool: Pool,
    history: History,
    later: History,
    pick: int,
    mask: int,
    choice: int,
    rejoined: bool,
) -> None:
    name = joined(history, pick)
    real, other, clock = await tenant(pool), await tenant(pool), Clock()
    await clock.play(pool, real, START + history)
    ids = (await owner(pool, real, name)).distinct_ids
    moved = part_of(ids, mask)
    [kept, *_] = [id for id in ids if id not in moved]
    outcome = await split(pool, real, name, *moved)
    await clock.play(pool, real, later)
    try:
        if rejoined:
            await undo(pool, real, kept, outcome)
        made = await family(pool, real, kept)
        assume(made)
        wanted = sorted(made, key=lambda each: each.id)[choice % len(made)]
        claim = await claim_of(pool, wanted)
        root = (await owner(pool, real, kept)).person
        await merges.undo(pool, real, root, merge_id=wanted.id, by=BY, preview=False)
    except Conflict:
        assume(False)
        raise
    assume(claim is not None)
    if not rejoined:
        assume(joins(history, but=moved) == joins(apart(history, set(moved)), but=moved))
        history = apart(history, set(moved))
    without = [
        (event, id, {k: v for k, v in said.items() if k != "alias"})
        if (id, said.get("alias")) == claim
        else (event, id, said)
        for event, id, said in history + later
    ]
    await Clock().play(pool, other, START + without)
    after, expected = await people(pool, real), await people(pool, other)
    assume(after.keys() == expected.keys())
    assert after == expected
    for each in NAMES:
        await folded(pool, (await owner(pool, real, each)).person)


async def claim_of(pool: Pool, of: Merge) -> tuple[str, str] | None:
    async with pool.connection() as conn:
        cursor = await conn.execute(
            "SELECT d.distinct_id, e.properties->>'alias' FROM event e "
            "JOIN distinct_id d ON d.id = e.distinct_id_id WHERE e.uuid = %s",
            (of.event_uuid,),
        )
        return await cursor.fetchone()
