"""One person by any of its names, for many requests at once: see `together`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import class_row

from personhood.model import BIGINT_MAX, Person
from personhood.store import recording_count

MEMBERS_MAX = 2000


class Name(Struct, frozen=True):
    """A person's `value`: its integer id, its uuid or one of its distinct ids.

    With it come as many of its distinct ids as `limit` says, or all of them.
    """

    project_id: int
    value: int | UUID | str
    limit: int | None = None


class Owner(Struct, frozen=True):
    """A root, its distinct ids in stored order, and its recordings where these were counted."""

    person: Person
    distinct_ids: list[str]
    recordings: int | None = None


class Owned(Struct, frozen=True):
    """What a root has, with all that was ever merged into it."""

    distinct_ids: list[str]
    recordings: int


async def owners(conn: AsyncConnection, names: Sequence[Name]) -> dict[Name, Owner]:
    """The roots that `names` lead to. A merged person's own id and uuid lead nowhere."""
    found: dict[Name, Person] = {}
    if ids := [name for name in names if isinstance(name.value, int)]:
        found |= await by_id(conn, ids)
    if uuids := [name for name in names if isinstance(name.value, UUID)]:
        found |= await by_uuid(conn, uuids)
    if texts := [name for name in names if isinstance(name.value, str)]:
        found |= await by_distinct_id(conn, texts)
    owned: dict[tuple[int, int | None], Owned] = {}
    for limit in {name.limit for name in found}:
        roots = {person.id for name, person in found.items() if name.limit == limit}
        for root, has in (await owned_by(conn, roots, limit=limit)).items():
            owned[root, limit] = has
    return {name: owner_of(person, owned[person.id, name.limit]) for name, person in found.items()}


def owner_of(person: Person, owned: Owned) -> Owner:
    return Owner(person, owned.distinct_ids, owned.recordings)


async def owner(conn: AsyncConnection, name: Name) -> Owner | None:
    """The root that one name leads to."""
    return (await owners(conn, [name])).get(name)


async def by_id(conn: AsyncConnection, names: Sequence[Name]) -> dict[Name, Person]:
    ids = [name.value for name in names if abs(int(str(name.value))) <= BIGINT_MAX]
    async with conn.cursor(row_factory=class_row(Person), binary=True) as cursor:
        await cursor.execute(
            """
            SELECT id, project_id, uuid, created_at, properties, is_identified, last_seen_at,
                   version, merged_into_id
              FROM person
             WHERE id = ANY(%(ids)b::bigint[])
               AND merged_into_id IS NULL
            """,
            {"ids": ids},
        )
        found = {(person.project_id, person.id): person for person in await cursor.fetchall()}
    return named(names, found)


async def by_uuid(conn: AsyncConnection, names: Sequence[Name]) -> dict[Name, Person]:
    async with conn.cursor(row_factory=class_row(Person), binary=True) as cursor:
        await cursor.execute(
            """
            SELECT p.id, p.project_id, p.uuid, p.created_at, p.properties, p.is_identified,
                   p.last_seen_at, p.version, p.merged_into_id
              FROM unnest(%(projects)b::bigint[], %(uuids)b::uuid[]) AS n (project_id, uuid)
              JOIN person p ON p.project_id = n.project_id AND p.uuid = n.uuid
             WHERE p.merged_into_id IS NULL
            """,
            {
                "projects": [name.project_id for name in names],
                "uuids": [name.value for name in names],
            },
        )
        found = {(person.project_id, person.uuid): person for person in await cursor.fetchall()}
    return named(names, found)


async def by_distinct_id(conn: AsyncConnection, names: Sequence[Name]) -> dict[Name, Person]:
    # PostgreSQL keeps no NUL, so such a text is nobody's.
    wanted = [name for name in names if "\0" not in str(name.value)]
    # A lateral limit keeps the plan to one index look-up for each name, whatever the statistics.
    cursor = await conn.execute(
        """
        SELECT n.project_id, n.distinct_id, d.person_id
          FROM unnest(%(projects)b::bigint[], %(texts)b::text[]) AS n (project_id, distinct_id)
         CROSS JOIN LATERAL (
               SELECT person_id
                 FROM distinct_id
                WHERE project_id = n.project_id
                  AND distinct_id = n.distinct_id
                  AND ended_at IS NULL
                LIMIT 1
               ) AS d
         WHERE d.person_id IS NOT NULL
        """,
        {
            "projects": [name.project_id for name in wanted],
            "texts": [name.value for name in wanted],
        },
        binary=True,
    )
    leaves = {(row[0], row[1]): row[2] for row in await cursor.fetchall()}
    roots = await roots_of(conn, leaves.values())
    return named(names, {key: roots[leaf] for key, leaf in leaves.items() if leaf in roots})


