"""Values that a property of persons has, for whoever fills in a filter (persons-api, 2.4)."""

from typing import Annotated

from litestar import get
from litestar.datastructures import CacheControlHeader

from personhood.api import values_docs as docs
from personhood.api.asked import Asked, pool_of
from personhood.api.schema import READ_ERRORS, Described, responses
from personhood.api.values_docs import ValueList
from personhood.store import property_value

DISTINCT_ID_KEY = "distinct_id"
VIRTUAL_PREFIX = "$virt"


@get(
    "/values",
    opt={"scope": "person:read"},
    cache_control=CacheControlHeader(max_age=10),
    summary="List the values of a property",
    description=docs.VALUES,
    operation_class=Described,
    responses=responses(ValueList, "The values.", docs.EXAMPLE, errors=READ_ERRORS),
)
async def persons_values(
    request: Asked,
    *,
    key: Annotated[str | None, docs.KEY] = None,
    value: Annotated[str | None, docs.VALUE] = None,
    refresh: Annotated[str | None, docs.REFRESH] = None,
    force_refresh: Annotated[str | None, docs.FORCE_REFRESH] = None,
) -> ValueList:
    if not key or key.startswith(VIRTUAL_PREFIX):
        return ValueList(results=[])
    project, part = request.auth.project, value or None
    async with pool_of(request).connection() as conn:
        if key == DISTINCT_ID_KEY:
            return ValueList(await property_value.distinct_ids(conn, project.id, part=part))
        return ValueList(await property_value.top(conn, project.id, key, part=part))
