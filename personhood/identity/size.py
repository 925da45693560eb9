"""How large a person's properties may get, and what goes when they are too large (contract: 4.7).

The measure is what PostgreSQL stores: the size of the `jsonb` (its layout is in jsonb.h: four bytes
of header for each container, four for each key and value, the texts themselves, numbers in base
10,000 at multiples of four).
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import cast

from personhood.identity.initial import CAMPAIGN, DEVICE
from personhood.model import JSON, Properties

BYTES_MAX = 640 * 1024
TRIMMED_BYTES_MAX = 512 * 1024
# Below this many bytes of JSON text no jsonb can be over the limit: at the most, a digit and a
# comma become twelve bytes.
HARMLESS_TEXT_BYTES = 100_000

PROTECTED = (
    DEVICE
    | CAMPAIGN
    | frozenset(
        """
        email name $os_name $fbc $session_id $window_id $pageview_id $host $user_id $device_id
        $anon_distinct_id $initial_referrer $initial_referring_domain $initial_utm_source
        $initial_utm_medium $initial_utm_campaign $initial_utm_content $initial_utm_term
        """.split()
    )
)

HEADER_BYTES = 4
ENTRY_BYTES = 4


def is_too_large(properties: Properties) -> bool:
    return jsonb_bytes(properties) > BYTES_MAX


def trimmed(properties: Properties) -> Properties:
    """`properties` without as many unprotected keys, in alphabetical order, as are too many."""
    kept = dict(properties)
    excess = jsonb_bytes(kept) - TRIMMED_BYTES_MAX
    for key in sorted(properties.keys() - PROTECTED):
        if excess <= 0:
            break
        # Without the padding, which may differ by three bytes: the loop measures again below.
        excess -= 2 * ENTRY_BYTES + len(key.encode()) + content_end(kept.pop(key), at=0)
        if excess <= 0:
            excess = jsonb_bytes(kept) - TRIMMED_BYTES_MAX
    return kept


def jsonb_bytes(properties: Properties) -> int:
    """The bytes that PostgreSQL takes for the object, its length word included."""
    return HEADER_BYTES + content_end(properties, at=0)


def content_end(value: JSON, *, at: int) -> int:
    """Where `value` ends that is written from `at` on; only numbers and containers are aligned."""
    match value:
        case str():
            return at + len(value.encode())
        case None | bool():
            return at
        case int() | float():
            return aligned(at) + numeric_bytes(value)
        case dict():
            names, members = keys_and_values(cast(Properties, value))
            end = aligned(at) + HEADER_BYTES + 2 * ENTRY_BYTES * len(names)
            end += sum(len(name) for name in names)
        case _:
            members = iter(value)
            end = aligned(at) + HEADER_BYTES + ENTRY_BYTES * len(value)
    for member in members:
        end = content_end(member, at=end)
    return end


def keys_and_values(value: Properties) -> tuple[list[bytes], Iterator[JSON]]:
    """In the order in which jsonb keeps them: shorter keys first, then by their bytes."""
    pairs = sorted(
        ((key.encode(), item) for key, item in value.items()),
        key=lambda pair: (len(pair[0]), pair[0]),
    )
    return [key for key, _ in pairs], iter([item for _, item in pairs])


def numeric_bytes(value: int | float) -> int:
    """A numeric: length word, header of two bytes (four if it is extreme), base-10,000 digits."""
    _, digits, exponent = Decimal(repr(value)).as_tuple()
    assert isinstance(exponent, int), "JSON has no infinity"
    scale = max(0, -exponent)
    if not any(digits):
        return 4 + (2 if scale <= 63 else 4)
    text = ("".join(map(str, digits)) + "0" * max(0, exponent)).rjust(scale, "0")
    whole, fraction = text[: len(text) - scale], text[len(text) - scale :]
    whole = whole.rjust(-(-len(whole) // 4) * 4, "0")
    fraction = fraction.ljust(-(-scale // 4) * 4, "0")
    groups = [(whole + fraction)[start : start + 4] for start in range(0, len(whole + fraction), 4)]
    used = [index for index, group in enumerate(groups) if group.strip("0")]
    weight = len(whole) // 4 - 1 - used[0]
    short = scale <= 63 and -64 <= weight <= 63
    return 4 + (2 if short else 4) + 2 * (used[-1] - used[0] + 1)


def aligned(at: int) -> int:
    return -(-at // 4) * 4
