"""The ingester: what capture took waits here until it is durable (design, section 4).

All that waits goes into the database in one transaction, the *group*: a commit costs the same for
one event as for a thousand. A request is answered when the group that holds it has committed.

While PostgreSQL works on one group the next one is made ready, in another *lane*. What names an id
that is in flight waits until it has landed: events of one id happen in the order they came.
"""

import asyncio
from collections import deque
from time import monotonic
from types import TracebackType
from typing import Self
from uuid import UUID

import psycopg
import structlog
from msgspec import Struct, field
from psycopg import errors as pg
from psycopg_pool import PoolTimeout

from personhood import metrics, persons
from personhood.errors import BadCapture, Overloaded
from personhood.model import Event, Project, Warning
from personhood.persons import Outcome, Work
from personhood.store import warning as warning_store
from personhood.store.pool import Pool

GROUP_EVENTS_MAX = 5000
GROUP_BYTES_MAX = 16 * 1024 * 1024
OUTAGE_ATTEMPTS_MAX = 4
OUTAGE_BACKOFF_S = 0.1  # doubled after each attempt
# PostgreSQL says these of the data, not of itself, although they are of an operational class.
DATA_AT_FAULT = (pg.ProgramLimitExceeded, pg.StatementTooComplex)
# Only these refuse an event for good: a missing column or privilege is our fault, not the client's.
REFUSING = (*DATA_AT_FAULT, psycopg.DataError, psycopg.IntegrityError, pg.RaiseException)
# Whoever has waited for a connection in vain has waited long enough.
NOT_TRIED_AGAIN = (*DATA_AT_FAULT, PoolTimeout, pg.LockNotAvailable)
LOCK_PATIENCE_S = 10  # how long a group looks for those of its shares that somebody else locks out

log = structlog.get_logger(__name__)


class Submission(Struct, eq=False):
    """One request's share of a group, and whom to tell.

    When it is `done`, `stored` says how many of its events were new, and `refused` why PostgreSQL
    would not take the others. `names` are all distinct ids that it speaks of; one that is
    `locked_out` has to be sent again.
    """

    project: Project
    events: list[Event]
    warnings: list[Warning]
    bytes: int
    names: set[str]
    done: asyncio.Future[None]
    stored: int = 0
    refused: dict[UUID, str] = field(default_factory=dict)
    locked_out: bool = False


