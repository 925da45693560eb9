"""The `options` of a v1 event, read leniently: SDKs send what their users wrote (contract: 1.9)."""

from math import isfinite
from typing import cast

import msgspec
from msgspec import Struct

from personhood.model import JSON, Properties

ON = frozenset("true t yes y on".split())
OFF = frozenset("false f no n off".split())


class Options(Struct):
    """None where an event does not say."""

    cookieless_mode: bool | None = None
    disable_skew_correction: bool | None = None
    process_person_profile: bool | None = None
    product_tour_id: str | None = None


class Unreadable(ValueError):
    """The value is nothing that the option could mean."""


def read(text: bytes) -> tuple[Options, list[str] | None]:
    """The options, and the names of those whose values mean nothing; None when all do.

    The list is empty when `text` is no object at all. Other keys are ignored.
    """
    try:
        given: JSON = msgspec.json.decode(text) if text else None
    except (msgspec.DecodeError, RecursionError):
        return Options(), []
    if given is None:
        return Options(), None
    if not isinstance(given, dict):
        return Options(), []
    return read_each(cast(Properties, given))


def read_each(given: Properties) -> tuple[Options, list[str] | None]:
    options = Options()
    unreadable: list[str] = []
    for name in Options.__struct_fields__:
        meaning = tour if name == "product_tour_id" else strict_boolean
        try:
            setattr(options, name, meaning(given.get(name)))
        except Unreadable:
            unreadable.append(name)
    return options, unreadable or None


def tour(value: JSON) -> str | None:
    if value is not None and not isinstance(value, str):
        raise Unreadable
    return value if value and value.strip() else None


def boolean(value: JSON) -> bool | None:
    """As an option is read, but what means nothing counts as not said."""
    try:
        return strict_boolean(value)
    except Unreadable:
        return None


def strict_boolean(value: JSON) -> bool | None:
    """Booleans, numbers, words for on and off, and numbers as text; null and blank say nothing."""
    if isinstance(value, bool | int | float):
        return value != 0
    if isinstance(value, str):
        return boolean_of_text(value.strip().lower())
    if value is None:
        return None
    raise Unreadable


def boolean_of_text(text: str) -> bool | None:
    if not text:
        return None
    if text in ON or text in OFF:
        return text in ON
    try:
        number = float(text)
    except ValueError:
        raise Unreadable from None
    if not isfinite(number):
        raise Unreadable
    return number != 0
