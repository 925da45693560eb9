"""Persons: list, search and read (contract: persons-api, 2.1, 2.3, 2.10 and 3)."""

from typing import Annotated

from litestar import Response, get, post
from litestar.params import FromPath
from msgspec import UNSET, Struct, UnsetType

from personhood.api import as_of as past
from personhood.api import cursor as cursors
from personhood.api import person_filter, tagged
from personhood.api import persons_docs as docs
from personhood.api.asked import Asked, flag, lookups_of, pool_of, resolve, url_of
from personhood.api.person_export import export
from personhood.api.present import ROW_DISTINCT_IDS_MAX, detail_of, row
from personhood.api.schema import READ_ERRORS, WRITE_ERRORS, Described, responses, with_body
from personhood.api.wire import PersonDetail, PersonList, PersonRow, PersonsFound
from personhood.errors import InvalidInput, MethodNotAllowed
from personhood.http import json_body
from personhood.http import page as pages
from personhood.http.accept import is_csv_wanted
from personhood.http.streamed import Streamed
from personhood.model import BIGINT_MAX, Properties
from personhood.store import person_lookup, person_page
from personhood.store.person_filter import Filter
from personhood.store.person_lookup import Name, owner_of
from personhood.store.person_page import Mark


@get(
    "/",
    opt={"scope": "person:read"},
    summary="List persons",
    description=docs.LIST,
    operation_class=Described,
    responses=responses(PersonList, "A page.", docs.PAGE, errors=READ_ERRORS),
)
async def persons_list(
    request: Asked,
    *,
    email: Annotated[str | None, docs.EMAIL] = None,
    distinct_id: Annotated[str | None, docs.DISTINCT_ID] = None,
    search: Annotated[str | None, docs.SEARCH] = None,
    properties: Annotated[str | None, docs.PROPERTIES] = None,
    limit: Annotated[str | None, docs.LIMIT] = None,
    offset: Annotated[str | None, docs.OFFSET] = None,
    cursor: Annotated[str | None, docs.CURSOR] = None,
    include_total: Annotated[str | None, docs.INCLUDE_TOTAL] = None,
    all: Annotated[str | None, docs.ALL] = None,
    as_of: Annotated[str | None, docs.AS_OF] = None,
    as_of_basis: Annotated[str | None, docs.AS_OF_BASIS] = None,
) -> PersonList | Streamed:
    project, page = request.auth.project, pages.page(limit, offset)
    filter = person_filter.filter_of(
        project, email=email, distinct_id=distinct_id, search=search, properties=properties
    )
    if (moment := past.at(as_of, as_of_basis)) is not None:
        past.refuse(offset=page.offset, counted=include_total is not None)
        return await past.listed(request, moment, filter, limit=page.limit, cursor=cursor)
    if is_csv_wanted():
        return await export(request, filter, all=flag(all, attr="all"))
    counted = include_total is not None
    url = url_of(request)
    if cursor is not None:
        refuse_both(cursor, offset)
        place = Place(limit=page.limit, behind=cursors.read(cursor))
        found = await listed(request, filter, place, counted=counted)
        next_url = found.mark and pages.at_cursor(url, cursors.written(found.mark))
        return PersonList(results=found.rows, next=next_url, previous=None, count=found.count)
    if filter.distinct_id is not None and not counted and is_lookup(filter, page):
        return await looked_up(request, filter.distinct_id, page)
    place = Place(limit=page.limit, offset=page.offset)
    found = await listed(request, filter, place, counted=counted)
    return PersonList(
        results=found.rows,
        # A full last page leads to an empty one (2.1).
        next=pages.next_url(url, page, more=len(found.rows) == page.limit),
        previous=pages.previous_url(url, page),
        count=found.count,
    )


@post(
    "/search",
    status_code=200,
    opt={"scope": "person:read"},
    summary="Search persons",
    description=docs.SEARCH_BY_BODY,
    operation_class=with_body(docs.SEARCH_BODY, docs.SEARCH_BODY_EXAMPLE),
    responses=responses(PersonsFound, "A page.", docs.FOUND, errors=WRITE_ERRORS),
)
async def persons_search(request: Asked) -> PersonsFound | Streamed:
    body = await json_body.read(request)
    filter = person_filter.in_body(body, request.auth.project)
    as_of, basis = (person_filter.text_in(body, name) for name in ("as_of", "as_of_basis"))
    moment = past.at(as_of, basis)
    if moment is None and is_csv_wanted():
        return await export(request, filter, all=flag(body.get("all"), attr="all"))
    limit, offset = (written_number(body, name) for name in ("limit", "offset"))
    page, cursor = pages.page(limit, offset), person_filter.text_in(body, "cursor")
    counted = flag(body.get("include_total"), attr="include_total")
    if moment is not None:
        past.refuse(offset=page.offset, counted=counted)
        rows, mark = await past.searched(request, moment, filter, limit=page.limit, cursor=cursor)
        return PersonsFound(results=rows, next_cursor=mark, next_offset=None)
    if offset is None:
        place = Place(limit=page.limit, behind=cursors.read(cursor or ""))
    else:
        refuse_both(cursor, offset)
        place = Place(limit=page.limit, offset=page.offset)
    found = await listed(request, filter, place, counted=counted)
    by_offset = found.mark is not None and place.offset is not None
    return PersonsFound(
        results=found.rows,
        next_cursor=cursors.written(found.mark) if found.mark and not by_offset else None,
        next_offset=page.offset + page.limit if by_offset else None,
        count=found.count,
    )


