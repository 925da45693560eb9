"""Properties of one person: set and removed (contract: persons-api, 1.1, 1.5 and 1.9)."""

from typing import Annotated

from litestar import Response, post, route
from litestar.enums import HttpMethod
from litestar.params import FromPath
from msgspec.structs import replace

from personhood import corrections
from personhood.api import person_properties_docs as docs
from personhood.api import tagged
from personhood.api.asked import Asked, cause_of, flag, lookups_of, pool_of, resolve
from personhood.api.person_properties_docs import PropertyDeleted
from personhood.api.persons_docs import PERSON
from personhood.api.present import detail_of
from personhood.api.schema import WRITE_ERRORS, responses, with_body
from personhood.api.wire import PersonDetail
from personhood.corrections import Corrected, Correction
from personhood.errors import InvalidInput, PreconditionFailed
from personhood.http import json_body
from personhood.model import JSON, ActivityKind, Properties
from personhood.store.person_lookup import Name, Owner

ERRORS = (*WRITE_ERRORS, 409, 412)


@route(
    "/{person_id:str}",
    http_method=[HttpMethod.PATCH, HttpMethod.PUT],
    status_code=200,
    opt={"scope": "person:write"},
    summary="Set properties of a person",
    description=docs.UPDATE,
    operation_class=tagged.answered(with_body(docs.PROPERTIES_BODY, docs.PROPERTIES_EXAMPLE)),
    responses=responses(
        PersonDetail,
        "The person, changed.",
        PERSON,
        errors=ERRORS,
        bad=docs.missing("properties"),
    ),
)
async def persons_update(
    request: Asked, person_id: FromPath[str], *, if_match: tagged.IfMatch = None
) -> Response[PersonDetail]:
    properties = properties_in(await json_body.read(request))
    return await updated(request, person_id, properties)


@post(
    "/{person_id:str}/update_property",
    status_code=200,
    opt={"scope": "person:write"},
    summary="Set a property of a person",
    description=docs.UPDATE_PROPERTY,
    operation_class=tagged.answered(
        with_body(docs.PROPERTY_BODY, docs.PROPERTY_EXAMPLE, required=False)
    ),
    responses=responses(
        PersonDetail,
        "The person, changed.",
        PERSON,
        errors=ERRORS,
        bad=docs.missing("value"),
    ),
)
async def persons_update_property(
    request: Asked,
    person_id: FromPath[str],
    *,
    key: Annotated[str | None, docs.KEY] = None,
    value: Annotated[str | None, docs.VALUE] = None,
    if_match: tagged.IfMatch = None,
) -> Response[PersonDetail]:
    body = await json_body.read(request)
    if "value" not in body and value is None:
        raise missing("value")
    name = text_in(body, key, attr="key")
    return await updated(request, person_id, {name: body.get("value", json_body.storable(value))})


@post(
    "/{person_id:str}/delete_property",
    status_code=200,
    opt={"scope": "person:write"},
    summary="Remove a property of a person",
    description=docs.DELETE_PROPERTY,
    operation_class=tagged.answered(with_body(docs.UNSET_BODY, docs.UNSET_EXAMPLE, required=False)),
    responses=responses(
        PropertyDeleted,
        "What went, and the person without it.",
        docs.DELETED,
        errors=ERRORS,
        bad=docs.missing("$unset"),
    ),
)
async def persons_delete_property(
    request: Asked,
    person_id: FromPath[str],
    *,
    unset: Annotated[str | None, docs.UNSET] = None,
    dry_run: Annotated[str | None, docs.DRY_RUN] = None,
    if_match: tagged.IfMatch = None,
) -> Response[PropertyDeleted]:
    body = await json_body.read(request)
    key = text_in(body, unset, attr="$unset")
    only_shown = flag(body.get("dry_run", dry_run), attr="dry_run")
    found = await resolve(request, person_id, limit=None if only_shown else 1)
    if only_shown:
        owner, gone = without(request, found, key)
    else:
        kind, by = ActivityKind.PROPERTY_DELETED, cause_of(request)
        done = await corrected(request, found, Correction(kind=kind, by=by, unset=(key,)))
        owner, gone = await shown(request, done), done.change.before
    project = request.auth.project
    shape = await detail_of(owner, project)
    answer = PropertyDeleted(dry_run=only_shown, deleted=gone, person=shape)
    return tagged.respond(answer, found if only_shown else owner, project)


async def updated(request: Asked, person_id: str, properties: Properties) -> Response[PersonDetail]:
    found = await resolve(request, person_id, limit=1)
    kind, by = ActivityKind.UPDATED, cause_of(request)
    done = await corrected(request, found, Correction(kind=kind, by=by, set=properties))
    owner, project = await shown(request, done), request.auth.project
    return tagged.respond(await detail_of(owner, project), owner, project)


async def corrected(request: Asked, found: Owner, correction: Correction) -> Corrected:
    """Make a correction, unless `If-Match` speaks of another person than it is by then."""
    return await corrections.correct(
        pool_of(request),
        request.auth.project,
        found.person.id,
        correction=replace(correction, expected=tagged.expected(request)),
    )


async def shown(request: Asked, done: Corrected) -> Owner:
    """The person as the next request would read it."""
    name = Name(request.auth.project.id, done.person.id)
    return await lookups_of(request).persons.get(name) or Owner(done.person, [])


def without(request: Asked, found: Owner, key: str) -> tuple[Owner, Properties]:
    """The person as it would be without a key, and what would go."""
    expected = tagged.expected(request)
    if expected is not None and not expected(found.person):
        raise PreconditionFailed
    kept = dict(found.person.properties)
    gone = {key: kept.pop(key)} if key in kept else {}
    return replace(found, person=replace(found.person, properties=kept)), gone


def properties_in(body: Properties) -> Properties:
    properties = body.get("properties")
    if properties is None:
        raise missing("properties")
    if not isinstance(properties, dict):
        raise InvalidInput("Expected a JSON object.", attr="properties")
    return properties


def text_in(body: Properties, in_query: str | None, *, attr: str) -> str:
    value: JSON = body.get(attr)
    if value is None:
        value = json_body.storable(in_query)
    if value is None:
        raise missing(attr)
    if not isinstance(value, str):
        raise InvalidInput("Not a valid string.", attr=attr)
    return value


def missing(attr: str) -> InvalidInput:
    """`code` and `detail` are swapped, as clients know it."""
    return InvalidInput("required", code="This field is required.", attr=attr)
