"""The end of deletions: the names go with the last of their events, what may be left is looked for,
and a receipt is closed only where nothing is.
"""

from collections.abc import Sequence

import psycopg
from psycopg import AsyncConnection

from personhood.model import Deletion
from personhood.store import (
    deletion_check,
    deletion_count,
    deletion_event,
    deletion_run,
    forgetting,
    gate,
)

GATE_WAIT_S = 10.0
QUOTING = ("22", "23")  # classes of PostgreSQL's errors that quote values
NAMED = "Events that name the person are still coming."
CHANGED = "Something is left that has come since it was looked for."


class NotDone(Exception):
    """What keeps deletions from being completed, for now."""


async def pass_gate(conn: AsyncConnection, project_id: int) -> None:
    """Until whatever read an id before it was asked for has written its events. Raises NotDone."""
    if not await gate.has_emptied(conn, project_id, wait_s=GATE_WAIT_S):
        raise NotDone("Events that were sent before are still being stored.")


async def close_all(conn: AsyncConnection, receipts: Sequence[Deletion]) -> dict[int, str]:
    """Close receipts of one project whose events and recordings are gone; tells by receipt what
    keeps it open. Raises NotDone.
    """
    [project_id] = {each.project_id for each in receipts}
    ids = [each.id for each in receipts]
    profiles = [each.id for each in receipts if each.profile]
    # Of whom lives on, an id may end any time, and events of it be on their way: of these only
    # those go that had ended before the gate. (All of a profile's had.)
    ended = await forgetting.ended_ids(conn, [each.id for each in receipts if not each.profile])
    await pass_gate(conn, project_id)
    async with conn.transaction():
        await forgetting.take_time(conn)
        await deletion_event.plain_plans(conn)
        left = await deletion_check.left(conn, profiles)
        for id in await deletion_check.told_in_warnings(conn, profiles):
            left.setdefault(id, set()).add("ingestion_warning")
        await forgetting.drop_nameless(conn, profiles)
        await forgetting.drop_nameless(conn, ids, among=ended)
        names = await deletion_check.names_left(conn, profiles)
        await deletion_count.set_remaining(conn, "ids", names)
        done = await deletion_run.complete_all(conn, [id for id in ids if id not in left])
        await forgetting.drop_notes(conn, done)
    closed = {*done}
    return {
        id: f"There is something left in {', '.join(sorted(left[id]))}." if id in left else CHANGED
        for id in ids
        if id not in closed
    }


def reason_of(error: Exception) -> str:
    """What a receipt and the log say: nothing that an error may quote of anybody's data."""
    match error:
        case NotDone():
            return str(error)
        case psycopg.Error(sqlstate=str(code)) if code[:2] not in QUOTING:
            return f"{type(error).__name__}: {error.diag.message_primary}"
        case _:
            return type(error).__name__
