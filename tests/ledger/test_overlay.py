"""The fold of 2.7, backwards, against its forward description."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personhood.ledger import overlay
from personhood.ledger.overlay import Overlay
from personhood.store.set_event import SetEvent

keys = st.sampled_from("abc")
objects = st.dictionaries(keys, st.integers(0, 9) | st.none() | st.lists(st.booleans()))
events = st.lists(st.tuples(objects | st.none(), objects | st.none()))


def forwards(told: list[Any], *, include_set_once: bool) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for set, set_once in told:
        properties |= set or {}
        if include_set_once:
            properties = {**(set_once or {}), **properties}
    return properties


def text(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


def backwards(told: list[Any], *, include_set_once: bool) -> dict[str, Any]:
    over = Overlay(include_set_once=include_set_once)
    for set, set_once in reversed(told):
        over.add_older(SetEvent(text(set), text(set_once)))
    return json.loads(msgspec.json.encode(over.properties))


@given(events, st.booleans())
def test_backwards_comes_to_the_same(told: list[Any], once: bool) -> None:
    found = backwards(told, include_set_once=once)
    assert found == forwards(told, include_set_once=once)


@pytest.mark.parametrize("odd", ["null", "7", '"x"', "[]", '[{"a": 1}]', "true"])
def test_what_is_no_object_sets_nothing(odd: str) -> None:
    over = Overlay(include_set_once=True)
    over.add_older(SetEvent(odd, odd))
    assert over.properties == {}


def test_what_is_kept_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlay, "BYTES_MAX", 10_000)
    over = Overlay(include_set_once=False)
    for _ in range(1000):  # the same key takes no more room
        over.add_older(SetEvent('{"a": "%s"}' % ("x" * 1000), None))
    assert not over.is_full
    over.add_older(SetEvent(json.dumps({f"k{n}": n for n in range(100)}), None))
    assert over.is_full
