"""GET /events and /events/:uuid (contract: persons-api, 10.1)."""

import csv
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import AsyncConnection

from personhood import persons
from personhood.api import events
from personhood.capture import claims
from personhood.capture.parse import Sent
from personhood.model import Project
from personhood.persons import Work
from personhood.store import event_page
from personhood.store.event_page import Listed, Query
from personhood.store.pool import Pool, encode
from tests.api.conftest import Client
from tests.api.skeleton import needs

PATH = "/api/projects/@current/events"
PERSONS = "/api/projects/@current/persons"
NOON = datetime(2023, 6, 15, 12, tzinfo=UTC)
NOBODY = "0190a1f2-7e2b-7c3d-9a4e-5f6071829304"


class Sender:
    """Sends events of one project, an hour after noon for each unit of `at`."""

    def __init__(self, pool: Pool, project: Project) -> None:
        self.pool, self.project = pool, project

    async def __call__(
        self,
        name: str = "page",
        distinct_id: str = "ada",
        at: float | datetime = 0,
        uuid: UUID | None = None,
        **properties: Any,
    ) -> str:
        """The uuid of the event. `_set` in `properties` is `$set`, and so on."""
        moment = at if isinstance(at, datetime) else NOON + timedelta(hours=at)
        sent = Sent(
            name=name,
            distinct_id=distinct_id,
            uuid=uuid or uuid4(),
            timestamp=moment,
            properties=encode(
                {f"${k[1:]}" if k.startswith("_") else k: v for k, v in properties.items()}
            ),
        )
        read = claims.read(sent, self.project, received_at=moment, ip=None)
        assert read.event is not None
        await persons.apply(self.pool, [Work(project=self.project, events=[read.event])])
        return str(sent.uuid)


@pytest.fixture
async def send(pool: Pool, shop: Project) -> AsyncIterator[Sender]:
    yield Sender(pool, shop)


@pytest.fixture
async def send_there(pool: Pool, other: Project) -> AsyncIterator[Sender]:
    """To the other project."""
    yield Sender(pool, other)


async def told(client: Client, path: str = PATH, **query: Any) -> dict[str, Any]:
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in query.items()}
    answer = await client.get(path, params=texts or None)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def found(client: Client, **query: Any) -> list[str]:
    """The uuids of a list."""
    return [row["id"] for row in (await told(client, **query))["results"]]


async def paged(client: Client, **query: Any) -> list[list[str]]:
    """The uuids of all pages, by their `next`."""
    answer = await told(client, **query)
    pages = [answer]
    while answer["next"]:
        assert len(pages) < 50
        answer = await told(client, answer["next"])
        pages.append(answer)
    return [[row["id"] for row in page["results"]] for page in pages]


@pytest.mark.parametrize("prefix", ["projects", "environments"])
@pytest.mark.parametrize("end", ["", "/"])
async def test_the_shape(client: Client, send: Sender, prefix: str, end: str) -> None:
    uuid = await send("$identify", "ada", _set={"email": "a@x.org", "plan": "free"}, quoted='"a"')
    path = f"/api/{prefix}/@current/events"
    answer = await told(client, f"{path}{end}")
    assert answer == {
        "next": None,
        "results": [
            {
                "id": uuid,
                "distinct_id": "ada",
                "properties": {"$set": {"email": "a@x.org", "plan": "free"}, "quoted": "a"},
                "event": "$identify",
                "timestamp": "2023-06-15T12:00:00+00:00",
                "person": {
                    "is_identified": False,
                    "distinct_ids": ["ada"],
                    "properties": {"email": "a@x.org"},
                },
                "elements": [],
                "elements_chain": "",
            }
        ],
    }
    assert await told(client, f"{path}/{uuid}{end}") == answer["results"][0]
    assert await told(client, f"{path}/{uuid.upper()}{end}") == answer["results"][0]


async def test_the_newest_first_or_the_oldest(client: Client, send: Sender) -> None:
    sent = [await send(at=n) for n in (0, 2, 1, 3000)]
    newest = [sent[3], sent[1], sent[2], sent[0]]
    assert await found(client) == newest
    for order in ('["-timestamp"]', "-timestamp", "[]", ""):
        assert await found(client, orderBy=order) == newest
    for order in ('["timestamp"]', "timestamp"):
        assert await found(client, orderBy=order) == newest[::-1]


