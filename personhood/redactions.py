"""Taking what came of a forgotten person out of the ledgers of those it was once one with."""

from collections.abc import Sequence

from psycopg import AsyncConnection

from personhood.ledger.redaction import Forgotten, redacted
from personhood.store import clock, entry, neighbour, root


async def redact_neighbours(
    conn: AsyncConnection, project_id: int, deletions: Sequence[int]
) -> None:
    """For each of these deletions of profiles. May run again.

    The persons stay what they are; only versions of theirs in which they were one with the
    forgotten are told otherwise. Undoing and splitting go by these, and wait for it.
    """
    noted = await neighbour.of_all(conn, deletions)
    if not noted:
        return
    await root.lock(conn, project_id, {id for near in noted.values() for id in near})
    for deletion_id, near in noted.items():
        for person_id in near:
            await redact(conn, project_id, person_id, deletion_id=deletion_id, near=near)
    await neighbour.forget(conn, deletions)


async def redact(
    conn: AsyncConnection, project_id: int, person_id: int, *, deletion_id: int, near: set[int]
) -> None:
    entries = await entry.of_person(conn, project_id, person_id)
    sources = {each.source_id for each in entries if each.source_id is not None}
    ids = {id for each in entries for id in each.ids}
    ids |= {each.cause.distinct_id_id for each in entries if each.cause.distinct_id_id is not None}
    forgotten = Forgotten(
        persons=await neighbour.persons_among(conn, deletion_id, sources),
        ids=await neighbour.ids_among(conn, deletion_id, ids),
        near=near,
    )
    if changed := redacted(entries, forgotten):
        await entry.rewrite_all(conn, project_id, changed)
    await clock.delete_all(conn, project_id, [person_id])
