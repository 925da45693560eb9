"""Who is in a cohort, and which cohorts a person is in (contract: persons-api, 2.5)."""

from typing import Annotated

from litestar import get, route
from litestar.enums import HttpMethod
from litestar.params import FromPath
from msgspec import structs
from psycopg import AsyncConnection

from personhood import cohorts
from personhood.api import cohort_body, person_filter, persons_docs
from personhood.api import cohorts_docs as docs
from personhood.api.asked import Asked, lookups_of, named, pool_of, url_of
from personhood.api.cohorts import known, number
from personhood.api.cohorts_docs import Added, PersonsCohort, PersonsCohorts, Removed
from personhood.api.present import row
from personhood.api.schema import READ_ERRORS, WRITE_ERRORS, Described, responses, with_body
from personhood.api.wire import PersonList
from personhood.errors import InvalidInput, NotFound
from personhood.filters.tree import All, Member
from personhood.http import json_body
from personhood.http import page as pages
from personhood.http.page import Page
from personhood.model import Person, Project
from personhood.store import cohort, cohort_person, person_lookup, person_page
from personhood.store.cohort import Cohort
from personhood.store.person_filter import Filter
from personhood.store.person_lookup import Name, owner_of

BY_EITHER = [HttpMethod.POST, HttpMethod.PATCH]


@get(
    "/cohorts",
    opt={"scope": ("person:read", "cohort:read")},
    summary="List the cohorts of a person",
    description=docs.OF_PERSON_TEXT,
    operation_class=Described,
    responses=responses(
        PersonsCohorts,
        "The cohorts.",
        docs.OF_PERSON,
        errors=READ_ERRORS,
        bad=docs.NO_PERSON_ID,
    ),
)
async def persons_cohorts(
    request: Asked, *, person_id: Annotated[str | None, docs.PERSON_ID] = None
) -> PersonsCohorts:
    if not person_id:
        raise InvalidInput(
            docs.NO_PERSON_ID.detail, code=docs.NO_PERSON_ID.code, attr=docs.NO_PERSON_ID.attr
        )
    root = (await named(request, person_id, limit=1)).person
    async with pool_of(request).connection() as conn:
        members = await person_lookup.members(conn, {root.id}, most=None)
        found = await cohort.of_persons(
            conn, request.auth.project.id, list(members), limit=docs.COHORTS_OF_PERSON_MAX
        )
        return PersonsCohorts(
            [
                PersonsCohort(each.id, each.name, await cohort_person.size(conn, each.id))
                for each in found
            ]
        )


@get(
    "/{cohort_id:str}/persons",
    opt={"scope": ("cohort:read", "person:read")},
    summary="List the persons of a cohort",
    description=docs.PERSONS,
    operation_class=Described,
    responses=responses(PersonList, "A page.", persons_docs.PAGE, errors=READ_ERRORS),
)
async def cohorts_persons(
    request: Asked,
    cohort_id: FromPath[str],
    *,
    search: Annotated[str | None, persons_docs.SEARCH] = None,
    properties: Annotated[str | None, persons_docs.PROPERTIES] = None,
    limit: Annotated[str | None, persons_docs.LIMIT] = None,
    offset: Annotated[str | None, persons_docs.OFFSET] = None,
) -> PersonList:
    page, project = pages.page(limit, offset), request.auth.project
    filter = person_filter.filter_of(project, search=search, properties=properties)
    async with pool_of(request).connection() as conn:
        wanted = await known(conn, project.id, number(cohort_id))
        found = await listed(conn, project, wanted, filter=filter, page=page)
        shown = found[: page.limit]
        owned = await person_lookup.owned_by(
            conn, [person.id for person in shown], limit=docs.DISTINCT_IDS_MAX
        )
    url = url_of(request)
    return PersonList(
        results=[row(owner_of(person, owned[person.id]), project) for person in shown],
        next=pages.next_url(url, page, more=len(found) > page.limit),
        previous=pages.previous_url(url, page),
    )


async def listed(
    conn: AsyncConnection, project: Project, wanted: Cohort, *, filter: Filter, page: Page
) -> list[Person]:
    """The members of a page, and one more if there are more."""
    limit, offset = page.limit + 1, page.offset
    if filter == Filter():
        return await cohort_person.page(conn, project.id, wanted.id, limit=limit, offset=offset)
    both = All((Member(wanted.id), filter.properties))
    filter = structs.replace(filter, properties=both)
    found = await person_page.page(conn, project.id, filter, limit=limit, offset=offset)
    return found.persons


@route(
    "/{cohort_id:str}/add_persons_to_static_cohort",
    http_method=BY_EITHER,
    status_code=200,
    opt={"scope": "cohort:write"},
    summary="Put persons into a cohort",
    description=docs.ADD,
    operation_class=with_body(docs.ADD_BODY, docs.ADD_EXAMPLE),
    responses=responses(Added, "Done.", docs.ADDED, errors=WRITE_ERRORS, bad=docs.NO_LIST),
)
async def cohorts_add_persons(request: Asked, cohort_id: FromPath[str]) -> Added:
    body = await json_body.read(request)
    project, pool = request.auth.project, pool_of(request)
    async with pool.connection() as conn:
        wanted = await known(conn, project.id, number(cohort_id))
    if body.get("person_ids") is None and body.get("distinct_ids") is None:
        raise InvalidInput(docs.NO_LIST.detail)
    members = cohort_body.members(body, uuids="person_ids")
    if not members:
        raise InvalidInput("person_ids cannot be empty")
    unknown = await cohorts.add(pool, project, wanted.id, members=members)
    return Added(
        unknown_persons=list(unknown.uuids), unknown_distinct_ids=list(unknown.distinct_ids)
    )


@route(
    "/{cohort_id:str}/remove_person_from_static_cohort",
    http_method=BY_EITHER,
    status_code=200,
    opt={"scope": "cohort:write"},
    summary="Take a person out of a cohort",
    description=docs.REMOVE,
    operation_class=with_body(docs.REMOVE_BODY, docs.REMOVE_EXAMPLE),
    responses=responses(Removed, "Done.", Removed(), errors=WRITE_ERRORS, bad=docs.NO_ID),
)
async def cohorts_remove_person(request: Asked, cohort_id: FromPath[str]) -> Removed:
    body = await json_body.read(request)
    project, pool = request.auth.project, pool_of(request)
    async with pool.connection() as conn:
        wanted = await known(conn, project.id, number(cohort_id))
    name = Name(project.id, cohort_body.person_id(body), 1)
    owner = await lookups_of(request).persons.get(name)
    if owner is None:
        raise NotFound("Person with this UUID does not exist in the cohort's team")
    await cohorts.remove(pool, wanted.id, root_id=owner.person.id)
    return Removed()
