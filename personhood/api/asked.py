"""What handlers ask of a request: whom its path means, what its flags say, where it came from."""

import re
from typing import Any, TypeAlias
from uuid import UUID, uuid4

from litestar import Request

from personhood.access import Access
from personhood.api import persons_docs as docs
from personhood.deletions import Enqueue
from personhood.errors import InvalidInput, NotFound
from personhood.http import page as pages
from personhood.http import segments
from personhood.model import BIGINT_MAX, JSON, Cause
from personhood.store.lookups import Lookups
from personhood.store.person_lookup import Name, Owner
from personhood.store.pool import Pool

INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
SCHEME = re.compile(r"https?")
HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]+)?|\[[0-9A-Fa-f:.]+\](:[0-9]+)?", re.ASCII)
WORDS = {"true": True, "1": True, "": True, "false": False, "0": False}

# Where a request has its id in the scope, if it has one before it does anything: see `once`.
REQUEST_ID = "personhood_request_id"

Asked: TypeAlias = Request[Any, Access, Any]


async def resolve(request: Asked, text: str, *, limit: int | None = None) -> Owner:
    """The person that an `:id` of a path means, with at most `limit` of its distinct ids.

    Raises InvalidInput, or NotFound.
    """
    return await named(request, segments.decoded(text), limit=limit)


async def named(request: Asked, text: str, *, limit: int | None = None) -> Owner:
    """The same of a `person_id` of a query, or of a body."""
    name = Name(request.auth.project.id, reference(text), limit)
    owner = await lookups_of(request).persons.get(name)
    if owner is None:
        raise NotFound
    return owner


def reference(text: str) -> UUID | int | str:
    """A uuid in any spelling of Python's, else an integer; 32 digits are a uuid. Or a distinct id,
    if that is said.
    """
    if text.startswith(segments.PREFIX) and text != segments.PREFIX:
        # PostgreSQL keeps no NUL: U+FFFD stands for it in what SDKs sent.
        return text[len(segments.PREFIX) :].replace("\0", "\ufffd")
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


def cause_of(request: Asked) -> Cause:
    """Who is to be named in ledger and activity log, and in which request."""
    request_id = request.scope.get(REQUEST_ID) or uuid4()
    return Cause(api_key_id=request.auth.key.id, request_id=request_id)


def pool_of(request: Asked) -> Pool:
    return request.app.state.pool


def enqueue_of(request: Asked) -> Enqueue:
    return request.app.state.enqueue


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
        # Not `path`: Litestar takes the trailing slash off it.
        path=scope["raw_path"].partition(b"?")[0],
        query=scope["query_string"],
    )
