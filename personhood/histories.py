"""What is stored of persons, as steps to go through again, and the entries that tell the outcome.

Shared by the verbs that change what has been: `merges` and `splits`.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import TypeAlias, TypeVar, cast
from uuid import UUID

from msgspec.structs import replace
from psycopg import AsyncConnection

from personhood.identity import properties
from personhood.identity.merge import claim_of
from personhood.identity.replay import Bend, Key, Link, Replay, State, Write, absorb, key, place
from personhood.ledger import clocks
from personhood.model import (
    JSON,
    Cause,
    Entry,
    EntryKind,
    Event,
    Merge,
    Person,
    Properties,
)
from personhood.store import event_ends
from personhood.store.event import Written
from personhood.store.history import Absorbed, Sent

CLOCKS_AT_ONCE = 50

T = TypeVar("T")
Item: TypeAlias = Link | Write | Absorbed
Keyed: TypeAlias = tuple[Key, Item]


def event_of(row: Written, name: str) -> Event:
    """The event as the rules see it; `name` is its sender's."""
    said: Properties = {"alias": row.alias}
    if row.claims_by_anon:
        said["$anon_distinct_id"] = row.anon_distinct_id
    return Event(
        uuid=row.uuid,
        name=row.name,
        distinct_id=name,
        timestamp=row.timestamp,
        received_at=row.received_at,
        properties=b"",
        claim=claim_of(row.name, said, distinct_id=name),
        set=as_object(row.set),
        set_once=as_object(row.set_once),
        unset=properties.unset_keys(row.unset),
        historical=row.historical,
    )


def as_object(value: JSON) -> Properties:
    return cast(Properties, value) if isinstance(value, dict) else {}


def write_of(row: Sent) -> Write:
    sent = event_of(row, row.text)
    return Write(
        version=row.person_version,
        # Of one version, the event that made it came first: the others found it made.
        order=(int(not row.changed), row.received_at, row.uuid.int),
        leaf_id=row.leaf_id,
        event=sent,
        claims=sent.claim.source if sent.claim and not row.revoked else None,
    )


def write_told(entry: Entry, leaf_id: int) -> Write:
    """The write that an entry tells of, whose event is no longer stored."""
    change = Event(
        uuid=entry.cause.event_uuid or UUID(int=0),
        name="$set",
        distinct_id="",
        timestamp=entry.at,
        received_at=entry.at,
        properties=b"",
        set=entry.after,
        unset=tuple(entry.before.keys() - entry.after.keys()),
    )
    return Write(
        version=entry.version,
        order=(0, entry.at, change.uuid.int),
        leaf_id=leaf_id,
        event=change,
    )


def link_of(row: Merge) -> Link:
    return Link(
        merge_id=row.id,
        version=row.target_version,
        source_id=row.source_id,
        target_id=row.target_id,
        source_leaf_id=row.source_leaf_id,
        target_leaf_id=row.target_leaf_id,
        event_uuid=row.event_uuid,
        at=row.recorded_at,
    )


def unrecorded(rows: dict[int, Person], links: list[Link]) -> list[Link]:
    """Pointers of which no merge tells."""
    sources = {link.source_id for link in links}
    return [
        Link(
            merge_id=0,
            version=row.version + 1,
            source_id=id,
            target_id=row.merged_into_id,
            source_leaf_id=id,
            target_leaf_id=row.merged_into_id,
        )
        for id, row in rows.items()
        if id not in sources and row.merged_into_id in rows
    ]


async def timed(
    conn: AsyncConnection, project_id: int, links: Iterable[Link], *, bends: list[Bend]
) -> list[Link]:
    """The links with the times of their events, where an order by time is asked for."""
    links = list(links)
    if not bends:
        return links
    uuids = {link.event_uuid for link in links if link.event_uuid is not None}
    received = await event_ends.received(conn, project_id, uuids)
    return [
        replace(link, at=received[link.event_uuid])
        if link.event_uuid is not None and link.event_uuid in received
        else link
        for link in links
    ]


def take_step(replay: Replay, item: Item, *, apart: Collection[str]) -> None:
    """Let a replay go on by one; who `apart` names is not identified by being claimed."""
    match item:
        case Link():
            replay.merge(item.source_id, item.target_id, by=item.event_uuid)
        case Absorbed():
            gained = State(item.properties, item.is_identified, item.created_at, item.clock)
            into = replay.states[replay.root(item.leaf_id)]
            absorb(gained, into=into, historical=item.historical)
        case Write():
            replay.write(item, identifies=item.claims not in apart)


async def clocked(
    conn: AsyncConnection, project_id: int, rows: AsyncIterator[Absorbed]
) -> AsyncGenerator[Absorbed, None]:
    """The same with clocks; some at a time, since a family may have absorbed very many."""
    batch: list[Absorbed] = []
    async for row in rows:
        batch.append(row)
        if len(batch) == CLOCKS_AT_ONCE:
            for each in await with_clocks(conn, project_id, batch):
                yield each
            batch = []
    for each in await with_clocks(conn, project_id, batch) if batch else []:
        yield each


async def with_clocks(
    conn: AsyncConnection, project_id: int, rows: Sequence[Absorbed]
) -> list[Absorbed]:
    known = await clocks.of_persons(conn, project_id, [row.source_id for row in rows])
    uuids = {row.event_uuid for row in rows if row.event_uuid is not None}
    imports = await event_ends.imported(conn, project_id, uuids)
    return [
        replace(row, clock=known[row.source_id], historical=row.event_uuid in imports)
        for row in rows
    ]


async def keyed(rows: AsyncIterator[Item], bends: list[Bend]) -> AsyncGenerator[Keyed, None]:
    async for row in rows:
        if isinstance(row, Absorbed):
            yield (place(row.version, row.at, bends), 0, None), row
        else:
            yield key(row, bends), row


async def in_order(*streams: AsyncGenerator[Keyed, None]) -> AsyncGenerator[Item, None]:
    """Several ordered streams as one."""
    heads: dict[int, Keyed] = {}

    async def advance(number: int) -> None:
        head = await anext(streams[number], None)
        if head is not None:
            heads[number] = head

    for number in range(len(streams)):
        await advance(number)
    while heads:
        number = min(heads, key=lambda number: (heads[number][0], number))
        yield heads.pop(number)[1]
        await advance(number)


def same(row: Person, state: State) -> bool:
    return (
        row.created_at == (state.created_at or row.created_at)
        and row.is_identified == state.is_identified
        and not properties.difference(row.properties, state.properties)
    )


def told(
    row: Person, state: State, *, kind: EntryKind, by: Cause, source_id: int | None = None
) -> Entry:
    """The entry that leads from the row to the state; its version is the row's."""
    change = properties.difference(row.properties, state.properties)
    created_at = None if row.created_at == state.created_at else state.created_at
    return Entry(
        person_id=row.id,
        version=row.version,
        kind=kind,
        at=datetime.now(UTC),
        cause=by,
        before=change.before,
        after=change.after,
        is_identified=None if row.is_identified == state.is_identified else state.is_identified,
        created_at=created_at,
        source_id=source_id,
    )


def take(row: Person, state: State) -> None:
    row.properties = state.properties
    row.is_identified = state.is_identified
    row.created_at = state.created_at or row.created_at


async def listed(items: Iterable[Item]) -> AsyncGenerator[Item, None]:
    for item in items:
        yield item


async def batched(rows: AsyncIterator[T], size: int) -> AsyncGenerator[list[T], None]:
    batch: list[T] = []
    async for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
