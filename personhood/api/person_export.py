"""Persons as a CSV file: all that a list finds, sent while it is read (contract: persons-api, 9).

PostgreSQL writes the rows wherever it can make the columns. Else they are made here, in two passes
over the persons: one for the columns, one for the rows. Either way it is the same file.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

from psycopg import AsyncConnection

from personhood.api.asked import Asked, pool_of
from personhood.api.present import row
from personhood.errors import Throttled
from personhood.http import sheet
from personhood.http.streamed import Streamed, unless_left
from personhood.model import DISPLAY_NAME_PROPERTIES, Project
from personhood.store import person_copy, person_export
from personhood.store.person_export import Columns, Listed
from personhood.store.person_filter import Filter
from personhood.store.person_lookup import Owner

PERSONS_MAX = 300_000  # unless all are asked for
COLUMNS_MAX = 16_384  # what spreadsheets hold
AT_ONCE_MAX = 2  # in a worker: each has a connection for as long as its client takes

HEADERS = {"content-disposition": 'attachment; filename="persons.csv"'}


async def export(request: Asked, filter: Filter, *, all: bool) -> Streamed:
    """The file. Raises InvalidInput, Throttled: while the first chunk, the header, is made."""
    chunks = made(request, filter, most=None if all else PERSONS_MAX)
    first = await unless_left(request.receive, begin(chunks))
    return Streamed(chunks, first=first, headers=HEADERS, media_type=sheet.MEDIA_TYPE)


async def begin(chunks: AsyncGenerator[bytes, None]) -> bytes:
    return await anext(chunks, b"")


async def made(request: Asked, filter: Filter, *, most: int | None) -> AsyncGenerator[bytes, None]:
    project = request.auth.project
    async with turn(request), person_export.snapshot(pool_of(request)) as conn:
        listed = await person_export.listed(conn, project.id, filter, most=most)
        if listed is None:
            return
        async with aclosing(table(conn, listed, project)) as chunks:
            async for chunk in chunks:
                yield chunk


@asynccontextmanager
async def turn(request: Asked) -> AsyncIterator[None]:
    """Raises Throttled where too many files are being sent already."""
    state = request.app.state
    running: int = state.get("exports", 0)
    if running >= min(AT_ONCE_MAX, max(1, pool_of(request).max_size // 4)):
        raise Throttled(f"{running} exports are running. Please wait until one has ended.")
    state.exports = running + 1
    try:
        yield
    finally:
        state.exports -= 1


async def table(
    conn: AsyncConnection, listed: Listed, project: Project
) -> AsyncGenerator[bytes, None]:
    """The header, then the rows; nothing if there is nobody."""
    if not await person_export.is_anybody(conn, listed):
        return
    columns = await person_export.columns(conn, listed, most=COLUMNS_MAX)
    names = project.display_name_properties or DISPLAY_NAME_PROPERTIES
    if person_copy.fits(columns, names=names):
        chunks = by_copy(conn, listed, columns, names=names)
    else:
        chunks = by_hand(conn, listed, project)
    async with aclosing(chunks):
        async for chunk in chunks:
            yield chunk


async def by_copy(
    conn: AsyncConnection, listed: Listed, columns: Columns, *, names: Sequence[str]
) -> AsyncGenerator[bytes, None]:
    yield sheet.header(person_copy.headers(columns))
    async with aclosing(person_copy.rows(conn, listed, columns, names=names)) as chunks:
        async for chunk in chunks:
            yield chunk


async def by_hand(
    conn: AsyncConnection, listed: Listed, project: Project
) -> AsyncGenerator[bytes, None]:
    found: set[str] = set()
    async for owners in person_export.persons(conn, listed):
        for cells in flattened(owners, project):
            found.update(cells)
            if len(found) > COLUMNS_MAX:
                raise person_export.too_many_columns(COLUMNS_MAX)
    headers = sorted(found)
    yield sheet.header(headers)
    async for owners in person_export.persons(conn, listed):
        for chunk in sheet.body(headers, flattened(owners, project)):
            yield chunk


def flattened(owners: Iterable[Owner], project: Project) -> Iterator[dict[str, Any]]:
    """Persons as a list shows them, as cells by column."""
    for owner in owners:
        shown = row(owner, project)
        yield sheet.flat(sheet.plain(shown))
