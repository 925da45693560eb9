"""Forgetting persons: what goes, what stays, and what stands on the receipt."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from personhood import deletions, merges
from personhood.deletions import Name, Outcome, Request
from personhood.jobs import sweep
from personhood.model import Cause, Project, Warning, Wish
from personhood.store import gate, project, warning
from personhood.store.pool import Pool
from personhood.store.registry import TABLES, Fate, Holds
from tests.test_merges import family, folded, identify, owner, send, set_
from tests.test_persons import sent, shop

__all__ = ["shop"]

PROFILE = Wish(profile=True)
MARKER = "a-very-special-marker"


async def delete(
    pool: Pool, tenant: Project, *names: Name, wish: Wish = PROFILE, at: datetime | None = None
) -> Outcome:
    by = Cause(api_key_id=1, request_id=uuid4())
    request = Request(names=names, wish=wish, by=by, at=at or datetime.now(UTC))
    return await deletions.delete(pool, tenant, request)


async def read(pool: Pool, statement: str, *values: object) -> list[tuple[Any, ...]]:
    async with pool.connection() as conn:
        return await (await conn.execute(statement, values)).fetchall()


async def names(pool: Pool) -> dict[str, bool]:
    """The distinct ids there are, and whether they are live."""
    return dict(await read(pool, "SELECT distinct_id, ended_at IS NULL FROM distinct_id"))


async def counts(pool: Pool, outcome: Outcome) -> dict[str, tuple[int | None, int, int | None]]:
    [receipt] = outcome.receipts
    rows = await read(
        pool,
        "SELECT kind, before, removed, remaining FROM deletion_count WHERE deletion_id = %s",
        receipt.id,
    )
    return {kind: (before, removed, remaining) for kind, before, removed, remaining in rows}


async def state(pool: Pool, outcome: Outcome) -> tuple[str, bool, bool]:
    """The receipt's state, and whether it is settled and verified."""
    [receipt] = outcome.receipts
    [row] = await read(
        pool,
        "SELECT state, settled_at IS NOT NULL, verified_at IS NOT NULL FROM deletion WHERE id = %s",
        receipt.id,
    )
    return row


# What goes


async def test_names_stay_only_for_the_events_that_carry_them(pool: Pool, shop: Project) -> None:
    await send(pool, shop, set_("ada"), identify("ada", "silent"), identify("ada", "anon"))
    await send(pool, shop, sent("page", "anon"))
    outcome = await delete(pool, shop, "ada")
    assert await names(pool) == {"ada": False, "anon": False}
    assert await state(pool, outcome) == ("completed", True, True)
    assert await counts(pool, outcome) == {
        "profile": (1, 1, 0),
        "ids": (3, 1, 2),
        "ledger": (3, 3, 0),
    }


async def test_nothing_is_kept_of_whom_a_completed_deletion_was_about(
    pool: Pool, shop: Project
) -> None:
    await send(pool, shop, set_("ada"))
    await delete(pool, shop, "ada")
    assert await read(pool, "SELECT FROM deletion_target") == []
    assert await read(pool, "SELECT FROM deletion_person") == []


async def test_what_is_queued_still_knows_whom_it_is_about(pool: Pool, shop: Project) -> None:
    await send(pool, shop, set_("ada"), set_("bob"), identify("ada", "bob"))
    outcome = await delete(pool, shop, "bob", wish=Wish(profile=True, events=True))
    assert await state(pool, outcome) == ("queued", True, False)
    rows = await read(
        pool,
        """
        SELECT distinct_id, cutoff
          FROM deletion_target JOIN distinct_id ON distinct_id.id = distinct_id_id
        """,
    )
    # Without a cutoff: an id that has ended has events of its former owner only.
    assert sorted(rows) == [("ada", None), ("bob", None)]
    assert (await counts(pool, outcome))["events"] == (None, 0, None)


async def test_an_id_begins_anew_beside_what_is_left_of_it(pool: Pool, shop: Project) -> None:
    await send(pool, shop, set_("ada", plan="paid"))
    before = (await owner(pool, shop, "ada")).person
    for generation in (2, 3):
        await delete(pool, shop, "ada")
        await send(pool, shop, set_("ada"))
        after = (await owner(pool, shop, "ada")).person
        assert after.id != before.id and after.uuid != before.uuid
        assert (after.version, "plan" in after.properties) == (0, False)
        rows = await read(pool, "SELECT max(generation) FROM distinct_id")
        assert rows == [(generation,)]
        await folded(pool, after)
        before = after


