"""Pages of a list: which rows, and the URLs of the neighbours (contract: persons-api, 2.1).

Pure; the query string is taken as text, so that a bad number can be named.
"""

import re

from msgspec import Struct

from personhood.errors import InvalidInput
from personhood.model import BIGINT_MAX

LIMIT_DEFAULT = 100
LIMIT_MAX = 10_000

NUMBER = re.compile(r"\s*([+-]?)([0-9]+)\s*", re.ASCII)
OFFSET = re.compile(r"([&?]offset=)(\d+)", re.ASCII)


class Page(Struct, frozen=True, kw_only=True):
    """`limit` rows from the `offset`th on."""

    limit: int = LIMIT_DEFAULT
    offset: int = 0


def page(limit: str | None, offset: str | None) -> Page:
    """The page asked for; no limit, an empty one and 0 mean the default.

    Raises InvalidInput naming the parameter.
    """
    rows = number(limit, attr="limit") or LIMIT_DEFAULT
    return Page(limit=min(rows, LIMIT_MAX), offset=min(number(offset, attr="offset"), BIGINT_MAX))


def number(text: str | None, *, attr: str) -> int:
    if not text:
        return 0
    match = NUMBER.fullmatch(text)
    if match is None:
        raise InvalidInput("A valid integer is required.", attr=attr)
    sign, digits = match.groups()
    # 20 digits are beyond every bound here, and thousands of them would be slow to read.
    value = int(digits.lstrip("0")[:20] or "0")
    if sign == "-" and value:
        raise InvalidInput("Ensure this value is greater than or equal to 0.", attr=attr)
    return value


def next_url(url: str, page: Page, *, more: bool) -> str | None:
    return at_offset(url, page.offset + page.limit) if more else None


def previous_url(url: str, page: Page) -> str | None:
    """None unless a whole page lies before this one, as at PostHog."""
    start = page.offset - page.limit
    return at_offset(url, start) if start >= 0 else None


def at_offset(url: str, offset: int) -> str:
    """The same request from another row on. `limit` stays as the client sent it, or unsent."""
    if OFFSET.search(url):
        return OFFSET.sub(rf"\g<1>{offset}", url)
    return f"{url}{'&' if '?' in url else '?'}offset={offset}"


def at_cursor(url: str, cursor: str) -> str:
    """The same request, for what follows a cursor."""
    path, _, query = url.partition("?")
    kept = [each for each in query.split("&") if each and each.partition("=")[0] != "cursor"]
    return f"{path}?{'&'.join([*kept, f'cursor={cursor}'])}"


def absolute(*, scheme: str, host: str, path: bytes, query: bytes) -> str:
    """The URL a client asked for, from the parts that ASGI gives; the bytes are still encoded."""
    url = f"{scheme}://{host}{path.decode('latin-1')}"
    return f"{url}?{query.decode('latin-1')}" if query else url
