"""The activity log: of one person, and of all (contract: persons-api, 1.3, 1.10 and 7)."""

from collections.abc import AsyncGenerator
from typing import Annotated

from litestar import get
from litestar.params import FromPath
from msgspec import Struct
from psycopg import AsyncConnection

from personhood.api import activity_docs as docs
from personhood.api.activity_docs import ActivityEntry, ActivityList
from personhood.api.activity_entries import entry
from personhood.api.asked import Asked, flag, pool_of, resolve, url_of
from personhood.api.schema import READ_ERRORS, Described, responses
from personhood.http import accept, export, numbered_page
from personhood.http.accept import Form
from personhood.http.numbered_page import NumberedPage
from personhood.http.streamed import Streamed
from personhood.model import BIGINT_MAX
from personhood.store import activity, person_lookup
from personhood.store.activity import Line
from personhood.store.activity_facts import facts
from personhood.store.person_lookup import MEMBERS_MAX
from personhood.store.pool import Pool

EXPORT_ROWS = 500


class Lines(Struct, frozen=True):
    """Whose lines: those of some persons or, without any named, of the whole project."""

    project_id: int
    person_ids: list[int] | None = None


@get(
    "/{person_id:str}/activity",
    opt={"scope": "activity_log:read"},
    summary="List what was done to a person",
    description=docs.OF_PERSON,
    operation_class=Described,
    responses=responses(ActivityList, "A page.", docs.PAGE, errors=READ_ERRORS),
)
async def persons_activity(
    request: Asked,
    person_id: FromPath[str],
    *,
    page: Annotated[str | None, docs.PAGE_NUMBER] = None,
    limit: Annotated[str | None, docs.LIMIT] = None,
    everything: Annotated[str | None, docs.ALL] = None,
) -> ActivityList | Streamed:
    wanted = numbered_page.page(page, limit)
    root = (await resolve(request, person_id, limit=1)).person
    async with pool_of(request).connection() as conn:
        # Of whoever absorbed more, some lines are missing: a page reads each member's newest.
        family = await person_lookup.members(conn, {root.id}, most=MEMBERS_MAX)
    lines = Lines(request.auth.project.id, list(family))
    return await answer(request, lines, wanted, everything=flag(everything, attr="all"))


@get(
    "/activity",
    opt={"scope": "activity_log:read"},
    summary="List what was done to persons",
    description=docs.OF_PROJECT,
    operation_class=Described,
    responses=responses(ActivityList, "A page.", docs.PAGE, errors=READ_ERRORS),
)
async def persons_activity_all(
    request: Asked,
    *,
    page: Annotated[str | None, docs.PAGE_NUMBER] = None,
    limit: Annotated[str | None, docs.LIMIT] = None,
    everything: Annotated[str | None, docs.ALL] = None,
) -> ActivityList | Streamed:
    wanted, lines = numbered_page.page(page, limit), Lines(request.auth.project.id)
    return await answer(request, lines, wanted, everything=flag(everything, attr="all"))


async def answer(
    request: Asked, lines: Lines, page: NumberedPage, *, everything: bool
) -> ActivityList | Streamed:
    if everything and accept.wanted.get() is Form.CSV:
        return await export_of(pool_of(request), lines)
    async with pool_of(request).connection() as conn:
        total = await count(conn, lines)
        found = await page_of(conn, lines, rows=page.rows, offset=page.offset)
        results = await entries(conn, lines, found)
    url = url_of(request)
    return ActivityList(
        results=results,
        next=numbered_page.next_url(url, page, total=total),
        previous=numbered_page.previous_url(url, page),
        total_count=total,
    )


async def export_of(pool: Pool, lines: Lines) -> Streamed:
    async with pool.connection() as conn:
        newest = await page_of(conn, lines, rows=1)
    # What is logged from now on stays out: the header would lack its columns.
    before = newest[0].id + 1 if newest else 0
    return await export.csv(lambda: pages(pool, lines, before=before), filename="activity.csv")


async def pages(
    pool: Pool, lines: Lines, *, before: int
) -> AsyncGenerator[list[ActivityEntry], None]:
    """The lines older than `before`. No connection is held while a page is sent."""
    while True:
        async with pool.connection() as conn:
            found = await page_of(conn, lines, rows=EXPORT_ROWS, before=before)
            shown = await entries(conn, lines, found)
        if not found:
            return
        yield shown
        before = found[-1].id


async def page_of(
    conn: AsyncConnection, lines: Lines, *, rows: int, offset: int = 0, before: int = BIGINT_MAX
) -> list[Line]:
    if lines.person_ids is None:
        return await activity.of_project(
            conn, lines.project_id, limit=rows, offset=offset, before=before
        )
    return await activity.of_persons(
        conn, lines.project_id, lines.person_ids, limit=rows, offset=offset, before=before
    )


async def count(conn: AsyncConnection, lines: Lines) -> int:
    if lines.person_ids is None:
        return await activity.count_of_project(conn, lines.project_id)
    return await activity.count_of_persons(conn, lines.person_ids)


async def entries(conn: AsyncConnection, lines: Lines, found: list[Line]) -> list[ActivityEntry]:
    named = await facts(conn, lines.project_id, found)
    return [entry(line, named) for line in found]
