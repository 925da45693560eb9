"""What did something to a person, as the API shows it: an event, or somebody's key."""

from collections.abc import Iterable
from typing import Protocol
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection

from personhood.api.history_docs import EventCause, KeyCause
from personhood.store import activity_facts


class Caused(Protocol):
    @property
    def event_uuid(self) -> UUID | None: ...
    @property
    def distinct_id_id(self) -> int | None: ...
    @property
    def api_key_id(self) -> int | None: ...
    @property
    def label(self) -> str | None: ...


class Named(Struct, frozen=True):
    """What is only numbered: the names of events, and distinct ids that are in use."""

    events: dict[UUID, str]
    texts: dict[int, str]


async def named(conn: AsyncConnection, project_id: int, rows: Iterable[Caused]) -> Named:
    rows = list(rows)
    uuids = list({each.event_uuid for each in rows if each.event_uuid is not None})
    ids = {each.distinct_id_id for each in rows if each.distinct_id_id is not None}
    return Named(
        events=await activity_facts.event_names(conn, project_id, uuids) if uuids else {},
        texts=await activity_facts.texts(conn, project_id, ids) if ids else {},
    )


def event(row: Caused, named: Named) -> EventCause | None:
    if row.event_uuid is None:
        return None
    return EventCause(row.event_uuid, named.events.get(row.event_uuid))


def key(row: Caused) -> KeyCause | None:
    """Of an event no key is told: it came by the project's token."""
    return None if row.api_key_id is None else KeyCause(row.api_key_id, row.label)
