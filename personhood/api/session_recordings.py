"""Recordings of sessions: listed, told of, played and removed (contract: persons-api, 10.2)."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from litestar import Response, delete, get
from litestar.openapi import ResponseSpec
from litestar.params import FromPath
from litestar.status_codes import HTTP_204_NO_CONTENT

from personhood import recordings
from personhood.api import persons_docs
from personhood.api import session_recordings_docs as docs
from personhood.api.asked import Asked, lookups_of, pool_of, reference
from personhood.api.present import detail
from personhood.api.schema import READ_ERRORS, Described, refusals, responses
from personhood.api.session_recordings_docs import SessionRecording, SessionRecordingList
from personhood.errors import InvalidInput, NotFound
from personhood.filters import moments
from personhood.http import page as pages
from personhood.identity.distinct_id import person_uuid
from personhood.model import Project
from personhood.store import person_lookup, recording_page
from personhood.store.person_lookup import Name
from personhood.store.recording_page import Filter, Recording

NOT_FOUND = "Recording not found"
DISTINCT_IDS_SHOWN = 10
NAMES_MAX = 10_000
STORAGE = "object_storage"


@get(
    "/",
    opt={"scope": "session_recording:read"},
    summary="List session recordings",
    description=docs.LIST,
    operation_class=Described,
    responses=responses(
        SessionRecordingList, "A page.", docs.PAGE, errors=READ_ERRORS, bad=docs.NOT_A_LIST
    ),
)
async def session_recordings_list(
    request: Asked,
    *,
    person_uuid: Annotated[str | None, docs.PERSON_UUID] = None,
    person_id: Annotated[str | None, docs.PERSON_ID] = None,
    distinct_id: Annotated[str | None, docs.DISTINCT_ID] = None,
    distinct_ids: Annotated[str | None, docs.DISTINCT_IDS] = None,
    session_ids: Annotated[str | None, docs.SESSION_IDS] = None,
    date_from: Annotated[str | None, docs.DATE_FROM] = None,
    date_to: Annotated[str | None, docs.DATE_TO] = None,
    properties: Annotated[str | None, docs.PROPERTIES] = None,
    limit: Annotated[str | None, persons_docs.LIMIT] = None,
    offset: Annotated[str | None, persons_docs.OFFSET] = None,
) -> SessionRecordingList:
    page, project = pages.page(limit, offset), request.auth.project
    if texts(properties, attr="properties", kind=object):
        raise InvalidInput("Recordings are not filtered by properties.", attr="properties")
    names = texts(distinct_ids, attr="distinct_ids")
    if distinct_id:
        # PostgreSQL keeps no NUL, so no distinct id has one.
        is_asked_for = "\0" not in distinct_id and (names is None or distinct_id in names)
        names = [distinct_id] if is_asked_for else []
    filter = Filter(
        names=names,
        session_ids=texts(session_ids, attr="session_ids"),
        after=moment(date_from, project, attr="date_from"),
        before=moment(date_to, project, attr="date_to"),
    )
    found: list[Recording] = []
    root_id = await root_of(request, person_uuid=person_uuid, person_id=person_id)
    if root_id != NOBODY:
        filter = msgspec.structs.replace(filter, root_id=root_id)
        async with pool_of(request).connection() as conn:
            found = await recording_page.page(
                conn, project.id, filter, limit=page.limit + 1, offset=page.offset
            )
    return SessionRecordingList(
        results=await shown(request, found[: page.limit]), has_next=len(found) > page.limit
    )


@get(
    "/{session_id:str}",
    opt={"scope": "session_recording:read"},
    summary="Tell of a session recording",
    description=docs.RETRIEVE,
    operation_class=Described,
    responses=responses(SessionRecording, "The recording.", docs.ITEM, errors=READ_ERRORS),
)
async def session_recordings_retrieve(
    request: Asked, session_id: FromPath[str]
) -> SessionRecording:
    [item] = await shown(request, [await of_session(request, session_id)])
    return item


@delete(
    "/{session_id:str}",
    status_code=204,
    opt={"scope": "session_recording:write"},
    summary="Remove a session recording",
    description=docs.DELETE,
    operation_class=Described,
    responses={
        **refusals(READ_ERRORS),
        204: ResponseSpec(None, description="Done."),
    },
)
async def session_recordings_destroy(request: Asked, session_id: FromPath[str]) -> Response[None]:
    await recordings.delete(
        pool_of(request),
        request.app.state.blobs,
        request.auth.project,
        session_id=known_form(session_id),
    )
    return Response(None, status_code=HTTP_204_NO_CONTENT)


async def of_session(request: Asked, session_id: str) -> Recording:
    """Raises NotFound."""
    async with pool_of(request).connection() as conn:
        found = await recording_page.by_session(
            conn, request.auth.project.id, known_form(session_id)
        )
    if found is None:
        raise NotFound(NOT_FOUND)
    return found


def known_form(session_id: str) -> str:
    """PostgreSQL keeps no NUL, so no session has one."""
    if "\0" in session_id:
        raise NotFound(NOT_FOUND)
    return session_id


# What is asked for


NOBODY = -1


async def root_of(request: Asked, *, person_uuid: str | None, person_id: str | None) -> int | None:
    """The root that both mean; NOBODY where there is none, None where none was asked for."""
    roots: set[int] = set()
    for text, attr in ((person_uuid, "person_uuid"), (person_id, "person_id")):
        if not text:
            continue
        value = uuid_in(text) if attr == "person_uuid" else reference(text)
        owner = await lookups_of(request).persons.get(Name(request.auth.project.id, value, 1))
        roots.add(NOBODY if owner is None else owner.person.id)
    if len(roots) > 1:
        return NOBODY
    return next(iter(roots), None)


def uuid_in(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise InvalidInput("Must be a valid UUID.", attr="person_uuid") from None


def texts(given: str | None, *, attr: str, kind: type = str) -> list[str] | None:
    """A JSON list; None where nothing was given. Raises InvalidInput."""
    if not given:
        return None
    try:
        read = msgspec.json.decode(given.encode("utf-8", "replace"), type=list)
    except (msgspec.DecodeError, RecursionError):
        read = None
    if read is None or len(read) > NAMES_MAX or not all(isinstance(each, kind) for each in read):
        raise InvalidInput("Must be a list of texts, as JSON.", attr=attr)
    return [each for each in read if kind is not str or "\0" not in each]


def moment(text: str | None, project: Project, *, attr: str) -> datetime | None:
    """Of a day without a time its beginning, or as `date_to` its end. Raises InvalidInput."""
    if not text:
        return None
    found = moments.read(text, now=datetime.now(UTC), zone=ZoneInfo(project.timezone))
    if found is None:
        raise InvalidInput("Must be a time, or relative as -7d.", attr=attr)
    if attr == "date_to" and found.day is not None:
        return found.day.high
    return found.at


# What is told


async def shown(request: Asked, found: Sequence[Recording]) -> list[SessionRecording]:
    project = request.auth.project
    names = [
        Name(project.id, text, DISTINCT_IDS_SHOWN)
        for text in {each.name for each in found if each.is_live}
    ]
    persons: dict[str, docs.Shown] = {}
    if names:
        async with pool_of(request).connection() as conn:
            owners = await person_lookup.owners(conn, names)
        persons = {str(name.value): detail(owner, project) for name, owner in owners.items()}
    return [row(each, persons.get(each.name) if each.is_live else None, project) for each in found]


def row(each: Recording, person: docs.Shown | None, project: Project) -> SessionRecording:
    length = (each.ended_at - each.started_at).total_seconds()
    active = min(each.active_ms / 1000, length)
    return SessionRecording(
        id=each.session_id,
        distinct_id=each.name,
        viewed=False,
        viewers=[],
        recording_duration=round(length),
        active_seconds=round(active, 3),
        inactive_seconds=round(length - active, 3),
        start_time=each.started_at,
        end_time=each.ended_at,
        click_count=each.clicks,
        keypress_count=each.keypresses,
        mouse_activity_count=each.mouse_activity,
        console_log_count=each.console_logs,
        console_warn_count=each.console_warnings,
        console_error_count=each.console_errors,
        start_url=next(iter(each.urls), None),
        person=person or docs.missing(each.name, person_uuid(project.id, each.name)),
        storage=STORAGE,
        snapshot_source=each.source,
        ongoing=each.is_ongoing,
        activity_score=round(100 * active / length, 1) if length else 0.0,
        expiry_time=each.expires_at,
    )
