"""Persons as the API shows them (contract: persons-api, 2.1, 2.3, 3.2 and 3.3)."""

import asyncio

from msgspec import UNSET

from personhood.api.wire import PersonDetail, PersonRow
from personhood.identity.distinct_id import is_anonymous
from personhood.model import DISPLAY_NAME_PROPERTIES, JSON, Person, Project
from personhood.store.person_lookup import Owner

ROW_DISTINCT_IDS_MAX = 1000
THREAD_DISTINCT_IDS = 10_000


async def detail_of(owner: Owner, project: Project) -> PersonDetail:
    """As `detail`; of a person of many ids in a thread, so that others are served meanwhile."""
    if len(owner.distinct_ids) < THREAD_DISTINCT_IDS:
        return detail(owner, project)
    return await asyncio.to_thread(detail, owner, project)


def detail(owner: Owner, project: Project) -> PersonDetail:
    person, ids = owner.person, displayed(owner.distinct_ids)
    return PersonDetail(
        id=person.id,
        name=name_of(person, ids, project, fallback=str(person.id)),
        distinct_ids=ids,
        properties=person.properties,
        created_at=person.created_at,
        uuid=person.uuid,
        last_seen_at=person.last_seen_at,
        recordings_count=UNSET if owner.recordings is None else owner.recordings,
    )


def row(owner: Owner, project: Project) -> PersonRow:
    person, ids = owner.person, displayed(owner.distinct_ids)
    return PersonRow(
        id=person.uuid,
        uuid=person.uuid,
        created_at=person.created_at,
        last_seen_at=person.last_seen_at,
        properties=person.properties,
        is_identified=person.is_identified,
        name=name_of(person, ids, project, fallback=str(person.uuid)),
        distinct_ids=ids,
        recordings_count=UNSET if owner.recordings is None else owner.recordings,
    )


def displayed(ids: list[str]) -> list[str]:
    """Stored order, but ids that somebody chose before those that an SDK made up."""
    return sorted(ids, key=is_anonymous)


def name_of(person: Person, ids: list[str], project: Project, *, fallback: str) -> JSON:
    """What to call a person: a property that is not empty, as it is, else an id."""
    for key in project.display_name_properties or DISPLAY_NAME_PROPERTIES:
        if value := person.properties.get(key):
            return value
    return next(iter(ids), fallback)
