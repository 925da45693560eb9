"""Splits: what they moved, and what there was before, so that they can be undone."""

from collections.abc import Collection, Sequence

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import class_row

from personhood.identity.replay import Bend, Link
from personhood.model import Cause, Split, SplitPerson


class Move(Struct, frozen=True, kw_only=True):
    """One part of a split, as a list of splits shows it."""

    split_id: int
    person_id: int
    distinct_id: str | None


async def insert(
    conn: AsyncConnection, project_id: int, *, person_id: int, version: int, by: Cause
) -> int:
    """A new split, which left its person at `version`; tells its id."""
    cursor = await conn.execute(
        """
        INSERT INTO split (project_id, person_id, version, api_key_id, request_id)
        VALUES (%(project_id)s, %(person_id)s, %(version)s, %(api_key_id)s, %(request_id)s)
        RETURNING id
        """,
        {
            "project_id": project_id,
            "person_id": person_id,
            "version": version,
            "api_key_id": by.api_key_id,
            "request_id": by.request_id,
        },
    )
    return (await cursor.fetchall())[0][0]


async def insert_persons(
    conn: AsyncConnection, split_id: int, persons: Sequence[SplitPerson]
) -> None:
    await conn.execute(
        """
        INSERT INTO split_person (split_id, person_id, role, distinct_id_id, leaf_id, version,
                                  is_identified, created_at)
        SELECT %(split_id)s, *
          FROM unnest(%(persons)b::bigint[], %(roles)b::text[], %(ids)b::bigint[],
                      %(leaves)b::bigint[], %(versions)b::bigint[], %(identified)b::boolean[],
                      %(created)b::timestamptz[])
        """,
        {
            "split_id": split_id,
            "persons": [each.person_id for each in persons],
            "roles": [each.role.value for each in persons],
            "ids": [each.distinct_id_id for each in persons],
            "leaves": [each.leaf_id for each in persons],
            "versions": [each.version for each in persons],
            "identified": [each.is_identified for each in persons],
            "created": [each.created_at for each in persons],
        },
    )


async def insert_merges(conn: AsyncConnection, split_id: int, links: Sequence[Link]) -> None:
    await conn.execute(
        """
        INSERT INTO split_merge (split_id, merge_id, source_id, target_id, source_leaf_id,
                                 target_leaf_id)
        SELECT %(split_id)s, *
          FROM unnest(%(merges)b::bigint[], %(sources)b::bigint[], %(targets)b::bigint[],
                      %(source_leaves)b::bigint[], %(target_leaves)b::bigint[])
        """,
        {
            "split_id": split_id,
            "merges": [link.merge_id for link in links],
            "sources": [link.source_id for link in links],
            "targets": [link.target_id for link in links],
            "source_leaves": [link.source_leaf_id for link in links],
            "target_leaves": [link.target_leaf_id for link in links],
        },
    )


async def by_id(conn: AsyncConnection, project_id: int, split_id: int) -> Split | None:
    """A split that is in force."""
    async with conn.cursor(row_factory=class_row(Split)) as cursor:
        await cursor.execute(
            """
            SELECT id, project_id, person_id, version, at, api_key_id, undone_at, undone_version
              FROM split
             WHERE project_id = %(project_id)s
               AND id = %(split_id)s
               AND undone_at IS NULL
            """,
            {"project_id": project_id, "split_id": split_id},
        )
        return await cursor.fetchone()


async def of_person(
    conn: AsyncConnection,
    project_id: int,
    person_id: int,
    *,
    limit: int | None = None,
    offset: int = 0,
) -> list[Split]:
    """The splits of a person that are in force, the newest first."""
    async with conn.cursor(row_factory=class_row(Split)) as cursor:
        await cursor.execute(
            """
            SELECT id, project_id, person_id, version, at, api_key_id, undone_at, undone_version
              FROM split
             WHERE project_id = %(project_id)s
               AND person_id = %(person_id)s
               AND undone_at IS NULL
             ORDER BY id DESC
             LIMIT %(limit)s OFFSET %(offset)s
            """,
            {"project_id": project_id, "person_id": person_id, "limit": limit, "offset": offset},
        )
        return await cursor.fetchall()


async def persons_of(conn: AsyncConnection, split_id: int) -> list[SplitPerson]:
    async with conn.cursor(row_factory=class_row(SplitPerson)) as cursor:
        await cursor.execute(
            """
            SELECT person_id, role, distinct_id_id, leaf_id, version, is_identified, created_at
              FROM split_person
             WHERE split_id = %(split_id)s
             ORDER BY distinct_id_id, person_id
            """,
            {"split_id": split_id},
        )
        return await cursor.fetchall()


