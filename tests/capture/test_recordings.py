"""`/s/` through a real server (contract: capture-and-identity, 6 and 7.1): what is kept of it."""

import base64
import gzip
import json
import re
import signal
import time
import zlib
from pathlib import Path
from typing import Any

import brotli
import httpx
import psycopg
import pytest
import zstandard
from lzstring import LZString

from personhood.capture import rrweb
from tests.capture.conftest import OK
from tests.conftest import new_database
from tests.server import TOKEN, Server, serving

NOW = int(time.time() * 1000)
HOUR = 3600 * 1000
MASKED = {"type": 3, "timestamp": NOW + 900, "data": {"source": 5, "text": "***"}}
CLICK = {"type": 3, "timestamp": NOW + 500, "data": {"source": 2, "type": 2}}
META = {"type": 4, "timestamp": NOW, "data": {"href": " https://shop.example/ "}}
FULL = {"type": 2, "timestamp": NOW + 1, "data": {"node": {"type": 0}}}
ITEMS = [META, FULL, CLICK, MASKED]
NO_SESSION = "replay event submitted without session id"
BAD_SESSION = "replay event has invalid session id"
NO_DATA = "replay event submitted without snapshot data"


def snapshot(session_id: Any = "s-1", *, event: str = "$snapshot", **given: Any) -> dict[str, Any]:
    """Properties that are None are left out."""
    properties = {
        "token": TOKEN,
        "distinct_id": "ada",
        "$session_id": session_id,
        "$window_id": "w",
        "$snapshot_data": ITEMS,
        "$lib": "web",
        **given,
    }
    kept = {key: value for key, value in properties.items() if value is not None}
    return {"event": event, "properties": kept}


class Replay:
    """A server, what its database says of recordings, and the blobs in its folder."""

    def __init__(self, server: Server, folder: Path, db: psycopg.Connection) -> None:
        self.server, self.folder, self.db = server, folder, db
        self.http = httpx.Client(base_url=server.url, timeout=60)

    def __enter__(self) -> "Replay":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def post(self, body: Any, path: str = "/s/", **options: Any) -> tuple[int, str]:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = self.http.post(path, content=content, **options)
        return answer.status_code, answer.text

    def lines(self) -> list[Any]:
        """Of every block, in order."""
        rows = self.db.execute("SELECT path FROM recording_block ORDER BY recording_id, number")
        read = zstandard.ZstdDecompressor()
        texts = [read.decompress((self.folder / path).read_bytes()) for (path,) in rows]
        return [json.loads(line) for text in texts for line in text.splitlines()]

    def only(self, *columns: str) -> tuple[Any, ...]:
        [row] = self.db.execute(f"SELECT {', '.join(columns)} FROM recording").fetchall()
        return row

    def files(self) -> list[str]:
        found = [path for path in self.folder.rglob("*") if path.is_file()]
        return sorted(str(path.relative_to(self.folder)) for path in found)

    def paths(self) -> list[str]:
        return [path for (path,) in self.db.execute("SELECT path FROM recording_block ORDER BY 1")]

    def warnings(self) -> list[tuple[str, dict[str, Any]]]:
        return self.db.execute("SELECT type, details FROM ingestion_warning ORDER BY id").fetchall()

    def clear(self) -> None:
        for table in ("recording", "recording_block", "doomed_blob", "ingestion_warning"):
            self.db.execute(f"DELETE FROM {table}")


