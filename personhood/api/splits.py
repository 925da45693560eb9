"""Splits of a person: making one, which there were, and undoing one (persons-api, 5)."""

from typing import Annotated

from litestar import get, post
from litestar.params import FromPath
from msgspec.structs import replace

from personhood import rejoins, splits
from personhood.api import persons_docs, tagged
from personhood.api import splits_docs as docs
from personhood.api.asked import Asked, cause_of, flag, pool_of, resolve, url_of
from personhood.api.present import ROW_DISTINCT_IDS_MAX, displayed, name_of
from personhood.api.schema import READ_ERRORS, WRITE_ERRORS, Described, responses, with_body
from personhood.api.splits_docs import (
    SplitDone,
    SplitList,
    SplitMove,
    SplitRow,
    SplitSide,
    UndoneSplit,
)
from personhood.errors import InvalidInput, NotFound
from personhood.http import json_body
from personhood.http import page as pages
from personhood.model import JSON, Person, Project, Properties
from personhood.partings import Part
from personhood.splits import Wish
from personhood.store import root as roots
from personhood.store import split

ID_DIGITS_MAX = 18
MOVES_SHOWN_MAX = 100
FIELDS = ("main_distinct_id", "distinct_ids_to_split", "dry_run", "personal_api_key")


@post(
    "/{person_id:str}/split",
    status_code=200,
    opt={"scope": "person:write"},
    summary="Split a person",
    description=docs.SPLIT,
    operation_class=with_body(docs.BODY, docs.BODY_EXAMPLE, required=False),
    responses=responses(
        SplitDone,
        "Who stays, and whom the others became.",
        docs.DONE,
        errors=(*WRITE_ERRORS, 412),
        bad=docs.NOT_ON_THIS_PERSON,
    ),
)
async def persons_split(
    request: Asked,
    person_id: FromPath[str],
    *,
    main_distinct_id: Annotated[str | None, docs.MAIN] = None,
    distinct_ids_to_split: Annotated[list[str] | None, docs.LISTED] = None,
    dry_run: Annotated[str | None, docs.DRY_RUN] = None,
    if_match: tagged.IfMatch = None,
) -> SplitDone:
    body = await json_body.read(request)
    root = (await resolve(request, person_id, limit=1)).person
    wish = wish_in(body, main=main_distinct_id, listed=distinct_ids_to_split)
    only_shown = flag(body.get("dry_run", dry_run), attr="dry_run")
    access = request.auth
    outcome = await splits.split_off(
        pool_of(request),
        access.project,
        root,
        wish=replace(wish, expected=tagged.expected(request)),
        by=cause_of(request),
        dry_run=only_shown,
    )
    return SplitDone(
        success=True,
        dry_run=only_shown,
        split_id=outcome.split_id,
        kept=side(outcome.kept, outcome.distinct_ids, access.project),
        persons=[made(part, access.project, only_shown=only_shown) for part in outcome.parts],
    )


@get(
    "/{person_id:str}/splits",
    opt={"scope": "person:read"},
    summary="List the splits of a person",
    description=docs.LIST,
    operation_class=Described,
    responses=responses(SplitList, "A page.", docs.PAGE, errors=READ_ERRORS),
)
async def splits_list(
    request: Asked,
    person_id: FromPath[str],
    *,
    limit: Annotated[str | None, persons_docs.LIMIT] = None,
    offset: Annotated[str | None, persons_docs.OFFSET] = None,
) -> SplitList:
    page, project = pages.page(limit, offset), request.auth.project
    root = (await resolve(request, person_id, limit=1)).person
    async with pool_of(request).connection() as conn:
        found = await split.of_person(
            conn, project.id, root.id, limit=page.limit + 1, offset=page.offset
        )
        shown = found[: page.limit]
        moves = await split.moves(conn, [each.id for each in shown], limit=MOVES_SHOWN_MAX)
        uuids = await roots.uuids_of(conn, project.id, {move.person_id for move in moves})
    moved: dict[int, list[SplitMove]] = {each.id: [] for each in shown}
    for move in moves:
        moved[move.split_id].append(
            SplitMove(
                distinct_id=move.distinct_id,
                person_id=move.person_id,
                person_uuid=uuids.get(move.person_id),
            )
        )
    url = url_of(request)
    return SplitList(
        results=[SplitRow(id=each.id, timestamp=each.at, moved=moved[each.id]) for each in shown],
        next=pages.next_url(url, page, more=len(found) > page.limit),
        previous=pages.previous_url(url, page),
    )


@post(
    "/{person_id:str}/splits/{split_id:str}/undo",
    status_code=200,
    opt={"scope": "person:write"},
    summary="Undo a split",
    description=docs.UNDO,
    operation_class=Described,
    responses=responses(UndoneSplit, "The person.", docs.UNDONE, errors=(*WRITE_ERRORS, 409)),
)
async def splits_undo(
    request: Asked,
    person_id: FromPath[str],
    split_id: FromPath[str],
    *,
    preview: Annotated[str | None, docs.PREVIEW] = None,
) -> UndoneSplit:
    body = await json_body.read(request)
    only_shown = flag(body.get("preview", preview), attr="preview")
    root = (await resolve(request, person_id, limit=1)).person
    if not (split_id.isascii() and split_id.isdigit() and len(split_id) <= ID_DIGITS_MAX):
        raise NotFound
    access = request.auth
    done = await rejoins.rejoin(
        pool_of(request),
        access.project,
        root,
        split_id=int(split_id),
        by=cause_of(request),
        preview=only_shown,
    )
    return UndoneSplit(
        preview=only_shown,
        person=side(done.person, done.distinct_ids, access.project),
        returned=done.returned,
    )


def wish_in(body: Properties, *, main: str | None, listed: list[str] | None) -> Wish:
    """What is asked for, by the checks of 5.1 in their order.

    A body of other fields alone is not taken for an empty one, which would part them all.
    """
    if body and body.keys().isdisjoint(FIELDS):
        raise InvalidInput("Give main_distinct_id or distinct_ids_to_split, or no body at all.")
    main = body.get("main_distinct_id", main)
    ids: JSON = body.get("distinct_ids_to_split", listed)
    if ids is not None:
        attr = "distinct_ids_to_split"
        if not isinstance(ids, list) or any(not isinstance(each, str) for each in ids):
            raise InvalidInput("must be a list of strings", attr=attr)
        if not ids:
            raise InvalidInput("must not be empty", attr=attr)
        if main is not None:
            raise InvalidInput("main_distinct_id cannot be combined with distinct_ids_to_split")
    if main is not None and not isinstance(main, str):
        raise InvalidInput("must be a string", attr="main_distinct_id")
    return Wish(main=main or None, listed=ids)


def side(person: Person, ids: list[str], project: Project) -> SplitSide:
    shown = displayed(ids[:ROW_DISTINCT_IDS_MAX])
    return SplitSide(
        id=person.id,
        uuid=person.uuid,
        name=name_of(person, shown, project, fallback=str(person.id)),
        distinct_ids=shown,
        properties=person.properties,
        is_identified=person.is_identified,
        created_at=person.created_at,
        last_seen_at=person.last_seen_at,
    )


def made(part: Part, project: Project, *, only_shown: bool) -> SplitSide:
    """The person of an id that left; before that, a new one has no number."""
    shown = side(part.person, [part.moved.distinct_id], project)
    if not only_shown:
        return shown
    return replace(
        shown,
        id=None if part.is_new else shown.id,
        uuid=None if part.has_fresh_uuid else shown.uuid,
    )
