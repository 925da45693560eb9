"""Deleting many persons (contract: persons-api, 1.11)."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, cast
from uuid import UUID

import msgspec
from litestar import post

from personhood import deletions
from personhood.api import bulk_delete_docs as docs
from personhood.api import bulk_deletions, deletions_docs, throttle
from personhood.api.asked import Asked, enqueue_of, pool_of
from personhood.api.bulk_delete_docs import IDS_MAX, BulkDeletion, Happened, Result
from personhood.api.deletions import extent, wanted
from personhood.api.schema import WRITE_ERRORS, responses, with_body
from personhood.deletions import Name
from personhood.errors import InvalidInput
from personhood.http import json_body
from personhood.model import JSON, Properties, Wish
from personhood.store.person_filter import Filter

NO_WORDS = {"", "0", "false"}


@post(
    "/bulk_delete",
    status_code=200,
    opt={"scope": "person:write", throttle.KIND: throttle.Kind.DELETION},
    summary="Delete many persons",
    description=docs.BULK_DELETE,
    operation_class=with_body(docs.BODY, docs.BODY_EXAMPLE, required=False),
    responses=responses(
        BulkDeletion, "What happened.", docs.DONE, errors=WRITE_ERRORS, bad=docs.NOBODY_NAMED
    ),
)
async def persons_bulk_delete(
    request: Asked,
    *,
    ids: Annotated[list[str] | None, docs.IDS] = None,
    distinct_ids: Annotated[list[str] | None, docs.DISTINCT_IDS] = None,
    delete_events: Annotated[str | None, deletions_docs.WITH_EVENTS] = None,
    delete_recordings: Annotated[str | None, deletions_docs.WITH_RECORDINGS] = None,
    keep_person: Annotated[str | None, deletions_docs.KEEP_PERSON] = None,
    dry_run: Annotated[str | None, deletions_docs.DRY_RUN] = None,
) -> BulkDeletion:
    at = datetime.now(UTC)
    body = await json_body.read(request)

    def asked(name: str, in_query: str | None) -> bool:
        return is_on(body[name]) if name in body else is_on(in_query, bare=True)

    wish = Wish(
        events=asked("delete_events", delete_events),
        recordings=asked("delete_recordings", delete_recordings),
        profile=not asked("keep_person", keep_person),
    )
    filter = bulk_deletions.filter_in(body, request.auth.project)
    if filter is not None:
        if any([body.get("ids"), body.get("distinct_ids"), ids, distinct_ids]):
            raise InvalidInput(docs.FILTER_AND_IDS)
        return await such_as(request, filter, wish=wish, at=at, dry_run=asked("dry_run", dry_run))
    named = names(body, ids=ids, distinct_ids=distinct_ids)
    asked_for = wanted(
        request,
        list(dict.fromkeys(name for _, name in named if name is not None)),
        wish=wish,
        at=at,
    )
    pool, project = pool_of(request), request.auth.project
    if asked("dry_run", dry_run):
        seen = await deletions.foresee(pool, project, asked_for)
        summary = summed_up(named, seen.found, wish=Wish())
        return msgspec.structs.replace(summary, dry_run=True, would_delete=extent(seen))
    outcome = await deletions.delete(pool, project, asked_for, enqueue=enqueue_of(request))
    return summed_up(named, outcome.found, wish=wish)


async def such_as(
    request: Asked, filter: Filter, *, wish: Wish, at: datetime, dry_run: bool
) -> BulkDeletion:
    """Queue all persons that a filter finds, or count them."""
    if dry_run:
        found, seen = await bulk_deletions.foreseen(request, filter, wish=wish, at=at)
        many = queued(found, wish=Wish())
        return msgspec.structs.replace(many, dry_run=True, would_delete=extent(seen))
    made = await bulk_deletions.ask(request, filter, wish=wish, at=at)
    many = queued(made.persons, wish=wish)
    return msgspec.structs.replace(many, bulk_deletion=bulk_deletions.detail(made))


def queued(persons: int, *, wish: Wish) -> BulkDeletion:
    return BulkDeletion(
        persons_found=persons,
        persons_deleted=0,
        persons_queued_for_deletion=persons if wish.profile or wish.recordings else 0,
        events_queued_for_deletion=wish.events and persons > 0,
        recordings_queued_for_deletion=wish.recordings and persons > 0,
        deletion_errors=[],
        results=[],
    )


def summed_up(named: Sequence["Named"], found: dict[Name, UUID], *, wish: Wish) -> BulkDeletion:
    persons = len({*found.values()})
    happened = Happened.DELETED if wish.profile else Happened.FOUND
    return BulkDeletion(
        persons_found=persons,
        persons_deleted=persons if wish.profile else 0,
        # With their profile persons go at once; else they wait for their recordings to go.
        persons_queued_for_deletion=persons if wish.recordings and not wish.profile else 0,
        events_queued_for_deletion=wish.events and persons > 0,
        recordings_queued_for_deletion=wish.recordings and persons > 0,
        deletion_errors=[],
        results=[
            Result(given, happened, found[name])
            if name is not None and name in found
            else Result(given, Happened.NOT_FOUND)
            for given, name in named
        ],
    )


Named = tuple[JSON, UUID | str | None]  # an id as it was given, and what it names if it can at all


def names(
    body: Properties, *, ids: list[str] | None, distinct_ids: list[str] | None
) -> list[Named]:
    """Whom a request is about. The order of the checks is the contract's. Raises InvalidInput."""
    by_text = listed(body.get("distinct_ids", in_query(distinct_ids)), attr="distinct_ids")
    by_uuid = listed(body.get("ids", in_query(ids)), attr="ids")
    if by_text and by_uuid:
        raise InvalidInput(docs.BOTH)
    if len(by_text) > IDS_MAX:
        raise InvalidInput(docs.TOO_MANY_DISTINCT_IDS)
    if len(by_uuid) > IDS_MAX:
        raise InvalidInput(docs.TOO_MANY_IDS)
    if by_text:
        return [(given, text_of(given)) for given in by_text]
    if by_uuid:
        return [(given, uuid_of(given)) for given in by_uuid]
    raise InvalidInput(docs.NEITHER)


def listed(value: JSON, *, attr: str) -> list[JSON]:
    if not value:
        return []
    if not isinstance(value, list):
        raise InvalidInput("Expected a list of items.", attr=attr)
    return value


def in_query(values: list[str] | None) -> JSON:
    """A list of the query: one JSON list, or an item in each value."""
    if values is not None and len(values) == 1 and values[0].startswith("["):
        return json_body.decode(values[0].encode("utf-8", "replace"))
    return values


def text_of(value: JSON) -> str:
    """Numbers are texts to SDKs, too."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise InvalidInput("Not a valid string.", attr="distinct_ids")


def uuid_of(value: JSON) -> UUID | None:
    """None for integers: they name nobody here."""
    if isinstance(value, int) and not isinstance(value, bool):
        return None
    try:
        return UUID(cast("str", value))
    except (ValueError, AttributeError, TypeError):
        raise InvalidInput("Must be a valid UUID.", attr="ids") from None


def is_on(value: JSON, *, bare: bool = False) -> bool:
    """Whatever is not empty means yes, but the words for no; so does a `bare` key of a query."""
    if isinstance(value, str):
        return value.strip().lower() not in NO_WORDS or (bare and value == "")
    return bool(value)
