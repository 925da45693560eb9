"""Blobs: put for good, read in pieces, removed however often."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from personhood import blobs
from personhood.errors import InvalidSetting

AT = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


async def content(store: blobs.Blobs, path: str) -> bytes:
    return b"".join([chunk async for chunk in store.chunks(path)])


async def test_what_is_put_is_there(tmp_path: Path) -> None:
    store = blobs.opened(None, tmp_path)
    assert not (tmp_path / blobs.FOLDER).exists(), "made when it is first needed"
    given = os.urandom(3 * blobs.CHUNK_BYTES + 7)
    await store.put("1/a", given)
    assert await content(store, "1/a") == given
    assert (tmp_path / "recordings/1/a").read_bytes() == given


async def test_the_file_and_its_folders_are_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(blobs, "sync", synced.append)
    await blobs.opened(None, tmp_path).put("1/day/a", b"x")
    folder = (tmp_path / blobs.FOLDER).resolve()
    assert synced == [folder / "1/day/a", folder / "1/day", folder / "1", folder]


async def test_removing_what_is_not_there_is_no_mistake(tmp_path: Path) -> None:
    store = blobs.opened(None, tmp_path)
    for name in "ac":
        await store.put(name, b"x")
    await store.delete_all(["a", "b", "c"])
    await store.delete_all(["a", "b", "c"])
    await store.delete_all([])
    with pytest.raises(blobs.Missing):
        await content(store, "c")


async def test_what_a_killed_server_had_not_finished_goes_too(tmp_path: Path) -> None:
    program = (
        "import resource, signal, sys, obstore; from obstore.store import LocalStore;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_DFL);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000));"
        "obstore.put(LocalStore(sys.argv[1], mkdir=True), '1/a', b'x' * 2000, use_multipart=False)"
    )
    store, folder = blobs.opened(None, tmp_path), tmp_path / blobs.FOLDER
    for name in ("1/a", "1/b"):
        killed = subprocess.run([sys.executable, "-c", program.replace("1/a", name), folder])
        assert killed.returncode < 0, "by the signal of who writes too much"
    await store.put("1/b", b"again")
    assert len([*folder.rglob("*#*")]) == 2
    await store.delete_all(["1/a", "1/b", "2/none"])
    assert [path for path in folder.rglob("*") if path.is_file()] == []


async def test_a_storage_that_cannot_be_written_is_away(tmp_path: Path) -> None:
    (tmp_path / blobs.FOLDER).write_text("in the way")
    store = blobs.opened(None, tmp_path)
    with pytest.raises(blobs.BlobsAway):
        await store.put("a", b"x")
    with pytest.raises(blobs.BlobsAway):
        await content(store, "a")


async def test_a_folder_by_its_url(tmp_path: Path) -> None:
    store = blobs.opened(f"file://{tmp_path}/a%20folder", tmp_path / "unused")
    await store.put("1/a", b"x")
    assert await content(store, "1/a") == b"x"
    assert (tmp_path / "a folder/1/a").read_bytes() == b"x"
    await store.delete_all(["1/a"])
    assert not (tmp_path / "a folder/1/a").exists()


class Bucket(ThreadingHTTPServer):
    """As much of S3 as we ask for; `kept` is what is in it."""

    kept: dict[str, bytes]


class Handler(BaseHTTPRequestHandler):
    server: Bucket

    def do_PUT(self) -> None:
        self.server.kept[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self.respond(200, {"ETag": '"x"'})

    def do_GET(self) -> None:
        found = self.server.kept.get(self.path)
        given = {"ETag": '"x"', "Last-Modified": "Mon, 04 May 2026 12:00:00 GMT"}
        self.respond(404 if found is None else 200, given, found or b"")

    def do_POST(self) -> None:
        assert self.path == "/bucket?delete"
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        for key in re.findall("<Key>(.*?)</Key>", asked):
            self.server.kept.pop(f"/bucket/{key}", None)
        told = re.sub(
            r"<Object><Key>(.*?)</Key></Object>", r"<Deleted><Key>\1</Key></Deleted>", asked
        )
        self.respond(200, {}, re.sub("(</?)Delete( .*?)?>", r"\1DeleteResult>", told).encode())

    def respond(self, status: int, headers: dict[str, str], content: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    with Bucket(("127.0.0.1", 0), Handler) as made:
        made.kept = {}
        threading.Thread(target=made.serve_forever, daemon=True).start()
        for name, value in {
            "ENDPOINT": f"http://127.0.0.1:{made.server_port}",
            "ALLOW_HTTP": "true",
            "ACCESS_KEY_ID": "a",
            "SECRET_ACCESS_KEY": "b",
            "REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        yield made
        made.shutdown()


async def test_a_bucket(bucket: Bucket, tmp_path: Path) -> None:
    store = blobs.opened("s3://bucket/folder", tmp_path)
    given = os.urandom(3 * blobs.CHUNK_BYTES + 7)
    await store.put("1/a", given)
    await store.put("1/b", b"x")
    assert set(bucket.kept) == {"/bucket/folder/1/a", "/bucket/folder/1/b"}
    assert await content(store, "1/a") == given
    await store.delete_all(["1/a", "1/none"])
    assert set(bucket.kept) == {"/bucket/folder/1/b"}
    with pytest.raises(blobs.Missing):
        await content(store, "1/a")


async def test_a_bucket_that_does_not_answer_is_away(bucket: Bucket, tmp_path: Path) -> None:
    store = blobs.opened("s3://bucket", tmp_path)
    bucket.shutdown()
    bucket.server_close()
    with pytest.raises(blobs.BlobsAway, match="after 3 retries"):
        await store.put("1/a", b"x")
    with pytest.raises(blobs.BlobsAway):
        await content(store, "1/a")
    with pytest.raises(blobs.BlobsAway):
        await store.delete_all(["1/a"])


def test_names_tell_nothing() -> None:
    first, second = blobs.new_path(17, AT), blobs.new_path(17, AT)
    assert first != second
    assert first.startswith("17/2026-05-04/")


@pytest.mark.parametrize("url", ["s3://bucket/folder", "gs://bucket"])
def test_urls_of_clouds(url: str, tmp_path: Path) -> None:
    assert "bucket" in repr(blobs.opened(url, tmp_path).store)


@pytest.mark.parametrize("url", ["az://container/folder", "nonsense://x", "s3://"])
def test_urls_that_say_too_little(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(InvalidSetting):
        blobs.opened(url, tmp_path)
