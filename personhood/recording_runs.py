"""Removing recordings for a deletion: the blocks in steps, then their blobs, all of it counted.

May be killed at any line. A block goes together with the note that its blob is to go, and a blob
before that note.
"""

from collections.abc import Callable
from typing import Protocol

from psycopg import AsyncConnection

from personhood.blobs import Blobs
from personhood.store import deletion_count, deletion_recording, doomed_blob, recording

BLOCKS_PER_STEP = 500
BLOBS_PER_STEP = 200


class Storage(Protocol):
    """Opens the storage of recordings when there is something to remove from it."""

    def __call__(self) -> Blobs: ...


async def remove(
    conn: AsyncConnection, deletion_id: int, storage: Storage, *, may_go_on: Callable[[], bool]
) -> bool:
    """False where the time to run was over before the end. Raises BlobsAway."""
    recordings, blocks = await deletion_recording.count(conn, deletion_id)
    doomed = await doomed_blob.count(conn, deletion_id)
    await deletion_count.set_before(conn, "recordings", {deletion_id: recordings})
    await deletion_count.set_before(conn, "blobs", {deletion_id: blocks + doomed})
    if not await remove_blocks(conn, deletion_id, may_go_on=may_go_on):
        return False
    if await doomed_blob.count(conn, deletion_id) and not await remove_blobs(
        conn, deletion_id, storage(), may_go_on=may_go_on
    ):
        return False
    recordings, blocks = await deletion_recording.count(conn, deletion_id)
    doomed = await doomed_blob.count(conn, deletion_id)
    await deletion_count.set_remaining(conn, "recordings", {deletion_id: recordings})
    await deletion_count.set_remaining(conn, "blobs", {deletion_id: blocks + doomed})
    return True


async def remove_blocks(
    conn: AsyncConnection, deletion_id: int, *, may_go_on: Callable[[], bool]
) -> bool:
    since = 0
    while True:
        if not may_go_on():
            return False
        async with conn.transaction():
            found = await deletion_recording.find(
                conn, deletion_id, since=since, most=BLOCKS_PER_STEP
            )
            if found is None:
                return True
            touched = sorted({*found.recordings})
            await deletion_recording.lock(conn, touched)
            await deletion_recording.doom(conn, deletion_id, found)
            await recording.delete_empty(conn, touched)
            await deletion_recording.recount(conn, touched)
        since = found.last_id


async def remove_blobs(
    conn: AsyncConnection, deletion_id: int, store: Blobs, *, may_go_on: Callable[[], bool]
) -> bool:
    while True:
        paths = await doomed_blob.of_deletion(conn, deletion_id, most=BLOBS_PER_STEP)
        if not paths:
            return True
        if not may_go_on():
            return False
        await store.delete_all(paths)
        async with conn.transaction():
            await doomed_blob.delete_all(conn, paths)
            await deletion_count.add_removed(conn, "blobs", {deletion_id: len(paths)})