async def everything(pool: Pool, tenant: Project) -> dict[Holds, set[Any]]:
    """A person that is in every table; tells by what it could be found."""
    await send(pool, tenant, set_("ada", secret=MARKER), set_("anon"), set_("bob"))
    await send(pool, tenant, identify("ada", "anon"), identify("ada", "quiet"))
    await send(pool, tenant, identify("ada", "bob"))
    [merge, _] = await family(pool, tenant, "ada")
    root = (await owner(pool, tenant, "ada")).person
    by = Cause(api_key_id=1, request_id=uuid4())
    await merges.undo(pool, tenant, root, merge_id=merge.id, by=by, preview=False)
    async with pool.connection() as conn:
        await warning.insert_all(conn, tenant.id, warnings_of(root.uuid))
        await put_into_tables(conn, tenant, root.id)
        rows = await (
            await conn.execute(
                "SELECT id, uuid FROM person WHERE %s IN (id, merged_into_id)", (root.id,)
            )
        ).fetchall()
        ids = await (
            await conn.execute(
                "SELECT id FROM distinct_id WHERE person_id = ANY(%s)", ([row[0] for row in rows],)
            )
        ).fetchall()
    return {
        Holds.PERSON: {row[0] for row in rows},
        Holds.PERSON_UUID: {row[1] for row in rows},
        Holds.NAME: {row[0] for row in ids},
        Holds.NAMES: {row[0] for row in ids},
        Holds.TEXT: {MARKER, '"ada"', '"anon"', '"quiet"', str(root.uuid)},
    }


def warnings_of(uuid: UUID) -> list[Warning]:
    details = [
        {"distinctId": "ada"},
        {"sourcePersonDistinctId": "quiet"},
        {"targetPersonDistinctId": "anon"},
        {"personId": str(uuid)},
        {"otherPersonId": str(uuid)},
        {"distinctId": "bob"},
        {"message": "of nobody"},
        {"distinctId": "x" * 5000},
    ]
    return [Warning(type="t", at=datetime.now(UTC), details=each) for each in details]


async def put_into_tables(conn: AsyncConnection, tenant: Project, person_id: int) -> None:
    await conn.execute(
        """
        WITH made AS (
            INSERT INTO cohort (project_id, name, filter) VALUES (%(project)s, 'c', %(filter)s)
            RETURNING id
        ), parted AS (
            INSERT INTO split (project_id, person_id, version)
            VALUES (%(project)s, %(person)s, 1), (%(project)s, 0, 1)
            RETURNING id
        ), persons AS (
            INSERT INTO split_person (split_id, person_id, role)
            SELECT id, %(person)s, 'moved' FROM parted
        ), clocks AS (
            INSERT INTO property_clock (project_id, person_id, version, times)
            VALUES (%(project)s, %(person)s, 1, '{}')
        ), merges AS (
            INSERT INTO split_merge SELECT id, 1, %(person)s, 0, %(person)s, 0 FROM parted
        )
        INSERT INTO cohort_person (cohort_id, person_id) SELECT id, %(person)s FROM made
        """,
        {"project": tenant.id, "person": person_id, "filter": Jsonb({})},
    )


async def found(conn: AsyncConnection, traces: dict[Holds, set[Any]], *fates: Fate) -> set[str]:
    """Tables of these fates in which the traces lead somewhere."""
    tables: set[str] = set()
    for table, about in TABLES.items():
        for column, holds in about.columns.items():
            if about.fate not in fates or holds not in traces:
                continue
            match holds:
                case Holds.TEXT:
                    has = f"to_json({column})::text ~ ANY(%s::text[])"
                case Holds.NAMES:
                    has = f"{column} && %s::bigint[]"
                case _:
                    has = f"{column} = ANY(%s)"
            cursor = await conn.execute(f'SELECT FROM "{table}" WHERE {has}', ([*traces[holds]],))
            if await cursor.fetchall():
                tables.add(table)
    return tables


