"""GET /persons/:id/properties_timeline (contract: persons-api, 4)."""

import csv
import json
import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from psycopg import AsyncConnection

from personhood import persons
from personhood.api import properties_timeline
from personhood.capture import claims
from personhood.capture.parse import Sent
from personhood.ledger import timeline
from personhood.model import Project
from personhood.persons import Work
from personhood.store.pool import Pool, encode
from tests.api.conftest import Client, People
from tests.api.skeleton import needs

PERSONS = "/api/projects/@current/persons"
PATH = f"{PERSONS}/distinct_id:ada/properties_timeline"

PAGEVIEW = [{"id": "$pageview"}]
BAR = [{"key": "bar", "value": "xyz", "type": "person"}]


class Sender:
    """Sends events of given times, in the order of the calls."""

    def __init__(self, pool: Pool, project: Project) -> None:
        self.pool, self.project = pool, project

    async def __call__(
        self, at: str, name: str = "$pageview", distinct_id: str = "ada", **properties: Any
    ) -> None:
        """`set_foo` in `properties` is a `$set` of foo; others are themselves, after a `$`."""
        said: dict[str, Any] = {
            f"${key}": value for key, value in properties.items() if not key.startswith("set_")
        }
        if given := {k[4:]: v for k, v in properties.items() if k.startswith("set_")}:
            said["$set"] = given
        moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
        sent = Sent(
            name=name,
            distinct_id=distinct_id,
            uuid=uuid4(),
            timestamp=moment,
            properties=encode(said),
        )
        read = claims.read(sent, self.project, received_at=moment, ip=None)
        assert read.event is not None
        await persons.apply(self.pool, [Work(project=self.project, events=[read.event])])


@pytest.fixture
async def send(pool: Pool, shop: Project) -> AsyncIterator[Sender]:
    yield Sender(pool, shop)


async def told(client: Client, path: str = PATH, **query: Any) -> dict[str, Any]:
    """Lists and objects go as JSON texts."""
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in query.items()}
    answer = await client.get(path, params=texts)
    assert answer.status_code == 200, answer.text
    return answer.json()


def short(answer: dict[str, Any], key: str = "bar") -> list[tuple[Any, ...]]:
    """Points as (value of a key, how many events, time)."""
    return [
        (
            point["properties"].get(key),
            point["relevant_event_count"],
            point["timestamp"].removesuffix("Z"),
        )
        for point in answer["points"]
    ]


JANUARY = {"date_from": "2020-01-01", "date_to": "2020-01-05"}
FIVE_DAYS = ("2020-01-01T00:00:00+00:00", "2020-01-05T23:59:59.999999+00:00")


def window_of(answer: dict[str, Any]) -> tuple[str, str]:
    return answer["effective_date_from"], answer["effective_date_to"]


# The worked examples of the contract, 4.6.


@pytest.mark.parametrize("prefix", ["projects", "environments"])
@pytest.mark.parametrize("end", ["", "/"])
async def test_example_a(client: Client, send: Sender, prefix: str, end: str) -> None:
    await send("2020-01-01T00:00:00", set_foo="abc", set_bar=123)
    [row] = (await client.get(f"{PERSONS}/?distinct_id=ada")).json()["results"]
    path = f"/api/{prefix}/@current/persons/{row['uuid']}/properties_timeline{end}"
    answer = await told(client, path, events=PAGEVIEW, properties=BAR, **JANUARY)
    creator = answer["points"][0]["properties"].pop("$creator_event_uuid")
    assert creator
    assert answer == {
        "points": [
            {
                "timestamp": "2020-01-01T00:00:00Z",
                "properties": {"foo": "abc", "bar": 123},
                "relevant_event_count": 1,
            }
        ],
        "crucial_property_keys": ["bar"],
        "effective_date_from": FIVE_DAYS[0],
        "effective_date_to": FIVE_DAYS[1],
    }


async def test_example_b_nothing_in_the_window(client: Client, send: Sender) -> None:
    await send("2019-12-27T00:00:00", set_foo="abc", set_bar=123)
    answer = await told(client, events=PAGEVIEW, properties=BAR, **JANUARY)
    assert answer == {
        "points": [],
        "crucial_property_keys": ["bar"],
        "effective_date_from": FIVE_DAYS[0],
        "effective_date_to": FIVE_DAYS[1],
    }


