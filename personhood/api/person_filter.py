"""Which persons a request means: the filters of a list, from a query or a body. Pure, but for now.

Other endpoints that work on "all persons such as" read the same fields by `in_body`.
"""

from datetime import UTC, datetime

from personhood.errors import BrokenJson, InvalidInput
from personhood.filters import reading
from personhood.filters.reading import Given
from personhood.filters.tree import ALWAYS, Node
from personhood.http import json_body
from personhood.model import JSON, Project, Properties
from personhood.store.person_filter import Filter

TEXT_CHARACTERS_MAX = 1000
FIELDS = ("email", "distinct_id", "search", "properties")


def filter_of(
    project: Project,
    *,
    email: str | None = None,
    distinct_id: str | None = None,
    search: str | None = None,
    properties: JSON = None,
    strict: bool = False,
) -> Filter:
    """A filter; `properties` may be a JSON text. Empty texts ask for nothing.

    `strict` refuses property filters that are incomplete, which are else passed over: for whoever
    deletes what is found. Raises InvalidInput.
    """
    return Filter(
        email=bounded(email, attr="email"),
        distinct_id=bounded(distinct_id, attr="distinct_id"),
        search=bounded((search or "").strip(), attr="search"),
        properties=tree_of(properties, project, strict=strict),
    )


def in_body(body: Properties, project: Project, *, strict: bool = False) -> Filter:
    """The same from the fields of a JSON body; its others are somebody else's."""
    return filter_of(
        project,
        email=text_in(body, "email"),
        distinct_id=text_in(body, "distinct_id"),
        search=text_in(body, "search"),
        properties=body.get("properties"),
        strict=strict,
    )


def tree_of(properties: JSON, project: Project, *, strict: bool = False) -> Node:
    if isinstance(properties, str):
        if not properties:
            return ALWAYS
        try:
            properties = json_body.decode(properties.encode(errors="replace"))
        except BrokenJson:
            raise InvalidInput(reading.UNPARSABLE) from None
    given = Given(now=datetime.now(UTC), zone=project.timezone, strict=strict)
    return reading.read(properties, given)


def bounded(text: str | None, *, attr: str) -> str | None:
    if text and len(text) > TEXT_CHARACTERS_MAX:
        raise InvalidInput(
            f"Ensure this field has no more than {TEXT_CHARACTERS_MAX} characters.", attr=attr
        )
    return text or None


def text_in(body: Properties, name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidInput("Not a valid string.", attr=name)
    return value
