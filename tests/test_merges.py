"""Undoing merges: the persons there were, with what each side's ids have written since."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from personhood import merges, persons
from personhood.capture.parse import Sent
from personhood.errors import Conflict, NotFound
from personhood.ledger import book
from personhood.merges import Outcome
from personhood.model import Cause, Merge, Person, Project
from personhood.store import entry, merge, person, person_lookup, project
from personhood.store.person_lookup import Name, Owner
from personhood.store.pool import Pool
from tests.test_persons import sent, shop, work

__all__ = ["shop"]

BY = Cause(api_key_id=1, request_id=UUID(int=7))


async def send(pool: Pool, tenant: Project, *events: Sent) -> None:
    for each in events:
        await persons.apply(pool, [work(tenant, each)])


def set_(distinct_id: str, **values: object) -> Sent:
    return sent("$set", distinct_id, **{"$set": values})


def identify(distinct_id: str, anon: str, **values: object) -> Sent:
    return sent("$identify", distinct_id, **{"$anon_distinct_id": anon, "$set": values})


async def owner(pool: Pool, tenant: Project, distinct_id: str) -> Owner:
    async with pool.connection() as conn:
        found = await person_lookup.owner(conn, Name(tenant.id, distinct_id))
    assert found is not None
    return found


async def family(pool: Pool, tenant: Project, distinct_id: str) -> list[Merge]:
    root = (await owner(pool, tenant, distinct_id)).person
    async with pool.connection() as conn:
        return await merge.of_family(conn, tenant.id, root.id)


async def undo(
    pool: Pool, tenant: Project, distinct_id: str, merge_id: int, *, preview: bool = False
) -> Outcome:
    root = (await owner(pool, tenant, distinct_id)).person
    return await merges.undo(pool, tenant, root, merge_id=merge_id, by=BY, preview=preview)


def facts(found: Owner) -> dict[str, Any]:
    """All of a person that a merge and its undoing leave as it was; not its version."""
    person = found.person
    kept = {k: v for k, v in person.properties.items() if k != "$creator_event_uuid"}
    return {
        "uuid": person.uuid,
        "ids": sorted(found.distinct_ids),
        "properties": kept,
        "is_identified": person.is_identified,
        "created_at": person.created_at,
        "last_seen_at": person.last_seen_at,
    }


async def folded(pool: Pool, person: Person) -> None:
    async with pool.connection() as conn:
        told = book.person_of(await entry.of_person(conn, person.project_id, person.id))
    assert told.properties == person.properties
    assert told.is_identified == person.is_identified
    assert told.created_at == person.created_at
    assert told.version == person.version


async def test_merge_then_undo_gives_the_persons_there_were(pool: Pool, shop: Project) -> None:
    await send(pool, shop, set_("a", plan="free", seen=1), set_("u", plan="paid", name="U"))
    before = [facts(await owner(pool, shop, name)) for name in ("a", "u")]
    await send(pool, shop, identify("u", "a"))
    [made] = await family(pool, shop, "u")
    outcome = await undo(pool, shop, "u", made.id)
    after = [await owner(pool, shop, name) for name in ("a", "u")]
    assert [facts(each) for each in after] == before
    assert [facts(each) for each in (outcome.freed, outcome.kept)] == before
    for each in after:
        await folded(pool, each.person)
    assert await family(pool, shop, "u") == []


async def test_later_writes_stay_with_the_side_whose_id_sent_them(
    pool: Pool, shop: Project
) -> None:
    await send(pool, shop, set_("a", plan="free"), set_("u", plan="paid", x=1))
    await send(pool, shop, identify("u", "a", email="u@example.com"))
    await send(
        pool,
        shop,
        set_("a", color="red"),
        set_("u", color="blue"),
        set_("a", plan="paid"),  # changes nothing while they are one
        sent("page", "u", **{"$unset": ["x"]}),
        set_("a", x=2),
    )
    [made] = await family(pool, shop, "a")
    await undo(pool, shop, "a", made.id)
    a, u = [facts(await owner(pool, shop, name))["properties"] for name in ("a", "u")]
    assert a == {"plan": "paid", "color": "red", "x": 2}
    assert u == {"plan": "paid", "email": "u@example.com", "color": "blue"}


async def test_a_preview_shows_both_and_changes_nothing(pool: Pool, shop: Project) -> None:
    await send(pool, shop, set_("a", n=1), set_("u", m=1), identify("u", "a"), set_("a", o=2))
    [made] = await family(pool, shop, "a")
    before = await owner(pool, shop, "a")
    shown = await undo(pool, shop, "a", made.id, preview=True)
    assert await owner(pool, shop, "a") == before
    assert len(await family(pool, shop, "a")) == 1
    done = await undo(pool, shop, "a", made.id)
    assert facts(shown.freed) == facts(done.freed)
    assert facts(shown.kept) == facts(done.kept)


async def test_merges_are_undone_out_of_order(pool: Pool, shop: Project) -> None:
    await send(pool, shop, set_("a", a=1, k="a"), set_("b", b=1, k="b"), set_("c", c=1, k="c"))
    await send(pool, shop, identify("b", "a"))
    await send(pool, shop, sent("$merge_dangerously", "c", alias="b"))
    second, first = await family(pool, shop, "a")
    await undo(pool, shop, "a", first.id)
    assert facts(await owner(pool, shop, "a"))["properties"] == {"a": 1, "k": "a"}
    together = facts(await owner(pool, shop, "b"))
    assert together["properties"] == {"b": 1, "c": 1, "k": "c"}
    assert together["ids"] == ["b", "c"]
    await undo(pool, shop, "c", second.id)
    assert facts(await owner(pool, shop, "b"))["properties"] == {"b": 1, "k": "b"}
    assert facts(await owner(pool, shop, "c"))["properties"] == {"c": 1, "k": "c"}


async def test_what_joined_by_a_name_of_the_freed_side_goes_with_it(
    pool: Pool, shop: Project
) -> None:
    await send(pool, shop, set_("a", a=1), set_("u", u=1), set_("z", z=1), identify("u", "a"))
    await send(pool, shop, identify("a", "z"), identify("a", "new"))
    first = (await family(pool, shop, "a"))[-1]
    await undo(pool, shop, "a", first.id)
    freed = facts(await owner(pool, shop, "a"))
    assert freed["ids"] == ["a", "new", "z"]
    assert freed["properties"] == {"a": 1, "z": 1}
    assert facts(await owner(pool, shop, "u"))["properties"] == {"u": 1}
    [left] = await family(pool, shop, "z")
    await undo(pool, shop, "z", left.id)
    assert facts(await owner(pool, shop, "z"))["properties"] == {"z": 1}


async def test_what_somebody_absorbed_before_is_not_absorbed_again(
    pool: Pool, shop: Project
) -> None:
    await send(pool, shop, *(sent("page", name) for name in "abcd"))
    await send(pool, shop, sent("$merge_dangerously", "c", alias="d"), set_("b", k=0))
    await send(pool, shop, sent("$merge_dangerously", "a", alias="b"))
    await send(pool, shop, sent("page", "a", **{"$unset": ["k"]}))
    await send(pool, shop, sent("$merge_dangerously", "a", alias="c"))
    first = (await family(pool, shop, "a"))[-1]
    await undo(pool, shop, "a", first.id)
    together = facts(await owner(pool, shop, "a"))
    assert (together["ids"], together["properties"]) == (["a", "b", "c"], {})
    assert facts(await owner(pool, shop, "d"))["ids"] == ["d"]


async def test_a_preview_waits_for_nobody(pool: Pool, shop: Project) -> None:
    await send(pool, shop, set_("a", n=1), set_("u", m=1), identify("u", "a"))
    [made] = await family(pool, shop, "a")
    async with pool.connection() as conn, conn.transaction():
        root = (await owner(pool, shop, "u")).person
        await person.lock(conn, [root.id])
        shown = await asyncio.wait_for(undo(pool, shop, "a", made.id, preview=True), 30)
    assert facts(shown.freed)["properties"] == {"n": 1}


async def test_of_many_ids_the_oldest_are_shown_and_all_are_freed(
    pool: Pool, shop: Project
) -> None:
    await send(pool, shop, set_("a", n=1), set_("u", m=1))
    async with pool.connection() as conn:
        for name in ("a", "u"):
            await conn.execute(
                """
                INSERT INTO distinct_id (project_id, distinct_id, person_id)
                SELECT project_id, distinct_id || '-' || number, person_id
                  FROM distinct_id, generate_series(1, 1200) AS number
                 WHERE project_id = %(project_id)s AND distinct_id = %(name)s
                """,
                {"project_id": shop.id, "name": name},
            )
    await send(pool, shop, identify("u", "a"), set_("a-1200", late=1), set_("u-7", later=1))
    [made] = await family(pool, shop, "a")
    outcome = await undo(pool, shop, "a", made.id)
    assert len(outcome.kept.distinct_ids) == len(outcome.freed.distinct_ids) == 1000
    assert outcome.freed.distinct_ids[:2] == ["a", "a-1"]
    freed, kept = await owner(pool, shop, "a-1200"), await owner(pool, shop, "u-1200")
    assert (len(freed.distinct_ids), len(kept.distinct_ids)) == (1201, 1201)
    assert facts(freed)["properties"] == {"n": 1, "late": 1}
    assert facts(kept)["properties"] == {"m": 1, "later": 1}


async def test_too_large_a_family_is_refused(
    pool: Pool, shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send(pool, shop, *(set_(name) for name in "abu"), identify("u", "a"), identify("u", "b"))
    made = await family(pool, shop, "u")
    monkeypatch.setattr(merges, "MERGES_MAX", 1)
    with pytest.raises(Conflict, match="too many"):
        await undo(pool, shop, "u", made[0].id)
    assert await family(pool, shop, "u") == made


async def test_a_merge_is_undone_once(pool: Pool, shop: Project) -> None:
    await send(pool, shop, set_("a"), set_("u"), identify("u", "a"))
    [made] = await family(pool, shop, "a")
    await undo(pool, shop, "u", made.id)
    with pytest.raises(NotFound):
        await undo(pool, shop, "u", made.id)
    await send(pool, shop, identify("u", "a"))
    [again] = await family(pool, shop, "a")
    assert again.id != made.id


NAMES = ("a", "b", "c", "d", "e")
KEYS = ("k", "l", "$browser")
values = st.sampled_from([0, 1, "x", None, [1]])
properties = st.dictionaries(st.sampled_from(KEYS), values, max_size=2)
writes = st.tuples(
    st.sampled_from(["page", "$set"]),
    st.sampled_from(NAMES),
    st.fixed_dictionaries(
        {}, optional={"$set": properties, "$set_once": properties,
                      "$unset": st.lists(st.sampled_from(KEYS), max_size=1)}
    ),
)  # fmt: skip
claims = st.tuples(
    st.just("$merge_dangerously"),
    st.sampled_from(NAMES),
    st.fixed_dictionaries({"alias": st.sampled_from(NAMES), "$set": properties}),
)
histories = st.lists(writes | writes | claims, min_size=3, max_size=14)
History = list[tuple[str, str, dict[str, Any]]]


async def tenant(pool: Pool) -> Project:
    async with pool.connection() as conn:
        return await project.insert(conn, name="Law", token=f"phc_{uuid4().hex}")


async def people(pool: Pool, of: Project) -> dict[tuple[str, ...], dict[str, Any]]:
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    async with pool.connection() as conn:
        names = [Name(of.id, name) for name in NAMES]
        for each in (await person_lookup.owners(conn, names)).values():
            facts_of = facts(each)
            facts_of.pop("uuid")
            found[tuple(sorted(each.distinct_ids))] = facts_of
    return found


async def play(pool: Pool, of: Project, history: History) -> None:
    # Every id has a person of its own first, so that claims merge persons.
    await send(pool, of, *(sent("page", name) for name in NAMES))
    await send(pool, of, *(sent(name, id, **said) for name, id, said in history))


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(history=histories, choice=st.integers(0, 9))
async def test_undoing_gives_what_would_be_had_it_not_happened(
    pool: Pool, history: History, choice: int
) -> None:
    real = await tenant(pool)
    await play(pool, real, history)
    made = [each for name in NAMES for each in await family(pool, real, name)]
    assume(made)
    wanted = sorted(made, key=lambda each: each.id)[choice % len(made)]
    async with pool.connection() as conn:
        cursor = await conn.execute(
            "SELECT d.distinct_id, e.properties->>'alias' FROM event e "
            "JOIN distinct_id d ON d.id = e.distinct_id_id WHERE e.uuid = %s",
            (wanted.event_uuid,),
        )
        row = await cursor.fetchone()
    assert row is not None
    index = next(
        number
        for number, (name, id, said) in enumerate(history)
        if name == "$merge_dangerously" and (id, said["alias"]) == row
    )
    without = [
        (name, id, {k: v for k, v in said.items() if k != "alias"} if number == index else said)
        for number, (name, id, said) in enumerate(history)
    ]
    other = await tenant(pool)
    await play(pool, other, without)
    await undo(pool, real, row[0], wanted.id)

    after, expected = await people(pool, real), await people(pool, other)
    # A later claim of the two sides would have joined them anyway; that is another history.
    assume(after.keys() == expected.keys())
    assert after == expected
    for name in NAMES:
        await folded(pool, (await owner(pool, real, name)).person)


async def test_distinct_ids_come_in_the_order_of_their_mention(pool: Pool, shop: Project) -> None:
    """Of two that are joined, the one of the event first (persons-api, 3.2)."""
    together = [identify("zoe", "anon"), identify("zoe", "m"), identify("bob", "amy")]
    await persons.apply(pool, [work(shop, *together)])
    async with pool.connection() as conn:
        rows = await conn.execute("SELECT distinct_id FROM distinct_id ORDER BY id")
        texts = [text async for (text,) in rows]
    assert texts == ["zoe", "anon", "m", "bob", "amy"]