async def test_no_trace_of_the_profile_is_left_in_any_table(pool: Pool, shop: Project) -> None:
    traces = await everything(pool, shop)
    gone = (Fate.AT_ONCE, Fate.SETTLED, Fate.WHEN_COMPLETED)
    async with pool.connection() as conn:
        here = {table for table, about in TABLES.items() if about.fate in gone[:2]}
        assert await found(conn, traces, *gone) == here, "the test sees them all"
    outcome = await delete(pool, shop, "ada")
    async with pool.connection() as conn:
        assert await found(conn, traces, *gone) == set()
        other = (await owner(pool, shop, "bob")).person
        assert (
            await read(
                pool, "SELECT DISTINCT person_id FROM ledger WHERE person_id <> %s", other.id
            )
            == []
        )
    assert await state(pool, outcome) == ("completed", True, True)
    left = await read(pool, "SELECT details FROM ingestion_warning")
    assert [row[0] for row in left] == [
        {"distinctId": "bob"},
        {"message": "of nobody"},
        {"distinctId": "x" * 5000},
    ]
    for text in (MARKER, '"quiet"'):
        assert (
            await read(pool, "SELECT FROM distinct_id WHERE distinct_id = %s", text.strip('"'))
            == []
        )
    await folded(pool, other)


async def test_records_hold_no_text() -> None:
    for name, about in TABLES.items():
        if about.fate is Fate.RECORD:
            assert Holds.TEXT not in about.columns.values(), name


async def test_others_with_the_same_names_are_left_alone(pool: Pool, shop: Project) -> None:
    async with pool.connection() as conn:
        other = await project.insert(conn, name="Other", token="phc_other")
        told = [Warning(type="t", at=datetime.now(UTC), details={"distinctId": "ada"})]
        await warning.insert_all(conn, other.id, told)
    await send(pool, shop, set_("ada"))
    await send(pool, other, set_("ada"), set_("anon"), identify("ada", "anon"))
    await delete(pool, shop, "ada", wish=Wish(profile=True, events=True))
    assert await read(pool, "SELECT DISTINCT project_id FROM person") == [(other.id,)]
    assert await read(pool, "SELECT DISTINCT project_id FROM ledger") == [(other.id,)]
    assert await read(pool, "SELECT project_id FROM merge") == [(other.id,)]
    assert await read(pool, "SELECT project_id FROM ingestion_warning") == [(other.id,)]
    await folded(pool, (await owner(pool, other, "ada")).person)


async def test_many_persons_at_once_have_a_receipt_each(pool: Pool, shop: Project) -> None:
    for name in ("ada", "bob", "cyd"):
        await send(pool, shop, set_(name), identify(name, f"{name}-2"))
    outcome = await delete(pool, shop, "ada", "bob-2", "ada-2", "nobody")
    assert outcome.found.keys() == {"ada", "bob-2", "ada-2"}
    assert len(outcome.receipts) == 2
    assert {each.person_uuid for each in outcome.receipts} == {*outcome.found.values()}
    assert {name for name, live in (await names(pool)).items() if live} == {"cyd", "cyd-2"}


# Settling