@pytest.fixture(scope="module")
def open_replay(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    data = tmp_path_factory.mktemp("data")
    with (
        new_database(postgres) as url,
        serving(DATABASE_URL=url, PERSONHOOD_DATA_DIR=str(data)) as server,
        psycopg.connect(url, autocommit=True) as db,
        Replay(server, data / "recordings", db) as opened,
    ):
        yield opened


@pytest.fixture
def replay(open_replay: Replay) -> Replay:
    open_replay.clear()
    return open_replay


def test_what_is_answered_is_kept_as_it_came(replay: Replay) -> None:
    assert replay.post([snapshot()]) == OK
    assert replay.lines() == [["w", item] for item in ITEMS]
    columns = "session_id clicks keypresses mouse_activity events blocks urls source library"
    assert replay.only(*columns.split()) == (
        "s-1", 1, 1, 1, 4, 1, ["https://shop.example/"], "web", "web",
    )  # fmt: skip
    [(name, person)] = replay.db.execute(
        """
        SELECT distinct_id, person_id FROM recording r JOIN distinct_id d ON d.id = distinct_id_id
        """
    ).fetchall()
    assert (name, person) == ("ada", None), "recording somebody makes no person"
    assert replay.db.execute("SELECT count(*) FROM doomed_blob").fetchone() == (0,)
    [path] = replay.paths()
    assert re.fullmatch(r"[0-9]+/[0-9-]{10}/[0-9a-f]{32}\.jsonl\.zst", path), "it names nobody"
    assert (replay.folder / path).stat().st_size == replay.only("bytes")[0]


DUMPED = json.dumps([snapshot()]).encode()


@pytest.mark.parametrize(
    ("body", "options"),
    [
        pytest.param(gzip.compress(DUMPED), {}, id="gzip-unsaid"),
        pytest.param(
            gzip.compress(DUMPED), {"headers": {"content-encoding": "gzip"}}, id="gzip-header"
        ),
        pytest.param(
            gzip.compress(DUMPED),
            {"params": {"compression": "gzip-js"}, "headers": {"content-type": "text/plain"}},
            id="gzip-js",
        ),
        pytest.param(base64.b64encode(DUMPED), {"params": {"compression": "base64"}}, id="base64"),
        pytest.param(
            LZString().compressToBase64(DUMPED.decode()).encode(),
            {"params": {"compression": "lz64"}},
            id="lz64",
        ),
        pytest.param(
            zlib.compress(DUMPED), {"headers": {"content-encoding": "deflate"}}, id="deflate"
        ),
        pytest.param(brotli.compress(DUMPED), {"headers": {"content-encoding": "br"}}, id="br"),
        pytest.param(
            zstandard.compress(DUMPED), {"headers": {"content-encoding": "zstd"}}, id="zstd"
        ),
    ],
)
@pytest.mark.parametrize("path", ["/s", "/s/"])
def test_all_compressions(replay: Replay, path: str, body: bytes, options: Any) -> None:
    assert replay.post(body, path, **options) == OK
    assert len(replay.lines()) == len(ITEMS)


def test_shapes_of_bodies(replay: Replay) -> None:
    bare = snapshot("one", token=None)
    assert replay.post({**snapshot("single"), "uuid": None}) == OK
    assert replay.post({"api_key": TOKEN, "batch": [bare]}) == OK
    mobile = {**snapshot("mobile", token=None, **{"$snapshot_source": "mobile", "$lib": None})}
    agent = {"user-agent": "posthog-ios/3.1"}
    assert replay.post([{**mobile, "api_key": TOKEN}], headers=agent) == OK
    rows = replay.db.execute("SELECT session_id, source, library FROM recording ORDER BY 1")
    assert rows.fetchall() == [
        ("mobile", "mobile", "posthog-ios"),
        ("one", "web", "web"),
        ("single", "web", "web"),
    ]
    assert replay.http.post("/s/?beacon=1", json=[snapshot("b")]).status_code == 204


def test_one_object_is_a_list_of_one_and_a_window_may_be_missing(replay: Replay) -> None:
    assert replay.post([snapshot(**{"$snapshot_data": META, "$window_id": None})]) == OK
    assert replay.lines() == [["s-1", META]]


def test_compressed_parts_come_back_byte_for_byte(replay: Replay) -> None:
    packed = gzip.compress(b'{"node": "\xc3\xa9"}', mtime=0).decode("latin-1")
    assert "\0" in packed
    item = {"type": 2, "timestamp": NOW, "cv": "2024-10", "data": packed}
    assert replay.post([snapshot(**{"$snapshot_data": [item]})]) == OK
    [[_, kept]] = replay.lines()
    assert gzip.decompress(kept["data"].encode("latin-1")) == b'{"node": "\xc3\xa9"}'


def test_the_same_request_again_changes_nothing(replay: Replay) -> None:
    for _ in range(3):
        assert replay.post([snapshot()]) == OK
    assert replay.only("blocks", "events", "clicks") == (1, 4, 1)
    assert len(replay.lines()) == 4


def test_a_session_goes_on(replay: Replay) -> None:
    replay.post([snapshot()])
    later = {**CLICK, "timestamp": NOW + 60_000}
    page = {"type": 5, "timestamp": NOW + 61_000, "data": {"payload": {"href": "/two"}}}
    assert replay.post([snapshot(**{"$snapshot_data": [later, page, META]})]) == OK
    assert replay.only("blocks", "events", "clicks", "urls") == (
        2, 7, 2, ["https://shop.example/", "/two"],
    )  # fmt: skip
    [(length,)] = replay.db.execute("SELECT ended_at - started_at FROM recording").fetchall()
    assert length.total_seconds() == 61


def test_console_lines_are_counted(replay: Replay) -> None:
    items = [
        {
            "type": 6,
            "timestamp": NOW,
            "data": {"plugin": "rrweb/console@1", "payload": {"level": level, "payload": ["x"]}},
        }
        for level in ("log", "debug", "warn", "assert", "error", "unheard")
    ]
    assert replay.post([snapshot(**{"$snapshot_data": items})]) == OK
    assert replay.only("console_logs", "console_warnings", "console_errors") == (2, 1, 2)


@pytest.mark.parametrize(
    ("event", "status", "text"),
    [
        (snapshot(None), 400, NO_SESSION),
        (snapshot(17), 400, NO_SESSION),
        (snapshot("a_b"), 400, BAD_SESSION),
        (snapshot("é"), 400, BAD_SESSION),
        (snapshot(""), 400, BAD_SESSION),
        (snapshot("a" * 71), 400, BAD_SESSION),
        (snapshot("a\n"), 400, BAD_SESSION),
        (snapshot(**{"$snapshot_data": "x"}), 400, NO_DATA),
        (snapshot(**{"$snapshot_data": None}), 400, NO_DATA),
        (snapshot(**{"$snapshot_data": 7}), 400, NO_DATA),
        (snapshot(**{"$window_id": 7}), 400, "replay event submitted without window id"),
        (snapshot(distinct_id=None), 400, "event submitted without a distinct_id"),
        (snapshot(token=None), 401, "event submitted without an api_key"),
        (snapshot(token="phx_x"), 401, "API key is not valid: personal_api_key"),
        (snapshot(event="$pageview"), 400, "this endpoint takes $snapshot events only"),
        (snapshot(event=""), 400, "event submitted with an empty event name"),
        ({"event": "$pageview", "api_key": TOKEN, "distinct_id": "a"}, 400, NO_SESSION),
    ],
)
def test_refusals(replay: Replay, event: Any, status: int, text: str) -> None:
    assert replay.post([event]) == (status, text)
    given = [snapshot("fine"), event] if status == 400 else [event]
    assert replay.post(given) == (status, text)
    assert replay.paths() == [], "all or nothing"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"7", b"[7]", b"[{}]", b"\x1f\x8b\x08x", b"[" * 100_000, b"\xff"]
)
def test_broken_bodies(replay: Replay, body: bytes) -> None:
    assert replay.post(body)[0] == 400


