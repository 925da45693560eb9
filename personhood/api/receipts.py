"""Receipts of deletions: how far they are, and calling them off.

The contract tells of events alone (persons-api, 2.8: see `deletion_status`); this is all of it.
"""

from typing import Annotated
from uuid import UUID

from litestar import get, post
from litestar.params import FromPath

from personhood import receipts
from personhood.api import persons_docs
from personhood.api import receipts_docs as docs
from personhood.api.asked import Asked, pool_of, url_of
from personhood.api.receipts_docs import DeletionCount, DeletionDetail, DeletionList
from personhood.api.schema import READ_ERRORS, WRITE_ERRORS, Described, responses, with_body
from personhood.errors import InvalidInput, NotFound
from personhood.http import json_body
from personhood.http import page as pages
from personhood.model import DeletionState
from personhood.receipts import Clock, Receipt
from personhood.store.receipt import Filter


@get(
    "/",
    opt={"scope": "person:read"},
    summary="List deletions",
    description=docs.LIST,
    operation_class=Described,
    responses=responses(DeletionList, "A page.", docs.PAGE, errors=READ_ERRORS, bad=docs.NO_STATE),
)
async def deletions_list(
    request: Asked,
    *,
    in_state: Annotated[str | None, docs.STATE] = None,
    person_uuid: Annotated[str | None, docs.PERSON_UUID] = None,
    limit: Annotated[str | None, persons_docs.LIMIT] = None,
    offset: Annotated[str | None, persons_docs.OFFSET] = None,
) -> DeletionList:
    page, project, clock = pages.page(limit, offset), request.auth.project, clock_of(request)
    filter = Filter(state=state_in(in_state), person_uuid=uuid_in(person_uuid))
    async with pool_of(request).connection() as conn:
        found = await receipts.page(
            conn, project, filter, clock=clock, limit=page.limit + 1, offset=page.offset
        )
        count = await receipts.count(conn, project, filter, clock=clock)
    url = url_of(request)
    return DeletionList(
        count=count,
        next=pages.next_url(url, page, more=len(found) > page.limit),
        previous=pages.previous_url(url, page),
        results=[detail(each) for each in found[: page.limit]],
    )


@get(
    "/{deletion_id:str}",
    opt={"scope": "person:read"},
    summary="Tell how far a deletion is",
    description=docs.RETRIEVE,
    operation_class=Described,
    responses=responses(DeletionDetail, "The receipt.", docs.DETAIL, errors=READ_ERRORS),
)
async def deletions_retrieve(request: Asked, deletion_id: FromPath[str]) -> DeletionDetail:
    uuid = uuid_of(deletion_id)
    async with pool_of(request).connection() as conn:
        found = await receipts.by_uuid(conn, request.auth.project, uuid, clock=clock_of(request))
    return detail(found)


@post(
    "/{deletion_id:str}/cancel",
    status_code=200,
    opt={"scope": "person:write"},
    summary="Cancel a deletion",
    description=docs.CANCEL,
    operation_class=with_body(docs.CANCEL_BODY, {}, required=False),
    responses=responses(
        DeletionDetail, "The receipt.", docs.CANCELLED, errors=(*WRITE_ERRORS, 409)
    ),
)
async def deletions_cancel(request: Asked, deletion_id: FromPath[str]) -> DeletionDetail:
    await json_body.read(request)
    uuid = uuid_of(deletion_id)
    async with pool_of(request).connection() as conn:
        found = await receipts.cancel(conn, request.auth.project, uuid, clock=clock_of(request))
    return detail(found)


def clock_of(request: Asked) -> Clock:
    return receipts.clock(request.app.state.settings.deletion_window)


def detail(receipt: Receipt) -> DeletionDetail:
    asked = receipt.deletion
    return DeletionDetail(
        id=asked.uuid,
        person_uuid=asked.person_uuid,
        profile=asked.profile,
        events=asked.events,
        recordings=asked.recordings,
        state=receipt.state,
        waiting_until=receipt.until,
        requested_at=asked.requested_at,
        requested_by=receipt.label,
        cutoff=asked.cutoff,
        started_at=asked.started_at,
        completed_at=asked.completed_at,
        verified_at=asked.verified_at,
        failure=asked.failure,
        counts={
            kind: DeletionCount(before=count.before, removed=count.removed, left=count.left)
            for kind, count in sorted(receipt.counts.items())
        },
    )


def state_in(text: str | None) -> DeletionState | None:
    if not text:
        return None
    try:
        return DeletionState(text)
    except ValueError:
        raise InvalidInput(
            f'"{text}" is not a valid choice.', code="invalid_choice", attr="state"
        ) from None


def uuid_in(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        raise InvalidInput("Must be a valid UUID.", attr="person_uuid") from None


def uuid_of(text: str) -> UUID:
    """Raises NotFound: no deletion has such an id."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound from None
