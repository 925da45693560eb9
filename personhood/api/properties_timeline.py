"""How a person's properties went, by its events (contract: persons-api, 4)."""

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from litestar import get
from litestar.params import FromPath

from personhood.api import persons_docs
from personhood.api import properties_timeline_docs as docs
from personhood.api.asked import Asked, flag, pool_of, resolve
from personhood.api.properties_timeline_docs import Point, Timeline
from personhood.api.schema import READ_ERRORS, Described, responses
from personhood.errors import BrokenJson, InvalidInput
from personhood.http import json_body
from personhood.http.accept import is_csv_wanted
from personhood.ledger import timeline
from personhood.ledger.timeline import Shown
from personhood.model import JSON
from personhood.store import timeline as rows
from personhood.store.pool import one_moment
from personhood.timeline import question as questions
from personhood.timeline import window
from personhood.timeline.question import Given, Question
from personhood.timeline.window import Dates


@get(
    "/{person_id:str}/properties_timeline",
    opt={"scope": "person:read"},
    summary="Read how a person's properties went",
    description=docs.TIMELINE,
    operation_class=Described,
    responses=responses(
        Timeline, "The points.", docs.EXAMPLE, errors=READ_ERRORS, bad=persons_docs.NO_PERSON_ID
    ),
)
async def persons_properties_timeline(
    request: Asked,
    person_id: FromPath[str],
    *,
    events: Annotated[str | None, docs.EVENTS] = None,
    actions: Annotated[str | None, docs.ACTIONS] = None,
    properties: Annotated[str | None, docs.PROPERTIES] = None,
    breakdown: Annotated[str | None, docs.BREAKDOWN] = None,
    breakdown_type: Annotated[str | None, docs.BREAKDOWN_TYPE] = None,
    aggregation_group_type_index: Annotated[str | None, docs.GROUP] = None,
    date_from: Annotated[str | None, docs.DATE_FROM] = None,
    date_to: Annotated[str | None, docs.DATE_TO] = None,
    interval: Annotated[str | None, docs.INTERVAL] = None,
    display: Annotated[str | None, docs.DISPLAY] = None,
    explicit_date: Annotated[str | None, docs.EXPLICIT_DATE] = None,
) -> Timeline | list[Point]:
    asked = questions.read(
        Given(
            events=value_in(events, attr="events"),
            actions=value_in(actions, attr="actions"),
            properties=value_in(properties, attr="properties"),
            breakdown=(breakdown or "").replace("\0", "\ufffd"),
            breakdown_type=breakdown_type or "",
            group=aggregation_group_type_index or "",
        )
    )
    dates = Dates(
        date_from=date_from or "",
        date_to=date_to or "",
        interval=(interval or "day").lower(),
        display=display or "",
        is_exact=flag(explicit_date, attr="explicit_date"),
    )
    return await told(request, person_id, asked=asked, dates=dates)


async def told(
    request: Asked, person_id: str, *, asked: Question, dates: Dates
) -> Timeline | list[Point]:
    """The points alone as CSV, whose rows they are."""
    zone, at = request.auth.project.timezone, now()
    window.window(dates, now=at, zone=zone)  # refused before anything is read
    person = (await resolve(request, person_id, limit=1)).person
    async with one_moment(pool_of(request)) as conn:
        earliest = None
        if dates.date_from == window.ALL:
            earliest = await rows.earliest(conn, person.project_id, person.id)
        over = window.window(dates, now=at, zone=zone, earliest=earliest)
        found = await timeline.of_person(conn, person, asked, over=over)
    if is_csv_wanted():
        return [point(each, msgspec.json.decode(each.properties)) for each in found]
    return Timeline(
        points=[point(each, each.properties) for each in found],
        crucial_property_keys=list(asked.keys),
        effective_date_from=over.start.isoformat(),
        effective_date_to=over.end.isoformat(),
    )


def now() -> datetime:
    return datetime.now(UTC)


def point(shown: Shown, properties: Any) -> Point:
    return Point(timestamp=shown.first, properties=properties, relevant_event_count=shown.number)


def value_in(text: str | None, *, attr: str) -> JSON:
    if not text:
        return None
    try:
        return json_body.decode(text.encode(errors="replace"))
    except BrokenJson:
        refusal = questions.UNPARSABLE if attr == "properties" else "Must be valid JSON."
        raise InvalidInput(refusal, attr=attr) from None
