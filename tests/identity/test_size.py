"""The measure of 4.7 against the database that it speaks of."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from personhood.identity.size import (
    BYTES_MAX,
    PROTECTED,
    TRIMMED_BYTES_MAX,
    is_too_large,
    jsonb_bytes,
    trimmed,
)
from personhood.store.pool import Pool, encode

text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


async def measured(pool: Pool, properties: dict[str, Any]) -> int:
    async with pool.connection() as conn:
        cursor = await conn.execute(
            "SELECT pg_column_size(%s::text::jsonb)", (encode(properties).decode(),)
        )
        row = await cursor.fetchone()
    assert row is not None
    return row[0]


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(properties=st.dictionaries(text, json_values, max_size=6))
async def test_the_size_is_what_postgresql_says(pool: Pool, properties: dict[str, Any]) -> None:
    assert jsonb_bytes(properties) == await measured(pool, properties)


@pytest.mark.parametrize(
    "number", [0, 1, -1, 9999, 10000, 10**40, 0.1, 1e-7, 1.5e300, 5e-324, 12345.678, 1e22, -0.0]
)
async def test_numbers_are_measured_as_stored(pool: Pool, number: float) -> None:
    assert jsonb_bytes({"n": number}) == await measured(pool, {"n": number})


def filled(size: int, **more: Any) -> dict[str, Any]:
    """Properties of exactly `size` bytes: keys a…, b…, c… and `more`."""
    properties = {"a": "x", "b": "y" * 100_000, "c": "z" * 100_000, **more}
    properties["a"] = "x" * (size - jsonb_bytes(properties) + 1)
    assert jsonb_bytes(properties) == size
    return properties


def test_the_limit_itself_is_allowed() -> None:
    assert not is_too_large(filled(BYTES_MAX))
    assert is_too_large(filled(BYTES_MAX + 1))


def test_trimming_takes_keys_in_alphabetical_order_and_no_more_than_it_must() -> None:
    assert trimmed(filled(BYTES_MAX + 10)).keys() == {"b", "c"}
    assert trimmed({"b": "y" * 20, "c": "z"}) == {"b": "y" * 20, "c": "z"}
    several = {key: key * 200_000 for key in "abcd"}
    assert trimmed(several).keys() == {"c", "d"}


def test_trimming_spares_what_is_protected() -> None:
    large = {"email": "e" * 700_000, "$browser": "x", "zebra": 1}
    assert trimmed(large).keys() == {"email", "$browser"}
    assert jsonb_bytes(trimmed(filled(BYTES_MAX + 1, zz="1"))) <= TRIMMED_BYTES_MAX
    assert {"email", "name", "$initial_referrer", "utm_source"} <= PROTECTED
