"""Who is behind a figure of an insight (contract: persons-api, 2.11). There are no insights here,
so there is nobody behind them: older clients get the envelope that they know, with nobody in it.
"""

from datetime import UTC, datetime
from typing import Annotated

from litestar import get, post

from personhood.api import actors_docs as docs
from personhood.api.actors_docs import Actors, CachedActors, People
from personhood.api.asked import Asked, url_of
from personhood.api.schema import (
    READ_ERRORS,
    WRITE_ERRORS,
    Described,
    answer,
    responses,
    with_body,
)
from personhood.errors import InvalidInput
from personhood.http import json_body
from personhood.http import page as pages


@get(
    ["/funnel", "/funnel/correlation", "/trends"],
    opt={"scope": "person:read"},
    summary="List the persons behind an insight",
    description=docs.INSIGHT,
    operation_class=Described,
    responses=responses(CachedActors, "Nobody.", docs.CACHED, errors=READ_ERRORS),
)
async def persons_actors(request: Asked) -> CachedActors:
    return nobody(request)


@post(
    ["/funnel", "/funnel/correlation"],
    status_code=200,
    opt={"scope": "person:read"},
    summary="List the persons behind an insight",
    description=docs.INSIGHT_POST,
    operation_class=with_body(docs.BODY, docs.BODY_EXAMPLE),
    responses=responses(CachedActors, "Nobody.", docs.CACHED, errors=WRITE_ERRORS),
)
async def persons_actors_create(request: Asked) -> CachedActors:
    await json_body.read(request)
    return nobody(request)


@get(
    "/lifecycle",
    opt={"scope": "person:read"},
    summary="List the persons of a lifecycle",
    description=docs.LIFECYCLE,
    operation_class=Described,
    responses={
        **responses(Actors, "Nobody.", docs.NOBODY, errors=READ_ERRORS),
        400: answer(docs.Missing, "A parameter is missing.", docs.NO_DATE),
    },
)
async def persons_lifecycle(
    request: Asked,
    *,
    target_date: Annotated[str | None, docs.TARGET_DATE] = None,
    lifecycle_type: Annotated[str | None, docs.LIFECYCLE_TYPE] = None,
) -> Actors:
    if target_date is None:
        raise missing(docs.NO_DATE)
    if lifecycle_type is None:
        raise missing(docs.NO_TYPE)
    return docs.NOBODY


@get(
    "/stickiness",
    opt={"scope": "person:read"},
    summary="List the persons of a stickiness",
    description=docs.STICKINESS,
    operation_class=Described,
    responses=responses(Actors, "Nobody.", docs.NOBODY, errors=READ_ERRORS),
)
async def persons_stickiness(request: Asked) -> Actors:
    return docs.NOBODY


def nobody(request: Asked) -> CachedActors:
    return CachedActors(
        results=[People()],
        next=None,
        initial=pages.at_offset(url_of(request), 0),
        missing_persons=0,
        is_cached=False,
        last_refresh=datetime.now(UTC),
    )


def missing(parameter: docs.Missing) -> InvalidInput:
    body = {"message": parameter.message, "detail": parameter.detail}
    return InvalidInput(parameter.detail, body=body)
