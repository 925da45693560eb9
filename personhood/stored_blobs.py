"""Whether what lies in the storage of recordings is what rows refer to, no more and no less."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from personhood.blobs import Blobs
from personhood.store import blob_check
from personhood.store.blob_check import LostBlock
from personhood.store.pool import Pool

TOLD_MAX = 10_000  # of each kind
CLOCKS_DIFFER = timedelta(minutes=5)


class Stored(Struct, frozen=True):
    """Blobs that nothing refers to, and blocks of recordings whose blob is not there."""

    looked_at: int
    strays: list[str]
    lost: list[LostBlock]


async def compare(pool: Pool, storage: Blobs, *, tell: Callable[[int], None]) -> Stored:
    """While servers work. `tell` hears of blobs that were looked at. Raises BlobsAway."""
    # A blob is there before its row says when it came; clocks of servers may differ a little.
    until = datetime.now(UTC) - CLOCKS_DIFFER
    looked_at = 0
    async with pool.connection() as conn, blob_check.listing(conn):
        async for names in storage.names():
            await blob_check.note(conn, names)
            looked_at += len(names)
            tell(len(names))
        strays = await blob_check.strays(conn, most=TOLD_MAX)
        lost = await blob_check.lost(conn, until=until, most=TOLD_MAX)
    # One that was about to be removed when it was listed is gone by now.
    return Stored(looked_at, [path for path in strays if await storage.has(path)], lost)
