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
from personhood.api.wire import PersonDetail, PersonList
from personhood.errors import InvalidInput, NotFound
from personhood.http import page as pages
from personhood.http import segments
from personhood.model import BIGINT_MAX, Person, Project
from personhood.store import activity_facts, person
from personhood.store import past as store
from personhood.store.past import At
from personhood.store.person_lookup import Owner

BASES = {"recorded": False, "event": True}
PAGE_MAX = 100
LOOKED_AT_MAX = 1_000  # persons, for one page
NOBODY = UUID(int=0)
NO_FILTER = "as_of goes with distinct_id alone: what else persons had then is not indexed."


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


async def retrieved(request: Asked, text: str, at: At) -> PersonDetail:
    """Whom an `:id` of a path meant then. Raises NotFound."""
    project = request.auth.project
    async with pool_of(request).connection() as conn:
        meant = await meant_by(conn, project.id, reference(segments.decoded(text)))
        found = await owners(conn, project, meant.persons, at=at, having=meant.name_id)
    if not found:
        raise NotFound
    return await detail_of(found[0], project)


async def listed(
    request: Asked, at: At, *, distinct_id: str | None, limit: int, cursor: str | None
) -> PersonList:
    project, place = request.auth.project, Place(min(limit, PAGE_MAX), read(cursor))
    async with pool_of(request).connection() as conn:
        if distinct_id:
            meant = await meant_by(conn, project.id, distinct_id.replace("\0", "\ufffd"))
            found = await owners(conn, project, meant.persons, at=at, having=meant.name_id)
            mark = None
        else:
            found, mark = await page(conn, project, place, at=at)
    return PersonList(
        results=[
            row(replace(each, distinct_ids=ids), project)
            for each in found
            for ids in [displayed(each.distinct_ids)[:ROW_DISTINCT_IDS_MAX]]
        ],
        next=None if mark is None else pages.at_cursor(url_of(request), mark.hex),
        previous=None,
    )


def read(cursor: str | None) -> UUID:
    if not cursor:
        return NOBODY
    try:
        return UUID(hex=cursor)
    except ValueError:
        raise InvalidInput("Invalid cursor", attr="cursor") from None


async def page(
    conn: AsyncConnection, project: Project, place: Place, *, at: At
) -> tuple[list[Owner], UUID | None]:
    """The persons of a page, and behind whom the next begins. Where many were not there then, a
    page ends before it is full."""
    found: list[Owner] = []
    after, looked_at = place.after, 0
    while len(found) < place.limit and looked_at < LOOKED_AT_MAX:
        most = place.limit - len(found)
        batch = await store.by_uuid_behind(conn, project.id, after=after, most=most)
        found += await owners(conn, project, [each.id for each in batch], at=at)
        if len(batch) < most:
            return in_order(found), None
        after, looked_at = batch[-1].uuid, looked_at + len(batch)
    return in_order(found), after


def in_order(found: list[Owner]) -> list[Owner]:
    return sorted(found, key=lambda each: each.person.uuid)


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
