"""What a timeline's points are grouped by, held against the rule of the contract (4.5)."""

from datetime import UTC, datetime, timedelta
from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from personhood.timeline.states import Run, States, in_order, joined, text

START = datetime(2020, 1, 1, tzinfo=UTC)
VALUES = st.sampled_from([None, 1, "1", 2, "", True])


def run_of(at: int, state: int, number: int = 1, last: int | None = None) -> Run:
    first, until = (START + timedelta(seconds=n) for n in (at, at if last is None else last))
    return Run(state=state, number=number, first=first, last=until, version=state)


@given(st.lists(VALUES), st.lists(st.integers(min_value=-1, max_value=20)))
def test_points_are_those_of_the_rule(values: list[object], versions: list[int]) -> None:
    """Value n is set at version n; an event of each version, a second apart."""
    states, last = States(["key"]), None
    for version, value in enumerate(values):
        before = {} if version == 0 else {"key": last}
        states.add(version, before=before, after={"key": value})
        last = value
    told = [
        text(values[min(version, len(values) - 1)]) if version >= 0 and values else ""
        for version in versions
    ]
    expected = [(value, len(list(same))) for value, same in groupby(told)]
    runs = [run_of(at, states.at(version)) for at, version in enumerate(versions)]
    found = joined(runs, states.digests)
    assert [run.number for run in found] == [number for _, number in expected]
    assert sum(run.number for run in found) == len(versions)


def test_a_removed_key_is_empty() -> None:
    states = States(["a", "b"])
    states.add(1, before={}, after={"a": "", "b": 1, "c": 1})
    states.add(2, before={"a": ""}, after={})
    states.add(3, before={"b": 1}, after={})
    assert states.bounds == [1, 3]
    assert states.digests[0] == states.digests[2] != states.digests[1]


def test_values_do_not_run_into_one_another() -> None:
    states = States(["a", "b"])
    states.add(1, before={}, after={"a": "x", "b": ""})
    states.add(2, before={"a": "x", "b": ""}, after={"a": "", "b": "x"})
    assert states.bounds == [1, 2]


def test_runs_are_in_order_unless_they_overlap() -> None:
    early, late = run_of(0, 1, last=4), run_of(4, 2, last=9)
    assert in_order([late, early]) == [early, late]
    assert in_order([run_of(3, 2, last=9), early]) is None
    assert in_order([run_of(0, 1, last=9), run_of(4, 2)]) is None
    assert in_order([]) == []