async def test_the_oldest_first_of_the_last_day_if_they_fill_a_page(
    client: Client, send: Sender
) -> None:
    now = datetime.now(UTC)
    old = await send(at=now - timedelta(days=3))
    recent = [await send(at=now - timedelta(hours=n)) for n in (3, 2)]
    assert await found(client, orderBy="timestamp", limit=2) == recent
    assert await found(client, orderBy="timestamp", limit=3) == [old, *recent]
    assert await paged(client, orderBy="timestamp", limit=1) == [[each] for each in recent]


async def test_what_is_yet_to_come_is_not_shown_unasked(client: Client, send: Sender) -> None:
    now = datetime.now(UTC)
    uuid = await send(at=now - timedelta(seconds=1))
    ahead = await send(at=now + timedelta(hours=20))
    assert await found(client) == [uuid]
    later = (now + timedelta(days=2)).isoformat()
    assert await found(client, before=later) == [ahead, uuid]


async def test_by_event_and_distinct_id(client: Client, send: Sender) -> None:
    a = await send("page", "ada", 0)
    b = await send("click", "ada", 1)
    c = await send("page", "bob", 2)
    assert await found(client, event="page") == [c, a]
    assert await found(client, distinct_id="ada") == [b, a]
    assert await found(client, distinct_id="ada", event="page") == [a]
    assert await found(client, distinct_id="Ada") == []
    assert await found(client, event="", distinct_id="") == [c, b, a]


async def person_of(client: Client, distinct_id: str) -> dict[str, Any]:
    return (await client.get(f"{PERSONS}/distinct_id:{distinct_id}")).json()


async def test_by_person(client: Client, send: Sender) -> None:
    a = await send("page", "ada", 0)
    await send("page", "bob", 1)
    person = await person_of(client, "ada")
    for name in (person["id"], person["uuid"], person["uuid"].upper(), "distinct_id:ada"):
        assert await found(client, person_id=str(name)) == [a]
    assert await found(client, person_id=person["uuid"], distinct_id="ada") == [a]
    assert await found(client, person_id=person["uuid"], distinct_id="bob") == []
    for nobody in (NOBODY, "777777", "9" * 400, "distinct_id:nobody"):
        assert await found(client, person_id=nobody) == []


async def test_events_follow_merges_and_splits_at_once(client: Client, send: Sender) -> None:
    anon = await send("page", "anon", 0)
    ada = await send("page", "ada", 1, _set={"name": "Ada"})
    other = await person_of(client, "anon")
    assert await found(client, person_id=str(other["id"])) == [anon]

    merge = await send("$identify", "ada", 2, _anon_distinct_id="anon")
    person = await person_of(client, "ada")
    for distinct_id in ("ada", "anon"):
        everything = await told(client, person_id=f"distinct_id:{distinct_id}")
        assert [row["id"] for row in everything["results"]] == [merge, ada, anon]
        assert all(row["person"]["properties"] == {"name": "Ada"} for row in everything["results"])
    assert await found(client, person_id=other["uuid"]) == []
    assert await found(client, person_id=person["uuid"], distinct_id="anon") == [anon]

    split = await client.post(
        f"{PERSONS}/distinct_id:ada/split", json={"distinct_ids_to_split": ["anon"]}
    )
    assert split.status_code == 200
    assert await found(client, person_id="distinct_id:ada") == [merge, ada]
    assert await found(client, person_id="distinct_id:anon") == [anon]


async def test_personless_events_have_no_person(client: Client, send: Sender) -> None:
    uuid = await send("page", "anon", _process_person_profile=False)
    assert (await told(client))["results"][0]["person"] is None
    assert (await told(client, f"{PATH}/{uuid}"))["person"] is None
    assert await found(client, distinct_id="anon") == [uuid]


async def test_events_of_a_deleted_person(client: Client, send: Sender) -> None:
    """They were to stay, and are nobody's; not those of who has the id next either."""
    old = await send("page", "ada", 0)
    assert (await client.delete(f"{PERSONS}/distinct_id:ada")).status_code == 204
    assert (await told(client))["results"][0]["person"] is None
    new = await send("page", "ada", 1)
    assert await found(client) == [new, old]
    assert await found(client, person_id="distinct_id:ada") == [new]
    assert await found(client, distinct_id="ada") == [new, old]


