"""Pages that go by numbers, from 1 on (contract: persons-api, 7.1 and 7.2). Pure."""

import re

from msgspec import Struct

from personhood.errors import InvalidInput
from personhood.http.page import number
from personhood.model import BIGINT_MAX

ROWS_DEFAULT = 10
ROWS_MAX = 500


class NumberedPage(Struct, frozen=True, kw_only=True):
    """The `number`th page of `rows` rows."""

    number: int
    rows: int

    @property
    def offset(self) -> int:
        return min((self.number - 1) * self.rows, BIGINT_MAX - self.rows)


def page(text: str | None, limit: str | None) -> NumberedPage:
    """The page asked for; what is not given or empty means the default.

    Raises InvalidInput naming the parameter.
    """
    return NumberedPage(
        number=positive(text, attr="page", default=1),
        rows=min(positive(limit, attr="limit", default=ROWS_DEFAULT), ROWS_MAX),
    )


def positive(text: str | None, *, attr: str, default: int) -> int:
    if not text:
        return default
    value = number(text, attr=attr)
    if value < 1:
        raise InvalidInput("Ensure this value is greater than or equal to 1.", attr=attr)
    return value


def next_url(url: str, page: NumberedPage, *, total: int) -> str | None:
    return at(url, page, page.number + 1) if page.offset + page.rows < total else None


def previous_url(url: str, page: NumberedPage) -> str | None:
    return at(url, page, page.number - 1) if page.number > 1 else None


def at(url: str, page: NumberedPage, number: int) -> str:
    """The same request for another page; `page` and `limit` are put in where they are missing."""
    return with_parameter(with_parameter(url, "page", number), "limit", page.rows)


def with_parameter(url: str, name: str, value: int) -> str:
    found = re.compile(rf"([&?]{name}=)[^&]*")
    if found.search(url):
        return found.sub(rf"\g<1>{value}", url)
    return f"{url}{'&' if '?' in url else '?'}{name}={value}"
