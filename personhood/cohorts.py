"""Verbs on cohorts: making one of a list or a filter, putting persons in, taking one out.

A list may be long, so it goes in by batches; in one transaction, so all of it or nothing.
"""

import asyncio
import random
from collections.abc import Iterator, Sequence
from typing import TypeVar
from uuid import UUID

from msgspec import Struct, field
from psycopg import AsyncConnection, errors

from personhood.errors import InvalidInput, NotFound, Overloaded
from personhood.model import JSON, Project
from personhood.persons import ATTEMPTS_MAX, BACKOFF_S, CONFLICTS
from personhood.store import cohort, cohort_person, person_lookup, person_page
from personhood.store.person_filter import Filter
from personhood.store.person_page import Mark
from personhood.store.pool import Pool

BATCH = 5000
COHORT_KEY = "cohort_person_cohort_id_fkey"

T = TypeVar("T")


class Members(Struct, frozen=True):
    """Persons by their names. A merged person's uuid stands for its root, as its ids do."""

    uuids: Sequence[UUID] = field(default_factory=list)
    distinct_ids: Sequence[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.uuids) + len(self.distinct_ids)


class Selection(Struct, frozen=True):
    """All persons such as `filter` says; `given` is how it was told."""

    filter: Filter
    given: JSON


class New(Struct, frozen=True, kw_only=True):
    """A cohort to be made."""

    name: str
    description: str = ""
    members: Members = field(default_factory=Members)
    selection: Selection | None = None
    api_key_id: int
    request_id: UUID | None = None


async def create(pool: Pool, project: Project, new: New) -> tuple[int, Members]:
    """The number of a new cohort, and which of its members are unknown. Raises InvalidInput."""

    async def create_in(conn: AsyncConnection) -> tuple[int, Members]:
        id = await cohort.insert(
            conn,
            project.id,
            name=new.name,
            description=new.description,
            filter=new.selection and new.selection.given,
            api_key_id=new.api_key_id,
            request_id=new.request_id,
        )
        if new.selection is not None:
            await select_in(conn, project, id, filter=new.selection.filter)
        return id, await add_in(conn, project, id, members=new.members)

    for attempt in range(ATTEMPTS_MAX):
        try:
            async with pool.connection() as conn, conn.transaction():
                return await create_in(conn)
        except CONFLICTS:
            await asyncio.sleep(BACKOFF_S * 2**attempt * random.random())
    raise Overloaded


async def add(pool: Pool, project: Project, id: int, *, members: Members) -> Members:
    """Put persons in; those that are in already stay. Tells which are unknown.

    Raises InvalidInput when all of them are, NotFound when the cohort was deleted meanwhile.
    """
    for attempt in range(ATTEMPTS_MAX):
        try:
            async with pool.connection() as conn, conn.transaction():
                unknown = await add_in(conn, project, id, members=members)
        except errors.ForeignKeyViolation as error:
            assert error.diag.constraint_name == COHORT_KEY, "the only foreign key"
            raise NotFound from None
        except CONFLICTS:
            await asyncio.sleep(BACKOFF_S * 2**attempt * random.random())
        else:
            if len(unknown) == len(members):
                raise InvalidInput("No valid users to add to cohort")
            return unknown
    raise Overloaded


async def select_in(conn: AsyncConnection, project: Project, id: int, *, filter: Filter) -> None:
    """Put in whom a filter finds, in batches of an order that no change of a person touches."""
    mark: Mark | None = None
    while True:
        ids, mark = await person_page.ids(conn, project.id, filter, limit=BATCH, behind=mark)
        await cohort_person.add_by_ids(conn, project.id, id, ids=ids)
        if mark is None:
            return


async def add_in(conn: AsyncConnection, project: Project, id: int, *, members: Members) -> Members:
    uuids: list[UUID] = []
    for batch in batches(members.uuids):
        known = await cohort_person.add_by_uuids(conn, project.id, id, uuids=batch)
        uuids += [uuid for uuid in batch if uuid not in known]
    texts: list[str] = []
    for some in batches(members.distinct_ids):
        found = await cohort_person.add_by_distinct_ids(conn, project.id, id, texts=some)
        texts += [text for text in some if text not in found]
    return Members(uuids, texts)


async def remove(pool: Pool, id: int, *, root_id: int) -> None:
    """Take a person out, under whatever names it was put in."""
    async with pool.connection() as conn:
        members = await person_lookup.members(conn, {root_id}, most=None)
        await cohort_person.remove(conn, id, person_ids=list(members))


def batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]
