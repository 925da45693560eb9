"""Receipts as they are told: how far each deletion is now, for how much of what, and who asked."""

from datetime import UTC, datetime
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection

from personhood import off_peak
from personhood.errors import Conflict, NotFound
from personhood.model import Deletion, DeletionState, Project
from personhood.off_peak import Window
from personhood.store import api_key, deletion_count, deletion_run, forgetting, receipt, trace
from personhood.store.trace import Trace

STARTED = "The deletion has begun, so it cannot be cancelled any more."
SETTLING = "The deletion of the person is just being finished. Please try again."


class Count(Struct, frozen=True, kw_only=True):
    """Of one kind of data; null is "not counted yet"."""

    before: int | None
    removed: int
    left: int | None


class Receipt(Struct, frozen=True, kw_only=True):
    """A deletion as it stands; `until` is what it waits for. `label` is that of the key."""

    deletion: Deletion
    state: DeletionState
    until: datetime | None
    label: str | None
    counts: dict[str, Count]


class Clock(Struct, frozen=True):
    """The window of deletions, at one moment."""

    window: Window | None
    now: datetime

    def opening(self, zone: str) -> datetime:
        return off_peak.opening(self.window, self.now, zone=zone)


def clock(window: str) -> Clock:
    """`window` is the setting's text."""
    return Clock(off_peak.window(window), datetime.now(UTC))


def standing(
    deletion: Deletion, *, zone: str, clock: Clock
) -> tuple[DeletionState, datetime | None]:
    """How far a deletion is, and until when it waits. Pure."""
    if deletion.state not in (DeletionState.QUEUED, DeletionState.WAITING):
        return deletion.state, None
    from_ = clock.now if deletion.retry_at is None else max(clock.now, deletion.retry_at)
    until = off_peak.opening(clock.window, from_, zone=zone)
    if until > clock.now:
        return DeletionState.WAITING, until
    return DeletionState.QUEUED, None


async def page(
    conn: AsyncConnection,
    project: Project,
    filter: receipt.Filter,
    *,
    clock: Clock,
    limit: int,
    offset: int = 0,
) -> list[Receipt]:
    """Receipts of a project, the newest first."""
    is_open = clock.opening(project.timezone) == clock.now
    found = await receipt.page(
        conn, project.id, filter, is_open=is_open, limit=limit, offset=offset
    )
    return await told(conn, project, found, clock=clock)


async def count(
    conn: AsyncConnection, project: Project, filter: receipt.Filter, *, clock: Clock
) -> int:
    is_open = clock.opening(project.timezone) == clock.now
    return await receipt.count(conn, project.id, filter, is_open=is_open)


async def by_uuid(conn: AsyncConnection, project: Project, uuid: UUID, *, clock: Clock) -> Receipt:
    """Raises NotFound."""
    found = await receipt.by_uuid(conn, project.id, uuid)
    if found is None:
        raise NotFound
    [shown] = await told(conn, project, [found], clock=clock)
    return shown


async def cancel(conn: AsyncConnection, project: Project, uuid: UUID, *, clock: Clock) -> Receipt:
    """Call a deletion off; one that is cancelled stays so. Raises NotFound or Conflict."""
    async with conn.transaction():
        found = await receipt.by_uuid(conn, project.id, uuid)
        if found is None:
            raise NotFound
        if await deletion_run.cancel(conn, found.id):
            await forgetting.drop_notes(conn, [found.id])
        elif found.state != DeletionState.CANCELLED:
            waits = found.state in (DeletionState.QUEUED, DeletionState.WAITING)
            raise Conflict(SETTLING if waits and found.started_at is None else STARTED)
    return await by_uuid(conn, project, uuid, clock=clock)


async def traces(conn: AsyncConnection, deletion: Deletion) -> list[Trace]:
    """What is left of a deleted profile, in any row of the database that should not hold it.

    By its surrogate id and uuid; while the receipt is open also by those of all that had merged
    into it, and by its distinct ids. Reads whole tables. A receipt without the profile leaves none:
    who lives on is everywhere.
    """
    if not deletion.profile:
        return []
    is_done = deletion.state == DeletionState.COMPLETED
    return await trace.of_one(conn, deletion.id, events=deletion.events and is_done)


async def told(
    conn: AsyncConnection, project: Project, found: list[Deletion], *, clock: Clock
) -> list[Receipt]:
    counts = await deletion_count.of_all(conn, [each.id for each in found])
    keys = {each.api_key_id for each in found if each.api_key_id is not None}
    labels = await api_key.labels(conn, sorted(keys))
    shown: list[Receipt] = []
    for each in found:
        state, until = standing(each, zone=project.timezone, clock=clock)
        shown.append(
            Receipt(
                deletion=each,
                state=state,
                until=until,
                label=None if each.api_key_id is None else labels.get(each.api_key_id),
                counts={
                    kind: Count(before=before, removed=removed, left=left)
                    for kind, (before, removed, left) in counts.get(each.id, {}).items()
                },
            )
        )
    return shown
