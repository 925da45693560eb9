"""A person's history: every value that a property had, and what set it."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated

from litestar import get
from litestar.params import FromPath

from personhood.api import causes
from personhood.api import history_docs as docs
from personhood.api.asked import Asked, pool_of, resolve, url_of
from personhood.api.causes import Named
from personhood.api.history_docs import HistoryChange, HistoryList, HistoryPerson
from personhood.api.schema import READ_ERRORS, Described, responses
from personhood.errors import InvalidInput
from personhood.http import page as pages
from personhood.model import BIGINT_MAX
from personhood.store import property_history
from personhood.store.property_history import Spot, Told

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
CURSOR_CHARACTERS_MAX = 120


@get(
    "/{person_id:str}/history",
    opt={"scope": "person:read"},
    summary="List what a person's properties were",
    description=docs.HISTORY,
    operation_class=Described,
    responses=responses(HistoryList, "A page.", docs.HISTORY_PAGE, errors=READ_ERRORS),
)
async def persons_history(
    request: Asked,
    person_id: FromPath[str],
    *,
    key: Annotated[str | None, docs.KEY] = None,
    limit: Annotated[str | None, docs.LIMIT] = None,
    cursor: Annotated[str | None, docs.CURSOR] = None,
) -> HistoryList:
    project, rows = request.auth.project, min(pages.page(limit, None).limit, docs.ENTRIES_MAX)
    behind = read(cursor or "")
    root = (await resolve(request, person_id, limit=1)).person
    async with pool_of(request).connection() as conn:
        found = await property_history.page(
            conn,
            project.id,
            root.id,
            # PostgreSQL keeps no NUL: U+FFFD stands for it in what SDKs sent.
            key=None if key is None else key.replace("\0", "\ufffd"),
            limit=rows,
            behind=behind,
        )
        shown = found[:rows]
        named = await causes.named(conn, project.id, shown)
    more = bool(found) and found[0].found > len(shown)
    return HistoryList(
        results=[row for each in shown for row in changes(each, named, root_id=root.id)],
        next=pages.at_cursor(url_of(request), written(shown[-1])) if more else None,
    )


def changes(entry: Told, named: Named, *, root_id: int) -> Iterable[HistoryChange]:
    """The rows of an entry, by key."""
    before, after = entry.before or {}, entry.after or {}
    for key in sorted(before.keys() | after.keys()):
        yield HistoryChange(
            key=key,
            action=action(key in before, key in after),
            value=after.get(key),
            before=before.get(key),
            timestamp=entry.at,
            recorded_at=entry.recorded_at,
            kind=entry.kind,
            event=causes.event(entry, named),
            distinct_id=named.texts.get(entry.distinct_id_id or 0),
            api_key=causes.key(entry),
            person=HistoryPerson(
                entry.person_id, entry.person_uuid, merged=entry.person_id != root_id
            ),
            version=entry.version,
        )


def action(was: bool, is_: bool) -> str:
    if not is_:
        return "removed"
    return "changed" if was else "added"


def written(entry: Told) -> str:
    """The cursor of what follows an entry."""
    at = (entry.recorded_at - EPOCH) // MICROSECOND
    text = f"{at}.{entry.person_id}.{entry.version}"
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read(text: str) -> Spot | None:
    """None is the beginning. Raises InvalidInput."""
    if not text:
        return None
    try:
        if len(text) > CURSOR_CHARACTERS_MAX:
            raise ValueError
        decoded = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
        at, person_id, version = (int(part) for part in decoded.split("."))
        if not (0 <= person_id <= BIGINT_MAX and 0 <= version <= BIGINT_MAX):
            raise ValueError
        return Spot(EPOCH + at * MICROSECOND, person_id, version)
    except (ValueError, OverflowError):
        raise InvalidInput("Invalid cursor", attr="cursor") from None
