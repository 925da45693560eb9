"""Numbers in filters: JSON numbers, and text that reads as one."""

import re
from decimal import Decimal

from personhood.errors import InvalidInput

# The same as NUMBER in `store.property_filter`.
NUMBER = re.compile(
    r"[+-]?(?:[0-9]{1,200}(?:\.[0-9]{0,200})?|\.[0-9]{1,200})(?:[eE][+-]?[0-9]{1,3})?"
)
BITS_MAX = 1000


def number(value: str | float | bool) -> Decimal | None:
    """None if it is no number, or is longer than any that somebody means."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return Decimal(value) if NUMBER.fullmatch(value) else None
    return exact(value)


def exact(value: float) -> Decimal:
    """A JSON number as it was written; without a fraction if it is whole."""
    if isinstance(value, int) and value.bit_length() > BITS_MAX:
        raise InvalidInput("A number is too large.", attr="properties")
    found = Decimal(repr(value))
    if not found:
        return Decimal(0)  # there is no other zero in the database
    whole = found.to_integral_value()
    return whole if found == whole else found
