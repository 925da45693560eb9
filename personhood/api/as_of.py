"""Persons as they were known at a moment: what `as_of` makes of reading and listing them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace
from psycopg import AsyncConnection

from personhood import past
from personhood.api.asked import Asked, pool_of, reference, url_of
from personhood.api.present import ROW_DISTINCT_IDS_MAX, detail_of, displayed, row
from personhood.api.wire import PersonDetail, PersonList, PersonRow
from personhood.errors import InvalidInput, NotFound
from personhood.filters import tree
from personhood.http import page as pages
from personhood.http import segments
from personhood.model import BIGINT_MAX, Person, Project
from personhood.store import activity_facts, past_filter, person, property_filter
from personhood.store import past as store
from personhood.store.past import At
from personhood.store.past_filter import Then
from personhood.store.person_filter import Filter, holds_nul
from personhood.store.person_lookup import Owner
from personhood.store.pool import one_moment

BASES = {"recorded": False, "event": True}
PAGE_MAX = 100
LOOKED_AT_MAX = 1_000  # persons, for one page
NOBODY = UUID(int=0)
BATCH = 100  # persons that are looked at together, where not all fit
NO_COHORTS = "Which persons a cohort had then is not known: it cannot be asked together with as_of."
NO_OFFSET = "Persons as of a moment are not counted: follow `next`, which leads on by a cursor."


class Place(Struct, frozen=True):
    """Where a page of a past list is: in the order of uuids."""

    limit: int
    after: UUID


def at(as_of: str | None, basis: str | None) -> At | None:
    """The moment asked for; None is now. Raises InvalidInput."""
    if as_of is None:
        if basis is not None:
            raise InvalidInput("Goes with as_of.", attr="as_of_basis")
        return None
    if (by_event := BASES.get(basis or "recorded")) is None:
        raise InvalidInput('Must be "recorded" or "event".', attr="as_of_basis")
    # In a query that nobody encoded, the plus of an offset has become a blank.
    text = as_of.strip().replace(" ", "+") if "T" in as_of else as_of.strip()
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return At(moment.astimezone(UTC), by_event)
    except (ValueError, OverflowError):
        raise InvalidInput("Must be a time in ISO 8601.", attr="as_of") from None


def refuse(*, offset: int, counted: bool) -> None:
    """What a list of the past does not take: it would have to go through everybody."""
    if offset:
        raise InvalidInput(NO_OFFSET, attr="offset")
    if counted:
        raise InvalidInput(NO_OFFSET, attr="include_total")


async def retrieved(request: Asked, text: str, at: At) -> PersonDetail:
    """Whom an `:id` of a path meant then. Raises NotFound."""
    project = request.auth.project
    async with one_moment(pool_of(request)) as conn:
        meant = await meant_by(conn, project.id, reference(segments.decoded(text)))
        found = await owners(conn, project, meant.persons, at=at, having=meant.name_id)
    if not found:
        raise NotFound
    return await detail_of(found[0], project)


async def listed(
    request: Asked, at: At, filter: Filter, *, limit: int, cursor: str | None
) -> PersonList:
    """A page of a list. Raises InvalidInput for what cannot be asked of the past."""
    rows, mark = await searched(request, at, filter, limit=limit, cursor=cursor)
    url = None if mark is None else pages.at_cursor(url_of(request), mark)
    return PersonList(results=rows, next=url, previous=None)


async def searched(
    request: Asked, at: At, filter: Filter, *, limit: int, cursor: str | None
) -> tuple[list[PersonRow], str | None]:
    """Whoever fits, and the cursor of what follows. Raises InvalidInput."""
    project, place = request.auth.project, Place(min(limit, PAGE_MAX), read(cursor))
    if tree.cohort_ids(filter.properties):
        raise InvalidInput(NO_COHORTS, attr="properties")
    async with one_moment(pool_of(request)) as conn:
        await property_filter.check(conn, filter.properties, project_id=project.id)
        if holds_nul(filter):
            found, mark = [], None
        elif filter.distinct_id is not None:
            meant = await meant_by(conn, project.id, filter.distinct_id)
            there = await owners(conn, project, meant.persons, at=at, having=meant.name_id)
            found, mark = await fitting(conn, filter, there), None
        else:
            found, mark = await page(conn, project, place, at=at, filter=filter)
    rows = [
        row(replace(each, distinct_ids=ids), project)
        for each in found
        for ids in [displayed(each.distinct_ids)[:ROW_DISTINCT_IDS_MAX]]
    ]
    return rows, None if mark is None else mark.hex


def read(cursor: str | None) -> UUID:
    if not cursor:
        return NOBODY
    try:
        return UUID(hex=cursor)
    except ValueError:
        raise InvalidInput("Invalid cursor", attr="cursor") from None


async def page(
    conn: AsyncConnection, project: Project, place: Place, *, at: At, filter: Filter
) -> tuple[list[Owner], UUID | None]:
    """The persons of a page, and behind whom the next begins. Where few were there then, or few
    fit, a page ends before it is full."""
    found: list[Owner] = []
    after, looked_at, asks = place.after, 0, filter != Filter()
    while len(found) < place.limit and looked_at < LOOKED_AT_MAX:
        most = BATCH if asks else place.limit - len(found)
        batch = await store.by_uuid_behind(conn, project.id, after=after, most=most)
        there = await owners(conn, project, [each.id for each in batch], at=at)
        fits = await fitting(conn, filter, there)
        left = place.limit - len(found)
        found += fits[:left]
        if len(fits) > left:
            return found, found[-1].person.uuid
        if len(batch) < most:
            return found, None
        after, looked_at = batch[-1].uuid, looked_at + len(batch)
    return found, after


async def fitting(conn: AsyncConnection, filter: Filter, there: list[Owner]) -> list[Owner]:
    """Those whom a filter finds, in the order of uuids."""
    persons = [
        Then(
            id=each.person.id,
            uuid=each.person.uuid,
            properties=each.person.properties,
            distinct_ids=each.distinct_ids,
        )
        for each in there
    ]
    fits = await past_filter.matching(conn, filter, persons)
    return sorted(
        (each for each in there if each.person.id in fits), key=lambda each: each.person.uuid
    )


class Meant(Struct, frozen=True):
    """Persons, of whom the one is meant that had a distinct id, if that is told."""

    persons: list[int]
    name_id: int | None = None


async def meant_by(conn: AsyncConnection, project_id: int, value: UUID | int | str) -> Meant:
    """Whom a name may have meant at any moment."""
    if isinstance(value, str):
        name_id = await store.name_id(conn, project_id, value)
        if name_id is None:
            return Meant([])
        return Meant(await store.candidates(conn, project_id, name_id), name_id)
    if isinstance(value, UUID):
        found = await store.person_by(conn, project_id, uuid=value)
    else:
        found = await store.person_by(conn, project_id, id=value) if value <= BIGINT_MAX else None
    return Meant([] if found is None else [found])


async def owners(
    conn: AsyncConnection,
    project: Project,
    person_ids: Sequence[int],
    *,
    at: At,
    having: int | None = None,
) -> list[Owner]:
    """Those of some persons that were there then, as they were; or who of them had an id."""
    owned = await past.owned(conn, project.id, person_ids, at=at)
    owned = {id: ids for id, ids in owned.items() if having is None or having in ids}
    states = await past.states(conn, project.id, list(owned), at=at)
    texts = await activity_facts.texts(
        conn, project.id, {id for ids in owned.values() for id in ids}
    )
    rows = await person.by_ids(conn, owned)
    found: list[Owner] = []
    for id, ids in owned.items():
        state, names = states.get(id), [texts[each] for each in ids if each in texts]
        if id not in rows or state is None or state.created_at is None or not names:
            continue
        then = Person(
            id=id,
            project_id=project.id,
            uuid=rows[id].uuid,
            created_at=state.created_at,
            properties=state.properties,
            is_identified=state.is_identified,
        )
        found.append(Owner(then, names))
    return found
