"""GET /session_recordings/, GET and DELETE /:id, GET /:id/snapshots."""

import gzip
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from litestar import Litestar

from personhood import blobs
from personhood.blobs import Blobs
from personhood.identity.distinct_id import person_uuid
from personhood.model import Project
from personhood.store import recording_count
from personhood.store.pool import Pool
from tests.api.conftest import Client, People
from tests.api.skeleton import needs

PATH = "/api/projects/@current/session_recordings"
NOW = int(time.time() * 1000)
META = {"type": 4, "timestamp": NOW, "data": {"href": "https://shop.example/"}}
CLICK = {"type": 3, "timestamp": NOW + 2000, "data": {"source": 2, "type": 2}}
LATER = {"type": 3, "timestamp": NOW + 4000, "data": {"source": 5, "text": "*"}}


@pytest.fixture
def stored(data_dir: Path) -> Blobs:
    return blobs.opened(None, data_dir)


@pytest.fixture
async def sdk(app: Litestar, shop: Project) -> AsyncIterator[Client]:
    """What browsers talk to."""
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://testserver"
    ) as opened:
        yield opened


async def record(
    sdk: Client,
    session_id: str,
    *items: Any,
    distinct_id: str = "ada",
    token: str = "phc_shop",
) -> None:
    properties = {
        "token": token,
        "distinct_id": distinct_id,
        "$session_id": session_id,
        "$window_id": "w",
        "$snapshot_data": list(items) or [META, CLICK],
    }
    body = gzip.compress(json.dumps([{"event": "$snapshot", "properties": properties}]).encode())
    answer = await sdk.post("/s/", content=body)
    assert (answer.status_code, answer.text) == (200, '{"status":"Ok"}')


def at(minutes: int) -> dict[str, Any]:
    """An event that many minutes ago."""
    return {"type": 4, "timestamp": NOW - minutes * 60_000}


async def ids(client: Client, **query: Any) -> list[str]:
    answer = await client.get(f"{PATH}/", params=query)
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()["results"]]


async def counts(client: Client, person: object) -> tuple[int, int]:
    """How many recordings the person has by itself, and in a list."""
    one = (await client.get(f"/api/projects/@current/persons/{person}")).json()
    listed = (await client.get("/api/projects/@current/persons/?search=a")).json()["results"]
    of_uuid = {each["uuid"]: each["recordings_count"] for each in listed}
    return one["recordings_count"], of_uuid[one["uuid"]]


async def played(client: Client, session_id: str, **query: Any) -> list[Any]:
    answer = await client.get(f"{PATH}/{session_id}/snapshots", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/jsonl; charset=utf-8"
    return [json.loads(line) for line in answer.text.splitlines()]


@pytest.mark.parametrize("prefix", ["projects", "environments"])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_recording_is_listed_and_told_of(
    client: Client, sdk: Client, people: People, prefix: str, slash: str
) -> None:
    _, uuid = await people.add("ada", email="ada@example.org")
    await record(sdk, "s-1", META, CLICK, LATER)
    path = f"/api/{prefix}/@current/session_recordings"
    answer = await client.get(f"{path}{slash}")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["has_next"], told["version"]) == (False, 4)
    [item] = told["results"]
    assert item["person"]["uuid"] == str(uuid)
    assert item["person"]["name"] == "ada@example.org"
    expected = {
        "id": "s-1",
        "distinct_id": "ada",
        "viewed": False,
        "viewers": [],
        "recording_duration": 4,
        "active_seconds": 2.0,
        "inactive_seconds": 2.0,
        "click_count": 1,
        "keypress_count": 1,
        "mouse_activity_count": 1,
        "console_log_count": 0,
        "console_warn_count": 0,
        "console_error_count": 0,
        "start_url": "https://shop.example/",
        "storage": "object_storage",
        "snapshot_source": "web",
        "ongoing": True,
        "activity_score": 50.0,
    }
    assert item.items() >= expected.items()
    one = await client.get(f"{path}/s-1{slash}")
    assert (one.status_code, one.json()) == (200, item)


