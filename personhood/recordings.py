"""Verbs on recordings of sessions: keep what a request brought, and remove it again.

The blob comes first, then the row that refers to it, then the answer: what was answered is there
after a power failure. A blob is doomed from before it is written until its row is committed, so
none is forgotten.
"""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import msgspec
import structlog
import zstandard
from msgspec import Struct
from psycopg import AsyncConnection

from personhood import blobs
from personhood.blobs import Blobs, BlobsAway
from personhood.errors import NotFound, Overloaded, StorageAway
from personhood.identity.distinct_id import person_uuid
from personhood.model import DistinctId, Project, SessionBlock, Warning
from personhood.persons import ATTEMPTS_MAX, BACKOFF_S, CONFLICTS
from personhood.store import distinct_id, doomed_blob, gate, recording
from personhood.store.pool import Pool
from personhood.store.recording import Stay

EXPIRED_PER_STEP = 10
DOOMED_PER_STEP = 1000
NAMES_PER_STEP = 1000
UNPACKED_AT_ONCE = 2
SMALL_BYTES = 64 * 1024
GATE_WAIT_S = 2.0
BLOCKS_MAX = 50_000  # of a session: one a second for most of a day
# Whoever writes a blob has long been answered, or given up, by then.
DOOMED_AGE_S = 600.0

log = structlog.get_logger(__name__)


class Recorder:
    """Keeps recordings; what is on its way counts against a bound, in bytes."""

    def __init__(self, pool: Pool, store: Blobs, *, retention_s: int, bytes_max: int) -> None:
        self.pool, self.store = pool, store
        self.retention = timedelta(seconds=retention_s)
        self.bytes_max, self.bytes = bytes_max, 0
        self.turns = asyncio.Semaphore(UNPACKED_AT_ONCE)

    @asynccontextmanager
    async def turn(self, size: int) -> AsyncIterator[None]:
        """To unpack what was sent, which may grow a hundredfold; what is small need not wait."""
        if size < SMALL_BYTES:
            yield
            return
        async with self.turns:
            yield

    @asynccontextmanager
    async def room(self, size: int) -> AsyncIterator[None]:
        """Raises Overloaded where there is no more; one alone always finds some."""
        if self.bytes and self.bytes + size > self.bytes_max:
            raise Overloaded
        self.bytes += size
        try:
            yield
        finally:
            self.bytes -= size

    async def keep(
        self, project: Project, given: Sequence[SessionBlock], *, received_at: datetime
    ) -> list[Warning]:
        """Returns when all of it is durable: what could not be kept. Sent again, it changes
        nothing. Raises Overloaded, StorageAway.
        """
        paths = [blobs.new_path(project.id, received_at) for _ in given]
        async with self.pool.connection() as conn:
            await doomed_blob.insert_all(conn, paths)
        try:
            for block, path in zip(given, paths, strict=True):
                packed = await asyncio.to_thread(zstandard.compress, block.lines)
                block.recorded = msgspec.structs.replace(block.recorded, bytes=len(packed))
                await self.store.put(path, packed)
        except BlobsAway as error:
            log.warning("recording without a storage", reason=str(error))
            raise StorageAway from error
        rows = list(zip(given, paths, strict=True))
        for attempt in range(ATTEMPTS_MAX):
            try:
                async with self.pool.connection() as conn, conn.transaction():
                    left = await refer(conn, project, rows, retention=self.retention)
                return [too_long(block, at=received_at) for block in left]
            except CONFLICTS:
                await asyncio.sleep(BACKOFF_S * 2**attempt * random.random())
        raise Overloaded


async def refer(
    conn: AsyncConnection,
    project: Project,
    rows: Sequence[tuple[SessionBlock, str]],
    *,
    retention: timedelta,
) -> list[SessionBlock]:
    """Write the rows of blobs that are there; tells which blocks their sessions have no room for.
    The blob of one of these, or of a block that is known, stays doomed.
    """
    # As for events: whoever deletes an id waits until what read it before has been written.
    await gate.enter(conn, project.id)
    # Not when it began to come in: whoever asks for a deletion until now finds all that is older.
    received_at = datetime.now(UTC)
    names = sorted({block.distinct_id for block, _ in rows})
    ids = {name: await row_of(conn, project, name) for name in names}
    spared: list[str] = []
    left: list[SessionBlock] = []
    for block, path in sorted(rows, key=lambda row: row[0].session_id):
        stay = Stay(
            distinct_id_id=ids[block.distinct_id],
            received_at=received_at,
            expires_at=received_at + retention,
        )
        opened = await recording.open(conn, project.id, block, stay=stay)
        if opened.number >= BLOCKS_MAX:
            left.append(block)
            continue
        digest = hashlib.sha256(block.lines).digest()
        if await recording.insert_block(
            conn, opened, block.recorded, stay=stay, path=path, digest=digest
        ):
            await recording.add(conn, opened.id, block.recorded)
            spared.append(path)
    if await doomed_blob.spare_all(conn, spared) < len(spared):
        # It took so long that the blobs were swept away.
        raise Overloaded
    return left


