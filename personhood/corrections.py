"""Verbs of the API on the properties of one person (contract: persons-api, 1.1, 1.5 and 1.9).

A correction is an event of the person's first distinct id, so it goes through the same rules as
everything that SDKs send. The person is locked before anything of it is read: what `expected` says
of it still holds when the correction is written, and nobody gets it who was split off or made anew
meanwhile. The line of the activity log comes with the same transaction.
"""

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import uuid4

from msgspec import Struct, field
from psycopg import AsyncConnection, errors

from personhood.errors import Conflict, InvalidInput, NotFound, Overloaded, PreconditionFailed
from personhood.identity.properties import NO_CHANGE, Change
from personhood.identity.size import BYTES_MAX
from personhood.model import Activity, ActivityKind, Cause, Event, Person, Project, Properties
from personhood.persons import ATTEMPTS_MAX, BACKOFF_S, CONFLICTS, Outcome, Stale, Work, apply_work
from personhood.store import activity, event, person, person_lookup
from personhood.store.pool import Pool, encode

TOO_LARGE = "person_properties_size_violation"


class Correction(Struct, frozen=True, kw_only=True):
    """Keys to set or to remove, and whose wish it is.

    `expected` tells whether the person, as it is found under its lock, is the one to be changed.
    """

    kind: ActivityKind
    by: Cause
    set: Properties = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    expected: Callable[[Person], bool] | None = None


class Corrected(Struct, frozen=True):
    """The person afterwards, and what changed."""

    person: Person
    change: Change


async def correct(
    pool: Pool, project: Project, person_id: int, *, correction: Correction
) -> Corrected:
    """Raises NotFound when the person is no root (any more), PreconditionFailed when it is not the
    expected one, InvalidInput when it would be too large, Conflict when it has no distinct id.
    """
    for attempt in range(ATTEMPTS_MAX):
        now = datetime.now(UTC)
        try:
            async with pool.connection() as conn, conn.transaction():
                return await correct_in(conn, project, person_id, correction=correction, now=now)
        except errors.CheckViolation:
            # The first event of its month.
            async with pool.connection() as conn:
                await event.make_partition(conn, event.month_of(now))
        except (Stale, *CONFLICTS):
            await asyncio.sleep(BACKOFF_S * 2**attempt * random.random())
    raise Overloaded


async def correct_in(
    conn: AsyncConnection,
    project: Project,
    person_id: int,
    *,
    correction: Correction,
    now: datetime,
) -> Corrected:
    if person_id not in await person.lock(conn, [person_id]):
        raise NotFound
    if correction.expected is not None:
        found = (await person.by_ids(conn, [person_id]))[person_id]
        if not correction.expected(found):
            raise PreconditionFailed
    names = await person_lookup.distinct_ids_of(conn, [person_id], limit=1)
    if not names[person_id]:
        raise Conflict("This person has no distinct id that an event could be sent by.")
    sent = event_of(correction, names[person_id][0], now=now)
    by = correction.by
    work = Work(project=project, events=[sent], api_key_id=by.api_key_id, request_id=by.request_id)
    outcome = await apply_work(conn, work)
    if correction.set and any(each.type == TOO_LARGE for each in outcome.warnings):
        raise InvalidInput(f"The person's properties would exceed {BYTES_MAX} bytes.")
    return await logged(conn, correction, sent, outcome=outcome)


async def logged(
    conn: AsyncConnection, correction: Correction, sent: Event, *, outcome: Outcome
) -> Corrected:
    """Write the line of the activity log; also a correction that changes nothing has one."""
    world = outcome.world
    after = world.root(sent.distinct_id)
    assert after is not None, "the id has a person, which is locked"
    entry = next(iter(world.entries), None)
    line = Activity(
        kind=correction.kind,
        person_id=after.id,
        person_uuid=after.uuid,
        version=None if entry is None else entry.version,
        cause=Cause(
            event_uuid=sent.uuid,
            distinct_id_id=world.ids[sent.distinct_id].id,
            api_key_id=correction.by.api_key_id,
            request_id=correction.by.request_id,
        ),
    )
    await activity.insert_all(conn, after.project_id, [line])
    change = NO_CHANGE if entry is None else Change(entry.before, entry.after)
    return Corrected(after, change)


def event_of(correction: Correction, distinct_id: str, *, now: datetime) -> Event:
    if correction.unset:
        name, said = "$delete_person_property", {"$unset": list(correction.unset)}
    else:
        name, said = "$set", {"$set": correction.set}
    return Event(
        uuid=uuid4(),
        name=name,
        distinct_id=distinct_id,
        timestamp=now,
        received_at=now,
        properties=encode(said),
        set=correction.set,
        unset=correction.unset,
        updates_last_seen_at=False,
    )