FILTERED = [
    {
        "id": "$pageview",
        "properties": [
            {"key": "foo", "value": "abc", "type": "person"},
            {"key": "fin", "value": "x", "type": "event"},
        ],
    }
]


@pytest.mark.parametrize(
    "query",
    [
        {"events": FILTERED},
        {"events": PAGEVIEW, "breakdown": "foo", "breakdown_type": "person"},
        {"events": PAGEVIEW, "breakdown": '["foo"]', "breakdown_type": "person"},
    ],
)
async def test_example_c_filters_of_entities(
    client: Client, send: Sender, query: dict[str, Any]
) -> None:
    await send("2020-01-01T00:00:00", set_foo="abc", set_bar=123)
    await send("2020-01-01T21:37:00", set_foo="klm", set_bar=123)
    answer = await told(client, properties=BAR, **query, **JANUARY)
    assert answer["crucial_property_keys"] == ["bar", "foo"]
    assert short(answer, "foo") == [
        ("abc", 1, "2020-01-01T00:00:00"),
        ("klm", 1, "2020-01-01T21:37:00"),
    ]


async def six(send: Sender, whatever: str) -> None:
    """In the order of their times, as they came."""
    await send("2020-01-01T00:00:00", set_foo="abc", set_bar=456)
    await send(whatever, "whatever", set_bar=123)
    await send("2020-01-02T01:00:00", set_bar=123)
    await send("2020-01-03T01:00:00", set_bar=123)
    await send("2020-01-04T19:00:00", set_bar=123)
    await send("2020-01-04T19:00:01", set_bar=789)


async def test_example_d_only_chosen_events_count(client: Client, send: Sender) -> None:
    await six(send, "2020-01-02T00:00:00")
    answer = await told(client, events=PAGEVIEW, properties=BAR, **JANUARY)
    assert short(answer) == [
        (456, 1, "2020-01-01T00:00:00"),
        (123, 3, "2020-01-02T01:00:00"),
        (789, 1, "2020-01-04T19:00:01"),
    ]


async def test_example_d2_every_event_counts(client: Client, send: Sender) -> None:
    await six(send, "2020-01-01T01:00:00")
    expected = [
        (456, 1, "2020-01-01T00:00:00"),
        (123, 4, "2020-01-01T01:00:00"),
        (789, 1, "2020-01-04T19:00:01"),
    ]
    for events in ("", "[]", [{"id": None}], [{"id": "$pageview"}, {"id": None}]):
        answer = await told(client, events=events, properties=BAR, **JANUARY)
        assert short(answer) == expected


async def test_example_d3_without_crucial_keys_one_point(client: Client, send: Sender) -> None:
    await six(send, "2020-01-01T01:00:00")
    answer = await told(client, events=PAGEVIEW, **JANUARY)
    assert answer["crucial_property_keys"] == []
    assert short(answer) == [(456, 5, "2020-01-01T00:00:00")]
    assert short(answer, "foo") == [("abc", 5, "2020-01-01T00:00:00")]


@pytest.mark.parametrize(
    ("interval", "dates", "times", "window"),
    [
        pytest.param(
            "hour",
            "2020-01-02T00:00:00Z",
            ("2020-01-02T00:00:00", "2020-01-02T00:20:00", "2020-01-02T00:40:00"),
            ("2020-01-02T00:00:00+00:00", "2020-01-02T01:00:00+00:00"),
            id="E",
        ),
        pytest.param(
            "day",
            "2020-01-02T00:00:00Z",
            ("2020-01-02T00:00:00", "2020-01-02T07:00:00", "2020-01-02T14:00:00"),
            ("2020-01-02T00:00:00+00:00", "2020-01-02T23:59:59.999999+00:00"),
            id="F",
        ),
        pytest.param(
            "month",
            "2020-01-01",
            ("2020-01-01T00:00:00", "2020-01-02T00:20:00", "2020-01-31T00:40:00"),
            ("2020-01-01T00:00:00+00:00", "2020-01-31T23:59:59.999999+00:00"),
            id="G",
        ),
    ],
)
async def test_examples_of_equal_dates(
    client: Client,
    send: Sender,
    *,
    interval: str,
    dates: str,
    times: Sequence[str],
    window: tuple[str, str],
) -> None:
    for at, value in zip(times, (456, 123, 456), strict=True):
        await send(at, set_bar=value)
    answer = await told(
        client,
        events=PAGEVIEW,
        properties=BAR,
        display="ActionsLineGraph",
        interval=interval,
        date_from=dates,
        date_to=dates,
    )
    assert short(answer) == [(456, 1, times[0]), (123, 1, times[1]), (456, 1, times[2])]
    assert window_of(answer) == window


