"""Reading property filters (contract: persons-api, 2.2): what is passed over, refused, bounded."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personhood.errors import InvalidInput
from personhood.filters import reading, tree
from personhood.filters.reading import Given
from personhood.filters.tree import ALWAYS, All, Member, Not, Property, Some

GIVEN = Given(now=datetime(2024, 3, 10, tzinfo=UTC))
NUMBER_MAX = 2**63 - 1


def read(value: Any, **more: Any) -> tree.Node:
    return reading.read(value, Given(now=GIVEN.now, **more))


@pytest.mark.parametrize("value", [5, "text", True, 1.5, {"email": "ada"}, {"type": "AND"}])
def test_what_is_neither_list_nor_group_is_unparsable(value: Any) -> None:
    with pytest.raises(InvalidInput) as refusal:
        read(value)
    assert (str(refusal.value), refusal.value.code) == (
        "Properties are unparsable!",
        "invalid_input",
    )
    assert refusal.value.attr is None


@pytest.mark.parametrize(
    "filter",
    [
        {},
        None,
        7,
        "x",
        [],
        {"key": "x"},
        {"value": "x"},
        {"key": "", "value": "x"},
        {"key": 5, "value": "x"},
        {"key": "x", "value": None},
        {"key": "x", "value": None, "operator": "is_not"},
        {"key": "x", "value": [], "operator": "is_not"},
        {"key": "x", "value": [], "operator": "regex"},
        {"type": "cohort", "key": "id"},
        {"type": "cohort", "key": "id", "value": [], "negation": True},
        {"type": "OR", "values": []},
        {"type": "AND", "values": []},
    ],
)
def test_what_is_incomplete_always_holds(filter: Any) -> None:
    node = read([filter])
    assert not list(tree.questions(node))
    assert node == All((node.parts[0],)) and node.parts[0] == ALWAYS  # type: ignore[union-attr]


def test_strictly_what_is_incomplete_is_refused() -> None:
    with pytest.raises(InvalidInput, match="needs a key and a value"):
        read([{"key": "x"}], strict=True)
    assert read([], strict=True) == ALWAYS


@pytest.mark.parametrize(
    ("filter", "message"),
    [
        ({"key": "x", "value": "1", "type": "event"}, 'Filters of type "event" do not apply here'),
        ({"key": "x", "value": "1", "type": ["a"]}, "do not apply here"),
        ({"key": "1 = 1", "type": "hogql"}, "HogQL filters are not supported"),
        ({"key": "x", "value": "1", "operator": "almost"}, 'no operator "almost"'),
        ({"key": "x", "value": "1", "operator": ["exact"]}, "no operator"),
        ({"key": "x", "value": {"a": 1}}, "has to be text, numbers, or true or false"),
        ({"key": "x", "value": [None]}, "has to be text, numbers, or true or false"),
        ({"key": "x", "value": [1], "operator": "between"}, r"two-element array \[min, max\]"),
        ({"key": "x", "value": 1, "operator": "between"}, "between requires a two-element"),
        ({"key": "x", "value": ["a", 1], "operator": "not_between"}, "not_between requires"),
        ({"key": "x", "value": "soon", "operator": "is_date_before"}, '"soon" is no date'),
        ({"key": "x", "value": "-999999y", "operator": "is_date_before"}, "is no date"),
        ({"key": "x", "value": "2024-02-30", "operator": "is_date_exact"}, "is no date"),
        ({"key": "x", "value": "latest", "operator": "semver_gt"}, '"latest" is no version'),
        ({"key": "x", "value": 10**400, "operator": "gt"}, "too large"),
        ({"key": "x" * 1001, "value": "1"}, "1000 characters"),
        ({"key": "x", "value": "1" * 1001}, "1000 characters"),
        ({"key": "x", "value": ["1"] * 1001}, "1000 values"),
        ({"type": "cohort", "key": "id", "value": "mine"}, "the cohort's number"),
        ({"type": "cohort", "key": "id", "value": True}, "the cohort's number"),
        ({"type": "cohort", "key": "id", "value": NUMBER_MAX + 1}, "the cohort's number"),
        ({"type": "cohort", "key": "id", "value": 1, "operator": "gt"}, '"in" or "not_in"'),
        ({"type": "XOR", "values": [{"key": "x", "value": "1"}]}, '"AND" or "OR"'),
        ({"type": "OR", "values": [{"key": "x", "value": "1"}] * 101}, "100 filters"),
    ],
)
def test_what_is_wrong_is_refused_by_name(filter: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as refusal:
        read([filter])
    assert refusal.value.attr == "properties"


def nested(depth: int) -> Any:
    group: Any = {"key": "x", "value": "1"}
    for _ in range(depth):
        group = {"type": "AND", "values": [group]}
    return group


def test_groups_nest_so_deep_and_no_deeper() -> None:
    assert len(list(tree.questions(read(nested(10))))) == 1
    with pytest.raises(InvalidInput, match="10 deep"):
        read(nested(11))


@pytest.mark.parametrize(
    ("more", "negated"),
    [
        ({}, False),
        ({"operator": "in"}, False),
        ({"operator": "exact"}, False),
        ({"operator": "not_in"}, True),
        ({"negation": True}, True),
        ({"operator": "in", "negation": False}, False),
    ],
)
def test_a_cohort_filter(more: dict[str, Any], negated: bool) -> None:
    member = Some((Member(7),))
    for value in (7, "7", [7]):
        node = read([{"type": "cohort", "key": "id", "value": value, **more}])
        assert node == All((Not(member) if negated else member,))
    assert tree.cohort_ids(node) == {7}


def test_other_lists_may_ask_for_other_properties() -> None:
    subjects = ("event", "person")
    [plain, person] = tree.questions(
        read(
            [{"key": "x", "value": 1}, {"key": "y", "value": 1, "type": "person"}],
            subjects=subjects,
        )
    )
    assert isinstance(plain, tree.Equals) and plain.property == Property("event", "x")
    assert isinstance(person, tree.Equals) and person.property == Property("person", "y")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda part: (
        st.lists(part, max_size=4)
        | st.dictionaries(
            st.sampled_from(["key", "value", "values", "operator", "type", "negation", "x"]), part
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_nothing_but_a_refusal_comes_of_nonsense(value: Any) -> None:
    with suppress(InvalidInput):
        read(value)
