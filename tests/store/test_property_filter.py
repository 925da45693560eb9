"""Property filters in SQL (contract: persons-api, 2.2): a table of them, then any of them against
plain Python.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.types.json import Jsonb

from personhood.errors import InvalidInput
from personhood.filters import moments, reading
from personhood.filters.reading import Given
from personhood.store import property_filter
from personhood.store.pool import Pool
from personhood.store.property_filter import Condition
from tests.conftest import new_database
from tests.filters import reference

NOW = datetime(2024, 3, 10, 12, 0, tzinfo=UTC)
ABSENT = object()

Connection = psycopg.Connection[Any]


@pytest.fixture(scope="module")
def conn(postgres: str) -> Iterator[Connection]:
    with new_database(postgres) as url, psycopg.connect(url, autocommit=True) as opened:
        yield opened


def found(conn: Connection, filter: Any, stored: list[Any], *, zone: str = "UTC") -> list[bool]:
    """For each of some properties, whether a filter holds for them."""
    node = reading.read(filter, Given(now=NOW, zone=zone))
    condition = Condition(
        node, {"person": sql.Identifier("person", "properties")}, person=sql.Literal(0)
    )
    statement = sql.SQL(
        "SELECT coalesce({}, false) FROM unnest(%(rows)s::jsonb[]) WITH ORDINALITY"
        " AS person (properties, number) ORDER BY number"
    ).format(condition.sql)
    rows = conn.execute(
        statement, {**condition.parameters, "rows": [Jsonb(each) for each in stored]}
    )
    return [row[0] for row in rows]


def asked(conn: Connection, operator: str, value: Any, x: Any, **more: Any) -> bool:
    filter = {"key": "x", "operator": operator, "value": value, "type": "person"}
    return found(conn, [filter], [{} if x is ABSENT else {"x": x}], **more)[0]


NESTED = {"a": [1, "two"]}
TABLE = [
    # operator, value, what is stored, whether it holds
    ("exact", "scale", "scale", True),
    ("exact", "scale", "Scale", False),
    ("exact", ["team", "scale"], "scale", True),
    ("exact", ["scale"], "scale", True),
    ("exact", [], "anything", True),
    ("exact", [], ABSENT, True),
    ("exact", "scale", ABSENT, False),
    ("exact", "scale", None, False),
    ("exact", "null", None, False),
    ("exact", "", "", True),
    ("exact", 1, "1", True),
    ("exact", "1", 1, True),
    ("exact", 1, 1.0, True),
    ("exact", "1.50", 1.5, True),
    ("exact", 1, "1.0", False),
    ("exact", 1, True, False),
    ("exact", "true", True, True),
    ("exact", True, True, True),
    ("exact", True, "true", True),
    ("exact", "false", True, False),
    ("exact", ["true"], True, True),
    ("exact", '{"a": [1, "two"]}', NESTED, True),
    ("exact", 10**30, 10**30, True),
    ("exact", "1e5", 100000, True),
    ("exact", "%", "anything", False),
    ("is_cleaned_path_exact", "/a", "/a", True),
    ("is_not", "scale", "team", True),
    ("is_not", "scale", "scale", False),
    ("is_not", "scale", ABSENT, True),
    ("is_not", "scale", None, True),
    ("is_not", ["team", "scale"], "scale", False),
    ("is_not", ["team", "scale"], "free", True),
    ("is_not", [], "scale", True),
    ("in", ["a", "b"], "b", True),
    ("in", "b", "b", True),
    ("in", ["a", "b"], "c", False),
    ("not_in", ["a", "b"], "c", True),
    ("not_in", ["a", "b"], "b", False),
    ("not_in", ["a", "b"], ABSENT, True),
    ("icontains", "EXAMPLE", "ada@example.com", True),
    ("icontains", "é", "CAFÉ", True),
    ("icontains", "a%m", "ada@example.com", True),
    ("icontains", "ad_@", "ada@example.com", True),
    ("icontains", "a\\b", "a\\b", True),
    ("icontains", "\\", "a%b", False),
    ("icontains", "", "anything", True),
    ("icontains", "", ABSENT, False),
    ("icontains", 23, 12345, True),
    ("icontains", "ru", True, True),
    ("icontains", "two", NESTED, True),
    ("icontains", ["nobody", "example"], "ada@example.com", True),
    ("icontains", "x", None, False),
    ("not_icontains", "example", "ada@example.com", False),
    ("not_icontains", "example", "ada@elsewhere.com", True),
    ("not_icontains", "example", ABSENT, True),
    ("not_icontains", ["nobody", "example"], "ada@example.com", False),
    ("not_icontains", ["nobody", "nothing"], "ada@example.com", True),
    ("regex", "@ex.+[.]com$", "ada@example.com", True),
    ("regex", "^ex", "ada@example.com", False),
    ("regex", r"\bexample\b", "ada@example.com", True),
    ("regex", r"^(?P<name>ada)\W", "ada@example.com", True),
    ("regex", r"[\b]", "b", False),
    ("regex", r"^12\d45\z", 12345, True),
    ("regex", "(?i)ADA", "ada", True),
    ("regex", "ADA", "ada", False),
    ("regex", ["nobody", "^ada"], "ada", True),
    ("regex", ".", ABSENT, False),
    ("regex", "***=a", "a", None),
    ("not_regex", "^ada", "ada", False),
    ("not_regex", "^ada", "grace", True),
    ("not_regex", ".", ABSENT, True),
    ("not_regex", ["^ada", "^grace"], "grace", False),
    ("starts_with", "ad", "ada", True),
    ("starts_with", "AD", "ada", False),
    ("starts_with", "%", "ada", False),
    ("starts_with", ["x", "a_"], "a_b", True),
    ("not_starts_with", "ad", ABSENT, True),
    ("not_starts_with", "ad", "ada", False),
    ("ends_with", "da", "ada", True),
    ("ends_with", "_a", "ada", False),
    ("not_ends_with", "da", "ada", False),
    ("not_ends_with", "x", "ada", True),
    ("gt", 5, 6, True),
    ("gt", 5, 5, False),
    ("gt", "5", 6, True),
    ("gt", 5, "10", True),
    ("gt", "5", "10", True),
    ("gt", 5, "ten", False),
    ("gt", 5, True, False),
    ("gt", 5, NESTED, False),
    ("gt", 5, ABSENT, False),
    ("gt", 5, None, False),
    ("gt", 5, "1e999999", False),
    ("gt", 5, "1e999", True),
    ("gt", [5, 100], 6, True),
    ("gt", "2024-01-01", "2024-02-01", True),
    ("gt", "2024-01-01", "2024-02-31", False),
    ("gt", "beta", "gamma", True),
    ("gt", "beta", "Gamma", False),
    ("gte", 5, 5, True),
    ("lt", 5, 4.5, True),
    ("lt", 5, 5, False),
    ("lt", "2024-01-01", "2023-12-31T23:59:59Z", True),
    ("lte", 5, 5, True),
    ("lte", "beta", "beta", True),
    ("lt", 5, ABSENT, False),
    ("min", 3, 3, True),
    ("min", 3, 2, False),
    ("max", 3, 3, True),
    ("max", 3, 4, False),
    ("between", [1, 3], 1, True),
    ("between", [1, 3], "3", True),
    ("between", [1, 3], 3.01, False),
    ("between", [3, 1], 2, False),
    ("between", ["1", "3"], 2, True),
    ("between", [1, 3], ABSENT, False),
    ("not_between", [1, 3], 0, True),
    ("not_between", [1, 3], 3, False),
    ("not_between", [1, 3], ABSENT, False),
    ("not_between", [1, 3], "many", False),
    ("is_set", "is_set", "", True),
    ("is_set", "is_set", False, True),
    ("is_set", None, 0, True),
    ("is_set", "is_set", None, False),
    ("is_set", "is_set", ABSENT, False),
    ("is_not_set", "is_not_set", ABSENT, True),
    ("is_not_set", "is_not_set", None, True),
    ("is_not_set", None, "x", False),
    ("is_date_exact", "2024-03-01", "2024-03-01", True),
    ("is_date_exact", "2024-03-01", "2024-03-01T23:59:59Z", True),
    ("is_date_exact", "2024-03-01", "2024-03-02T00:00:00Z", False),
    ("is_date_exact", "2024-03-01T10:00:00Z", "2024-03-01T12:00:00+02:00", True),
    ("is_date_exact", ["2024-03-01", "2024-03-05"], "2024-03-05 08:00", True),
    ("is_date_exact", "-1d", "2024-03-09T01:00:00Z", True),
    ("is_date_exact", "2024-03-01", "soon", False),
    ("is_date_before", "2024-03-01", "2024-02-29T23:59:59.999999Z", True),
    ("is_date_before", "2024-03-01", "2024-03-01", False),
    ("is_date_before", "2024-03-01", "2023-02-29", False),
    ("is_date_before", "2024-03-01", 1709251199, True),
    ("is_date_before", "2024-03-01", "1709251199000", True),
    ("is_date_before", "2024-03-01", 1709251200, False),
    ("is_date_before", "2024-03-01", ABSENT, False),
    ("is_date_before", "2024-03-01", NESTED, False),
    ("is_date_after", "2024-03-01", "2024-03-01T00:00:01Z", True),
    ("is_date_after", "-7d", "2024-03-03T12:00:01Z", True),
    ("is_date_after", "-7d", "2024-03-03T11:59:59Z", False),
    ("is_date_after", "-24h", "2024-03-09T12:00:01Z", True),
    ("is_date_after", "-1w", "2024-03-03T12:00:01Z", True),
    ("is_date_after", "-1m", "2024-02-10T12:00:01Z", True),
    ("is_date_after", "-1y", "2023-03-10T11:00:00Z", False),
    ("is_date_after", "mStart", "2024-03-01T00:00:01Z", True),
    ("is_date_before", "-1mStart", "2024-01-31T23:59:59Z", True),
    ("is_date_after", "dEnd", "2024-03-11T00:00:00Z", True),
    ("is_date_after", "2024-03-01", None, False),
    ("semver_eq", "1.2.3", "1.2.3", True),
    ("semver_eq", "1.2.3", "v1.2.3-beta.1", True),
    ("semver_eq", "1.2", "1.2.0", True),
    ("semver_eq", "1.2.3", "1.2.30", False),
    ("semver_eq", "1.2.3", "one", False),
    ("semver_eq", "1.2.3", ABSENT, False),
    ("semver_neq", "1.2.3", "1.2.4", True),
    ("semver_neq", "1.2.3", ABSENT, True),
    ("semver_neq", ["1.2.3", "1.2.4"], "1.2.4", False),
    ("semver_gt", "1.9.0", "1.10.0", True),
    ("semver_gt", "1.9.0", "1.9.0", False),
    ("semver_gte", "1.9.0", "1.9.0", True),
    ("semver_lt", "1.10.0", "1.9.9", True),
    ("semver_lte", "1.10.0", "1.10.0", True),
    ("semver_lte", "1.10.0", "1.10.1", False),
    ("semver_tilde", "1.2.3", "1.2.9", True),
    ("semver_tilde", "1.2.3", "1.3.0", False),
    ("semver_caret", "1.2.3", "1.9.0", True),
    ("semver_caret", "1.2.3", "2.0.0", False),
    ("semver_caret", "0.2.3", "0.3.0", False),
    ("semver_caret", "0.0.3", "0.0.4", False),
    ("semver_wildcard", "1.2.*", "1.2.99", True),
    ("semver_wildcard", "1.*", "1.9.0", True),
    ("semver_wildcard", "1.2.*", "1.3.0", False),
    ("semver_lt", "1.2.3", 1, True),
]


@pytest.mark.parametrize(("operator", "value", "x", "expected"), TABLE)
def test_an_operator(
    conn: Connection, operator: str, value: Any, x: Any, expected: bool | None
) -> None:
    if expected is None:
        with pytest.raises(psycopg.errors.InvalidRegularExpression):
            asked(conn, operator, value, x)
    else:
        assert asked(conn, operator, value, x) is expected


def test_every_operator_has_rows_of_the_table() -> None:
    assert {row[0] for row in TABLE} == set(reading.OPERATORS)


def test_times_without_a_zone_are_of_the_project(conn: Connection) -> None:
    tokyo = {"zone": "Asia/Tokyo"}
    assert asked(conn, "is_date_exact", "2024-03-01", "2024-02-29T15:00:00Z", **tokyo)
    assert asked(conn, "is_date_exact", "2024-02-29T15:00:00Z", "2024-03-01 00:00", **tokyo)
    assert not asked(conn, "is_date_before", "2024-03-01", "2024-03-01", **tokyo)
    assert asked(conn, "is_date_exact", "dStart", "2024-03-09T15:00:00Z", **tokyo)


def test_a_filter_without_an_operator_is_exact(conn: Connection) -> None:
    assert found(conn, [{"key": "x", "value": "a"}], [{"x": "a"}, {"x": "b"}]) == [True, False]


def test_lists_and_groups_nest(conn: Connection) -> None:
    a, b, c = ({"key": key, "value": "1"} for key in "abc")
    stored = [{"a": 1, "b": 1}, {"a": 1, "c": 1}, {"b": 1, "c": 1}]
    both = {"type": "AND", "values": [b, c]}
    assert found(conn, [a, b], stored) == [True, False, False]
    assert found(conn, {"type": "OR", "values": [a, both]}, stored) == [True, True, True]
    assert found(conn, [{"type": "or", "values": [b]}, c], stored) == [False, False, True]
    assert found(conn, a, stored) == [True, True, False]


@pytest.mark.parametrize(
    "key", ["it's", 'say "so"', "a b", "%s", "{}", "x'); DROP TABLE person; --"]
)
def test_a_key_is_only_a_key(conn: Connection, key: str) -> None:
    assert found(conn, [{"key": key, "value": key}], [{key: key}, {"x": key}]) == [True, False]


HARMLESS = st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"])
TEXTS = st.one_of(
    st.text("aAbB%_\\. 1", max_size=4),
    st.sampled_from(["", "1", "1.0", "-2", "1e2", "true", "2024-03-01", "2024-03-01T10:00:00Z"]),
)
NUMBERS = st.one_of(
    st.integers(-5, 5), st.sampled_from([0.5, 1.0, -2.25, 1e20, 10**18, 1709251200])
)
SCALARS = st.one_of(TEXTS, NUMBERS, st.booleans())
STORED = st.one_of(
    SCALARS,
    st.none(),
    st.lists(SCALARS | st.none(), max_size=2),
    st.dictionaries(st.sampled_from(["b", "aa", "é"]), SCALARS, max_size=2),
)
PROPERTIES = st.dictionaries(st.sampled_from(["x", "y"]), STORED)
DATES = st.sampled_from(["2024-03-01", "2024-03-01T10:00:00Z", "2024-02-28T23:30:00-02:00"])
ANY_VALUE = SCALARS | st.lists(SCALARS, max_size=3)


def filters(operators: list[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {
            "key": st.sampled_from(["x", "y"]),
            "operator": st.sampled_from(operators),
            "value": values,
        }
    )


FILTERS = st.one_of(
    filters(
        ["exact", "is_not", "in", "not_in", "icontains", "not_icontains", "starts_with",
         "not_starts_with", "ends_with", "not_ends_with", "gt", "gte", "lt", "lte", "min", "max"],
        ANY_VALUE,
    ),
    filters(["between", "not_between"], st.lists(NUMBERS, min_size=2, max_size=2)),
    filters(["is_set", "is_not_set"], st.none() | TEXTS),
    filters(["is_date_exact", "is_date_before", "is_date_after"], DATES | st.lists(DATES)),
    filters(["regex", "not_regex"], st.sampled_from(["a", "^a", "b$", "[0-9]+", "^$", "a|1"])),
)  # fmt: skip
TREES = st.recursive(
    FILTERS,
    lambda part: st.fixed_dictionaries(
        {"type": st.sampled_from(["AND", "OR"]), "values": st.lists(part, max_size=3)}
    ),
    max_leaves=6,
)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(filter=st.lists(TREES, max_size=3), stored=st.lists(PROPERTIES, min_size=1, max_size=8))
@example(filter=[{"key": "x", "operator": "exact", "value": -0.0}], stored=[{"x": 0}])
def test_sql_says_what_plain_python_says(
    conn: Connection, filter: Any, stored: list[dict[str, Any]]
) -> None:
    stored = json.loads(json.dumps(stored))
    assert found(conn, filter, stored) == [reference.holds(filter, each) for each in stored]


MOMENT_TEXTS = st.one_of(
    st.from_regex(
        r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?)?"
        r"(Z|[+-][0-9]{2}:?[0-9]{2})?\Z"
    ),
    st.datetimes().map(lambda at: at.isoformat()),
    st.dates().map(str),
    st.text(HARMLESS, max_size=12),
)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=MOMENT_TEXTS, zone=st.sampled_from(["UTC", "Asia/Tokyo", "America/St_Johns"]))
def test_the_database_reads_a_time_as_python_does(conn: Connection, text: str, zone: str) -> None:
    read = moments.written(text, zone=ZoneInfo(zone))
    assume(read is None or 1 < read.at.year < 9999)
    row = conn.execute(
        "SELECT instant_of(%s, %s) BETWEEN '0002-01-01Z' AND '9999-01-01Z',"
        " extract(epoch FROM instant_of(%s, %s))",
        (text, zone, text, zone),
    ).fetchone()
    assert row is not None
    if read is None:
        assert not row[0]
    else:
        # Offsets before there were time zones differ; both agree on all that anybody stores.
        if read.at.year > 1972:
            assert float(row[1]) == pytest.approx(read.at.timestamp(), abs=1e-5)


async def test_an_expression_that_cannot_be_read_is_named(pool: Pool) -> None:
    node = reading.read([{"key": "x", "operator": "regex", "value": "a(b"}], Given(now=NOW))
    async with pool.connection() as opened:
        with pytest.raises(InvalidInput, match=r'"a\(b": invalid regular expression: paren'):
            await property_filter.check(opened, node, project_id=1)


async def test_a_cohort_of_another_project_does_not_exist(pool: Pool) -> None:
    async with pool.connection() as opened:
        await opened.execute("INSERT INTO cohort (id, project_id, name) VALUES (7, 2, 'theirs')")
        node = reading.read([{"type": "cohort", "key": "id", "value": 7}], Given(now=NOW))
        with pytest.raises(InvalidInput, match="Cohort 7 does not exist"):
            await property_filter.check(opened, node, project_id=1)
        await property_filter.check(opened, node, project_id=2)