async def test_example_h_relative_dates(
    client: Client, send: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime(2020, 1, 9, 21, 37, tzinfo=UTC)
    monkeypatch.setattr(properties_timeline, "now", lambda: now)
    await send("2020-01-02T00:00:00", set_bar=1)
    await send("2020-01-09T23:59:59", set_bar=2)
    for dates in ({"date_from": "-7d"}, {}, {"date_from": "", "date_to": ""}):
        answer = await told(client, properties=BAR, **dates)
        assert window_of(answer) == (
            "2020-01-02T00:00:00+00:00",
            "2020-01-09T23:59:59.999999+00:00",
        )
        assert [point[0] for point in short(answer)] == [1, 2]


# What else there is.


async def test_all_begins_with_the_first_event(client: Client, send: Sender) -> None:
    await send("2011-05-06T07:08:09", set_bar=1)
    await send("2020-01-01T00:00:00")
    answer = await told(client, properties=BAR, date_from="all")
    assert answer["effective_date_from"] == "2011-05-06T00:00:00+00:00"
    assert short(answer) == [(1, 2, "2011-05-06T07:08:09")]


async def test_the_window_is_in_the_projects_zone(
    client: Client, send: Sender, conn: AsyncConnection
) -> None:
    await conn.execute("UPDATE project SET timezone = 'America/New_York'")
    await send("2020-01-01T04:59:59", set_bar=0)
    await send("2020-01-01T05:00:00", set_bar=1)
    await send("2020-01-02T04:59:59.999", set_bar=2)
    await send("2020-01-02T05:00:00", set_bar=3)
    answer = await told(client, properties=BAR, date_from="2020-01-01", date_to="2020-01-01")
    assert window_of(answer) == (
        "2020-01-01T00:00:00-05:00",
        "2020-01-01T23:59:59.999999-05:00",
    )
    assert short(answer) == [(1, 1, "2020-01-01T05:00:00"), (2, 1, "2020-01-02T04:59:59.999000")]


async def test_whole_seconds_are_compared(client: Client, send: Sender) -> None:
    for n, at in enumerate(("00:00:00", "01:00:00.900", "01:00:01")):
        await send(f"2020-01-02T{at}", set_bar=n)
    same = "2020-01-02T00:00:00Z"
    answer = await told(client, properties=BAR, interval="hour", date_from=same, date_to=same)
    assert [point[0] for point in short(answer)] == [0, 1]


async def test_events_that_came_late_stand_where_they_happened(
    client: Client, send: Sender
) -> None:
    """What each showed is what it met, in the order of arrival."""
    await send("2020-01-02T00:00:00", set_bar=1)
    await send("2020-01-04T00:00:00", set_bar=2)
    await send("2020-01-01T00:00:00")  # met 2
    await send("2020-01-03T00:00:00", set_bar=1)
    await send("2020-01-04T00:00:01")
    answer = await told(client, properties=BAR, **JANUARY)
    assert short(answer) == [
        (2, 1, "2020-01-01T00:00:00"),
        (1, 2, "2020-01-02T00:00:00"),
        (2, 1, "2020-01-04T00:00:00"),
        (1, 1, "2020-01-04T00:00:01"),
    ]


async def test_changes_of_other_keys_open_no_point(client: Client, send: Sender) -> None:
    for n in range(4):
        await send(f"2020-01-01T0{n}:00:00", set_bar=1, set_n=n)
    answer = await told(client, properties=BAR, **JANUARY)
    assert short(answer) == [(1, 4, "2020-01-01T00:00:00")]
    assert short(answer, "n") == [(0, 4, "2020-01-01T00:00:00")]


async def test_values_are_compared_by_their_text(client: Client, send: Sender) -> None:
    for n, value in enumerate((123, "123", None, "", "x", ["x"], ["x"], True, "true")):
        await send(f"2020-01-01T0{n}:00:00", set_bar=value)
    answer = await told(client, properties=BAR, **JANUARY)
    assert [point[:2] for point in short(answer)] == [
        (123, 2),
        (None, 1),
        ("", 1),
        ("x", 1),
        (["x"], 2),
        (True, 2),
    ]


async def test_what_is_unset_is_as_if_empty(client: Client, send: Sender) -> None:
    await send("2020-01-01T00:00:00", set_bar="", set_foo=1)
    await send("2020-01-01T01:00:00", unset=["bar"])
    await send("2020-01-01T02:00:00", set_bar=2)
    answer = await told(client, properties=BAR, **JANUARY)
    assert [point[:2] for point in short(answer)] == [("", 2), (2, 1)]


async def test_events_of_another_mode_show_nothing(client: Client, send: Sender) -> None:
    await send("2020-01-01T00:00:00", set_bar=1)
    await send("2020-01-01T01:00:00", process_person_profile=False)
    await send("2020-01-01T02:00:00")
    answer = await told(client, properties=BAR, **JANUARY)
    assert short(answer) == [
        (1, 1, "2020-01-01T00:00:00"),
        (None, 1, "2020-01-01T01:00:00"),
        (1, 1, "2020-01-01T02:00:00"),
    ]
    assert answer["points"][1]["properties"] == {}


async def test_a_correction_shows_in_later_events_only(client: Client, send: Sender) -> None:
    await send("2020-01-01T00:00:00", set_bar=1)
    changed = await client.patch(f"{PERSONS}/distinct_id:ada", json={"properties": {"bar": 2}})
    assert changed.status_code == 200
    await send("2020-01-01T01:00:00")
    answer = await told(client, properties=BAR, **JANUARY)
    assert [point[:2] for point in short(answer)] == [(1, 1), (2, 1)]


async def test_events_count_that_were_the_persons_when_they_came(
    client: Client, send: Sender
) -> None:
    await send("2020-01-01T00:00:00", set_bar="ada")
    await send("2020-01-01T01:00:00", distinct_id="anon", set_bar="anon", set_foo=1)
    await send("2020-01-01T02:00:00", "$identify", anon_distinct_id="anon")
    await send("2020-01-01T03:00:00", distinct_id="anon", set_bar="both")
    answer = await told(client, properties=BAR, **JANUARY)
    assert short(answer) == [("ada", 2, "2020-01-01T00:00:00"), ("both", 1, "2020-01-01T03:00:00")]
    split = await client.post(
        f"{PERSONS}/distinct_id:ada/split", json={"distinct_ids_to_split": ["anon"]}
    )
    assert split.status_code == 200
    assert (await told(client, properties=BAR, **JANUARY))["points"] == answer["points"]


@pytest.mark.parametrize(
    ("properties", "keys"),
    [
        ({}, []),
        ([], []),
        ({"bar": "xyz"}, []),
        ([{"key": "bar"}], []),
        ([{"key": "bar", "type": "event"}, {"key": "id", "type": "cohort", "value": 1}], []),
        ([{"key": 5, "type": "person"}, 5, None, [BAR]], ["bar"]),
        (
            {
                "type": "AND",
                "values": [
                    {"type": "OR", "values": [{"key": "b", "type": "person"}, *BAR]},
                    {"key": "a", "type": "person"},
                ],
            },
            ["a", "b", "bar"],
        ),
        (
            [
                {
                    "type": "hogql",
                    "key": "person.properties.$os = 'x' or person.properties[\"a b\"] = 1 "
                    "or person.properties.`c` or properties.d",
                }
            ],
            ["$os", "a b", "c"],
        ),
    ],
)
async def test_crucial_keys(client: Client, send: Sender, properties: Any, keys: list[str]) -> None:
    await send("2020-01-01T00:00:00", set_bar=1)
    answer = await told(client, properties=properties, **JANUARY)
    assert answer["crucial_property_keys"] == keys


async def test_of_groups_as_they_are_now(client: Client, send: Sender) -> None:
    for key, tier in (("acme", "free"), ("beta", "free"), ("corp", "scale")):
        await send(
            "2019-01-01T00:00:00",
            "$groupidentify",
            group_type="company",
            group_key=key,
            group_set={"tier": tier, "name": key},
        )
    for n, key in enumerate(("acme", "beta", "corp", "acme", None)):
        groups: dict[str, Any] = {"groups": {"company": key}} if key else {}
        await send(f"2020-01-01T0{n}:00:00", set_tier=n, **groups)
    tier = [
        {"key": "tier", "type": "group", "group_type_index": 0},
        {"key": "no", "type": "group", "group_type_index": 1},
        {"key": "bar", "type": "person"},
    ]
    answer = await told(client, properties=tier, aggregation_group_type_index="0", **JANUARY)
    assert answer["crucial_property_keys"] == ["tier"]
    assert [point[:2] for point in short(answer, "name")] == [
        ("acme", 2),
        ("corp", 1),
        ("acme", 1),
        (None, 1),
    ]
    one = await told(client, aggregation_group_type_index="0", **JANUARY)
    assert short(one, "name") == [("acme", 5, "2020-01-01T00:00:00")]


async def test_no_event_is_an_action(client: Client, send: Sender) -> None:
    await send("2020-01-01T00:00:00", set_bar=1)
    assert (await told(client, actions=[{"id": 3}], **JANUARY))["points"] == []
    both = await told(client, actions=[{"id": 3}], events=PAGEVIEW, **JANUARY)
    assert len(both["points"]) == 1


async def test_as_csv_the_points_are_the_rows(client: Client, send: Sender) -> None:
    await send("2020-01-01T00:00:00", set_bar=1)
    await send("2020-01-01T01:00:00", set_bar="=2")
    query = {"properties": json.dumps(BAR), **JANUARY}
    for path, more in ((PATH, {"format": "csv"}), (f"{PATH}.csv", {})):
        answer = await client.get(path, params={**query, **more})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        rows = list(csv.DictReader(answer.text.splitlines()))
        assert [(row["properties.bar"], row["relevant_event_count"]) for row in rows] == [
            ("1", "1"),
            ("'=2", "1"),
        ]
        assert rows[0]["timestamp"] == "2020-01-01 00:00:00+00:00"
    none = {**query, "date_from": "2019-01-01", "date_to": "2019-01-01", "format": "csv"}
    answer = await client.get(PATH, params=none)
    assert (answer.status_code, answer.text) == (200, "")


@pytest.mark.parametrize(
    ("query", "attr"),
    [
        ({"events": "["}, "events"),
        ({"events": "{}x"}, "events"),
        ({"events": '{"id": "a"}'}, "events"),
        ({"events": '"a"'}, "events"),
        ({"events": "[1]"}, "events"),
        ({"events": "[" * 5000}, "events"),
        ({"events": json.dumps([{"id": "a"}] * 101)}, "events"),
        ({"actions": "5"}, "actions"),
        ({"properties": "x"}, "properties"),
        ({"properties": '"x"'}, "properties"),
        (
            {"properties": json.dumps([{"key": str(n), "type": "person"} for n in range(101)])},
            "properties",
        ),
        ({"date_from": "yesterday"}, "date_from"),
        ({"date_from": "2020-13-01"}, "date_from"),
        ({"date_from": "\0"}, "date_from"),
        ({"date_from": "9" * 500}, "date_from"),
        ({"date_from": "-999999y"}, "date_from"),
        ({"date_to": "tomorrow"}, "date_to"),
        ({"date_to": "all"}, "date_to"),
        ({"date_from": "9999-12-31", "date_to": "9999-12-31", "interval": "month"}, "date_from"),
        ({"interval": "second"}, "interval"),
        ({"aggregation_group_type_index": "5"}, "aggregation_group_type_index"),
        ({"aggregation_group_type_index": "-1"}, "aggregation_group_type_index"),
        ({"aggregation_group_type_index": "9" * 5000}, "aggregation_group_type_index"),
        ({"aggregation_group_type_index": "x"}, "aggregation_group_type_index"),
        ({"explicit_date": "maybe"}, "explicit_date"),
    ],
)
async def test_bad_input(client: Client, send: Sender, query: dict[str, str], attr: str) -> None:
    await send("2020-01-01T00:00:00", set_bar=1)
    answer = await client.get(PATH, params=query)
    assert answer.status_code == 400, answer.text
    assert answer.json()["type"] == "validation_error"
    assert answer.json()["attr"] == attr


@pytest.mark.parametrize(
    "query",
    [
        {"events": '[{"id": "a\\u0000b"}]'},
        {"events": '[{"id": 5}]'},
        {"properties": '[{"key": "a\\u0000b", "type": "person"}]'},
        {"breakdown": "a\0b", "breakdown_type": "person"},
        {"breakdown": "[", "breakdown_type": "person"},
        {"breakdown": "[" * 5000, "breakdown_type": "person"},
        {"date_from": "2020-01-05", "date_to": "2020-01-01"},
        {"date_from": "0001-01-01", "date_to": "9998-12-31"},
        {"date_from": "all", "date_to": "all"},
        {"display": "\0"},
        {"unknown": "x", "filter_test_accounts": "true"},
    ],
)
async def test_odd_input(client: Client, send: Sender, query: dict[str, str]) -> None:
    await send("2020-01-01T00:00:00", set_bar=1)
    answer = await client.get(PATH, params=query)
    assert answer.status_code == 200, answer.text


async def test_of_a_long_ledger_only_what_events_met_is_read(
    client: Client, send: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(7)
    for n in range(40):
        said: dict[str, Any] = {
            **{f"set_{key}": chance.choice([1, "1", "x", n]) for key in "bc"},
            **({"unset": ["a", "b"]} if n % 7 == 6 else {"set_a": n // 5}),
            **({"process_person_profile": False} if n % 9 == 4 else {}),
        }
        name = chance.choice(["$pageview", "click"])
        await send(f"2020-01-{chance.randint(1, 9):02}T10:00:{n:02}", name, **said)
    for days in ((1, 9), (3, 5), (9, 9), (20, 21)):
        for keys in (["a"], ["b"], ["a", "c"], ["missing"]):
            query: dict[str, Any] = {
                "date_from": f"2020-01-{days[0]:02}",
                "date_to": f"2020-01-{days[1]:02}",
                "properties": [{"key": key, "value": 1, "type": "person"} for key in keys],
                "events": chance.choice([PAGEVIEW, []]),
            }
            short = await told(client, **query)
            with monkeypatch.context() as patch:
                patch.setattr(timeline, "LONG", -1)
                assert await told(client, **query) == short


async def test_too_much_is_refused(
    client: Client, send: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(4):
        await send(f"2020-01-01T0{n}:00:00", set_bar=n)
    assert len((await told(client, properties=BAR, **JANUARY))["points"]) == 4
    for name, bound in (("POINTS_MAX", 3), ("STATES_MAX", 3), ("SHOWN_BYTES_MAX", 100)):
        with monkeypatch.context() as patch:
            patch.setattr(timeline, name, bound)
            answer = await client.get(PATH, params={"properties": json.dumps(BAR), **JANUARY})
            assert answer.status_code == 400
            assert answer.json()["detail"] == timeline.TOO_MANY


@pytest.mark.parametrize(
    ("id", "status"),
    [
        ("b44cfe84-13e5-55bd-9d93-03bf32d61790", 404),
        ("7777777", 404),
        ("9" * 400, 404),
        ("distinct_id:nobody", 404),
        ("no-id", 400),
        ("%00", 400),
    ],
)
async def test_an_unknown_person(client: Client, id: str, status: int) -> None:
    answer = await client.get(f"{PERSONS}/{id}/properties_timeline")
    assert answer.status_code == status


async def test_another_projects_person_is_unknown(client: Client, strangers: People) -> None:
    id, uuid = await strangers.add("eve")
    for name in (id, uuid, "distinct_id:eve"):
        answer = await client.get(f"{PERSONS}/{name}/properties_timeline")
        assert answer.status_code == 404


async def test_it_needs_a_key_and_its_scope(client: Client, pool: Pool, people: People) -> None:
    await people.add("ada")
    await needs(client, pool, "person:read", method="GET", path=PATH)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_the_wrong_method(client: Client, method: str) -> None:
    assert (await client.request(method, PATH)).status_code == 405


async def test_events_are_counted_from_their_index_alone(
    send: Sender, conn: AsyncConnection
) -> None:
    start = datetime(2020, 1, 1)
    for n in range(3):
        await send((start + timedelta(days=n)).isoformat(), set_bar=n)
    await conn.execute("SET enable_seqscan = off")
    cursor = await conn.execute(
        """
        EXPLAIN SELECT width_bucket(person_version, ARRAY[1, 2]::bigint[]), count(*)
                  FROM event
                 WHERE person_id = 1 AND person_mode = 0 AND name = ANY(ARRAY['$pageview'])
                   AND timestamp BETWEEN '2020-01-01' AND '2020-01-09'
                 GROUP BY 1
        """
    )
    plan = "\n".join(row[0] for row in await cursor.fetchall())
    assert "Index Only Scan using event_2020_01_person_id" in plan, plan
