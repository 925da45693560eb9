"""Ingestion warnings: what was odd about a project's events (contract: capture-and-identity 3.10).

The contract tells no endpoint for them; this one pages as lists of PostHog's do, and by a cursor.
"""

from datetime import datetime
from typing import Annotated
from uuid import UUID
from zoneinfo import ZoneInfo

from litestar import get
from msgspec import UNSET

from personhood.api import ingestion_warnings_docs as docs
from personhood.api.asked import Asked, pool_of, url_of
from personhood.api.ingestion_warnings_docs import WarningList, WarningRow
from personhood.api.schema import READ_ERRORS, Described, responses
from personhood.errors import InvalidInput
from personhood.http import page as pages
from personhood.model import BIGINT_MAX
from personhood.store import warning
from personhood.store.warning import Filter, Mark, Recorded
from personhood.warning_kinds import kind_of


@get(
    "/",
    opt={"scope": "ingestion_warning:read"},
    summary="List ingestion warnings",
    description=docs.LIST,
    operation_class=Described,
    responses=responses(WarningList, "A page.", docs.PAGE, errors=READ_ERRORS, bad=docs.BAD_MOMENT),
)
async def ingestion_warnings_list(
    request: Asked,
    *,
    type: Annotated[str | None, docs.TYPE] = None,
    event_uuid: Annotated[str | None, docs.EVENT_UUID] = None,
    after: Annotated[str | None, docs.AFTER] = None,
    before: Annotated[str | None, docs.BEFORE] = None,
    limit: Annotated[str | None, docs.LIMIT] = None,
    offset: Annotated[str | None, docs.OFFSET] = None,
    cursor: Annotated[str | None, docs.CURSOR] = None,
    include_total: Annotated[str | None, docs.INCLUDE_TOTAL] = None,
) -> WarningList:
    page, project, count = pages.page(limit, offset), request.auth.project, UNSET
    if cursor and offset:
        raise InvalidInput("Give either a cursor or an offset.", attr="cursor")
    behind = mark(cursor) if cursor else None
    filter = Filter(
        type=type or None,
        event_uuid=uuid_in(event_uuid),
        after=moment(after, project.timezone, attr="after"),
        before=moment(before, project.timezone, attr="before"),
    )
    async with pool_of(request).connection() as conn:
        found, more = await warning.page(
            conn, project.id, filter, limit=page.limit, offset=page.offset, behind=behind
        )
        if include_total is not None:
            count = await warning.count(conn, project.id, filter)
    url = url_of(request)
    by_offset = pages.next_url(url, page, more=more)
    return WarningList(
        results=[row(each) for each in found],
        next=by_offset if offset or not more else url_behind(url, found[-1]),
        previous=pages.previous_url(url, page),
        count=count,
    )


def row(recorded: Recorded) -> WarningRow:
    kind = kind_of(recorded.type)
    return WarningRow(
        id=recorded.id,
        type=recorded.type,
        category=kind.category,
        severity=kind.severity,
        details=recorded.details,
        event_uuid=recorded.event_uuid,
        timestamp=recorded.at,
    )


def url_behind(url: str, last: Recorded) -> str:
    """The same request, for what follows `last`."""
    path, _, query = url.partition("?")
    kept = [each for each in query.split("&") if each and each.partition("=")[0] != "cursor"]
    at = last.at.isoformat(timespec="microseconds").removesuffix("+00:00")
    return f"{path}?{'&'.join([*kept, f'cursor={at}Z_{last.id}'])}"


def mark(cursor: str) -> Mark:
    at, _, number = cursor.rpartition("_")
    try:
        found = Mark(datetime.fromisoformat(at), int(number))
    except ValueError:
        raise InvalidInput("Invalid cursor", attr="cursor") from None
    if found.at.tzinfo is None or not 0 <= found.id <= BIGINT_MAX:
        raise InvalidInput("Invalid cursor", attr="cursor")
    return found


def moment(text: str | None, timezone: str, *, attr: str) -> datetime | None:
    """A time of the query, in the project's zone if it names none. Raises InvalidInput."""
    if not text:
        return None
    try:
        # In a query that nobody encoded, the plus of an offset has become a blank.
        found = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
    except ValueError:
        raise InvalidInput(docs.NO_MOMENT, attr=attr) from None
    return found if found.tzinfo else found.replace(tzinfo=ZoneInfo(timezone))


def uuid_in(text: str | None) -> UUID | None:
    if not text:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise InvalidInput("Must be a valid UUID.", attr="event_uuid") from None
