"""Events: list and read (contract: persons-api, 10.1)."""

from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Annotated
from urllib.parse import quote
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from litestar import get
from litestar.params import FromPath
from msgspec.structs import replace
from psycopg import AsyncConnection

from personhood.api import events_docs as docs
from personhood.api.asked import Asked, named, pool_of, url_of
from personhood.api.events_docs import EventList, EventRow, SenderRow
from personhood.api.schema import READ_ERRORS, Described, responses
from personhood.errors import BrokenJson, InvalidInput, NotFound
from personhood.filters import moments, reading, tree
from personhood.filters.reading import Given
from personhood.filters.tree import ALWAYS, Node
from personhood.http import json_body
from personhood.http import page as pages
from personhood.http.page import Page
from personhood.model import Project
from personhood.store import event_page, property_filter
from personhood.store.event_page import Listed, Sender, Stored

OFFSET_MAX = 50_000
PAGE_BYTES_MAX = 16 * 1024 * 1024  # of properties; a page ends with the event that goes over it
TEXT_CHARACTERS_MAX = 1000
AHEAD = timedelta(seconds=5)
RECENT = timedelta(hours=24)


@get(
    "/",
    opt={"scope": "query:read"},
    summary="List events",
    description=docs.LIST,
    operation_class=Described,
    responses=responses(EventList, "A page.", docs.PAGE, errors=READ_ERRORS),
)
async def events_list(
    request: Asked,
    *,
    person_id: Annotated[str | None, docs.PERSON_ID] = None,
    distinct_id: Annotated[str | None, docs.DISTINCT_ID] = None,
    event: Annotated[str | None, docs.EVENT] = None,
    properties: Annotated[str | None, docs.PROPERTIES] = None,
    after: Annotated[str | None, docs.AFTER] = None,
    before: Annotated[str | None, docs.BEFORE] = None,
    cursor: Annotated[str | None, docs.CURSOR] = None,
    order_by: Annotated[str | None, docs.ORDER_BY] = None,
    limit: Annotated[str | None, docs.LIMIT] = None,
    offset: Annotated[str | None, docs.OFFSET] = None,
) -> EventList:
    refuse_unknown(request)
    page, project = pages.page(limit, offset), request.auth.project
    if page.offset > OFFSET_MAX:
        raise InvalidInput(docs.FAR_OFFSET, attr="offset")
    listed = Listed(
        distinct_id=bounded(distinct_id, attr="distinct_id"),
        name=bounded(event, attr="event"),
        properties=tree_of(properties, project),
        after=moment(after, project, attr="after"),
        before=moment(before, project, attr="before"),
        behind=uuid_in(cursor) if cursor else None,
        ascends=ascends(order_by),
    )
    if listed.behind and (listed.after if listed.ascends else listed.before) is None:
        raise InvalidInput("A cursor goes with the time that it came with.", attr="cursor")
    if person_id:
        try:
            owner = await named(request, person_id, limit=1)
        except NotFound:
            return EventList(next=None, results=[])
        listed = replace(listed, person_id=owner.person.id)
    if "\0" in f"{distinct_id}{event}":
        return EventList(next=None, results=[])
    return await shown(request, listed, page)


@get(
    "/{event_uuid:str}",
    opt={"scope": "query:read"},
    summary="Read an event",
    description=docs.RETRIEVE,
    operation_class=Described,
    responses=responses(EventRow, "The event.", docs.ROW, errors=READ_ERRORS, bad=docs.NO_UUID),
)
async def events_retrieve(request: Asked, event_uuid: FromPath[str]) -> EventRow:
    try:
        uuid = UUID(event_uuid)
    except ValueError:
        raise InvalidInput("Invalid UUID", code="invalid") from None
    project = request.auth.project
    async with pool_of(request).connection() as conn:
        found = await event_page.by_uuid(conn, project.id, uuid)
        if found is None:
            raise NotFound(f"No events exist for event UUID {event_uuid}")
        [row] = await rows(conn, project, [found])
    return row


async def shown(request: Asked, listed: Listed, page: Page) -> EventList:
    project, until = request.auth.project, listed.before or datetime.now(UTC) + AHEAD
    async with pool_of(request).connection() as conn, conn.transaction():
        await property_filter.check(conn, listed.properties, project_id=project.id)
        listed = replace(listed, before=until)
        if listed.ascends and listed.after is None:
            recent = replace(listed, after=datetime.now(UTC) - RECENT)
            found, more = await taken(conn, project, recent, page=page)
            if len(found) < page.limit and not more:
                found, more = await taken(conn, project, listed, page=page)
        else:
            found, more = await taken(conn, project, listed, page=page)
        results = await rows(conn, project, found)
    next_url = behind(url_of(request), found[-1], ascends=listed.ascends) if more else None
    return EventList(next=next_url, results=results)


