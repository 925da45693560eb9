"""Which form of answer the client wants (contract: persons-api, 8.4 and 9)."""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.datastructures.headers import Accept

from personhood.errors import NotAcceptable, NotFound

JSON_TYPE = "application/json"


def check(connection: ASGIConnection[Any, Any, Any, Any]) -> None:
    """Refuse a form that is not made here: by `?format=` with 404, by `Accept` with 406."""
    if connection.query_params.get("format", "") not in ("", "json"):
        raise NotFound
    header = connection.headers.get("accept")
    if header is None or "*/*" in header or JSON_TYPE in header:
        return
    if Accept(header).best_match([JSON_TYPE]) is None:
        raise NotAcceptable