async def test_between_two_times(client: Client, send: Sender) -> None:
    sent = [await send(at=n) for n in range(4)]
    noon = "2023-06-15T12:00:00"
    assert await found(client, after=f"{noon}Z") == sent[:0:-1]
    assert await found(client, before="2023-06-15T15:00:00Z") == sent[2::-1]
    assert await found(client, after=noon, before="2023-06-15T14:00:00+00:00") == [sent[1]]
    assert await found(client, after="2023-06-15T14:00:00 02:00", limit=1) == [sent[3]]
    assert await found(client, after="-1h") == []
    assert await found(client, after="all", before="-1h") == sent[::-1]
    assert await found(client, after=f"{noon}Z", orderBy="timestamp") == sent[1:]


async def test_times_are_in_the_projects_zone(
    client: Client, send: Sender, conn: AsyncConnection
) -> None:
    await conn.execute("UPDATE project SET timezone = 'America/New_York'")
    uuid = await send(at=0)
    assert await found(client, after="2023-06-15T07:59:59") == [uuid]
    assert await found(client, after="2023-06-15T08:00:00") == []


FREE = {"key": "plan", "value": "free"}


@pytest.mark.parametrize(
    ("filter", "fits"),
    [
        (FREE, "a"),
        ({"key": "plan", "value": ["free", "scale"], "type": "event"}, "ab"),
        ({"key": "plan", "value": "free", "operator": "is_not"}, "bc"),
        ({"key": "plan", "operator": "is_set"}, "ab"),
        ({"key": "plan", "operator": "is_not_set"}, "c"),
        ({"key": "plan", "value": "SCA", "operator": "icontains"}, "b"),
        ({"key": "plan", "value": "^fr", "operator": "regex"}, "a"),
        ({"key": "seats", "value": 5, "operator": "gt"}, "b"),
        ({"key": "seats", "value": [1, 7], "operator": "between"}, "ab"),
        ({"key": "made", "value": "2024-01-01", "operator": "is_date_after"}, "c"),
        ({"type": "OR", "values": [FREE, {"key": "made", "operator": "is_set"}]}, "ac"),
        ([], "abc"),
    ],
)
async def test_property_filters(client: Client, send: Sender, filter: Any, fits: str) -> None:
    sent = {
        "a": await send(at=0, plan="free", seats=2),
        "b": await send(at=1, plan="scale", seats=7),
        "c": await send(at=2, made="2024-05-06"),
    }
    properties = filter if isinstance(filter, list) or "values" in filter else [filter]
    expected = {sent[name] for name in fits}
    for more in ({}, {"distinct_id": "ada"}, {"person_id": "distinct_id:ada"}):
        assert {*await found(client, properties=properties, **more)} == expected


