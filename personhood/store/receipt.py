"""Receipts of deletions, read: one, and pages of them."""

from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import class_row

from personhood.model import Deletion, DeletionState

OPEN: tuple[str, ...] = (DeletionState.QUEUED, DeletionState.WAITING)
# In these may be also what asks for a profile alone; there is no index by which to find it.
ALSO_OF_PROFILES: tuple[str, ...] = (DeletionState.RUNNING, DeletionState.COMPLETED)


class Filter(Struct, frozen=True, kw_only=True):
    """None asks for nothing. The state is the one that is shown: what is stored as queued or as
    waiting is queued while it may run, and waits while it may not."""

    state: DeletionState | None = None
    person_uuid: UUID | None = None


async def by_uuid(conn: AsyncConnection, project_id: int, uuid: UUID) -> Deletion | None:
    async with conn.cursor(row_factory=class_row(Deletion)) as cursor:
        await cursor.execute(
            """
            SELECT id, uuid, project_id, person_id, person_uuid, profile, events, recordings,
                   requested_at, cutoff, state, api_key_id, request_id, failure, started_at,
                   settled_at, completed_at, verified_at, attempts, retry_at
              FROM deletion
             WHERE project_id = %(project_id)s
               AND uuid = %(uuid)s
            """,
            {"project_id": project_id, "uuid": uuid},
        )
        return await cursor.fetchone()


async def project_of(conn: AsyncConnection, uuid: UUID) -> int | None:
    """Whose receipt it is; for those who may see every project."""
    cursor = await conn.execute(
        "SELECT project_id FROM deletion WHERE uuid = %(uuid)s", {"uuid": uuid}
    )
    row = await cursor.fetchone()
    return None if row is None else row[0]


async def page(
    conn: AsyncConnection,
    project_id: int,
    filter: Filter,
    *,
    is_open: bool,
    limit: int,
    offset: int,
) -> list[Deletion]:
    """The newest first; `is_open` is whether deletions of the project may run now."""
    async with conn.cursor(row_factory=class_row(Deletion)) as cursor:
        await cursor.execute(
            """
            SELECT id, uuid, project_id, person_id, person_uuid, profile, events, recordings,
                   requested_at, cutoff, state, api_key_id, request_id, failure, started_at,
                   settled_at, completed_at, verified_at, attempts, retry_at
              FROM deletion
             WHERE project_id = %(project_id)s
               AND (%(states)b::text[] IS NULL OR state = ANY(%(states)b::text[]))
               AND (NOT %(apart)s OR state_apart = ANY(%(states)b::text[]))
               AND (%(put_off)s::boolean IS NULL
                    OR (retry_at IS NOT NULL AND retry_at > now()) = %(put_off)s)
               AND (%(person_uuid)s::uuid IS NULL OR person_uuid = %(person_uuid)s)
             ORDER BY id DESC
             LIMIT %(limit)s OFFSET %(offset)s
            """,
            {
                **parameters(project_id, filter, is_open=is_open),
                "limit": limit,
                "offset": offset,
            },
        )
        return await cursor.fetchall()


async def count(conn: AsyncConnection, project_id: int, filter: Filter, *, is_open: bool) -> int:
    """How many receipts all pages hold."""
    cursor = await conn.execute(
        """
        SELECT count(*)
          FROM deletion
         WHERE project_id = %(project_id)s
           AND (%(states)b::text[] IS NULL OR state = ANY(%(states)b::text[]))
           AND (NOT %(apart)s OR state_apart = ANY(%(states)b::text[]))
           AND (%(put_off)s::boolean IS NULL
                OR (retry_at IS NOT NULL AND retry_at > now()) = %(put_off)s)
           AND (%(person_uuid)s::uuid IS NULL OR person_uuid = %(person_uuid)s)
        """,
        parameters(project_id, filter, is_open=is_open),
    )
    row = await cursor.fetchone()
    assert row is not None, "an aggregate gives its row"
    return row[0]


def parameters(project_id: int, filter: Filter, *, is_open: bool) -> dict[str, object]:
    states: list[str] | None = None
    put_off = None
    match filter.state:
        case None:
            pass
        case DeletionState.QUEUED:
            states, put_off = list(OPEN) if is_open else [], False if is_open else None
        case DeletionState.WAITING:
            states, put_off = list(OPEN), True if is_open else None
        case state:
            states = [str(state)]
    return {
        "project_id": project_id,
        "states": states,
        "apart": states is not None and not {*ALSO_OF_PROFILES} & {*states},
        "put_off": put_off,
        "person_uuid": filter.person_uuid,
    }
