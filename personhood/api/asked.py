"""What handlers ask of a request: whom its path means, what its flags say, where it came from."""

import re
from typing import Any, TypeAlias
from uuid import UUID

from litestar import Request

from personhood.access import Access
from personhood.api import persons_docs as docs
from personhood.deletions import Enqueue
from personhood.errors import InvalidInput, NotFound
from personhood.http import page as pages
from personhood.model import BIGINT_MAX, JSON
from personhood.store.lookups import Lookups
from personhood.store.person_lookup import Name, Owner
from personhood.store.pool import Pool

INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
SCHEME = re.compile(r"https?")
HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]+)?|\[[0-9A-Fa-f:.]+\](:[0-9]+)?", re.ASCII)
WORDS = {"true": True, "1": True, "": True, "false": False, "0": False}

Asked: TypeAlias = Request[Any, Access, Any]


async def resolve(request: Asked, text: str, *, limit: int | None = None) -> Owner:
    """The person that an `:id` of a path means, with at most `limit` of its distinct ids.

    Raises InvalidInput, or NotFound.
    """
    name = Name(request.auth.project.id, reference(text), limit)
    owner = await lookups_of(request).persons.get(name)
    if owner is None:
        raise NotFound
    return owner


def reference(text: str) -> UUID | int:
    """A uuid in any spelling of Python's, else an integer; 32 digits are a uuid."""
    try:
        return UUID(text)
    except ValueError:
        if INTEGER.fullmatch(text):
            return int(text) if len(text) < 20 else BIGINT_MAX + 1
    raise InvalidInput(docs.ID_MALFORMED)


def flag(value: JSON, *, attr: str) -> bool:
    """True, 1 or the bare key in a query mean yes; false, 0 or nothing mean no."""
    if value is None or isinstance(value, bool):
        return bool(value)
    found = WORDS.get(str(value).lower())
    if found is None:
        raise InvalidInput("Must be a valid boolean.", attr=attr)
    return found


def pool_of(request: Asked) -> Pool:
    return request.app.state.pool


def lookups_of(request: Asked) -> Lookups:
    return request.app.state.lookups


def forwarded(request: Asked, what: str, form: re.Pattern[str]) -> str | None:
    """What the outermost proxy says of the client's request; None if it says nothing sensible."""
    first = request.headers.get(f"x-forwarded-{what}", "").partition(",")[0].strip()
    return first if form.fullmatch(first) else None


def url_of(request: Asked) -> str:
    """The URL that the client asked for, as a proxy tells it where that is trusted."""
    scope = request.scope
    scheme, host = scope["scheme"], request.headers.get("host", "")
    if request.app.state.settings.trust_forwarded_for:
        scheme = forwarded(request, "proto", SCHEME) or scheme
        host = forwarded(request, "host", HOST) or host
    return pages.absolute(
        scheme=scheme,
        host=host,
def enqueue_of(request: Asked) -> Enqueue:
    return request.app.state.enqueue


        # Not `path`: Litestar takes the trailing slash off it.
        path=scope["raw_path"].partition(b"?")[0],
        query=scope["query_string"],
    )