def test_nothing_is_kept_of_what_is_no_recording(replay: Replay) -> None:
    assert replay.post([snapshot(**{"$snapshot_data": []})]) == OK
    assert replay.warnings() == []
    for items in ([7, "x", None, [], {}, {"timestamp": "1"}], [{"timestamp": -1}]):
        assert replay.post([snapshot(**{"$snapshot_data": items})]) == OK
    assert replay.post([snapshot(token="phc_nobody")]) == OK
    week = 7 * 24 * 3600 * 1000
    for at in (NOW - week - HOUR, NOW + week + HOUR, 10**400, 1):
        item = {"type": 3, "timestamp": at}
        assert replay.post([snapshot(**{"$snapshot_data": [META, item]})]) == OK
    types = [type for type, _ in replay.warnings()]
    assert (
        types
        == ["message_contained_no_valid_rrweb_events"] * 2
        + ["message_timestamp_diff_too_large"] * 4
    )
    assert replay.paths() == []


def test_odd_events_are_kept_and_cost_nothing(replay: Replay) -> None:
    odd: list[Any] = [
        {"type": "3", "timestamp": NOW, "data": {"source": [[]], "href": 7}},
        {"type": 3, "timestamp": NOW + 0.5, "data": "text"},
        {"timestamp": NOW, "data": {"href": "a\u0000b"}},
        {"type": 6, "timestamp": NOW, "data": {"plugin": "rrweb/console@1", "payload": 7}},
        {"type": 4, "timestamp": NOW, "data": {"href": "lone \ud800"}},
    ]
    assert replay.post(json.dumps([snapshot(**{"$snapshot_data": odd})], indent=2).encode()) == OK
    odd[-1]["data"]["href"] = "lone \ufffd"
    assert [item for _, item in replay.lines()] == odd
    assert replay.only("events", "urls") == (5, ["a\ufffdb", "lone \ufffd"])
    lone = json.dumps([snapshot(**{"$lib": "lone \ud800"})]).encode()
    assert replay.post(lone) == OK


def test_what_was_answered_survives_kill_9(database: str, data_dir: Path) -> None:
    with (
        serving(DATABASE_URL=database, PERSONHOOD_DATA_DIR=str(data_dir)) as server,
        psycopg.connect(database, autocommit=True) as db,
        Replay(server, data_dir / "recordings", db) as replay,
    ):
        assert replay.post([snapshot()]) == OK
        server.stop(signal.SIGKILL)
        assert replay.lines() == [["w", item] for item in ITEMS]
        assert replay.paths() == replay.files()


def test_without_a_storage_the_client_is_to_try_again(database: str, data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "recordings").write_text("in the way")
    with (
        serving(DATABASE_URL=database, PERSONHOOD_DATA_DIR=str(data_dir)) as server,
        psycopg.connect(database, autocommit=True) as db,
        Replay(server, data_dir / "recordings", db) as replay,
    ):
        answer = httpx.post(f"{server.url}/s/", json=[snapshot(), snapshot("s-2")])
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert "PERSONHOOD_BLOB_URL" in answer.text
        assert replay.paths() == []
        (data_dir / "recordings").unlink()
        assert replay.post([snapshot()]) == OK
        assert replay.paths() == replay.files()


@pytest.mark.parametrize(
    ("moments", "ms"),
    [
        ("", 0),
        ("i1000 i2000", 0),
        ("A1000", 1),
        ("A1000 A2000 A3000", 2000),
        ("A1000 i2100 A6001 A7001", 2100),
        ("A3000 A1000 A2000", 2000),
        ("i500 A1000 i1500 A2000 i2500 A3000", 2000),
        ("A1000 i2000 i3000 i4000 i5000 i6000 i6001", 5000),
        ("A1000.25 A2000.75 A3000.5", 2000),
    ],
)
def test_active_time(moments: str, ms: int) -> None:
    read = [(float(each[1:]), each[0] == "A") for each in moments.split()]
    assert rrweb.active_ms(read) == ms