async def test_an_event_that_was_on_its_way_keeps_its_name(
    pool: Pool, shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send(pool, shop, set_("ada"), identify("ada", "anon"))
    monkeypatch.setattr(deletions, "SETTLE_WAIT_S", 0.05)
    monkeypatch.setattr(deletions, "UNSETTLED_AGE_S", -1)
    async with pool.connection() as conn, conn.transaction():
        await gate.enter(conn, shop.id)
        [(anon,)] = await (
            await conn.execute("SELECT id FROM distinct_id WHERE distinct_id = 'anon'")
        ).fetchall()
        outcome = await delete(pool, shop, "ada")
        assert await state(pool, outcome) == ("running", False, False)
        assert await names(pool) == {"ada": False, "anon": False}
        await conn.execute(
            """
            INSERT INTO event (project_id, distinct_id_id, timestamp, uuid, name, received_at,
                               person_mode, properties)
            VALUES (%s, %s, '2024-03-05', gen_random_uuid(), 'page', now(), 0, '{}')
            """,
            (shop.id, anon),
        )
    assert await deletions.settle_left(pool) == 1
    assert await names(pool) == {"ada": False, "anon": False}
    assert await state(pool, outcome) == ("completed", True, True)


async def test_what_a_killed_server_left_is_settled_by_a_job(
    pool: Pool, shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send(pool, shop, set_("ada", plan="paid"), identify("ada", "silent"), set_("bob"))
    with monkeypatch.context() as patched:

        async def killed(*_: object) -> None:
            raise KeyboardInterrupt

        patched.setattr(deletions, "settle_soon", killed)
        with pytest.raises(KeyboardInterrupt):
            await delete(pool, shop, "ada")
    assert await names(pool) == {"ada": False, "silent": False, "bob": True}
    assert await read(pool, "SELECT state FROM deletion") == [("running",)]

    context: Any = SimpleNamespace(additional_context={"pool": pool})
    left = await sweep.unsettled(context, 0)
    assert left == 0, "whoever asked may be about to settle it"
    await read(
        pool, "UPDATE deletion SET requested_at = requested_at - interval '2 min' RETURNING 1"
    )
    assert await sweep.unsettled(context, 0) == 1
    assert await names(pool) == {"ada": False, "bob": True}
    assert await read(pool, "SELECT state FROM deletion") == [("completed",)]
    assert await sweep.unsettled(context, 0) == 0


async def test_settling_twice_changes_nothing(pool: Pool, shop: Project) -> None:
    await send(pool, shop, set_("ada"), identify("ada", "silent"))
    outcome = await delete(pool, shop, "ada")
    before = await counts(pool, outcome)
    assert await deletions.settle(pool, outcome.receipts)
    assert await counts(pool, outcome) == before
    assert await state(pool, outcome) == ("completed", True, True)


async def test_a_person_of_very_many_ids_is_settled_later(
    pool: Pool, shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send(pool, shop, set_("ada"), identify("ada", "silent"))
    monkeypatch.setattr(deletions, "SETTLED_AT_ONCE_MAX", 1)
    outcome = await delete(pool, shop, "ada")
    assert await state(pool, outcome) == ("running", False, False)
    assert await names(pool) == {"ada": False, "silent": False}


# Asking


async def test_a_receipt_says_who_asked_when(pool: Pool, shop: Project) -> None:
    await send(pool, shop, set_("ada"))
    at = datetime.now(UTC) - timedelta(seconds=7)
    [receipt] = (await delete(pool, shop, "ada", wish=Wish(events=True), at=at)).receipts
    assert (receipt.requested_at, receipt.cutoff) == (at, at)
    assert receipt.api_key_id == 1
    assert receipt.request_id is not None
    assert (receipt.person_id, receipt.person_uuid) == (
        (person := (await owner(pool, shop, "ada")).person).id,
        person.uuid,
    )


async def test_what_waits_for_events_is_not_touched_by_a_later_deletion(
    pool: Pool, shop: Project
) -> None:
    await send(pool, shop, set_("ada"))
    await delete(pool, shop, "ada", wish=Wish(events=True))
    await delete(pool, shop, "ada")
    rows = await read(pool, "SELECT profile, state FROM deletion ORDER BY id")
    assert rows == [(False, "queued"), (True, "completed")]
    [(cutoff,)] = await read(pool, "SELECT cutoff FROM deletion_target")
    assert cutoff is not None


async def test_nothing_asked_for_is_no_receipt(pool: Pool, shop: Project) -> None:
    await send(pool, shop, set_("ada"))
    outcome = await delete(pool, shop, "ada", wish=Wish())
    assert (len(outcome.found), outcome.receipts) == (1, [])


async def test_what_is_left_is_not_called_settled(pool: Pool, shop: Project) -> None:
    """Whatever refers to the person: here the ledger of somebody else."""
    await send(pool, shop, set_("ada"), set_("bob"))
    ada = (await owner(pool, shop, "ada")).person
    bob = (await owner(pool, shop, "bob")).person
    await read(
        pool, "UPDATE ledger SET source_id = %s WHERE person_id = %s RETURNING 1", ada.id, bob.id
    )
    outcome = await delete(pool, shop, "ada")
    assert await state(pool, outcome) == ("running", False, False)
    [(failure,)] = await read(pool, "SELECT failure FROM deletion")
    assert failure == deletions.LEFT
    await read(pool, "UPDATE ledger SET source_id = NULL RETURNING 1")
    assert await deletions.settle(pool, outcome.receipts)
    assert await state(pool, outcome) == ("completed", True, True)
    assert await read(pool, "SELECT failure FROM deletion") == [(None,)]