class Place(Struct, frozen=True, kw_only=True):
    """Where a page is: at an offset, else behind a mark."""

    limit: int
    offset: int | None = None
    behind: Mark | None = None


class Found(Struct, frozen=True, kw_only=True):
    """A page as it is shown. There is a mark if more follows."""

    rows: list[PersonRow]
    mark: Mark | None
    count: int | UnsetType


async def listed(request: Asked, filter: Filter, place: Place, *, counted: bool) -> Found:
    project, limit = request.auth.project, place.limit
    async with pool_of(request).connection() as conn:
        if place.offset is None:
            page = await person_page.page_behind(
                conn, project.id, filter, limit=limit, behind=place.behind, counted=counted
            )
        else:
            page = await person_page.page(
                conn, project.id, filter, limit=limit, offset=place.offset, counted=counted
            )
        roots = [person.id for person in page.persons]
        owned = await person_lookup.owned_by(conn, roots, limit=ROW_DISTINCT_IDS_MAX)
    return Found(
        rows=[row(owner_of(person, owned[person.id]), project) for person in page.persons],
        mark=page.mark,
        count=UNSET if page.count is None else page.count,
    )


def refuse_both(cursor: str | None, offset: str | None) -> None:
    if cursor is not None and offset:
        raise InvalidInput("Give either a cursor or an offset.", attr="cursor")


def written_number(body: Properties, name: str) -> str | None:
    """A number of a body, as it would stand in a query."""
    value = body.get(name)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > BIGINT_MAX:
        raise InvalidInput("A valid integer is required.", attr=name)
    return str(value)


def is_lookup(filter: Filter, page: pages.Page) -> bool:
    """Whether a list is the look-up of one person by its distinct id, as clients mostly ask."""
    return filter == Filter(distinct_id=filter.distinct_id) and page.offset == 0


async def looked_up(request: Asked, distinct_id: str, page: pages.Page) -> PersonList:
    project = request.auth.project
    name = Name(project.id, distinct_id, ROW_DISTINCT_IDS_MAX)
    owner = await lookups_of(request).persons.get(name)
    rows = [] if owner is None else [row(owner, project)]
    url = url_of(request)
    return PersonList(
        results=rows,
        next=pages.next_url(url, page, more=len(rows) == page.limit),
        previous=pages.previous_url(url, page),
    )


@get(
    "/{person_id:str}",
    opt={"scope": "person:read"},
    summary="Read a person",
    description=docs.RETRIEVE,
    operation_class=tagged.answered(Described),
    responses={
        **responses(
            PersonDetail,
            "The person.",
            docs.PERSON,
            errors=READ_ERRORS,
            bad=docs.NO_PERSON_ID,
        ),
        304: tagged.NOT_MODIFIED,
    },
)
async def persons_retrieve(
    request: Asked,
    person_id: FromPath[str],
    *,
    if_none_match: tagged.IfNoneMatch = None,
    as_of: Annotated[str | None, docs.AS_OF] = None,
    as_of_basis: Annotated[str | None, docs.AS_OF_BASIS] = None,
) -> Response[PersonDetail] | Response[None]:
    if (moment := past.at(as_of, as_of_basis)) is not None:
        return Response(await past.retrieved(request, person_id, moment))
    owner, project = await resolve(request, person_id), request.auth.project
    if tagged.is_known(request, owner):
        return tagged.not_modified(owner, project)
    return tagged.respond(await detail_of(owner, project), owner, project)


@post("/", opt={"scope": "person:write"}, include_in_schema=False)
async def persons_create(request: Asked) -> None:
    raise MethodNotAllowed(
        "Creating persons via this API is not allowed. Please create persons by sending an "
        "$identify event. See https://posthog.com/docs/product-analytics/identify for details."
    )
