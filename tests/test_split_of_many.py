"""A person of ten thousand distinct ids: merged, written to, split, whole again, and split again.

The laws of `test_splits`, at a size at which every list is long and every batch is full.
"""

from collections import Counter
from datetime import timedelta
from typing import Any

import psycopg

from personhood import persons
from personhood.capture import claims
from personhood.model import Event, Project
from personhood.persons import Work
from personhood.store.pool import Pool
from personhood.verification import Verifier
from tests.laws import Kept
from tests.test_merges import History, tenant
from tests.test_persons import NOW, sent
from tests.test_splits import apart, split, undo

GROUP = 500
ANON = [f"a{number}" for number in range(5_000)]
USER = [f"u{number}" for number in range(5_000)]
NAMES = ANON + USER
HISTORY: History = [
    # All are persons first; every tenth of them with properties of its own.
    *(
        ("page", name, {"$set": {"n": number % 7, name[0]: number}} if number % 10 == 0 else {})
        for number, name in enumerate(NAMES)
    ),
    *(("$merge_dangerously", "a0", {"alias": name}) for name in ANON[1:]),
    *(("$merge_dangerously", "u0", {"alias": name}) for name in USER[1:]),
    ("$merge_dangerously", "u0", {"alias": "a0"}),
    *(
        ("$set", name, {"$set": {"last": name, "n": number % 5, f"k{number % 50}": number}})
        for number, name in enumerate(NAMES)
        if number % 5 == 0
    ),
]
People = dict[frozenset[str], dict[str, Any]]


async def test_merge_writes_split_undo_split(pool: Pool, database: str) -> None:
    real, apart_by_side, all_apart = [await tenant(pool) for _ in range(3)]
    await play(pool, real, HISTORY)
    await play(pool, apart_by_side, apart(HISTORY, set(ANON)))
    await play(pool, all_apart, apart(HISTORY, set(NAMES)))
    whole = people(database, real)
    assert [len(ids) for ids in whole] == [len(NAMES)]

    outcome = await split(pool, real, "u0", *ANON)
    assert len(outcome.parts) == len(ANON)
    assert people(database, real) == people(database, apart_by_side)
    await undo(pool, real, "u0", outcome)
    assert people(database, real) == whole

    outcome = await split(pool, real, "u0", main="u0")
    assert len(outcome.parts) == len(NAMES) - 1
    assert people(database, real) == people(database, all_apart)
    report = await Verifier(pool=pool, project_id=real.id).run()
    assert (report.findings, report.distinct_ids) == ([], len(NAMES))


async def play(pool: Pool, of: Project, history: History) -> None:
    """Let the history happen, an event a second."""
    for start in range(0, len(history), GROUP):
        events: list[Event] = []
        for number, (name, id, said) in enumerate(history[start : start + GROUP], start):
            received_at = NOW + timedelta(seconds=number)
            reading = claims.read(sent(name, id, **said), of, received_at=received_at, ip=None)
            assert reading.event is not None
            events.append(reading.event)
        await persons.apply(pool, [Work(project=of, events=events)])


def people(url: str, of: Project) -> People:
    """Everybody by ids; without uuids, and without who made them."""
    with psycopg.connect(url) as conn:
        conn.execute("SET timezone = 'UTC'")
        kept = Kept(conn, of.id)
    events = Counter(kept.root(kept.ids[each.distinct_id_id].person_id).id for each in kept.events)
    found: People = {}
    for id, names in kept.families().items():
        row = kept.persons[id]
        row.properties.pop("$creator_event_uuid", None)
        found[frozenset(names)] = {
            "properties": row.properties,
            "is_identified": row.is_identified,
            "created_at": row.created_at,
            "last_seen_at": row.last_seen_at,
            "events": events[id],
        }
    return found
