"""Why two distinct ids are one person."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

from litestar import get
from litestar.params import FromPath
from psycopg import AsyncConnection

from personhood import splits
from personhood.api import causes
from personhood.api import history_docs as docs
from personhood.api.asked import Asked, pool_of, resolve
from personhood.api.causes import Named
from personhood.api.history_docs import ExplainedLink, Explanation, HistoryPerson
from personhood.api.schema import READ_ERRORS, Described, responses
from personhood.errors import InvalidInput, NotFound
from personhood.identity.chain import chain
from personhood.model import DistinctId
from personhood.store import distinct_id, explanation
from personhood.store.explanation import Joined

MERGES_MAX = 100_000
TOO_MANY = f"This person was made by more than {MERGES_MAX:,} merges, too many to look through."
NOT_KNOWN = "Nothing tells any more how these two came to be one person."


@get(
    "/{person_id:str}/explain",
    opt={"scope": "person:read"},
    summary="Explain why two distinct ids are one person",
    description=docs.EXPLAIN,
    operation_class=Described,
    responses=responses(Explanation, "The links.", docs.EXPLAINED, errors=READ_ERRORS),
)
async def persons_explain(
    request: Asked,
    person_id: FromPath[str],
    *,
    a: Annotated[str | None, docs.A] = None,
    b: Annotated[str | None, docs.B] = None,
) -> Explanation:
    one, other = required(a, attr="a"), required(b, attr="b")
    project = request.auth.project
    root = (await resolve(request, person_id, limit=1)).person
    async with pool_of(request).connection() as conn:
        rows = await owned(conn, project.id, root.id, texts=[one, other])
        links = await links_of(conn, project.id, root.id, ends=(rows[one], rows[other]))
        named = await causes.named(conn, project.id, links)
    return Explanation(
        a=one, b=other, results=[shown(each, named, root_id=root.id) for each in links]
    )


def required(text: str | None, *, attr: str) -> str:
    if not text:
        raise InvalidInput("Give a distinct id of this person.", attr=attr)
    # PostgreSQL keeps no NUL: U+FFFD stands for it in what SDKs sent.
    return text.replace("\0", "\ufffd")


async def owned(
    conn: AsyncConnection, project_id: int, root_id: int, *, texts: Sequence[str]
) -> dict[str, DistinctId]:
    """The rows of distinct ids that are all of one root. Raises NotFound."""
    found = await distinct_id.find(conn, project_id, sorted(set(texts)))
    for text in texts:
        leaf = found.ids[text].person_id if text in found.ids else None
        if leaf is None or splits.root_of(found, leaf) != root_id:
            raise NotFound(f"not on this person: {text!r}")
    return found.ids


async def links_of(
    conn: AsyncConnection, project_id: int, root_id: int, *, ends: tuple[DistinctId, DistinctId]
) -> list[Joined]:
    one, other = ends
    if one.id == other.id:
        return []
    start, end = one.person_id, other.person_id
    assert start is not None and end is not None, "ids of a person have a leaf"
    if start == end:
        return parting(await explanation.joins(conn, project_id, start, ids=[one.id, other.id]))
    edges = await explanation.edges(conn, project_id, root_id, most=MERGES_MAX + 1)
    if len(edges) > MERGES_MAX:
        raise InvalidInput(TOO_MANY)
    way = await asyncio.to_thread(chain, edges, start, end)
    if way is None:
        raise NotFound(NOT_KNOWN)
    found = await explanation.merges(conn, project_id, way)
    return [found[id] for id in way if id in found]


def parting(joins: Sequence[Joined]) -> list[Joined]:
    """Of each id the last entry by which it came; one for both if they came together."""
    last = {id: each for each in joins for id in each.ids}
    return sorted({id(each): each for each in last.values()}.values(), key=lambda each: each.at)


def shown(link: Joined, named: Named, *, root_id: int) -> ExplainedLink:
    source = None
    if link.source_id is not None:
        source = HistoryPerson(link.source_id, link.source_uuid, merged=True)
    return ExplainedLink(
        kind=link.kind,
        merge_id=link.merge_id,
        source=source,
        target=HistoryPerson(link.target_id, link.target_uuid, merged=link.target_id != root_id),
        event=causes.event(link, named),
        distinct_id=named.texts.get(link.distinct_id_id or 0),
        api_key=causes.key(link),
        timestamp=link.at,
        recorded_at=link.recorded_at,
        can_be_undone=link.merge_id is not None,
    )
