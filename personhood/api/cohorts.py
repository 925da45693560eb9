"""Cohorts: list, make, read, rename, delete. The contract is silent; clients know these shapes."""

from typing import Annotated

from litestar import delete, get, post, route
from litestar.enums import HttpMethod
from litestar.openapi import ResponseSpec
from litestar.params import FromPath
from msgspec import UNSET, structs
from psycopg import AsyncConnection

from personhood import cohorts
from personhood.api import cohort_body
from personhood.api import cohorts_docs as docs
from personhood.api.asked import Asked, cause_of, pool_of, url_of
from personhood.api.cohorts_docs import CohortDetail, CohortList, CohortMaker
from personhood.api.schema import (
    READ_ERRORS,
    WRITE_ERRORS,
    Described,
    refusals,
    responses,
    with_body,
)
from personhood.cohorts import Members, New
from personhood.errors import InvalidInput, NotFound
from personhood.http import json_body
from personhood.http import page as pages
from personhood.store import cohort, cohort_person
from personhood.store.cohort import Cohort

ID_DIGITS_MAX = 18


@get(
    "/",
    opt={"scope": "cohort:read"},
    summary="List cohorts",
    description=docs.LIST,
    operation_class=Described,
    responses=responses(CohortList, "A page.", docs.PAGE, errors=READ_ERRORS),
)
async def cohorts_list(
    request: Asked,
    *,
    search: Annotated[str | None, docs.SEARCH] = None,
    limit: Annotated[str | None, docs.LIMIT] = None,
    offset: Annotated[str | None, docs.OFFSET] = None,
) -> CohortList:
    page, project = pages.page(limit, offset), request.auth.project
    # PostgreSQL keeps no NUL, so such a text is in no name; U+FFFD stands for it there.
    wanted = (search or "").strip().replace("\0", "\ufffd") or None
    async with pool_of(request).connection() as conn:
        total = await cohort.count(conn, project.id, search=wanted)
        found = await cohort.page(
            conn, project.id, search=wanted, limit=page.limit, offset=page.offset
        )
        results = [detail(each, count=await cohort_person.size(conn, each.id)) for each in found]
    url = url_of(request)
    return CohortList(
        count=total,
        next=pages.next_url(url, page, more=page.offset + len(found) < total),
        previous=pages.previous_url(url, page),
        results=results,
    )


@post(
    "/",
    status_code=200,
    opt={"scope": "cohort:write"},
    summary="Make a static cohort",
    description=docs.CREATE,
    operation_class=with_body(docs.CREATE_BODY, docs.CREATE_EXAMPLE),
    responses=responses(
        CohortDetail, "The cohort.", docs.CREATED, errors=WRITE_ERRORS, bad=docs.NO_NAME
    ),
)
async def cohorts_create(request: Asked) -> CohortDetail:
    body = await json_body.read(request)
    project = request.auth.project
    cohort_body.only_static(body)
    # The list goes by the name that PostHog's own clients give it, too.
    field = "persons" if body.get("persons") is not None else "_create_static_person_ids"
    new = New(
        name=cohort_body.name(body),
        description=cohort_body.description(body) or "",
        members=cohort_body.members(body, uuids=field),
        selection=cohort_body.selection(body, project),
        api_key_id=request.auth.key.id,
        request_id=cause_of(request).request_id,
    )
    if new.selection is not None and new.members:
        raise InvalidInput("Give either persons or filters.", attr="filters")
    id, unknown = await cohorts.create(pool_of(request), project, new)
    return await read(request, id, unknown=unknown)


@get(
    "/{cohort_id:str}",
    opt={"scope": "cohort:read"},
    summary="Read a cohort",
    description=docs.RETRIEVE,
    operation_class=Described,
    responses=responses(CohortDetail, "The cohort.", docs.COHORT, errors=READ_ERRORS),
)
async def cohorts_retrieve(request: Asked, cohort_id: FromPath[str]) -> CohortDetail:
    return await read(request, number(cohort_id))


@route(
    "/{cohort_id:str}",
    http_method=[HttpMethod.PATCH, HttpMethod.PUT],
    status_code=200,
    opt={"scope": "cohort:write"},
    summary="Rename or delete a cohort",
    description=docs.UPDATE,
    operation_class=with_body(docs.UPDATE_BODY, docs.UPDATE_EXAMPLE),
    responses=responses(CohortDetail, "The cohort, changed.", docs.COHORT, errors=WRITE_ERRORS),
)
async def cohorts_update(request: Asked, cohort_id: FromPath[str]) -> CohortDetail:
    body = await json_body.read(request)
    cohort_body.only_static(body)
    name, description = cohort_body.new_name(body), cohort_body.description(body)
    goes = cohort_body.deleted(body)
    id, project = number(cohort_id), request.auth.project
    async with pool_of(request).connection() as conn:
        await cohort.update(conn, project.id, id, name=name, description=description)
    told = await read(request, id)
    if goes:
        await remove(request, id)
        return structs.replace(told, deleted=True)
    return told


@delete(
    "/{cohort_id:str}",
    status_code=204,
    opt={"scope": "cohort:write"},
    summary="Delete a cohort",
    description=docs.DELETE,
    operation_class=Described,
    responses={
        204: ResponseSpec(None, description="Done."),
        **refusals(READ_ERRORS),
    },
)
async def cohorts_destroy(request: Asked, cohort_id: FromPath[str]) -> None:
    await remove(request, number(cohort_id))


def number(cohort_id: str) -> int:
    """The number in a path. Raises NotFound for what cannot be one."""
    if cohort_id.isascii() and cohort_id.isdigit() and len(cohort_id) <= ID_DIGITS_MAX:
        return int(cohort_id)
    raise NotFound


async def known(conn: AsyncConnection, project_id: int, id: int) -> Cohort:
    """Raises NotFound."""
    found = await cohort.by_id(conn, project_id, id)
    if found is None:
        raise NotFound
    return found


async def read(request: Asked, id: int, *, unknown: Members | None = None) -> CohortDetail:
    async with pool_of(request).connection() as conn:
        found = await known(conn, request.auth.project.id, id)
        count = await cohort_person.size(conn, id)
    return detail(found, count=count, unknown=unknown)


async def remove(request: Asked, id: int) -> None:
    async with pool_of(request).connection() as conn:
        if not await cohort.delete(conn, request.auth.project.id, id):
            raise NotFound


def detail(each: Cohort, *, count: int, unknown: Members | None = None) -> CohortDetail:
    maker = None
    if each.api_key_id is not None:
        maker = CohortMaker(id=each.api_key_id, first_name=each.label or "", email=each.owner)
    return CohortDetail(
        id=each.id,
        name=each.name,
        description=each.description,
        filters=each.filter,
        created_by=maker,
        created_at=each.created_at,
        count=count,
        is_static=each.is_static,
        unknown_persons=UNSET if unknown is None else list(unknown.uuids),
        unknown_distinct_ids=UNSET if unknown is None else list(unknown.distinct_ids),
    )
