"""Which form of answer the client wants (contract: persons-api, 8.4 and 9).

A suffix of the path (`/persons.csv`) goes before `?format=csv`, and that before `Accept`. An
`Accept` that allows none of the forms made here is refused even so.
"""

from collections.abc import Sequence
from contextvars import ContextVar
from enum import StrEnum
from typing import Any

from litestar.connection import ASGIConnection

from personhood.errors import NotAcceptable, NotFound


class Form(StrEnum):
    """What answers are made in. The first one that is allowed as much as any other is taken."""

    JSON = "json"
    CSV = "csv"


MEDIA_TYPES = {Form.JSON: "application/json", Form.CSV: "text/csv"}
JSON_ONLY = (Form.JSON,)
JSON_OR_CSV = (Form.JSON, Form.CSV)

# Routes that make CSV too say so by this in their `opt`.
OFFERS_CSV = "offers_csv"
# Where `negotiated` leaves the suffix that it took off a path.
SUFFIX = "personhood_suffix"

wanted: ContextVar[Form] = ContextVar("wanted", default=Form.JSON)


def is_csv_wanted() -> bool:
    return wanted.get() is Form.CSV


def check(connection: ASGIConnection[Any, Any, Any, Any]) -> None:
    """Find out the form and keep it as `wanted`. Raises NotFound, NotAcceptable."""
    offered = JSON_OR_CSV if connection.route_handler.opt.get(OFFERS_CSV) else JSON_ONLY
    name = connection.scope.get(SUFFIX) or connection.query_params.get("format") or ""
    wanted.set(chosen(name, connection.headers.get("accept"), offered))


def chosen(name: str, header: str | None, offered: Sequence[Form]) -> Form:
    """The form that is asked for by `name`, else the one that `Accept` likes best.

    Raises NotFound for a name of none, NotAcceptable for a header that allows none.
    """
    if name and name not in offered:
        raise NotFound
    liked = preferred(header, offered)
    return Form(name) if name else liked


def preferred(header: str | None, offered: Sequence[Form]) -> Form:
    if header is None or header == "*/*":
        return offered[0]
    ranges = [each for text in header.split(",") if (each := media_range(text)) is not None]
    best = max(offered, key=lambda form: quality(MEDIA_TYPES[form], ranges))
    if not quality(MEDIA_TYPES[best], ranges):
        raise NotAcceptable
    return best


def media_range(text: str) -> tuple[str, float] | None:
    """`text/*;q=0.5` → its pattern and weight; None if it is neither."""
    pattern, *parameters = (part.strip().lower() for part in text.split(";"))
    weight = next((each[2:] for each in parameters if each.startswith("q=")), "1")
    try:
        return pattern, min(max(float(weight), 0.0), 1.0)
    except ValueError:
        return None


def quality(media_type: str, ranges: Sequence[tuple[str, float]]) -> float:
    """How much a type is liked: what the range says that fits it best (RFC 9110, 12.5.1)."""
    told = dict(reversed(ranges))
    for pattern in (media_type, f"{media_type.partition('/')[0]}/*", "*/*", "*"):
        if pattern in told:
            return told[pattern]
    return 0.0
