"""What is asked of a timeline: which events count, and which properties (contract: 4.2, 4.3)."""

import json
import re
from collections.abc import Iterator
from typing import cast

from msgspec import Struct

from personhood.errors import InvalidInput
from personhood.model import JSON, Properties

UNPARSABLE = "Properties are unparsable!"
ENTITIES_MAX = 100
KEYS_MAX = 100
GROUP_TYPES = 5

# `person.properties.plan`, with its key also in quotes or brackets.
IN_HOGQL = re.compile(
    r"""\bperson\.properties(?:\.([\w$]+)|\.?\[?\s*(["'`])(.+?)\2\s*\]?)""", re.ASCII
)


class Question(Struct, frozen=True, kw_only=True):
    """`names` are those of the events that count; None is any. `keys` are in order.

    With `group` it is asked about the groups of that index, not about the person.
    """

    names: tuple[str, ...] | None = None
    keys: tuple[str, ...] = ()
    group: int | None = None


class Given(Struct, frozen=True, kw_only=True):
    """Decoded values, as clients send them; None is nothing."""

    events: JSON = None
    actions: JSON = None
    properties: JSON = None
    breakdown: str = ""
    breakdown_type: str = ""
    group: str = ""


def read(given: Given) -> Question:
    """Raises InvalidInput."""
    events, actions = entities(given.events, "events"), entities(given.actions, "actions")
    if not isinstance(given.properties or [], list | dict):
        raise InvalidInput(UNPARSABLE, attr="properties")
    group = index(given.group)
    sources = [given.properties, *(entity.get("properties") for entity in (*events, *actions))]
    keys = {key for source in sources for key in keys_of(source, group)}
    if given.breakdown and given.breakdown_type == "person" and group is None:
        keys.update(broken_down(given.breakdown))
    if len(keys) > KEYS_MAX:
        raise InvalidInput(f"There can be {KEYS_MAX} properties at most.", attr="properties")
    return Question(names=names_of(events, actions), keys=tuple(sorted(keys)), group=group)


def entities(value: JSON, attr: str) -> list[Properties]:
    found = cast("list[JSON]", value or [])
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise InvalidInput("A list of objects is expected.", attr=attr)
    if len(found) > ENTITIES_MAX:
        raise InvalidInput(f"There can be {ENTITIES_MAX} at most.", attr=attr)
    return found


def names_of(events: list[Properties], actions: list[Properties]) -> tuple[str, ...] | None:
    """An entity without an id is any event. No action is defined here, so none has one."""
    if any(entity.get("id") is None for entity in (*events, *actions)):
        return None
    ids = {entity["id"] for entity in events if isinstance(entity["id"], str)}
    return tuple(sorted(ids)) if events or actions else None


def keys_of(value: JSON, group: int | None) -> Iterator[str]:
    """The keys of a person's properties, or of a group's, that filters name; groups are nested."""
    if isinstance(value, list):
        for each in cast("list[JSON]", value):
            yield from keys_of(each, group)
        return
    if not isinstance(value, dict):
        return
    filter = cast(Properties, value)
    key, type = filter.get("key"), filter.get("type")
    if key is None:
        yield from keys_of(filter.get("values"), group)
    elif not isinstance(key, str):
        return
    elif group is not None:
        if type == "group" and str(filter.get("group_type_index")) == str(group):
            yield key
    elif type == "person":
        yield key
    elif type == "hogql":
        yield from (match[1] or match[3] for match in IN_HOGQL.finditer(key))


def broken_down(text: str) -> list[str]:
    """A key, or a JSON list of them."""
    if text.startswith("["):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return [text]
        return [key for key in found if isinstance(key, str)]
    return [text]


def index(text: str) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or int(text[:20]) >= GROUP_TYPES:
        raise InvalidInput(
            f"The index of a group type is 0 to {GROUP_TYPES - 1}.",
            attr="aggregation_group_type_index",
        )
    return int(text[:20])