class Ingester:
    """Takes submissions as long as its `async with` block lasts; leaving the block drains it.

    With one lane, events happen in the order they were submitted, whomever they are of.
    """

    def __init__(self, pool: Pool, *, queue_bytes: int, lanes: int = 1) -> None:
        self.pool = pool
        self.queue_bytes_max = queue_bytes
        self.lanes = lanes
        self.in_flight: set[str] = set()
        self.in_flight_bytes = 0
        self.queue: deque[Submission] = deque()
        self.queued_bytes = 0
        self.wake = asyncio.Event()
        self.closed = False

    async def __aenter__(self) -> Self:
        self.tasks = [
            asyncio.create_task(self.run(), name=f"ingester {lane}") for lane in range(self.lanes)
        ]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.closed = True
        self.wake.set()
        await asyncio.gather(*self.tasks)

    async def ingest(
        self, project: Project, events: list[Event], warnings: list[Warning], *, size: int
    ) -> int:
        """Return when `events`, about `size` bytes, are durable and resolved: how many were new.

        Raises Overloaded when the queue is full, the server stops or the database is away, and
        BadCapture when PostgreSQL refuses an event; the other events are stored then.
        """
        submission = await self.submit(project, events, warnings, size=size)
        if submission.refused:
            raise BadCapture("; ".join(submission.refused.values()))
        return submission.stored

    async def submit(
        self, project: Project, events: list[Event], warnings: list[Warning], *, size: int
    ) -> Submission:
        """As `ingest`, for those who want to know which events were refused. Raises Overloaded."""
        if self.closed or (self.queue and self.queued_bytes + size > self.queue_bytes_max):
            raise Overloaded
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        submission = Submission(project, events, warnings, size, names_of(events), done)
        self.queue.append(submission)
        self.queued_bytes += size
        metrics.ingest_queue_bytes.set(self.queued_bytes)
        self.wake.set()
        await done
        return submission

    async def run(self) -> None:
        while True:
            # Beside other lanes only with as much as they have: many small groups cost more.
            if self.queued_bytes >= self.in_flight_bytes and (group := self.take_group()):
                try:
                    await self.ingest_group(group)
                finally:
                    self.land(group)
            elif self.closed and not self.queue:
                return
            else:
                self.wake.clear()
                await self.wake.wait()

    def take_group(self) -> list[Submission]:
        """All that waits, up to the limits of a group, or to one that must wait for others."""
        group: list[Submission] = []
        names: set[str] = set()
        events = size = 0
        while (
            self.queue
            and events < GROUP_EVENTS_MAX
            and size < GROUP_BYTES_MAX
            and self.in_flight.isdisjoint(self.queue[0].names)
        ):
            submission = self.queue.popleft()
            group.append(submission)
            names |= submission.names
            events += len(submission.events)
            size += submission.bytes
        self.in_flight |= names
        self.in_flight_bytes += size
        self.queued_bytes -= size
        metrics.ingest_queue_bytes.set(self.queued_bytes)
        return group

    def land(self, group: list[Submission]) -> None:
        for submission in group:
            self.in_flight -= submission.names
            self.in_flight_bytes -= submission.bytes
        self.wake.set()

    async def ingest_group(self, group: list[Submission]) -> None:
        try:
            await self.store([(each, each.events, each.warnings) for each in group])
        except (Overloaded, psycopg.OperationalError, OSError) as error:
            log.warning("events not stored, clients are told to retry", reason=str(error))
            while isinstance(error, PoolTimeout) and (more := self.take_group()):
                # Those who came meanwhile would wait as long, for nothing either.
                group += more
            settle(group, Overloaded())
        except psycopg.Error:
            log.exception("the database cannot take events")
            settle(group, Overloaded())
        except Exception as error:
            # The clients are told by a 500; this task must live on for those who come after.
            log.exception("ingest group failed")
            settle(group, error)
        else:
            settle(group, None)

    async def store(self, shares: "list[Share]", *, until: float | None = None) -> None:
        """Store the shares together; when that cannot be, in halves, down to the culprit.

        What somebody else has locked is a matter of time: at `until` all that are left give up.
        """
        if until is not None and monotonic() >= until:
            give_up(shares)
            return
        try:
            await self.store_together(shares)
        except (Overloaded, OSError):
            raise
        except pg.LockNotAvailable as error:
            if len(shares) == 1:
                give_up(shares)
            else:
                until = until or monotonic() + LOCK_PATIENCE_S
                await self.store_halves(shares, error, until=until)
        except psycopg.OperationalError as error:
            if not isinstance(error, DATA_AT_FAULT):
                raise
            await self.store_halves(shares, error, until=until)
        except Exception as error:
            await self.store_halves(shares, error, until=until)

    async def store_halves(
        self, shares: "list[Share]", error: Exception, *, until: float | None
    ) -> None:
        if len(shares) > 1:
            middle = len(shares) // 2
            await self.store(shares[:middle], until=until)
            await self.store(shares[middle:], until=until)
            return
        [(submission, events, warnings)] = shares
        if len(events) > 1:
            middle = len(events) // 2
            await self.store([(submission, events[:middle], warnings)], until=until)
            await self.store([(submission, events[middle:], [])], until=until)
        elif events and isinstance(error, REFUSING):
            await self.refuse(submission, events[0], error)
        else:
            raise error

    async def refuse(self, submission: Submission, event: Event, error: psycopg.Error) -> None:
        """Record why the event cannot be stored; its client gets a 400."""
        reason = error.diag.message_primary or type(error).__name__
        log.warning("event refused by the database", event_uuid=str(event.uuid), reason=reason)
        warning = Warning(
            type="schema_validation_failed",
            at=event.received_at,
            event_uuid=event.uuid,
            details={"message": reason},
        )
        async with self.pool.connection() as conn:
            await warning_store.insert_all(conn, submission.project.id, [warning])
        submission.refused[event.uuid] = f"event {event.uuid} cannot be stored: {reason}"

    async def store_together(self, shares: "list[Share]") -> None:
        works = gather(shares)
        attempt = 0
        while True:
            try:
                outcomes = await persons.apply(self.pool, works)
                break
            except psycopg.OperationalError as error:
                # Also when the connection broke in a commit: what it stored is known by its uuid.
                attempt += 1
                if attempt == OUTAGE_ATTEMPTS_MAX or isinstance(error, NOT_TRIED_AGAIN):
                    raise
                await asyncio.sleep(OUTAGE_BACKOFF_S * 2**attempt)
        count(outcomes)
        credit(shares, outcomes)


Share = tuple[Submission, list[Event], list[Warning]]


def names_of(events: list[Event]) -> set[str]:
    names = {event.distinct_id for event in events}
    names.update([event.claim.source for event in events if event.claim is not None])
    return names


def gather(shares: list[Share]) -> list[Work]:
    """One piece of work for each project, its events in the order they came."""
    works: dict[int, Work] = {}
    for submission, events, warnings in shares:
        work = works.setdefault(
            submission.project.id, Work(project=submission.project, events=[], warnings=[])
        )
        work.events += events
        work.warnings += warnings
    return list(works.values())


def give_up(shares: list[Share]) -> None:
    """Their clients are told to send them again, when whoever holds the lock may have let go."""
    log.warning("events not stored, somebody else has locked their persons", requests=len(shares))
    for submission, _, _ in shares:
        submission.locked_out = True


def settle(group: list[Submission], error: Exception | None) -> None:
    for submission in group:
        if submission.done.done():
            continue  # the client has gone
        if error is not None:
            submission.done.set_exception(error)
        elif submission.locked_out:
            submission.done.set_exception(Overloaded())
        else:
            submission.done.set_result(None)


def credit(shares: list[Share], outcomes: list[Outcome]) -> None:
    """Tell each submission how many events are new by it: the first one that brought them."""
    if sum(len(each.stored) for each in outcomes) == sum(len(events) for _, events, _ in shares):
        for submission, events, _ in shares:
            submission.stored += len(events)
        return
    new = {outcome.world.project.id: set(outcome.stored) for outcome in outcomes}
    for submission, events, _ in shares:
        waiting = new[submission.project.id]
        before = len(waiting)
        waiting.difference_update([event.uuid for event in events])
        submission.stored += before - len(waiting)


def count(outcomes: list[Outcome]) -> None:
    metrics.ingest_group_events.observe(sum(len(outcome.stored) for outcome in outcomes))
    metrics.events_stored.inc(sum(len(outcome.stored) for outcome in outcomes))
    for warning in (each for outcome in outcomes for each in outcome.warnings):
        metrics.ingestion_warnings.labels(warning.type).inc()
