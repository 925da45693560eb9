"""Lists of persons: pages by offset or behind a mark, counts, and ids in batches.

Only roots are seen. The list is the one statement that is put together from parts, so that each
kind of list has the plan that fits it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from msgspec import Struct
from psycopg import AsyncConnection, sql
from psycopg.pq import TransactionStatus
from psycopg.rows import class_row

from personhood.filters.tree import ALWAYS
from personhood.model import Person
from personhood.store import cohort_person, person_search, property_filter
from personhood.store.person_filter import Conditions, Filter, holds_nul
from personhood.store.person_search import CANDIDATES_MAX, has_trigrams

WINDOW = 1_000  # persons that a search looks at before it asks an index
WINDOW_GROWTH = 4
WALK_MAX = 20_000  # persons that it looks at one by one, if the page is full by then
WALK_LATE = 80_000  # as many it looks at before it asks an index for what may be many
FEW = 50_000  # persons that an index finds at once
HELD_MAX = 10_001  # persons of a page and before it that are kept while it is put together


class Mark(Struct, frozen=True):
    """A place in the order of a list: behind the person of this time and id."""

    at: datetime
    id: int


class Page(Struct, frozen=True, kw_only=True):
    """Persons; where the next page begins, if there is one; how many all pages hold, if asked."""

    persons: list[Person]
    mark: Mark | None = None
    count: int | None = None


SELECT = sql.SQL(
    """
    SELECT {columns}, {order} AS at
      FROM person
     WHERE person.project_id = %(project_id)s
       AND person.merged_into_id IS NULL
       {conditions}
     ORDER BY {order} DESC, person.id DESC
     LIMIT %(limit)s OFFSET %(offset)s
    """
)
SELECT_AMONG = sql.SQL(
    """
    WITH few AS MATERIALIZED (
        SELECT person.id, {order} AS at
          FROM person
         WHERE person.project_id = %(project_id)s
           AND person.merged_into_id IS NULL
           {conditions}
    ), chosen AS (
        SELECT id, at
          FROM few
         ORDER BY at DESC, id DESC
         LIMIT %(limit)s OFFSET %(offset)s
    )
    SELECT {columns}, chosen.at
      FROM chosen
      JOIN person ON person.id = chosen.id
     ORDER BY chosen.at DESC, person.id DESC
    """
)
COLUMNS = sql.SQL(
    """
    person.id, person.project_id, person.uuid, person.created_at, person.properties,
    person.is_identified, person.last_seen_at, person.version, person.merged_into_id
    """
)
BRIEF_COLUMNS = sql.SQL("person.id, person.project_id, person.uuid, person.created_at")
BEHIND = sql.SQL("AND ({order}, person.id) < (%(behind_at)s, %(behind_id)s)")
UNTIL = sql.SQL("AND ({order}, person.id) >= (%(until_at)s, %(until_id)s)")
AMONG = sql.SQL("AND person.id = ANY(%(among)b::bigint[])")

# A search may have to look at every person of a project, but not at those of all projects; and it
# remembers rows, not whole pages, when an index finds many.
INDEXED = sql.SQL("SET LOCAL enable_seqscan = off; SET LOCAL work_mem = '64MB'")


async def page(
    conn: AsyncConnection,
    project_id: int,
    filter: Filter,
    *,
    limit: int,
    offset: int = 0,
    counted: bool = False,
) -> Page:
    """A page by offset. It is chosen by created_at and id, the newest first; in it, persons of
    one time stand by uuid. Raises InvalidInput.
    """
    listing = Listing(conn, project_id, filter, order="created_at")
    async with listing.opened():
        found = await listing.rows(limit + 1, offset=offset)
        return await listing.page(found, limit, counted=counted)


async def page_behind(
    conn: AsyncConnection,
    project_id: int,
    filter: Filter,
    *,
    limit: int,
    behind: Mark | None = None,
    counted: bool = False,
) -> Page:
    """A page by its mark, None for the first. Its order never changes for a person, so pages
    neither skip nor repeat one, whatever is written between them: it is that of the first
    `created_at` that the person had. Raises InvalidInput.
    """
    listing = Listing(conn, project_id, filter, order="listed_at")
    async with listing.opened():
        found = await listing.rows(limit + 1, behind=behind)
        return await listing.page(found, limit, counted=counted)


async def ids(
    conn: AsyncConnection,
    project_id: int,
    filter: Filter,
    *,
    limit: int,
    behind: Mark | None = None,
) -> tuple[list[int], Mark | None]:
    """At most `limit` ids behind a mark, in the order of `page_behind`, and the mark of what
    follows. Raises InvalidInput.
    """
    listing = Listing(conn, project_id, filter, order="listed_at", brief=True)
    async with listing.opened():
        found = await listing.rows(limit + 1, behind=behind)
    return [person.id for person in found[:limit]], listing.mark(found, limit)


async def count(conn: AsyncConnection, project_id: int, filter: Filter) -> int:
    """How many persons a list without pages would hold. Raises InvalidInput."""
    listing = Listing(conn, project_id, filter, order="created_at")
    async with listing.opened():
        return await listing.count()


class Row(Person, kw_only=True):
    """A person, and where it stands in the list."""

    at: datetime


class Part(Struct, frozen=True, kw_only=True):
    """The persons of a list that a statement looks at: between two marks, of `among`."""

    behind: Mark | None = None
    until: Mark | None = None
    among: list[int] | None = None


class Listing:
    """One list, for as long as a request reads it; `brief` leaves properties out."""

    def __init__(
        self,
        conn: AsyncConnection,
        project_id: int,
        filter: Filter,
        *,
        order: str,
        brief: bool = False,
    ) -> None:
        self.conn = conn
        self.project_id = project_id
        self.filter = filter
        self.order = sql.Identifier("person", order)
        self.columns = BRIEF_COLUMNS if brief else COLUMNS
        self.asked = Conditions(filter)
        self.candidates: list[int] | None = None
        self.candidates_known = False
        self.estimate: int | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """One view of the database for all statements, and the settings of a search. It ends in a
        rollback, which gives settings back also in somebody else's transaction.
        """
        if self.filter.search is None and self.filter.properties == ALWAYS:
            yield
            return
        outermost = self.conn.info.transaction_status == TransactionStatus.IDLE
        async with self.conn.transaction(force_rollback=True):
            if outermost:
                await self.conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            if self.filter.search is not None:
                await self.conn.execute(INDEXED)
            await property_filter.check(
                self.conn, self.filter.properties, project_id=self.project_id
            )
            yield

    async def page(self, found: list[Row], limit: int, *, counted: bool) -> Page:
        rows: list[Person] = [*found[:limit]]
        rows.sort(key=lambda person: person.uuid)
        rows.sort(key=lambda person: person.created_at, reverse=True)
        total = await self.count() if counted else None
        return Page(persons=rows, mark=self.mark(found, limit), count=total)

    def mark(self, found: list[Row], limit: int) -> Mark | None:
        """Of a page that was asked for with one person more."""
        return mark_of(found[limit - 1]) if len(found) > limit else None

    async def rows(self, limit: int, *, offset: int = 0, behind: Mark | None = None) -> list[Row]:
        if holds_nul(self.filter):
            return []
        if self.filter.search is None:
            if limit + offset > HELD_MAX or not await self.has_many_members():
                return await self.select(Part(behind=behind), limit, offset=offset)
            return (await self.walked(limit + offset, behind))[offset:]
        if limit + offset > HELD_MAX:
            part = Part(behind=behind, among=await self.matching())
            return await self.select(part, limit, offset=offset)
        return (await self.searched(limit + offset, behind))[offset:]

    async def has_many_members(self) -> bool:
        cohorts = self.asked.cohorts
        return bool(cohorts) and await cohort_person.are_more(self.conn, cohorts, than=FEW)

    async def walked(self, limit: int, behind: Mark | None) -> list[Row]:
        """The first `limit` persons of a large cohort: soon found if they are among the newest."""
        found: list[Row] = []
        looked_at, window = 0, WINDOW
        while looked_at < WALK_MAX and len(found) < limit:
            until = await self.end(behind, window)
            found += await self.select(Part(behind=behind, until=until), limit - len(found))
            if until is None:
                return found
            looked_at, window, behind = looked_at + window, window * WINDOW_GROWTH, until
        if len(found) < limit:
            found += await self.select(Part(behind=behind), limit - len(found))
        return found

    async def searched(self, limit: int, behind: Mark | None) -> list[Row]:
        """The first `limit` persons that match. Where many do, they are soon found among the
        newest; else an index finds all, if they are not too many; else all persons are asked.
        """
        found: list[Row] = []
        looked_at, window = 0, WINDOW
        while True:
            until = await self.end(behind, window)
            part = Part(behind=behind, until=until)
            found += await self.select(part, limit - len(found))
            if until is None or len(found) >= limit:
                return found
            looked_at, window = looked_at + window, window * WINDOW_GROWTH
            if await self.is_worth(found=len(found), looked_at=looked_at, limit=limit):
                among = await self.matching()
                if among is not None:
                    part = Part(behind=until, among=among)
                    return found + await self.select(part, limit - len(found))
            behind = until

    async def is_worth(self, *, found: int, looked_at: int, limit: int) -> bool:
        """Whether all that match are asked for now. Not while the newest promise to fill the page;
        only late where the database expects too many, or an index is of no use.
        """
        if self.candidates_known or found * WALK_MAX >= limit * looked_at:
            return False
        if not has_trigrams(self.filter.search or ""):
            return looked_at >= WALK_MAX
        expected = await self.expected()
        return expected <= FEW or (looked_at >= WALK_LATE and expected <= CANDIDATES_MAX)

    async def expected(self) -> int:
        if self.estimate is None:
            search = self.filter.search or ""
            self.estimate = await person_search.expected(self.conn, self.project_id, search)
        return self.estimate

    async def matching(self) -> list[int] | None:
        if not self.candidates_known and self.filter.search is not None:
            self.candidates = await person_search.candidates(
                self.conn, self.project_id, self.filter.search
            )
            self.candidates_known = True
        return self.candidates

    async def end(self, behind: Mark | None, window: int) -> Mark | None:
        """The last of the next `window` persons of the project, None if there are not so many."""
        part = Part(behind=behind)
        cursor = await self.conn.execute(
            sql.SQL(
                """
                SELECT {order}, person.id
                  FROM person
                 WHERE person.project_id = %(project_id)s
                   AND person.merged_into_id IS NULL
                   {bounds}
                 ORDER BY {order} DESC, person.id DESC
                 LIMIT 1 OFFSET %(before)s
                """
            ).format(order=self.order, bounds=self.bounds(part)),
            {**self.parameters(part), "before": window - 1},
            prepare=False,
        )
        row = await cursor.fetchone()
        return None if row is None else Mark(*row)

    async def select(self, part: Part, limit: int, *, offset: int = 0) -> list[Row]:
        """Persons that match, in order. What is `among` others is found by id, and then sorted."""
        template = SELECT if part.among is None else SELECT_AMONG
        async with self.conn.cursor(row_factory=class_row(Row)) as cursor:
            await cursor.execute(
                template.format(
                    columns=self.columns, order=self.order, conditions=self.conditions(part)
                ),
                {**self.parameters(part), "limit": limit, "offset": offset},
                prepare=self.prepare(),
            )
            return await cursor.fetchall()

    async def count(self) -> int:
        if holds_nul(self.filter):
            return 0
        if self.filter.search is not None and await self.expected() > CANDIDATES_MAX:
            self.candidates_known = True
        part = Part(among=await self.matching())
        cursor = await self.conn.execute(
            sql.SQL(
                """
                SELECT count(*)
                  FROM person
                 WHERE person.project_id = %(project_id)s
                   AND person.merged_into_id IS NULL
                   {conditions}
                """
            ).format(conditions=self.conditions(part)),
            self.parameters(part),
            prepare=self.prepare(),
        )
        row = await cursor.fetchone()
        assert row is not None, "an aggregate gives its row"
        return row[0]

    def prepare(self) -> bool | None:
        """Filters differ too much for one plan: theirs are made for the values they have."""
        return None if self.filter == Filter(distinct_id=self.filter.distinct_id) else False

    def conditions(self, part: Part) -> sql.Composed:
        """Only what is asked for, so that each kind of list has the plan that fits it."""
        found: list[sql.Composable] = [*self.asked.conditions, self.bounds(part)]
        if self.asked.members is not None and part.until is None:
            found.append(self.asked.members)  # between two marks it is quicker to ask each person
        if part.among is not None:
            found.append(AMONG)
        elif self.filter.search is not None:
            found.append(person_search.MATCHES)
        return sql.SQL(" ").join(found)

    def bounds(self, part: Part) -> sql.Composed:
        parts = [
            template.format(order=self.order)
            for mark, template in ((part.behind, BEHIND), (part.until, UNTIL))
            if mark is not None
        ]
        return sql.SQL(" ").join(parts)

    def parameters(self, part: Part) -> dict[str, object]:
        return {
            **self.asked.parameters,
            "project_id": self.project_id,
            "among": part.among,
            "behind_at": part.behind and part.behind.at,
            "behind_id": part.behind and part.behind.id,
            "until_at": part.until and part.until.at,
            "until_id": part.until and part.until.id,
        }


def mark_of(row: Row) -> Mark:
    return Mark(row.at, row.id)