async def roots_of(conn: AsyncConnection, leaves: Iterable[int]) -> dict[int, Person]:
    """For each leaf the root it leads to; a step upwards is a look-up by primary key."""
    persons: dict[int, Person] = {}
    asked = set(leaves)
    while missing := asked - persons.keys():
        async with conn.cursor(row_factory=class_row(Person), binary=True) as cursor:
            await cursor.execute(
                """
                SELECT id, project_id, uuid, created_at, properties, is_identified,
                       last_seen_at, version, merged_into_id
                  FROM person
                 WHERE id = ANY(%(ids)b::bigint[])
                """,
                {"ids": list(missing)},
            )
            rows = await cursor.fetchall()
        persons |= {person.id: person for person in rows}
        # Who vanished between two statements is nobody any more.
        asked = {p.merged_into_id for p in rows if p.merged_into_id is not None}
    return {leaf: root for leaf in persons if (root := top(persons, leaf)) is not None}


def top(persons: dict[int, Person], id: int) -> Person | None:
    person = persons.get(id)
    while person is not None and person.merged_into_id is not None:
        person = persons.get(person.merged_into_id)
    return person


async def owned_by(
    conn: AsyncConnection, roots: Iterable[int], *, limit: int | None
) -> dict[int, Owned]:
    """For each root its live ids, oldest row first, and how many recordings it has.

    `limit` is of ids, for each root; None means all of them. Of a root that absorbed more than
    MEMBERS_MAX persons, a limit is kept among those found first, and so are recordings counted.
    """
    root_of = await members_of(conn, roots, limit=limit)
    ids = await ids_among(conn, root_of, limit=limit)
    # Mostly it is known by now that there are none.
    asked = {
        root
        for root, owned in ids.items()
        if len(owned) == limit or any(is_recorded for _, _, is_recorded in owned)
    }
    members = {member: root for member, root in root_of.items() if root in asked}
    recordings = await recording_count.of(conn, members) if members else {}
    return {
        root: Owned([text for _, text, _ in owned], recordings.get(root, 0))
        for root, owned in ids.items()
    }


async def distinct_ids_of(
    conn: AsyncConnection, roots: Iterable[int], *, limit: int | None
) -> dict[int, list[str]]:
    """The ids of `owned_by` alone."""
    ids = await ids_among(conn, await members_of(conn, roots, limit=limit), limit=limit)
    return {root: [text for _, text, _ in owned] for root, owned in ids.items()}


async def members_of(
    conn: AsyncConnection, roots: Iterable[int], *, limit: int | None
) -> dict[int, int]:
    return await members(conn, set(roots), most=None if limit is None else MEMBERS_MAX)


async def ids_among(
    conn: AsyncConnection, root_of: Mapping[int, int], *, limit: int | None
) -> dict[int, list[tuple[int, str, bool]]]:
    """Rows of ids, in their order, and whether each was ever recorded."""
    cursor = await conn.execute(
        """
        SELECT member.id, owned.id, owned.distinct_id, owned.is_recorded
          FROM unnest(%(members)b::bigint[]) AS member (id)
         CROSS JOIN LATERAL (
               SELECT id, distinct_id, is_recorded
                 FROM distinct_id
                WHERE person_id = member.id
                  AND ended_at IS NULL
                ORDER BY id
                LIMIT %(limit)s
               ) AS owned
        """,
        {"members": list(root_of), "limit": limit},
        binary=True,
    )
    found: dict[int, list[tuple[int, str, bool]]] = {root: [] for root in root_of.values()}
    for member, id, text, is_recorded in await cursor.fetchall():
        found[root_of[member]].append((id, text, is_recorded))
    return {root: sorted(owned)[:limit] for root, owned in found.items()}


async def members(conn: AsyncConnection, roots: set[int], *, most: int | None) -> dict[int, int]:
    """Roots and all persons merged into them, at any depth, each with its root."""
    root_of = {root: root for root in roots}
    parents = list(roots)
    while parents and (most is None or len(root_of) < len(roots) + most):
        cursor = await conn.execute(
            """
            SELECT parent.id, child.id
              FROM unnest(%(parents)b::bigint[]) AS parent (id)
             CROSS JOIN LATERAL (
                   SELECT id
                     FROM person
                    WHERE merged_into_id = parent.id
                    ORDER BY merged_into_id
                    LIMIT %(most)s
                   ) AS child
            """,
            {"parents": parents, "most": most},
            binary=True,
        )
        children = await cursor.fetchall()
        root_of |= {child: root_of[parent] for parent, child in children}
        parents = [child for _, child in children]
    return root_of


def named(names: Sequence[Name], found: dict[Any, Person]) -> dict[Name, Person]:
    """By the names that were asked for, each within its own project."""
    return {
        name: found[name.project_id, name.value]
        for name in names
        if (name.project_id, name.value) in found
    }
