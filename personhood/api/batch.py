"""Many persons at once, by distinct ids or uuids (contract: persons-api, 2.6)."""

from uuid import UUID

from litestar import post

from personhood.api import batch_docs as docs
from personhood.api.asked import Asked, pool_of
from personhood.api.batch_docs import BATCH_MAX, DISTINCT_IDS_MAX, PersonsByName
from personhood.api.present import detail
from personhood.api.schema import WRITE_ERRORS, responses, with_body
from personhood.errors import InvalidInput
from personhood.http import json_body
from personhood.model import JSON
from personhood.store import person_lookup
from personhood.store.person_lookup import Name


@post(
    "/batch_by_distinct_ids",
    status_code=200,
    opt={"scope": "person:read"},
    summary="Read persons by distinct ids",
    description=docs.BY_DISTINCT_IDS,
    operation_class=with_body(docs.DISTINCT_IDS_BODY, docs.DISTINCT_IDS_EXAMPLE),
    responses=responses(
        PersonsByName,
        "Those that were found.",
        docs.FOUND_BY_DISTINCT_IDS,
        errors=WRITE_ERRORS,
        bad=docs.NOT_STRINGS,
    ),
)
async def persons_batch_by_distinct_ids(request: Asked) -> PersonsByName:
    texts = first_of((await json_body.read(request)).get("distinct_ids"))
    if not all(isinstance(text, str) for text in texts):
        raise InvalidInput(docs.NOT_STRINGS.detail, attr="distinct_ids")
    return await found(request, texts)


@post(
    "/batch_by_uuids",
    status_code=200,
    opt={"scope": "person:read"},
    summary="Read persons by uuids",
    description=docs.BY_UUIDS,
    operation_class=with_body(docs.UUIDS_BODY, docs.UUIDS_EXAMPLE),
    responses=responses(
        PersonsByName,
        "Those that were found.",
        docs.FOUND_BY_UUIDS,
        errors=WRITE_ERRORS,
        bad=docs.NOT_UUIDS,
    ),
)
async def persons_batch_by_uuids(request: Asked) -> PersonsByName:
    texts = first_of((await json_body.read(request)).get("uuids"))
    try:
        uuids = [UUID(text) for text in texts]
    except (ValueError, AttributeError, TypeError):
        raise InvalidInput(docs.NOT_UUIDS.detail) from None
    return await found(request, uuids)


def first_of(given: JSON) -> list[JSON]:
    """As many as one request may ask for. What is no list asks for nobody."""
    return given[:BATCH_MAX] if isinstance(given, list) else []


async def found(request: Asked, values: list[str] | list[UUID]) -> PersonsByName:
    project = request.auth.project
    names = [Name(project.id, value, DISTINCT_IDS_MAX) for value in dict.fromkeys(values)]
    async with pool_of(request).connection() as conn:
        owners = await person_lookup.owners(conn, names)
    return PersonsByName(
        {str(name.value): detail(owners[name], project) for name in names if name in owners}
    )