async def taken(
    conn: AsyncConnection, project: Project, listed: Listed, *, page: Page
) -> tuple[list[Stored], bool]:
    """The events of a page, and whether more follow it."""
    found: list[Stored] = []
    budget = PAGE_BYTES_MAX
    events = event_page.stream(conn, project.id, listed, limit=page.limit + 1, offset=page.offset)
    async with aclosing(events):
        async for event in events:
            if len(found) == page.limit or budget < 0:
                return found, True
            found.append(event)
            budget -= len(event.properties) + len(event.elements_chain or "")
    return found, False


async def rows(conn: AsyncConnection, project: Project, found: Sequence[Stored]) -> list[EventRow]:
    leaves = {event.leaf_id for event in found if event.leaf_id is not None}
    senders = await event_page.senders(conn, project.id, leaves) if leaves else {}
    return [row(event, senders.get(event.leaf_id or 0)) for event in found]


def row(event: Stored, sender: Sender | None) -> EventRow:
    properties = msgspec.json.decode(event.properties)
    return EventRow(
        id=event.uuid,
        distinct_id=event.distinct_id,
        # As at PostHog: quotes around a text are taken off.
        properties={
            key: value.strip('"') if isinstance(value, str) else value
            for key, value in properties.items()
        },
        event=event.name,
        timestamp=event.timestamp.astimezone(UTC).isoformat(),
        person=sender
        and SenderRow(
            is_identified=sender.is_identified,
            distinct_ids=[] if sender.distinct_id is None else [sender.distinct_id],
            properties=sender.properties,
        ),
        elements=[],
        elements_chain=event.elements_chain or "",
    )


def behind(url: str, last: Stored, *, ascends: bool) -> str:
    """The same request, for what follows `last`, which others may have the time of."""
    path, _, query = url.partition("?")
    first = "after" if ascends else "before"
    gone = ("cursor", "offset", first)
    kept = [each for each in query.split("&") if each and each.partition("=")[0] not in gone]
    at = quote(last.timestamp.astimezone(UTC).isoformat(), safe=":")
    return f"{path}?{'&'.join([*kept, f'{first}={at}', f'cursor={last.uuid}'])}"


def ascends(order_by: str | None) -> bool:
    """`["-timestamp"]` or `["timestamp"]`, also without the list."""
    words = [order_by] if order_by else ["-timestamp"]
    if order_by and order_by.lstrip().startswith("["):
        try:
            words = json_body.decode(order_by.encode(errors="replace")) or ["-timestamp"]
        except BrokenJson:
            raise InvalidInput(docs.NO_ORDER, attr="orderBy") from None
    if words not in (["-timestamp"], ["timestamp"]):
        raise InvalidInput(docs.NO_ORDER, attr="orderBy")
    return words == ["timestamp"]


def tree_of(text: str | None, project: Project) -> Node:
    if not text:
        return ALWAYS
    try:
        value = json_body.decode(text.encode(errors="replace"))
    except BrokenJson:
        raise InvalidInput(reading.UNPARSABLE, attr="properties") from None
    given = Given(now=datetime.now(UTC), zone=project.timezone, subjects=("event",))
    node = reading.read(value, given)
    if tree.cohort_ids(node):
        raise InvalidInput("Cohort filters do not apply to events.", attr="properties")
    return node


def moment(text: str | None, project: Project, *, attr: str) -> datetime | None:
    """A time of the query, in the project's zone if it names none. `all` has no end."""
    if not text or (text == "all" and attr == "after"):
        return None
    # In a query that nobody encoded, the plus of an offset has become a blank.
    text = text.replace(" ", "+") if "T" in text else text
    found = moments.read(text, now=datetime.now(UTC), zone=ZoneInfo(project.timezone))
    if found is None:
        raise InvalidInput(f'"{text[:50]}" is no date that can be read.', attr=attr)
    return found.at


def uuid_in(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise InvalidInput("Invalid cursor", attr="cursor") from None


def bounded(text: str | None, *, attr: str) -> str | None:
    if text and len(text) > TEXT_CHARACTERS_MAX:
        raise InvalidInput(
            f"Ensure this field has no more than {TEXT_CHARACTERS_MAX} characters.", attr=attr
        )
    return text or None


def refuse_unknown(request: Asked) -> None:
    """What would choose fewer events, and is not known here, is not passed over."""
    for name in ("select", "where", "action_id"):
        if request.query_params.get(name):
            raise InvalidInput(f"`{name}` is not supported.", attr=name)
