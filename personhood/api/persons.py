"""Persons: list and read (contract: persons-api, 2.1, 2.3, 2.10 and 3)."""

from typing import Annotated

from litestar import Response, get, post
from litestar.params import FromPath
from msgspec import UNSET

from personhood.api import persons_docs as docs
from personhood.api import tagged
from personhood.api.asked import Asked, lookups_of, pool_of, resolve, url_of
from personhood.api.present import ROW_DISTINCT_IDS_MAX, detail, displayed, row
from personhood.api.schema import READ_ERRORS, Described, responses
from personhood.api.wire import PersonDetail, PersonList
from personhood.errors import MethodNotAllowed
from personhood.http import page as pages
from personhood.store import person_lookup, person_page
from personhood.store.person_lookup import Name
from personhood.store.person_page import Filter


@get(
    "/",
    opt={"scope": "person:read"},
    summary="List persons",
    description=docs.LIST,
    operation_class=Described,
    responses=responses(PersonList, "A page.", docs.PAGE, errors=(400, *READ_ERRORS)),
)
async def persons_list(
    request: Asked,
    *,
    email: Annotated[str | None, docs.EMAIL] = None,
    distinct_id: Annotated[str | None, docs.DISTINCT_ID] = None,
    search: Annotated[str | None, docs.SEARCH] = None,
    limit: Annotated[str | None, docs.LIMIT] = None,
    offset: Annotated[str | None, docs.OFFSET] = None,
    include_total: Annotated[str | None, docs.INCLUDE_TOTAL] = None,
    form: Annotated[str | None, docs.FORMAT] = None,
) -> PersonList:
    page = pages.page(limit, offset)
    filter = Filter(
        email=email or None,
        distinct_id=distinct_id or None,
        search=(search or "").strip() or None,
    )
    project, count = request.auth.project, UNSET
    if filter.distinct_id is not None and is_lookup(filter, page, include_total):
        return await looked_up(request, filter.distinct_id, page)
    async with pool_of(request).connection() as conn:
        found, more = await person_page.page(
            conn, project.id, filter, limit=page.limit, offset=page.offset
        )
        roots = [person.id for person in found]
        ids = await person_lookup.distinct_ids_of(conn, roots, limit=ROW_DISTINCT_IDS_MAX)
        if include_total is not None:
            count = await person_page.count(conn, project.id, filter)
    url = url_of(request)
    return PersonList(
        results=[row(person, displayed(ids[person.id]), project) for person in found],
        next=pages.next_url(url, page, more=more),
        previous=pages.previous_url(url, page),
        count=count,
    )


def is_lookup(filter: Filter, page: pages.Page, include_total: str | None) -> bool:
    """Whether a list is the look-up of one person by its distinct id, as clients mostly ask."""
    alone = filter == Filter(distinct_id=filter.distinct_id)
    return alone and page.offset == 0 and include_total is None


async def looked_up(request: Asked, distinct_id: str, page: pages.Page) -> PersonList:
    project = request.auth.project
    name = Name(project.id, distinct_id, ROW_DISTINCT_IDS_MAX)
    owner = await lookups_of(request).persons.get(name)
    rows = [] if owner is None else [row(owner.person, displayed(owner.distinct_ids), project)]
    previous = pages.previous_url(url_of(request), page)
    return PersonList(results=rows, next=None, previous=previous)


@get(
    "/{person_id:str}",
    opt={"scope": "person:read"},
    summary="Read a person",
    description=docs.RETRIEVE,
    operation_class=Described,
    response_headers=tagged.HEADERS,
    responses={
        **responses(
            PersonDetail,
            "The person.",
            docs.PERSON,
            errors=(400, *READ_ERRORS),
            bad=docs.NO_PERSON_ID,
        ),
        304: tagged.NOT_MODIFIED,
    },
)
async def persons_retrieve(
    request: Asked, person_id: FromPath[str], *, if_none_match: tagged.IfNoneMatch = None
) -> Response[PersonDetail] | Response[None]:
    owner, project = await resolve(request, person_id), request.auth.project
    if tagged.is_known(request, owner.person):
        return tagged.not_modified(owner.person, project)
    return tagged.respond(detail(owner, project), owner.person, project)


@post("/", opt={"scope": "person:write"}, include_in_schema=False)
async def persons_create(request: Asked) -> None:
    raise MethodNotAllowed(
        "Creating persons via this API is not allowed. Please create persons by sending an "
        "$identify event. See https://posthog.com/docs/product-analytics/identify for details."
    )
