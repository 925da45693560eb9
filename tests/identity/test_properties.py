"""Equality of JSON values (4.2), where Python and JSON have different ideas."""

from typing import Any

import pytest

from personhood.identity.properties import differs, equal


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        (1, 1.0, True),
        (True, 1, False),
        (False, 0, False),
        ("1", 1, False),
        (None, None, True),
        (None, 0, False),
        (10**23, 1e23, True),  # as jsonb gives it back
        (10**400, 1e23, False),
        (0.1, 0.1, True),
        ([1, {"a": None}], [1.0, {"a": None}], True),
        ([1], [True], False),
        ({"a": 1}, {"b": 1}, False),
        ({}, [], False),
    ],
)
def test_equality_is_of_json_values(old: Any, new: Any, same: bool) -> None:
    assert equal(old, new) is same
    assert equal(new, old) is same


@pytest.mark.parametrize("value", [{}, [], {"a": 1}])
def test_an_object_or_a_list_always_counts_as_changed(value: Any) -> None:
    assert differs(value, value)
    assert not differs(1, 1.0)
