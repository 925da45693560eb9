"""Making a deleted person's distinct id usable again (contract: persons-api, 2.9 and 6.3)."""

from litestar import post

from personhood.api import reset_distinct_id_docs as docs
from personhood.api.asked import Asked
from personhood.api.reset_distinct_id_docs import Done
from personhood.api.schema import WRITE_ERRORS, responses, with_body
from personhood.errors import InvalidInput
from personhood.http import json_body


@post(
    "/reset_person_distinct_id",
    status_code=200,
    opt={"scope": "person:write"},
    summary="Make a distinct id usable again",
    description=docs.RESET,
    operation_class=with_body(docs.BODY, docs.BODY_EXAMPLE),
    responses=responses(
        Done, "The id can be used.", Done(), errors=WRITE_ERRORS, bad=docs.NO_DISTINCT_ID
    ),
)
async def persons_reset_distinct_id(request: Asked) -> Done:
    distinct_id = (await json_body.read(request)).get("distinct_id")
    if not isinstance(distinct_id, str) or not distinct_id:
        raise InvalidInput(docs.NO_DISTINCT_ID.detail)
    # Nothing to repair: an id is free from the moment that its person is deleted.
    return Done()
