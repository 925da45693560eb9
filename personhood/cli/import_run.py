"""The way of imported rows: through the code that captures what SDKs send, in batches.

Several batches are under way at once, and the ingester takes them in the order of the file. What
came of their rows is told in that order too.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import TypeAlias

from msgspec import Struct, field

from personhood.capture import claims
from personhood.capture.intake import Ingester, Submission
from personhood.capture.parse import Sent, parse
from personhood.cli.event_csv import BadRow, Row
from personhood.cli.event_map import BadCell, Reader, encode
from personhood.errors import CaptureError, Overloaded, PersonhoodError
from personhood.model import Event, Project, Warning

BATCH_ROWS_MAX = 500
BATCH_BYTES_MAX = 1024 * 1024
BATCHES_UNDER_WAY_MAX = 6
# The parts of rows that are read but not stored are held too, so this is never what bounds memory.
QUEUE_BYTES = 1024 * 1024 * 1024
ATTEMPTS_MAX = 6
BACKOFF_S = 0.5  # doubled after each attempt: half a minute in all

Batch: TypeAlias = "list[Row | BadRow]"


class Verdict(Struct):
    """What came of a batch. The `known` events were there before, or are twice in the file."""

    imported: int = 0
    known: int = 0
    bad: list[BadRow] = field(default_factory=list)


async def run(
    rows: Iterable[Row | BadRow],
    importer: "Importer",
    *,
    tell: Callable[[Verdict], None],
) -> None:
    """Import all `rows`; `tell` is called with each batch's verdict, in order."""
    under_way: deque[asyncio.Task[Verdict]] = deque()
    try:
        for batch in batches(rows):
            under_way.append(asyncio.create_task(importer.take(batch)))
            await asyncio.sleep(0)  # lets it start, so that batches queue up in order
            if len(under_way) == BATCHES_UNDER_WAY_MAX:
                # Shielded: whoever stops the import does not stop what is half stored.
                tell(await asyncio.shield(under_way[0]))
                under_way.popleft()
    finally:
        # Also when the import is stopped, the file turns out broken, or a batch is not stored.
        for verdict in await asyncio.gather(*under_way, return_exceptions=True):
            if isinstance(verdict, BaseException):
                raise verdict
            tell(verdict)


def batches(rows: Iterable[Row | BadRow]) -> Iterator[Batch]:
    batch: Batch = []
    size = 0
    for row in rows:
        batch.append(row)
        size += len(row.raw)
        if len(batch) == BATCH_ROWS_MAX or size > BATCH_BYTES_MAX:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class Importer:
    """Takes batches of rows for one project."""

    def __init__(self, ingester: Ingester, project: Project, reader: Reader) -> None:
        self.ingester = ingester
        self.project = project
        self.reader = reader

    async def take(self, batch: Batch) -> Verdict:
        """Read and store a batch. Raises PersonhoodError when the database does not take it."""
        bad = {index: row for index, row in enumerate(batch) if isinstance(row, BadRow)}
        events: dict[int, bytes] = {}
        for index, row in enumerate(batch):
            if isinstance(row, Row):
                try:
                    events[index] = self.reader.event(row)
                except BadCell as error:
                    bad[index] = refused(row, str(error))
        now = datetime.now(UTC)
        ready: dict[int, Event] = {}
        warnings: list[Warning] = []
        for index, sent in self.parsed(events, now).items():
            reading = self.read(sent, now)
            if isinstance(reading, str):
                bad[index] = refused(batch[index], reading)
            else:
                ready[index], more = reading
                warnings += more
        return await self.store(batch, ready, warnings=warnings, bad=bad)

    def parsed(self, events: dict[int, bytes], now: datetime) -> "dict[int, Sent | CaptureError]":
        """The events as capture parses them: together, or one by one when one of them is bad."""
        if not events:
            return {}
        try:
            captured = parse(self.body(events.values()), now=now)
        except CaptureError as error:
            if len(events) == 1:
                return dict.fromkeys(events, error)
            return {
                index: outcome
                for index, event in events.items()
                for outcome in self.parsed({index: event}, now).values()
            }
        return dict(zip(events, captured.events, strict=True))

    def body(self, events: Iterable[bytes]) -> bytes:
        token = encode(self.project.token)
        batch = b",".join(events)
        return b'{"api_key":%b,"historical_migration":true,"batch":[%b]}' % (token, batch)

    def read(self, sent: Sent | CaptureError, now: datetime) -> tuple[Event, list[Warning]] | str:
        """The event that is to be stored and what is odd about it, or why there is none."""
        if isinstance(sent, CaptureError):
            return str(sent)
        try:
            reading = claims.read(sent, self.project, received_at=now, ip=None)
        except CaptureError as error:
            return str(error)
        if reading.event is None:
            # Not recorded as ingestion warnings: importing again would record them again.
            return ", ".join(warning.type for warning in reading.warnings)
        return reading.event, reading.warnings

    async def store(
        self,
        batch: Batch,
        ready: dict[int, Event],
        *,
        warnings: list[Warning],
        bad: dict[int, BadRow],
    ) -> Verdict:
        verdict = Verdict()
        if ready:
            size = sum(len(row.raw) for row in batch)
            submission = await self.submitted(list(ready.values()), warnings, size=size)
            unwanted = {
                index: submission.refused[event.uuid]
                for index, event in ready.items()
                if event.uuid in submission.refused
            }
            bad |= {index: refused(batch[index], reason) for index, reason in unwanted.items()}
            verdict.imported = submission.stored
            verdict.known = len(ready) - len(unwanted) - submission.stored
        verdict.bad = [bad[index] for index in sorted(bad)]
        return verdict

    async def submitted(
        self, events: list[Event], warnings: list[Warning], *, size: int
    ) -> Submission:
        for attempt in range(ATTEMPTS_MAX):
            try:
                return await self.ingester.submit(self.project, events, warnings, size=size)
            except Overloaded:
                await asyncio.sleep(BACKOFF_S * 2**attempt)
        raise PersonhoodError(
            "The database does not take any more. What came before is imported; "
            "running it again adds only what is new."
        )


def refused(row: Row | BadRow, reason: str) -> BadRow:
    return BadRow(row.line, row.raw, reason)
