"""What properties were, from the ledgers of a root and of all that merged into it, newest first.

Of a merged person its own ledger counts up to its merge. What a later undoing or split corrected in
there is no value that a property had.
"""

from datetime import datetime
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import class_row

from personhood.model import BIGINT_MAX, Properties
from personhood.store.person_lookup import MEMBERS_MAX

PAGE_BYTES = 4 * 1024 * 1024  # as PostgreSQL stores them; a person has up to half a megabyte


class Spot(Struct, frozen=True):
    """An entry's place in the order of a history."""

    at: datetime
    person_id: int
    version: int


class Told(Struct, frozen=True, kw_only=True):
    """An entry that changed properties: of a history by `key`, that one's values alone."""

    person_id: int
    person_uuid: UUID | None
    version: int
    kind: str
    at: datetime
    recorded_at: datetime
    event_uuid: UUID | None
    distinct_id_id: int | None
    api_key_id: int | None
    label: str | None
    before: Properties | None
    after: Properties | None
    found: int


async def page(
    conn: AsyncConnection,
    project_id: int,
    root_id: int,
    *,
    key: str | None,
    limit: int,
    behind: Spot | None,
) -> list[Told]:
    """Up to `limit` + 1 entries; fewer when they weigh more than PAGE_BYTES together, but one.

    Each tells how many were `found` before they were weighed. Of a root that absorbed more than
    MEMBERS_MAX persons, the ledgers of those found first are read.
    """
    async with conn.cursor(row_factory=class_row(Told)) as cursor:
        await cursor.execute(
            """
            WITH RECURSIVE family (id, below, joined_at) AS (
                SELECT %(root_id)s::bigint, %(last)s::bigint, NULL::timestamptz
                 UNION ALL
                SELECT source.id, source.version, source.recorded_at
                  FROM family
                 CROSS JOIN LATERAL (
                       SELECT source_id AS id, target_version AS version, recorded_at
                         FROM merge
                        WHERE target_id = family.id
                          AND undone_at IS NULL
                       OFFSET 0
                       ) AS source
            ), member AS (
                SELECT *
                  FROM family
                 LIMIT %(members)s
            ), found AS (
                SELECT line.*
                  FROM member
                 CROSS JOIN LATERAL (
                       SELECT person_id, version, kind, at, recorded_at, event_uuid,
                              distinct_id_id, api_key_id, before, after
                         FROM ledger
                        WHERE project_id = %(project_id)s
                          AND person_id = member.id
                          AND version < CASE WHEN person_id = %(behind_person)s
                                             THEN least(%(behind_version)s, member.below)
                                             ELSE member.below END
                          AND (person_id = %(behind_person)s
                               OR %(behind_at)s::timestamptz IS NULL
                               OR (recorded_at, person_id)
                                < (%(behind_at)s::timestamptz, %(behind_person)s::bigint))
                          AND (kind NOT IN ('undone', 'split') OR member.joined_at IS NULL
                               OR recorded_at <= member.joined_at)
                          AND CASE WHEN %(key)s::text IS NULL
                                   THEN before IS NOT NULL OR after IS NOT NULL
                                   ELSE before ? %(key)s::text OR after ? %(key)s::text END
                        ORDER BY version DESC
                        LIMIT %(limit)s
                       ) AS line
                 ORDER BY line.recorded_at DESC, line.person_id DESC, line.version DESC
                 LIMIT %(limit)s
            ), weighed AS (
                SELECT *, count(*) OVER () AS found, sum(weight) OVER (
                           ORDER BY recorded_at DESC, person_id DESC, version DESC
                       ) - weight AS above
                  FROM found
                 CROSS JOIN LATERAL (
                       SELECT coalesce(pg_column_size(before), 0)
                              + coalesce(pg_column_size(after), 0) AS weight
                       ) AS measured
            )
            SELECT w.person_id, p.uuid AS person_uuid, w.version, w.kind, w.at, w.recorded_at,
                   w.event_uuid, w.distinct_id_id, w.api_key_id, k.label, w.found,
                   CASE WHEN %(key)s::text IS NULL THEN w.before
                        WHEN w.before ? %(key)s::text
                        THEN jsonb_build_object(%(key)s::text, w.before -> %(key)s::text)
                   END AS before,
                   CASE WHEN %(key)s::text IS NULL THEN w.after
                        WHEN w.after ? %(key)s::text
                        THEN jsonb_build_object(%(key)s::text, w.after -> %(key)s::text)
                   END AS after
              FROM weighed w
              LEFT JOIN person p ON p.id = w.person_id
              LEFT JOIN api_key k ON k.id = w.api_key_id
             WHERE above < %(bytes)s
             ORDER BY w.recorded_at DESC, w.person_id DESC, w.version DESC
            """,
            {
                "project_id": project_id,
                "root_id": root_id,
                "last": BIGINT_MAX,
                "members": MEMBERS_MAX,
                "key": key,
                "limit": limit + 1,
                "bytes": PAGE_BYTES,
                "behind_at": behind and behind.at,
                "behind_person": behind and behind.person_id,
                "behind_version": behind and behind.version,
            },
        )
        return await cursor.fetchall()
