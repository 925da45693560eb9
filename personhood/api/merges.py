"""Merges of a person: which there were, and undoing one."""

from typing import Annotated

from litestar import get, post
from litestar.params import FromPath

from personhood import merges
from personhood.api import merges_docs as docs
from personhood.api import persons_docs
from personhood.api.asked import Asked, cause_of, flag, pool_of, resolve, url_of
from personhood.api.merges_docs import MergedPerson, MergeList, MergeRow, UndoneMerge
from personhood.api.present import detail
from personhood.api.schema import READ_ERRORS, WRITE_ERRORS, Described, responses
from personhood.errors import NotFound
from personhood.http import json_body
from personhood.http import page as pages
from personhood.model import Merge, Person
from personhood.store import merge, person

ID_DIGITS_MAX = 18


@get(
    "/{person_id:str}/merges",
    opt={"scope": "person:read"},
    summary="List the merges of a person",
    description=docs.LIST,
    operation_class=Described,
    responses=responses(MergeList, "A page.", docs.PAGE, errors=READ_ERRORS),
)
async def merges_list(
    request: Asked,
    person_id: FromPath[str],
    *,
    limit: Annotated[str | None, persons_docs.LIMIT] = None,
    offset: Annotated[str | None, persons_docs.OFFSET] = None,
) -> MergeList:
    page, project = pages.page(limit, offset), request.auth.project
    root = (await resolve(request, person_id, limit=1)).person
    async with pool_of(request).connection() as conn:
        found = await merge.of_family(
            conn, project.id, root.id, limit=page.limit + 1, offset=page.offset
        )
        shown = found[: page.limit]
        ids = {id for each in shown for id in (each.source_id, each.target_id)}
        persons = await person.by_ids(conn, ids)
    url = url_of(request)
    return MergeList(
        # Who was deleted between two statements has no merges any more.
        results=[
            row(each, persons)
            for each in shown
            if {each.source_id, each.target_id} <= persons.keys()
        ],
        next=pages.next_url(url, page, more=len(found) > page.limit),
        previous=pages.previous_url(url, page),
    )


@post(
    "/{person_id:str}/merges/{merge_id:str}/undo",
    status_code=200,
    opt={"scope": "person:write"},
    summary="Undo a merge",
    description=docs.UNDO,
    operation_class=Described,
    responses=responses(UndoneMerge, "The two persons.", docs.UNDONE, errors=(*WRITE_ERRORS, 409)),
)
async def merges_undo(
    request: Asked,
    person_id: FromPath[str],
    merge_id: FromPath[str],
    *,
    preview: Annotated[str | None, docs.PREVIEW] = None,
) -> UndoneMerge:
    body = await json_body.read(request)
    only_shown = flag(body.get("preview", preview), attr="preview")
    if not (merge_id.isascii() and merge_id.isdigit() and len(merge_id) <= ID_DIGITS_MAX):
        raise NotFound
    access = request.auth
    outcome = await merges.undo(
        pool_of(request),
        access.project,
        (await resolve(request, person_id, limit=1)).person,
        merge_id=int(merge_id),
        by=cause_of(request),
        preview=only_shown,
    )
    return UndoneMerge(
        preview=only_shown,
        kept=detail(outcome.kept, access.project),
        freed=detail(outcome.freed, access.project),
    )


def row(each: Merge, persons: dict[int, Person]) -> MergeRow:
    return MergeRow(
        id=each.id,
        source=MergedPerson(each.source_id, persons[each.source_id].uuid),
        target=MergedPerson(each.target_id, persons[each.target_id].uuid),
        timestamp=each.at,
        recorded_at=each.recorded_at,
        event_uuid=each.event_uuid,
    )
