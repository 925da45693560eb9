"""Events: stored once by uuid, in monthly partitions that are made when their month comes up."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection, sql

from personhood.identity import group
from personhood.identity.world import Applied
from personhood.model import JSON, Event, PersonMode
from personhood.raw_json import spliced
from personhood.store import arrays
from personhood.store.copying import INT8, NULL, copy_in, jsonb, microseconds, text

FIRST_MONTH = (1990, 1)
Month = tuple[int, int]  # year, month


class Row(Struct, frozen=True):
    """An event and how it stood to its person."""

    event: Event
    applied: Applied

    def properties(self, types: Mapping[str, int]) -> bytes:
        """What is stored of its properties; `types` are the indexes of group types."""
        event = self.event
        if self.applied.mode is PersonMode.FULL:
            if event.groups and (added := group.indexed(event, types)):
                return spliced(event.properties, added)
            return event.properties
        return event.personless_properties or event.properties


async def known(conn: AsyncConnection, project_id: int, uuids: Sequence[UUID]) -> set[UUID]:
    """Which of `uuids` are stored already, in whatever month."""
    cursor = await conn.execute(
        """
        SELECT uuid
          FROM event_key
         WHERE project_id = %(project_id)s
           AND uuid = ANY(%(uuids)b::uuid[])
        """,
        {"project_id": project_id, "uuids": arrays.uuids(uuids)},
        binary=True,
    )
    return {row[0] async for row in cursor}


EVENT = struct.Struct("!hiqiqiqi16si").pack
PERSON = struct.Struct("!iqiqiqih").pack
MODE = struct.Struct("!ih").pack
TRUE = struct.pack("!i?", 1, True)


async def insert_keys(conn: AsyncConnection, project_id: int, rows: Sequence[Row]) -> None:
    """Raises UniqueViolation (event_key_pkey) when somebody else stored one of them meanwhile."""
    # By uuid, so that two groups with the same events wait for one another in one order only.
    rows = sorted(rows, key=lambda row: row.event.uuid.bytes)
    await conn.execute(
        """
        INSERT INTO event_key (project_id, uuid, distinct_id_id, timestamp)
        SELECT %(project_id)s, *
          FROM unnest(%(uuids)b::uuid[], %(distinct_ids)b::bigint[], %(times)b::timestamptz[])
        """,
        {
            "project_id": project_id,
            "uuids": arrays.uuids([row.event.uuid for row in rows]),
            "distinct_ids": arrays.int8s([row.applied.distinct_id_id for row in rows]),
            "times": arrays.times([row.event.timestamp for row in rows]),
        },
    )


async def insert_all(
    conn: AsyncConnection, project_id: int, rows: Sequence[Row], *, types: Mapping[str, int]
) -> None:
    """Store events; `types` are the indexes of the group types that they name."""
    await copy_in(
        conn,
        b"""
        COPY event (project_id, distinct_id_id, timestamp, uuid, name, received_at, person_id,
                    person_version, person_mode, elements_chain, properties, historical)
        FROM STDIN (FORMAT BINARY)
        """,
        [pack(project_id, row, types) for row in rows],
    )


def pack(project_id: int, row: Row, types: Mapping[str, int]) -> bytes:
    event, applied = row.event, row.applied
    name, raw = event.name.encode(), row.properties(types)
    received_at = microseconds(event.received_at)
    if applied.person_id is None or applied.version is None:
        person = INT8(8, received_at) + NULL + NULL + MODE(2, applied.mode)
    else:
        person = PERSON(8, received_at, 8, applied.person_id, 8, applied.version, 2, applied.mode)
    parts = (
        EVENT(
            12,
            8, project_id,
            8, applied.distinct_id_id,
            8, microseconds(event.timestamp),
            16, event.uuid.bytes,
            len(name),
        ),
        name,
        person,
        text(event.elements_chain),
        jsonb(raw),
        TRUE if event.historical else NULL,
    )  # fmt: skip
    return b"".join(parts)


class Written(Struct, frozen=True, kw_only=True):
    """What a stored event said of its person; `person_id` is the root it was applied to."""

    distinct_id_id: int
    uuid: UUID
    name: str
    timestamp: datetime
    received_at: datetime
    person_id: int
    person_version: int
    set: JSON
    set_once: JSON
    unset: JSON
    anon_distinct_id: JSON
    claims_by_anon: bool
    alias: JSON
    historical: bool


def months_of(timestamps: Iterable[datetime]) -> set[Month]:
    """The months whose partitions these times need; none for what is older than the first."""
    months = {month_of(at) for at in timestamps}
    return {month for month in months if month >= FIRST_MONTH}


def month_of(at: datetime) -> Month:
    return at.year, at.month


async def make_partition(conn: AsyncConnection, month: Month) -> None:
    """The partition of `month` (UTC), unless it is there.

    Made beside the table and then attached, which neither waits for readers and writers of the
    other months nor holds them up (PostgreSQL manual, ALTER TABLE … ATTACH PARTITION).
    """
    year, number = month
    start = datetime(year, number, 1, tzinfo=UTC)
    end = datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)
    name = f"event_{year:04}_{number:02}"
    async with conn.transaction():
        await conn.execute("SELECT pg_advisory_xact_lock(hashtext('event partition'))")
        cursor = await conn.execute("SELECT to_regclass(%(name)s)", {"name": name})
        if await cursor.fetchone() != (None,):
            return
        await conn.execute(
            sql.SQL(
                """
                CREATE TABLE {name} (LIKE event INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
                ALTER TABLE {name} ADD CONSTRAINT {key} PRIMARY KEY
                    (distinct_id_id, timestamp, uuid);
                ALTER TABLE event ATTACH PARTITION {name} FOR VALUES FROM ({start}) TO ({end})
                """
            ).format(
                name=sql.Identifier(name),
                key=sql.Identifier(f"{name}_pkey"),
                start=sql.Literal(start),
                end=sql.Literal(end),
            )
        )