def too_long(block: SessionBlock, *, at: datetime) -> Warning:
    details = {"sessionId": block.session_id, "distinctId": block.distinct_id}
    return Warning(type="replay_session_too_long", at=at, details=details)


async def row_of(conn: AsyncConnection, project: Project, text: str) -> int:
    """The row of a distinct id; one that nobody has named yet becomes nobody's, as in an event
    without a person. Raises UniqueViolation where somebody else makes it at the same time.
    """
    known = await recording.distinct_id_of(conn, project.id, text)
    if known is not None:
        id, is_marked = known
        if not is_marked:
            await recording.mark(conn, id)
        return id
    uuid = person_uuid(project.id, text)
    [reserved] = await distinct_id.reserve(conn, project.id, texts=[text], uuids=[uuid])
    made = DistinctId(
        id=reserved.distinct_id_id,
        project_id=project.id,
        distinct_id=text,
        generation=reserved.generation,
    )
    await distinct_id.insert_all(conn, [made])
    await recording.mark(conn, made.id)
    return made.id


class Removed(Struct, frozen=True):
    """The blobs of removed recordings, doomed from now on, and who sent them."""

    paths: list[str]
    names: list[int]


async def delete(pool: Pool, store: Blobs, project: Project, *, session_id: str) -> None:
    """Remove the recording of a session. Raises NotFound.

    Where the storage is away, its blobs are swept later.
    """
    async with pool.connection() as conn, conn.transaction():
        id = await recording.lock(conn, project.id, session_id)
        if id is None:
            raise NotFound("Recording not found")
        removed = await remove(conn, [id])
    await forget_soon(pool, store, removed.paths)
    await forget_names(pool, project.id, removed.names)


async def remove(conn: AsyncConnection, ids: Sequence[int]) -> Removed:
    """Remove locked recordings."""
    names = await recording.names_of(conn, ids)
    paths = await recording.doom_blocks(conn, ids)
    await recording.delete_empty(conn, ids)
    return Removed(paths, names)


async def forget_soon(pool: Pool, store: Blobs, paths: Sequence[str]) -> None:
    """Remove doomed blobs; where that cannot be done now, it is left to the sweep."""
    try:
        await store.delete_all(paths)
    except BlobsAway as error:
        log.warning("blobs are removed later", blobs=len(paths), reason=str(error))
        return
    async with pool.connection() as conn:
        await doomed_blob.delete_all(conn, paths)


async def forget_names(pool: Pool, project_id: int, names: Sequence[int]) -> None:
    """Remove what persons who are gone were called, with the last that was theirs."""
    async with pool.connection() as conn:
        if await gate.has_emptied(conn, project_id, wait_s=GATE_WAIT_S):
            await recording.drop_nameless(conn, names)


async def sweep_expired(pool: Pool, store: Blobs) -> int:
    """Remove what has been kept for as long as it was to be; tells how many recordings."""
    total = 0
    while True:
        async with pool.connection() as conn, conn.transaction():
            found = await recording.lock_expired(conn, most=EXPIRED_PER_STEP)
            of_projects: dict[int, list[int]] = {}
            for id, project_id in found:
                of_projects.setdefault(project_id, []).append(id)
            removed = {tenant: await remove(conn, ids) for tenant, ids in of_projects.items()}
        for project_id, gone in removed.items():
            await forget_soon(pool, store, gone.paths)
            await forget_names(pool, project_id, gone.names)
        total += len(found)
        if len(found) < EXPIRED_PER_STEP:
            return total


async def sweep_names(pool: Pool) -> int:
    """`forget_names` where a server was killed before it came to that; tells how many it tried."""
    after, total = 0, 0
    while True:
        async with pool.connection() as conn:
            found = await recording.nameless(
                conn, age_s=DOOMED_AGE_S, after=after, most=NAMES_PER_STEP
            )
        of_projects: dict[int, list[int]] = {}
        for id, project_id in found:
            of_projects.setdefault(project_id, []).append(id)
        for project_id, names in of_projects.items():
            await forget_names(pool, project_id, names)
        total += len(found)
        if len(found) < NAMES_PER_STEP:
            return total
        after = found[-1][0]


async def sweep_doomed(pool: Pool, store: Blobs) -> int:
    """Remove blobs that nothing refers to, of servers that were killed; tells how many."""
    removed = 0
    while True:
        async with pool.connection() as conn, conn.transaction():
            paths = await doomed_blob.lock_old(conn, age_s=DOOMED_AGE_S, most=DOOMED_PER_STEP)
            await store.delete_all(paths)
            await doomed_blob.delete_all(conn, paths)
        removed += len(paths)
        if len(paths) < DOOMED_PER_STEP:
            return removed
