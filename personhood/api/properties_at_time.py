"""What a person's properties were at a moment, by its events (contract: persons-api, 2.7).

Refusals have a shape of their own here, `{"error": ...}`.
"""

from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from litestar import get
from msgspec import Raw, Struct

from personhood.api import properties_at_time_docs as docs
from personhood.api.asked import Asked, lookups_of, pool_of, reference
from personhood.api.present import detail_of
from personhood.api.properties_at_time_docs import Metadata, PersonAtTime
from personhood.api.schema import READ_ERRORS, Described, answer, responses
from personhood.errors import ApiError, InvalidInput, NotFound
from personhood.http.envelope import Error
from personhood.ledger.overlay import Overlay
from personhood.model import Project
from personhood.store import person_lookup, set_event
from personhood.store.person_lookup import Name, Owner
from personhood.store.pool import Pool

WINDOW = timedelta(days=2 * 365)
EVENTS_MAX = 100_000
EARLIEST = datetime.min.replace(tzinfo=UTC)


class Question(Struct, frozen=True):
    """Whose properties (`name`, given as the parameter `by`), and when."""

    by: str
    name: str
    at: datetime


@get(
    "/properties_at_time",
    opt={"scope": "person:read"},
    summary="Read a person's properties at a moment",
    description=docs.AT_TIME,
    operation_class=Described,
    responses={
        **responses(PersonAtTime, "The person.", docs.EXAMPLE, errors=READ_ERRORS),
        400: answer(
            docs.Failure | Error, "A parameter is missing or does not fit.", docs.NO_TIMESTAMP
        ),
        404: answer(docs.Failure | Error, "No such person, or no such project.", docs.NO_PERSON),
    },
)
async def persons_properties_at_time(
    request: Asked,
    *,
    distinct_id: Annotated[str | None, docs.DISTINCT_ID] = None,
    person_id: Annotated[str | None, docs.PERSON_ID] = None,
    timestamp: Annotated[str | None, docs.TIMESTAMP] = None,
    include_set_once: Annotated[str | None, docs.INCLUDE_SET_ONCE] = None,
) -> PersonAtTime:
    asked = question(distinct_id, person_id, timestamp)
    once = (include_set_once or "").lower() == "true"
    project = request.auth.project
    owner = await owner_of(request, asked)
    person = await detail_of(owner, project)
    return PersonAtTime(
        id=person.id,
        name=person.name,
        distinct_ids=person.distinct_ids,
        properties=await properties_of(pool_of(request), project, owner, at=asked.at, once=once),
        created_at=person.created_at,
        uuid=person.uuid,
        last_seen_at=person.last_seen_at,
        point_in_time_metadata=Metadata(
            queried_timestamp=asked.at.isoformat(),
            include_set_once=once,
            distinct_id_used=distinct_id or None,
            person_id_used=person_id or None,
            query_mode=asked.by,
            distinct_ids_queried=owner.distinct_ids,
            distinct_ids_count=len(owner.distinct_ids),
        ),
    )


def question(distinct_id: str | None, person_id: str | None, timestamp: str | None) -> Question:
    """What is asked for, checked in the contract's order."""
    if distinct_id and person_id:
        raise refusal(docs.BOTH)
    if not distinct_id and not person_id:
        raise refusal(docs.NEITHER)
    if not timestamp:
        raise refusal(docs.NO_TIMESTAMP)
    by, name = ("distinct_id", distinct_id) if distinct_id else ("person_id", person_id)
    return Question(by, name or "", moment(timestamp))


def moment(text: str) -> datetime:
    """A time in ISO format, in UTC if it names no zone."""
    # In a query that nobody encoded, the plus of an offset has become a blank.
    text = text.strip().replace(" ", "+") if "T" in text else text
    try:
        found = datetime.fromisoformat(text)
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
        found.astimezone(UTC)  # may lie beyond the first or the last year
    except (ValueError, OverflowError):
        raise refusal(docs.NO_MOMENT) from None
    return found


async def owner_of(request: Asked, asked: Question) -> Owner:
    """Raises NotFound, also for what cannot be anybody's id."""
    value: str | UUID | int = asked.name
    unknown = docs.Failure(f"Person with {asked.by} '{asked.name}' not found")
    if asked.by == "person_id":
        try:
            value = reference(asked.name)
        except InvalidInput:
            raise refusal(unknown, NotFound) from None
    owner = await lookups_of(request).persons.get(Name(request.auth.project.id, value))
    if owner is None or not owner.distinct_ids:
        raise refusal(unknown, NotFound)
    return owner


async def properties_of(
    pool: Pool, project: Project, owner: Owner, *, at: datetime, once: bool
) -> dict[str, Raw]:
    """What the events of all the person's ids set in the two years up to `at`.

    Of a person with more than EVENTS_MAX such events the newest count.
    """
    overlay = Overlay(include_set_once=once)
    until = at.astimezone(UTC)
    async with pool.connection() as conn:
        members = await person_lookup.members(conn, {owner.person.id}, most=None)
        async with aclosing(
            set_event.newest_first(
                conn,
                project.id,
                list(members),
                since=until - min(WINDOW, until - EARLIEST),
                until=until,
                set_once=once,
                most=EVENTS_MAX,
            )
        ) as events:
            async for event in events:
                overlay.add_older(event)
                if overlay.is_full:
                    break
    return overlay.properties


def refusal(failure: docs.Failure, kind: type[ApiError] = InvalidInput) -> ApiError:
    return kind(failure.error, body={"error": failure.error})