async def test_who_has_no_person_is_told_as_missing(
    client: Client, sdk: Client, shop: Project
) -> None:
    await record(sdk, "s-1", distinct_id="nobody")
    item = (await client.get(f"{PATH}/s-1")).json()
    assert item["person"] == {
        "id": None,
        "name": None,
        "distinct_ids": ["nobody"],
        "properties": {},
        "created_at": None,
        "uuid": str(person_uuid(shop.id, "nobody")),
        "last_seen_at": None,
    }


async def test_persons_tell_how_many_recordings_they_have(
    client: Client, sdk: Client, people: People, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, uuid = await people.add("ada")
    await people.add("anon", merged_into=ada)
    await people.add(*[f"id-{n}" for n in range(1000)], "last", merged_into=ada)
    other, _ = await people.add("barbara")
    persons = "/api/projects/@current/persons"
    tag = (await client.get(f"{persons}/{ada}")).headers["etag"]
    for number, name in enumerate(["ada", "anon", "last", "ada", "nobody"]):
        await record(sdk, f"s-{number}", distinct_id=name)
    await record(sdk, "s-0", LATER, distinct_id="ada")
    assert await counts(client, ada) == (4, 4) == (len(await ids(client, person_uuid=uuid)),) * 2
    assert await counts(client, other) == (0, 0)
    found = (await client.get(f"{persons}/?distinct_id=anon")).json()["results"]
    assert [each["recordings_count"] for each in found] == [4]
    # Being recorded is a change to see, and none to the person.
    answer = await client.get(f"{persons}/{ada}", headers={"If-None-Match": tag})
    assert answer.status_code == 200
    now = answer.headers["etag"]
    answer = await client.get(f"{persons}/{ada}", headers={"If-None-Match": now})
    assert answer.status_code == 304
    body = {"properties": {"plan": "free"}}
    answer = await client.patch(f"{persons}/{ada}", json=body, headers={"If-Match": tag})
    assert (answer.status_code, answer.json()["recordings_count"]) == (200, 4)
    answer = await client.patch(f"{persons}/{ada}", json=body, headers={"If-Match": now})
    assert answer.status_code == 412

    parted = {"distinct_ids_to_split": ["last"]}
    assert (await client.post(f"{persons}/{ada}/split", json=parted)).status_code == 200
    assert await counts(client, ada) == (3, 3)
    [last] = (await client.get(f"{persons}/?distinct_id=last")).json()["results"]
    assert last["recordings_count"] == 1
    await client.delete(f"{PATH}/s-0")
    assert await counts(client, ada) == (2, 2)
    monkeypatch.setattr(recording_count, "COUNTED_MAX", 1)
    assert await counts(client, ada) == (1, 1)


async def test_by_person_and_distinct_id(client: Client, sdk: Client, people: People) -> None:
    ada, uuid = await people.add("ada")
    await people.add("anon", merged_into=ada)
    await people.add("bob")
    for minutes, (session, name) in enumerate(
        [("s-a", "ada"), ("s-anon", "anon"), ("s-b", "bob"), ("s-n", "nobody")]
    ):
        await record(sdk, session, at(minutes), distinct_id=name)
    assert await ids(client) == ["s-a", "s-anon", "s-b", "s-n"]
    assert await ids(client, person_uuid=str(uuid)) == ["s-a", "s-anon"]
    assert await ids(client, person_id=str(ada)) == ["s-a", "s-anon"]
    assert await ids(client, person_id=str(uuid), person_uuid=str(uuid)) == ["s-a", "s-anon"]
    assert await ids(client, person_uuid=str(UUID(int=7))) == []
    assert await ids(client, distinct_id="anon") == ["s-anon"]
    assert await ids(client, distinct_ids='["bob", "ada", "none"]') == ["s-a", "s-b"]
    assert await ids(client, distinct_ids="[]") == []
    assert await ids(client, distinct_ids='["bob", "anon"]', person_id=ada) == ["s-anon"]
    assert await ids(client, session_ids='["s-b", "s-n"]') == ["s-b", "s-n"]
    assert await ids(client, session_ids='["s-b", "s-a"]', person_id=ada) == ["s-a"]


async def test_by_date(client: Client, sdk: Client, people: People) -> None:
    for minutes in (5, 65, 24 * 60 + 5):
        await record(sdk, f"s-{minutes}", at(minutes))
    hour_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    assert await ids(client, date_from="-1h") == ["s-5"]
    assert await ids(client, date_from="-2h", date_to=hour_ago) == ["s-65"]
    assert await ids(client, date_to="-1d", distinct_id="ada") == ["s-1445"]
    assert await ids(client, date_from="-2d", date_to="", distinct_id="ada") == [
        "s-5", "s-65", "s-1445",
    ]  # fmt: skip


@pytest.mark.parametrize("query", [{}, {"distinct_id": "ada"}])
async def test_pages(client: Client, sdk: Client, people: People, query: dict[str, str]) -> None:
    for minutes in range(5):
        await record(sdk, f"s-{minutes}", at(minutes))
    seen: list[str] = []
    more, offset = True, 0
    while more:
        told = (await client.get(f"{PATH}/", params={**query, "limit": 2, "offset": offset})).json()
        seen += [each["id"] for each in told["results"]]
        more, offset = told["has_next"], offset + 2
    assert seen == [f"s-{minutes}" for minutes in range(5)]


async def test_the_pieces_are_played(client: Client, sdk: Client, people: People) -> None:
    await record(sdk, "s-1", META, CLICK)
    await record(sdk, "s-1", LATER)
    listed = (await client.get(f"{PATH}/s-1/snapshots", params={"blob_v2": "true"})).json()
    assert [(each["source"], each["blob_key"]) for each in listed["sources"]] == [
        ("blob_v2", "0"),
        ("blob_v2", "1"),
    ]
    assert datetime.fromisoformat(
        listed["sources"][1]["start_timestamp"]
    ) == datetime.fromtimestamp(LATER["timestamp"] / 1000, UTC)
    two = {"source": "blob_v2", "start_blob_key": "0", "end_blob_key": "1"}
    assert await played(client, "s-1", **two) == [["w", META], ["w", CLICK], ["w", LATER]]
    assert await played(client, "s-1", source="blob_v2", blob_key="1") == [["w", LATER]]
    assert await played(client, "s-1", source="blob_v2", blob_key="7") == []


async def test_older_players(client: Client, sdk: Client, people: People) -> None:
    await record(sdk, "s-1", META, CLICK)
    listed = (await client.get(f"{PATH}/s-1/snapshots", params={"blob_v2": "false"})).json()
    [piece] = listed["sources"]
    assert await played(client, "s-1", source=piece["source"], blob_key=piece["blob_key"]) == [
        {"window_id": "w", "data": [META]},
        {"window_id": "w", "data": [CLICK]},
    ]
    answer = await client.get(f"{PATH}/s-1/snapshots", params={"source": "realtime"})
    assert (answer.status_code, answer.content) == (200, b"")


async def test_a_large_piece_comes_whole(client: Client, sdk: Client, people: People) -> None:
    items = [{"type": 3, "timestamp": NOW + n, "data": {"x": "é" * 1000}} for n in range(2000)]
    await record(sdk, "s-1", *items)
    whole = [["w", item] for item in items]
    assert await played(client, "s-1", source="blob_v2", blob_key="0") == whole
    older = await played(client, "s-1", source="blob", blob_key="0")
    assert older == [{"window_id": "w", "data": [item]} for item in items]


async def test_without_the_storage_they_are_played_later(
    client: Client, sdk: Client, people: People, data_dir: Path
) -> None:
    await record(sdk, "s-1")
    folder, away = data_dir / "recordings", data_dir / "away"
    folder.rename(away)
    folder.write_text("in the way")
    for source in ("blob", "blob_v2"):
        answer = await client.get(f"{PATH}/s-1/snapshots?source={source}&blob_key=0")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "PERSONHOOD_BLOB_URL" in answer.json()["detail"]
    assert (await client.get(f"{PATH}/s-1/snapshots")).status_code == 200
    assert (await client.delete(f"{PATH}/s-1")).status_code == 204
    assert (await client.get(f"{PATH}/s-1")).status_code == 404
    folder.unlink()
    away.rename(folder)


async def test_removed_ones_are_gone(
    client: Client, sdk: Client, people: People, data_dir: Path
) -> None:
    await record(sdk, "s-1")
    await record(sdk, "s-1", LATER)
    await record(sdk, "s-2")
    assert (await client.delete(f"{PATH}/s-1")).status_code == 204
    for method, path in (("DELETE", "/s-1"), ("GET", "/s-1"), ("GET", "/s-1/snapshots")):
        answer = await client.request(method, f"{PATH}{path}")
        assert answer.status_code == 404
        assert answer.json()["detail"] == "Recording not found"
    assert await ids(client) == ["s-2"]
    assert len([path for path in data_dir.rglob("*.zst")]) == 1
    cursor = await people.conn.execute("SELECT count(*) FROM doomed_blob")
    assert await cursor.fetchone() == (0,)


@pytest.mark.parametrize(
    ("query", "attr"),
    [
        ("person_uuid=x", "person_uuid"),
        ("distinct_ids=x", "distinct_ids"),
        ("distinct_ids=[7]", "distinct_ids"),
        ("distinct_ids={}", "distinct_ids"),
        ("session_ids=" + "[" * 5000, "session_ids"),
        ("date_from=x", "date_from"),
        ("date_to=99999999999999", "date_to"),
        ("limit=x", "limit"),
        ("offset=-1", "offset"),
        ('properties=[{"key":"a"}]', "properties"),
    ],
)
async def test_bad_parameters(client: Client, query: str, attr: str) -> None:
    answer = await client.get(f"{PATH}/?{query}")
    assert answer.status_code == 400, answer.text
    assert answer.json()["attr"] == attr


async def test_nothing_of_odd_names(client: Client, sdk: Client, people: People) -> None:
    await record(sdk, "s-1")
    assert await ids(client, distinct_id="\0") == []
    assert await ids(client, distinct_ids='["\\u0000"]') == []
    assert await ids(client, properties="[]") == ["s-1"]
    assert (await client.get(f"{PATH}/%00")).status_code == 404
    assert (await client.delete(f"{PATH}/%00")).status_code == 404
    assert (await client.get(f"{PATH}/?person_id=x")).status_code == 400


@pytest.mark.parametrize(
    "query",
    [
        "source=x",
        "source=blob_v2",
        "source=blob_v2&start_blob_key=0",
        "source=blob_v2&start_blob_key=0&end_blob_key=20",
        "source=blob_v2&blob_key=x",
        "source=blob&blob_key=-1",
        "blob_v2=x",
    ],
)
async def test_bad_pieces(client: Client, sdk: Client, people: People, query: str) -> None:
    await record(sdk, "s-1")
    answer = await client.get(f"{PATH}/s-1/snapshots?{query}")
    assert answer.status_code == 400, answer.text


async def test_other_projects_are_not_seen(
    client: Client, sdk: Client, people: People, strangers: People
) -> None:
    await record(sdk, "s-1")
    path = f"/api/projects/{strangers.project_id}/session_recordings"
    assert (await client.get(f"{path}/")).json()["results"] == []
    assert (await client.get(f"{path}/?distinct_id=ada")).json()["results"] == []
    for method, end in (("GET", ""), ("DELETE", ""), ("GET", "/snapshots")):
        assert (await client.request(method, f"{path}/s-1{end}")).status_code == 404
    assert await ids(client) == ["s-1"]
    await record(sdk, "s-1", token="phc_other")
    assert (await client.delete(f"{path}/s-1")).status_code == 204
    assert await ids(client) == ["s-1"]


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/", "session_recording:read"),
        ("GET", "/s-1", "session_recording:read"),
        ("GET", "/s-1/snapshots", "session_recording:read"),
        ("DELETE", "/s-1", "session_recording:write"),
    ],
)
async def test_keys_and_scopes(
    client: Client, sdk: Client, people: People, pool: Pool, method: str, path: str, scope: str
) -> None:
    await record(sdk, "s-1")
    await needs(client, pool, scope, method=method, path=f"{PATH}{path}")


async def test_wrong_methods(client: Client) -> None:
    for method, path in (("POST", "/"), ("PATCH", "/s-1"), ("POST", "/s-1/snapshots")):
        assert (await client.request(method, f"{PATH}{path}")).status_code == 405
