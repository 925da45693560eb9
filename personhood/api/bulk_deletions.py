"""Deletions of all persons that a filter finds: asking for one, how far they are,
calling one off.
"""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from litestar import get, post
from litestar.params import FromPath

from personhood import bulk_deletions
from personhood.api import bulk_deletions_docs as docs
from personhood.api import person_filter, throttle
from personhood.api.asked import Asked, cause_of, pool_of, url_of
from personhood.api.bulk_deletions_docs import ManyDeletion, ManyDeletions
from personhood.api.schema import READ_ERRORS, WRITE_ERRORS, Described, responses, with_body
from personhood.deletions import Preview, Request
from personhood.errors import InvalidInput, NotFound
from personhood.filters import tree
from personhood.http import json_body
from personhood.http import page as pages
from personhood.model import BIGINT_MAX, JSON, DeletionState, Project, Properties, Wish
from personhood.store import bulk_deletion
from personhood.store.bulk_deletion import BulkDeletion
from personhood.store.person_filter import Filter

FIELDS = ("properties", "search", "cohort", "email")


# Not at /bulk_delete, of which GET is a wrong method (contract: persons-api, 0).
@get(
    "/bulk_deletions",
    opt={"scope": "person:read"},
    summary="List deletions of many",
    description=docs.LIST,
    operation_class=Described,
    responses=responses(ManyDeletions, "A page.", docs.PAGE, errors=READ_ERRORS, bad=docs.NO_STATE),
)
async def bulk_deletions_list(
    request: Asked,
    *,
    in_state: Annotated[str | None, docs.STATE] = None,
    limit: Annotated[str | None, docs.LIMIT] = None,
    cursor: Annotated[str | None, docs.CURSOR] = None,
) -> ManyDeletions:
    state, most = state_in(in_state), pages.page(limit, None).limit
    project_id = request.auth.project.id
    async with pool_of(request).connection() as conn:
        before = BIGINT_MAX
        if cursor:
            last = await bulk_deletion.by_uuid(conn, project_id, cursor_of(cursor))
            before = 0 if last is None else last.id
        found = await bulk_deletion.page(
            conn, project_id, state=state, before=before, limit=most + 1
        )
        count = await bulk_deletion.number_of(conn, project_id, state=state)
    shown = found[:most]
    more = len(found) > most
    return ManyDeletions(
        count=count,
        next=pages.at_cursor(url_of(request), str(shown[-1].uuid)) if more else None,
        results=[detail(each) for each in shown],
    )


@get(
    "/bulk_delete/{bulk_id:str}",
    opt={"scope": "person:read"},
    summary="Tell how far a deletion of many is",
    description=docs.RETRIEVE,
    operation_class=Described,
    responses=responses(ManyDeletion, "How far it is.", docs.RUNNING, errors=READ_ERRORS),
)
async def bulk_deletions_retrieve(request: Asked, bulk_id: FromPath[str]) -> ManyDeletion:
    found = await bulk_deletions.by_uuid(pool_of(request), request.auth.project, uuid_of(bulk_id))
    return detail(found)


@post(
    "/bulk_delete/{bulk_id:str}/cancel",
    status_code=200,
    opt={"scope": "person:write", throttle.KIND: throttle.Kind.DELETION},
    summary="Cancel a deletion of many",
    description=docs.CANCEL,
    operation_class=with_body(docs.CANCEL_BODY, {}, required=False),
    responses=responses(
        ManyDeletion, "How far it came.", docs.CANCELLED, errors=(*WRITE_ERRORS, 409)
    ),
)
async def bulk_deletions_cancel(request: Asked, bulk_id: FromPath[str]) -> ManyDeletion:
    await json_body.read(request)
    found = await bulk_deletions.cancel(pool_of(request), request.auth.project, uuid_of(bulk_id))
    return detail(found)


def filter_in(body: Properties, project: Project) -> Filter | None:
    """Whom a body's filter finds; None if it has none. Raises InvalidInput.

    Nothing of it is passed over, and it has to ask for something: else it would find everybody.
    """
    if all(body.get(name) in (None, "", [], {}) for name in FIELDS):
        return None
    asked = {name: body.get(name) for name in ("properties", "search", "email")}
    filter = person_filter.in_body(asked, project, strict=True)
    if body.get("cohort") is not None:
        cohort = [{"type": "cohort", "key": "id", "value": cohort_id(body["cohort"])}]
        member = person_filter.tree_of(cohort, project, strict=True)
        filter = Filter(
            email=filter.email,
            search=filter.search,
            properties=tree.All((filter.properties, member)),
        )
    if (
        filter.email is None
        and filter.search is None
        and not any(tree.questions(filter.properties))
    ):
        raise InvalidInput(docs.EVERYBODY)
    return filter


def cohort_id(value: JSON) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise InvalidInput("Must be a cohort's number.", attr="cohort")


async def foreseen(
    request: Asked, filter: Filter, *, wish: Wish, at: datetime
) -> tuple[int, Preview]:
    """How many persons are found, and what would go."""
    wanted = Request(names=(), wish=wish, by=cause_of(request), at=at)
    return await bulk_deletions.foresee(
        pool_of(request), request.auth.project, filter, request=wanted
    )


async def ask(request: Asked, filter: Filter, *, wish: Wish, at: datetime) -> BulkDeletion:
    return await bulk_deletions.ask(
        pool_of(request),
        request.auth.project,
        filter,
        wish=wish,
        by=cause_of(request),
        at=at,
        enqueue=request.app.state.enqueue_bulk,
    )


def detail(found: BulkDeletion) -> ManyDeletion:
    return ManyDeletion(
        id=found.uuid,
        state=found.state,
        profile=found.profile,
        events=found.events,
        recordings=found.recordings,
        persons=found.persons,
        done=found.done,
        missing=found.missing,
        requested_at=found.requested_at,
        started_at=found.started_at,
        completed_at=found.completed_at,
        failure=found.failure,
    )


def state_in(text: str | None) -> DeletionState | None:
    if not text:
        return None
    if text not in docs.STATES:
        raise InvalidInput(f'"{text}" is not a valid choice.', code="invalid_choice", attr="state")
    return DeletionState(text)


def cursor_of(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise InvalidInput("Invalid cursor", attr="cursor") from None


def uuid_of(text: str) -> UUID:
    """Raises NotFound: no deletion has such an id."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound from None