async def test_pages_neither_skip_nor_repeat(client: Client, send: Sender) -> None:
    """Also where many are of one time, and others are written meanwhile."""
    sent = [await send(at=n // 4) for n in range(10)]
    for more in ({}, {"distinct_id": "ada"}, {"person_id": "distinct_id:ada"}):
        for limit in (1, 3, 5):
            pages = await paged(client, limit=limit, **more)
            listed = [uuid for page in pages for uuid in page]
            assert sorted(listed) == sorted(sent)
            assert all(len(page) == limit for page in pages[:-1])
            backwards = await paged(
                client, limit=limit, orderBy="timestamp", after="2023-01-01", **more
            )
            assert [uuid for page in backwards for uuid in page] == listed[::-1]
    first = await told(client, limit=4)
    await send(at=99)
    second = await told(client, first["next"])
    seen = {row["id"] for row in (*first["results"], *second["results"])}
    assert len(seen) == 8 and seen <= {*sent}


async def test_next_is_the_same_request_before_the_last(client: Client, send: Sender) -> None:
    for n in range(3):
        await send(at=n)
    answer = await told(client, f"{PATH}/?limit=1&event=page&offset=1&before=2023-07-01")
    [row] = answer["results"]
    assert answer["next"] == (
        f"http://testserver{PATH}/?limit=1&event=page"
        f"&before=2023-06-15T13:00:00%2B00:00&cursor={row['id']}"
    )


async def test_an_offset(client: Client, send: Sender) -> None:
    sent = [await send(at=n) for n in range(3)]
    assert await found(client, offset=1) == [sent[1], sent[0]]
    assert await found(client, offset=1, limit=1, distinct_id="ada") == [sent[1]]
    assert await found(client, offset=50_000) == []


async def test_a_page_of_large_events_is_short(
    client: Client, send: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = [await send(at=n, text="x" * 1000) for n in range(5)]
    monkeypatch.setattr(events, "PAGE_BYTES_MAX", 1500)
    pages = await paged(client)
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [uuid for page in pages for uuid in page] == sent[::-1]


async def test_large_names_of_persons_are_left_out(
    client: Client, send: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send(_set={"name": "x" * 50, "email": "a@x.org", "username": None})
    monkeypatch.setattr(event_page, "SHOWN_BYTES_MAX", 20)
    [row] = (await told(client))["results"]
    assert row["person"]["properties"] == {"email": "a@x.org", "username": None}


async def test_csv(client: Client, send: Sender) -> None:
    for n in range(3):
        await send(at=n, plan="=1+1")
    answer = await client.get(PATH, params={"format": "csv", "limit": 2})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "cursor=" in answer.headers["link"]
    rows = list(csv.DictReader(answer.text.splitlines()))
    assert [row["properties.plan"] for row in rows] == ["'=1+1", "'=1+1"]
    assert rows[0]["timestamp"] == "2023-06-15T14:00:00+00:00"
    assert (await client.get(f"{PATH}.csv")).text.count("\r\n") == 4


@pytest.mark.parametrize(
    ("query", "attr"),
    [
        ({"limit": "x"}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"offset": "-1"}, "offset"),
        ({"offset": "50001"}, "offset"),
        ({"offset": "9" * 400}, "offset"),
        ({"after": "yesterday"}, "after"),
        ({"after": "2023-13-01"}, "after"),
        ({"before": "\0"}, "before"),
        ({"before": "all"}, "before"),
        ({"before": "9" * 400}, "before"),
        ({"orderBy": "name"}, "orderBy"),
        ({"orderBy": '["name"]'}, "orderBy"),
        ({"orderBy": "["}, "orderBy"),
        ({"orderBy": "[" * 5000}, "orderBy"),
        ({"properties": "x"}, "properties"),
        ({"properties": '"x"'}, None),
        ({"properties": "[" * 5000}, "properties"),
        ({"properties": '[{"key":"a","value":1,"operator":"like"}]'}, "properties"),
        ({"properties": '[{"key":"a","value":"(","operator":"regex"}]'}, "properties"),
        ({"properties": '[{"key":"a","value":"x","type":"person"}]'}, "properties"),
        ({"properties": '[{"key":"id","value":1,"type":"cohort"}]'}, "properties"),
        ({"cursor": "x", "before": "2023-01-01"}, "cursor"),
        ({"cursor": NOBODY}, "cursor"),
        ({"cursor": NOBODY, "before": "2023-01-01", "orderBy": "timestamp"}, "cursor"),
        ({"person_id": "no-id"}, None),
        ({"person_id": "\0"}, None),
        ({"distinct_id": "x" * 1001}, "distinct_id"),
        ({"event": "x" * 1001}, "event"),
        ({"select": '["*"]'}, "select"),
        ({"where": '["1"]'}, "where"),
        ({"action_id": "1"}, "action_id"),
    ],
)
async def test_bad_input(client: Client, query: dict[str, str], attr: str | None) -> None:
    answer = await client.get(PATH, params=query)
    assert answer.status_code == 400, answer.text
    assert answer.json()["type"] == "validation_error"
    assert answer.json()["attr"] == attr


async def test_what_no_event_can_be_finds_none(client: Client, send: Sender) -> None:
    await send()
    for query in ({"event": "a\0"}, {"distinct_id": "a\0"}, {"after": "9998-01-01"}):
        assert await found(client, **query) == []
    assert await found(client, before="0001-01-02") == []
    assert len(await found(client, limit="9" * 400)) == 1


@pytest.mark.parametrize("uuid", ["x", "17", "9" * 400, "%00", "distinct_id:ada"])
async def test_no_uuid(client: Client, uuid: str) -> None:
    answer = await client.get(f"{PATH}/{uuid}")
    assert answer.status_code == 400
    assert answer.json() == {
        "type": "validation_error",
        "code": "invalid",
        "detail": "Invalid UUID",
        "attr": None,
    }


async def test_an_unknown_event(client: Client) -> None:
    answer = await client.get(f"{PATH}/{NOBODY}")
    assert answer.status_code == 404
    assert answer.json()["detail"] == f"No events exist for event UUID {NOBODY}"


async def test_another_projects_events_are_never_seen(
    client: Client, send: Sender, send_there: Sender
) -> None:
    mine = await send("page", "eve", 0)
    theirs = await send_there("page", "eve", 1)
    # There the newest project is the key's current one: so this one by its number.
    shop, other = (f"/api/projects/{each.project.id}" for each in (send, send_there))
    person = (await client.get(f"{other}/persons/distinct_id:eve")).json()
    for query in ({}, {"distinct_id": "eve"}, {"person_id": "distinct_id:eve"}, {"event": "page"}):
        answer = await told(client, f"{shop}/events", **query)
        assert [row["id"] for row in answer["results"]] == [mine]
    for name in (person["uuid"], str(person["id"])):
        answer = await told(client, f"{shop}/events", person_id=name)
        assert theirs not in [row["id"] for row in answer["results"]]
    assert (await client.get(f"{shop}/events/{theirs}")).status_code == 404
    assert (await client.get(f"{other}/events/{theirs}")).status_code == 200


@pytest.mark.parametrize("path", [PATH, f"{PATH}/{NOBODY}"])
async def test_it_needs_a_key_and_its_scope(client: Client, pool: Pool, path: str) -> None:
    await needs(client, pool, "query:read", method="GET", path=path)


@pytest.mark.parametrize("path", [PATH, f"{PATH}/{NOBODY}"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_the_wrong_method(client: Client, method: str, path: str) -> None:
    assert (await client.request(method, path)).status_code == 405


async def test_a_person_of_very_many_ids(
    client: Client, send: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way is another, what is found the same."""
    monkeypatch.setattr(event_page, "NAMES_MAX", 2)
    await send("page", "bob", 0)
    sent = [await send("page", f"ada-{n}", n) for n in range(5)]
    for n in range(4):
        sent.append(await send("$identify", "ada-4", 5 + n, _anon_distinct_id=f"ada-{n}"))
    await send("page", "carl", 9)
    for more in ({}, {"orderBy": "timestamp", "after": "2023-01-01"}):
        pages = await paged(client, person_id="distinct_id:ada-1", limit=2, **more)
        expected = sent if more else sent[::-1]
        assert [uuid for page in pages for uuid in page] == expected
    assert len(await found(client, person_id="distinct_id:ada-1", event="page")) == 5
    assert await found(client, person_id="distinct_id:ada-1", distinct_id="ada-0") == [sent[0]]


@pytest.mark.parametrize(
    ("listed", "many", "index"),
    [
        (Listed(before=NOON), False, "project_id_timestamp"),
        (Listed(before=NOON, distinct_id="ada"), False, "_pkey"),
        (Listed(before=NOON, person_id=1), False, "_pkey"),
        (Listed(before=NOON, behind=UUID(NOBODY), person_id=1), False, "_pkey"),
        (Listed(before=NOON, person_id=1), True, "project_id_timestamp"),
        (Listed(after=NOON, ascends=True, name="page"), False, "project_id_timestamp"),
    ],
)
async def test_events_are_read_in_the_order_of_an_index(
    send: Sender, conn: AsyncConnection, *, listed: Listed, many: bool, index: str
) -> None:
    await send(at=0)
    await send(at=-24 * 40)
    await conn.execute("SET enable_seqscan = off")
    await conn.execute("SET enable_sort = off")
    query = Query(listed, many=many)
    parameters = {"project_id": 1, "limit": 11, "offset": 0, "reach": 11, **query.parameters}
    cursor = await conn.execute(b"EXPLAIN " + query.sql.as_bytes(conn), parameters)
    plan = "\n".join(row[0] for row in await cursor.fetchall())
    assert index in plan
    assert "Seq Scan on event_2" not in plan and "Seq Scan on distinct_id" not in plan, plan