async def moves(conn: AsyncConnection, split_ids: Sequence[int], *, limit: int) -> list[Move]:
    """Whom some splits made, with the id that each is for; at most `limit` of each split."""
    async with conn.cursor(row_factory=class_row(Move)) as cursor:
        await cursor.execute(
            """
            SELECT moved.split_id, moved.person_id, d.distinct_id
              FROM unnest(%(split_ids)b::bigint[]) AS split (id)
             CROSS JOIN LATERAL (
                   SELECT split_id, person_id, distinct_id_id
                     FROM split_person
                    WHERE split_id = split.id
                      AND role = 'moved'
                    ORDER BY distinct_id_id
                    LIMIT %(limit)s
                   ) AS moved
              LEFT JOIN distinct_id d ON d.id = moved.distinct_id_id AND d.ended_at IS NULL
             ORDER BY moved.split_id, moved.distinct_id_id
            """,
            {"split_ids": split_ids, "limit": limit},
        )
        return await cursor.fetchall()


async def merges_of(conn: AsyncConnection, split_id: int) -> list[Link]:
    """The merges that a split changed, as they were before it."""
    cursor = await conn.execute(
        """
        SELECT split_merge.merge_id, merge.target_version, split_merge.source_id,
               split_merge.target_id, split_merge.source_leaf_id, split_merge.target_leaf_id,
               merge.event_uuid, merge.recorded_at
          FROM split_merge
          JOIN merge ON merge.id = split_merge.merge_id
         WHERE split_id = %(split_id)s
        """,
        {"split_id": split_id},
    )
    return [
        Link(
            merge_id=id,
            version=version,
            source_id=source_id,
            target_id=target_id,
            source_leaf_id=source_leaf_id,
            target_leaf_id=target_leaf_id,
            event_uuid=event_uuid,
            at=at,
        )
        for (
            id,
            version,
            source_id,
            target_id,
            source_leaf_id,
            target_leaf_id,
            event_uuid,
            at,
        ) in await cursor.fetchall()
    ]


async def earlier(conn: AsyncConnection, project_id: int, *, ids: Sequence[int]) -> dict[int, int]:
    """The persons that distinct ids had by the last split of them that was undone."""
    cursor = await conn.execute(
        """
        SELECT DISTINCT ON (split_person.distinct_id_id)
               split_person.distinct_id_id, split_person.person_id
          FROM split_person
          JOIN split ON split.id = split_person.split_id
         WHERE split.project_id = %(project_id)s
           AND split_person.distinct_id_id = ANY(%(ids)b::bigint[])
           AND split.undone_at IS NOT NULL
         ORDER BY split_person.distinct_id_id, split.id DESC
        """,
        {"project_id": project_id, "ids": ids},
    )
    return dict(await cursor.fetchall())


async def bends(conn: AsyncConnection, project_id: int, person_ids: Collection[int]) -> list[Bend]:
    """The times that these persons were split in, and are together again."""
    cursor = await conn.execute(
        """
        SELECT version - 1, undone_version
          FROM split
         WHERE project_id = %(project_id)s
           AND person_id = ANY(%(person_ids)b::bigint[])
           AND undone_version IS NOT NULL
        """,
        {"project_id": project_id, "person_ids": list(person_ids)},
    )
    return [Bend(after, before) for after, before in await cursor.fetchall()]


async def names_gone(
    conn: AsyncConnection, project_id: int, person_ids: Collection[int]
) -> set[str]:
    """The distinct ids that splits in force took from these persons."""
    cursor = await conn.execute(
        """
        SELECT d.distinct_id
          FROM split
          JOIN split_person ON split_person.split_id = split.id
          JOIN distinct_id d ON d.id = split_person.distinct_id_id
         WHERE split.project_id = %(project_id)s
           AND split.person_id = ANY(%(person_ids)b::bigint[])
           AND split.undone_at IS NULL
           AND d.ended_at IS NULL
        """,
        {"project_id": project_id, "person_ids": list(person_ids)},
    )
    return {row[0] for row in await cursor.fetchall()}


async def later(
    conn: AsyncConnection, project_id: int, *, person_ids: Collection[int], since: int
) -> list[Split]:
    """The splits in force of some persons from one on, the newest first."""
    async with conn.cursor(row_factory=class_row(Split)) as cursor:
        await cursor.execute(
            """
            SELECT id, project_id, person_id, version, at, api_key_id, undone_at, undone_version
              FROM split
             WHERE project_id = %(project_id)s
               AND person_id = ANY(%(person_ids)b::bigint[])
               AND id >= %(since)s
               AND undone_at IS NULL
             ORDER BY id DESC
            """,
            {"project_id": project_id, "since": since, "person_ids": list(person_ids)},
        )
        return await cursor.fetchall()


async def undo(conn: AsyncConnection, project_id: int, split_id: int, *, version: int) -> None:
    """End a split; `version` is the one that its person got by that."""
    await conn.execute(
        """
        UPDATE split
           SET undone_at = now(), undone_version = %(version)s
         WHERE project_id = %(project_id)s
           AND id = %(split_id)s
        """,
        {"project_id": project_id, "split_id": split_id, "version": version},
    )


async def forget_stand_ins(conn: AsyncConnection, split_id: int) -> None:
    """Of a split that is undone: those are gone."""
    await conn.execute(
        """
        DELETE FROM split_person
         WHERE split_id = %(split_id)s
           AND role = 'stand_in'
        """,
        {"split_id": split_id},
    )
