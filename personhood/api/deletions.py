"""Deleting one person, its events, its recordings (contract: persons-api, 1.2, 1.4 and 1.6)."""

from datetime import UTC, datetime
from typing import Annotated

from litestar import Response, delete, post
from litestar.openapi import ResponseSpec
from litestar.params import FromPath
from litestar.status_codes import HTTP_204_NO_CONTENT
from msgspec.structs import replace

from personhood import deletions, receipts
from personhood.api import deletions_docs as docs
from personhood.api import tagged, throttle
from personhood.api.asked import Asked, cause_of, enqueue_of, flag, pool_of, resolve
from personhood.api.deletions_docs import DeletionPreview, Extent, Receipt
from personhood.api.schema import WRITE_ERRORS, responses, with_body
from personhood.deletions import Name, Preview, Request
from personhood.errors import NotFound, PreconditionFailed
from personhood.http import json_body
from personhood.model import Deletion, DeletionState, Wish

ERRORS = (*WRITE_ERRORS, 412)


@delete(
    "/{person_id:str}",
    status_code=200,
    opt={"scope": "person:write", throttle.KIND: throttle.Kind.DELETION},
    summary="Delete a person",
    description=docs.DELETE,
    operation_class=with_body(docs.BODY, docs.BODY_EXAMPLE, required=False),
    responses={
        **responses(
            DeletionPreview,
            "What would go, in a dry run.",
            docs.PREVIEW,
            errors=ERRORS,
            bad=docs.NO_FLAG,
        ),
        204: ResponseSpec(None, description="Done."),
    },
)
async def persons_delete(
    request: Asked,
    person_id: FromPath[str],
    *,
    delete_events: Annotated[str | None, docs.WITH_EVENTS] = None,
    delete_recordings: Annotated[str | None, docs.WITH_RECORDINGS] = None,
    keep_person: Annotated[str | None, docs.KEEP_PERSON] = None,
    dry_run: Annotated[str | None, docs.DRY_RUN] = None,
    if_match: tagged.IfMatch = None,
) -> Response[DeletionPreview] | Response[None]:
    body = await json_body.read(request)

    def asked(name: str, in_query: str | None) -> bool:
        return flag(body.get(name, in_query), attr=name)

    wish = Wish(
        events=asked("delete_events", delete_events),
        recordings=asked("delete_recordings", delete_recordings),
        profile=not asked("keep_person", keep_person),
    )
    wanted = await of_person(request, person_id, wish=wish)
    if asked("dry_run", dry_run):
        return Response(await preview(request, wanted))
    await carry_out(request, wanted)
    return Response(None, status_code=HTTP_204_NO_CONTENT)


@post(
    "/{person_id:str}/delete_events",
    status_code=200,
    opt={"scope": "person:write", throttle.KIND: throttle.Kind.DELETION},
    summary="Delete the events of a person",
    description=docs.DELETE_EVENTS,
    operation_class=with_body(docs.EVENTS_BODY, docs.EVENTS_BODY_EXAMPLE, required=False),
    responses=responses(docs.RECEIPT_OR_PREVIEW, "The receipt.", docs.RECEIPT, errors=ERRORS),
)
async def persons_delete_events(
    request: Asked,
    person_id: FromPath[str],
    *,
    dry_run: Annotated[str | None, docs.DRY_RUN] = None,
    if_match: tagged.IfMatch = None,
) -> Receipt | DeletionPreview:
    return await queue(request, person_id, Wish(events=True), dry_run=dry_run)


@post(
    "/{person_id:str}/delete_recordings",
    status_code=200,
    opt={"scope": "person:write", throttle.KIND: throttle.Kind.DELETION},
    summary="Delete the session recordings of a person",
    description=docs.DELETE_RECORDINGS,
    operation_class=with_body(docs.EVENTS_BODY, docs.EVENTS_BODY_EXAMPLE, required=False),
    responses=responses(
        docs.RECEIPT_OR_PREVIEW, "The receipt.", docs.RECORDINGS_RECEIPT, errors=ERRORS
    ),
)
async def persons_delete_recordings(
    request: Asked,
    person_id: FromPath[str],
    *,
    dry_run: Annotated[str | None, docs.DRY_RUN] = None,
    if_match: tagged.IfMatch = None,
) -> Receipt | DeletionPreview:
    return await queue(request, person_id, Wish(recordings=True), dry_run=dry_run)


async def queue(
    request: Asked, person_id: str, wish: Wish, *, dry_run: str | None
) -> Receipt | DeletionPreview:
    body = await json_body.read(request)
    wanted = await of_person(request, person_id, wish=wish)
    if flag(body.get("dry_run", dry_run), attr="dry_run"):
        return await preview(request, wanted)
    [receipt] = await carry_out(request, wanted)
    clock = receipts.clock(request.app.state.settings.deletion_window)
    state, until = receipts.standing(receipt, zone=request.auth.project.timezone, clock=clock)
    return shown(receipt, state=state, until=until)


async def of_person(request: Asked, person_id: str, *, wish: Wish) -> Request:
    """Raises InvalidInput, NotFound, or PreconditionFailed."""
    at, expected = datetime.now(UTC), tagged.expected(request)
    owner = await resolve(request, person_id, limit=1)
    if expected is not None and not expected(owner.person):
        raise PreconditionFailed
    found = wanted(request, [owner.person.id], wish=wish, at=at)
    return replace(found, expected=expected)


def wanted(request: Asked, names: list[Name], *, wish: Wish, at: datetime) -> Request:
    return Request(names=names, wish=wish, by=cause_of(request), at=at)


async def carry_out(request: Asked, wanted: Request) -> list[Deletion]:
    outcome = await deletions.delete(
        pool_of(request), request.auth.project, wanted, enqueue=enqueue_of(request)
    )
    if not outcome.found:
        raise NotFound  # somebody else was faster
    return outcome.receipts


async def preview(request: Asked, wanted: Request) -> DeletionPreview:
    seen = await deletions.foresee(pool_of(request), request.auth.project, wanted)
    [*uuids] = seen.found.values()
    if not uuids:
        raise NotFound
    return DeletionPreview(person_uuid=uuids[0], would_delete=extent(seen))


def extent(seen: Preview) -> Extent:
    return Extent(
        persons=seen.persons,
        distinct_ids=seen.distinct_ids,
        ledger_entries=seen.ledger_entries,
        events=seen.events,
        recordings=seen.recordings,
    )


def shown(receipt: Deletion, *, state: DeletionState, until: datetime | None) -> Receipt:
    return Receipt(
        id=receipt.uuid,
        person_uuid=receipt.person_uuid,
        profile=receipt.profile,
        events=receipt.events,
        recordings=receipt.recordings,
        state=state,
        waiting_until=until,
        requested_at=receipt.requested_at,
        cutoff=receipt.cutoff,
    )
