"""GET /persons/properties_at_time (contract: persons-api, 2.7)."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from personhood import persons
from personhood.api import properties_at_time
from personhood.capture import claims
from personhood.capture.parse import Sent
from personhood.model import Project
from personhood.persons import Work
from personhood.store.pool import Pool, encode
from tests.api.conftest import Client, People
from tests.api.skeleton import needs

PERSONS = "/api/projects/@current/persons"
PATH = f"{PERSONS}/properties_at_time"
NOON = datetime(2023, 6, 15, 12, tzinfo=UTC)
NIGHT = "2023-06-15T23:59:59Z"


class Sender:
    """Sends events of given times."""

    def __init__(self, pool: Pool, project: Project) -> None:
        self.pool, self.project = pool, project

    async def __call__(
        self, name: str, distinct_id: str, at: datetime = NOON, **properties: Any
    ) -> None:
        sent = Sent(
            name=name,
            distinct_id=distinct_id,
            uuid=uuid4(),
            timestamp=at,
            properties=encode({f"${key}": value for key, value in properties.items()}),
        )
        read = claims.read(sent, self.project, received_at=at, ip=None)
        assert read.event is not None
        await persons.apply(self.pool, [Work(project=self.project, events=[read.event])])


@pytest.fixture
async def send(pool: Pool, shop: Project) -> AsyncIterator[Sender]:
    yield Sender(pool, shop)


async def told(client: Client, **query: str) -> dict[str, Any]:
    answer = await client.get(PATH, params={"timestamp": NIGHT, **query})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def at(client: Client, moment: datetime, distinct_id: str = "ada") -> dict[str, Any]:
    answer = await told(client, distinct_id=distinct_id, timestamp=moment.isoformat())
    return answer["properties"]


def hours(n: float) -> datetime:
    return NOON + timedelta(hours=n)


@pytest.mark.parametrize("prefix", ["projects", "environments"])
async def test_the_person_of_now_with_the_properties_of_then(
    client: Client, send: Sender, prefix: str
) -> None:
    await send("$set", "ada", hours(0), set={"email": "a@b.c", "plan": "free"})
    await send("page", "ada", hours(1), set={"plan": "scale"})
    await send("$set", "ada", hours(2), set={"plan": "none", "email": "new@b.c"})
    persons_path = f"/api/{prefix}/1/persons"
    answer = await client.get(
        f"{persons_path}/properties_at_time/?distinct_id=ada&timestamp=2023-06-15T13:00:00Z"
    )
    assert answer.status_code == 200
    now = (await client.get(f"{persons_path}/?distinct_id=ada")).json()["results"][0]
    person = (await client.get(f"{persons_path}/{now['uuid']}")).json()
    assert person["name"] == "new@b.c"
    assert person.pop("recordings_count") == 0
    assert answer.json() == {
        **person,
        "properties": {"email": "a@b.c", "plan": "scale"},
        "point_in_time_metadata": {
            "queried_timestamp": "2023-06-15T13:00:00+00:00",
            "include_set_once": False,
            "distinct_id_used": "ada",
            "person_id_used": None,
            "query_mode": "distinct_id",
            "distinct_ids_queried": ["ada"],
            "distinct_ids_count": 1,
        },
    }


async def test_both_ends_of_the_window_are_inside(client: Client, send: Sender) -> None:
    await send("$set", "ada", NOON, set={"a": 1})
    window = timedelta(days=730)
    us = timedelta(microseconds=1)
    assert await at(client, NOON - us) == {}
    assert await at(client, NOON) == {"a": 1}
    assert await at(client, NOON + window) == {"a": 1}
    assert await at(client, NOON + window + us) == {}


async def test_events_of_all_the_persons_ids_count(client: Client, send: Sender) -> None:
    await send("$set", "anon", hours(0), set={"a": "anon", "b": "anon"})
    await send("$set", "ada", hours(1), set={"a": "ada"})
    await send("$identify", "ada", hours(2), anon_distinct_id="anon", set={"c": "both"})
    assert await at(client, hours(1.5)) == {"a": "ada", "b": "anon"}
    answer = await told(client, distinct_id="anon")
    assert answer["properties"] == {"a": "ada", "b": "anon", "c": "both"}
    assert answer["point_in_time_metadata"]["distinct_ids_queried"] == ["anon", "ada"]
    assert answer["point_in_time_metadata"]["distinct_ids_count"] == 2


async def test_set_once_counts_where_it_is_asked_for(client: Client, send: Sender) -> None:
    await send("$set_once", "ada", hours(0), set_once={"a": 1, "b": 1})
    await send("$set", "ada", hours(1), set={"b": 2, "c": 2})
    await send("$set_once", "ada", hours(2), set_once={"a": 3, "c": 3, "d": 3})
    await send("page", "ada", hours(3), set_once={"e": 4}, set={"f": 4})
    assert await at(client, hours(4)) == {"b": 2, "c": 2, "f": 4}
    for word in ("true", "TRUE"):
        answer = await told(client, distinct_id="ada", include_set_once=word)
        assert answer["properties"] == {"a": 1, "b": 2, "c": 2, "d": 3, "f": 4}
        assert answer["point_in_time_metadata"]["include_set_once"] is True
    for word in ("false", "1", "", "yes"):
        answer = await told(client, distinct_id="ada", include_set_once=word)
        assert "a" not in answer["properties"]


async def test_unset_is_not_looked_at(client: Client, send: Sender) -> None:
    await send("$set", "ada", hours(0), set={"a": 1})
    await send("$unset", "ada", hours(1), unset=["a"])
    assert await at(client, hours(2)) == {"a": 1}


async def test_of_one_moment_the_event_that_came_last_holds(client: Client, send: Sender) -> None:
    for n in range(5):
        await send("$set", "ada", NOON, set={"a": n})
    assert await at(client, NOON) == {"a": 4}


async def test_a_person_by_uuid_or_integer_id(client: Client, send: Sender) -> None:
    await send("$set", "ada", set={"a": 1})
    [row] = (await client.get(f"{PERSONS}/?distinct_id=ada")).json()["results"]
    id = (await client.get(f"{PERSONS}/{row['uuid']}")).json()["id"]
    for name in (row["uuid"], row["uuid"].upper(), str(id)):
        answer = await told(client, person_id=name)
        assert answer["properties"] == {"a": 1}
        assert answer["point_in_time_metadata"] | {"distinct_ids_queried": 0} == {
            "queried_timestamp": "2023-06-15T23:59:59+00:00",
            "include_set_once": False,
            "distinct_id_used": None,
            "person_id_used": name,
            "query_mode": "person_id",
            "distinct_ids_queried": 0,
            "distinct_ids_count": 1,
        }


async def test_of_too_many_events_the_newest_count(
    client: Client, send: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n, key in enumerate("abc"):
        await send("$set", "ada", hours(n), set={key: n})
    monkeypatch.setattr(properties_at_time, "EVENTS_MAX", 2)
    assert await at(client, hours(9)) == {"b": 1, "c": 2}
    await send("$set_once", "ada", hours(4), set_once={"d": 4})
    assert await at(client, hours(9)) == {"b": 1, "c": 2}
    answer = await told(client, distinct_id="ada", include_set_once="true")
    assert answer["properties"] == {"c": 2, "d": 4}


@pytest.mark.parametrize(
    ("text", "told_as"),
    [
        ("2023-06-15T14:30:00Z", "2023-06-15T14:30:00+00:00"),
        ("2023-06-15T14:30:00", "2023-06-15T14:30:00+00:00"),
        ("2023-06-15 14:30", "2023-06-15T14:30:00+00:00"),
        ("2023-06-15", "2023-06-15T00:00:00+00:00"),
        ("2023-06-15T14:30:00.25Z", "2023-06-15T14:30:00.250000+00:00"),
        ("2023-06-15T14:30:00+02:00", "2023-06-15T14:30:00+02:00"),
        ("2023-06-15T14:30:00 02:00", "2023-06-15T14:30:00+02:00"),  # a plus that nobody encoded
        ("2023-06-15T14:30:00-05:00", "2023-06-15T14:30:00-05:00"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+00:00"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59+00:00"),
    ],
)
async def test_moments(client: Client, send: Sender, text: str, told_as: str) -> None:
    await send("$set", "ada", set={"a": 1})
    answer = await told(client, distinct_id="ada", timestamp=text)
    assert answer["point_in_time_metadata"]["queried_timestamp"] == told_as


BOTH = "Cannot provide both distinct_id and person_id - choose one"
NEITHER = "Must provide either distinct_id or person_id parameter"
NO_TIMESTAMP = "timestamp parameter is required (ISO format: 2023-06-15T14:30:00Z)"
BAD_TIMESTAMP = "Invalid timestamp format. Use ISO format like 2023-06-15T14:30:00Z"


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"distinct_id": "a", "person_id": "b"}, BOTH),
        ({"distinct_id": "a", "person_id": "b", "timestamp": NIGHT}, BOTH),
        ({}, NEITHER),
        ({"timestamp": NIGHT}, NEITHER),
        ({"distinct_id": "", "person_id": "", "timestamp": "x"}, NEITHER),
        ({"distinct_id": "nobody"}, NO_TIMESTAMP),
        ({"distinct_id": "nobody", "timestamp": ""}, NO_TIMESTAMP),
        ({"distinct_id": "nobody", "timestamp": "yesterday"}, BAD_TIMESTAMP),
        ({"distinct_id": "nobody", "timestamp": "2023-13-01"}, BAD_TIMESTAMP),
        ({"distinct_id": "nobody", "timestamp": "1686839400"}, BAD_TIMESTAMP),
        ({"distinct_id": "nobody", "timestamp": "\0"}, BAD_TIMESTAMP),
        ({"distinct_id": "nobody", "timestamp": "9" * 5000}, BAD_TIMESTAMP),
        ({"distinct_id": "nobody", "timestamp": "0001-01-01T00:00:00+14:00"}, BAD_TIMESTAMP),
        ({"distinct_id": "nobody", "timestamp": "9999-12-31T23:59:59-12:00"}, BAD_TIMESTAMP),
    ],
)
async def test_refusals_have_one_key(client: Client, query: dict[str, str], error: str) -> None:
    answer = await client.get(PATH, params=query)
    assert answer.status_code == 400
    assert answer.json() == {"error": error}


@pytest.mark.parametrize(
    ("by", "name"),
    [
        ("distinct_id", "nobody"),
        ("distinct_id", "a\0b"),
        ("distinct_id", "x" * 5000),
        ("person_id", "b44cfe84-13e5-55bd-9d93-03bf32d61790"),
        ("person_id", "7777777"),
        ("person_id", "9" * 400),
        ("person_id", "no-id"),
        ("person_id", "\0"),
    ],
)
async def test_an_unknown_person(client: Client, by: str, name: str) -> None:
    answer = await client.get(PATH, params={by: name, "timestamp": NIGHT})
    assert answer.status_code == 404
    assert answer.json() == {"error": f"Person with {by} '{name}' not found"}


async def test_another_projects_person_is_unknown(client: Client, strangers: People) -> None:
    _, uuid = await strangers.add("eve")
    for query in ({"distinct_id": "eve"}, {"person_id": str(uuid)}):
        answer = await client.get(PATH, params={**query, "timestamp": NIGHT})
        assert answer.status_code == 404


async def test_it_needs_a_key_and_its_scope(client: Client, pool: Pool) -> None:
    await needs(client, pool, "person:read", method="GET", path=PATH)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_the_wrong_method(client: Client, method: str) -> None:
    assert (await client.request(method, PATH)).status_code == 405
