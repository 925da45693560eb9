"""rrweb-player from npm, at a pinned version and hash: what PostHog's own player is made of."""

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest

VERSION = "2.1.7"
INTEGRITY = (
    "sha512-jY6ovTq+Ll9nh8s0WEUl9abNKY9UQO524lFShaoSakQsGooYUGvzxg0xFWEQn7qY4rP5Q5BSRV0vbtRW35"
    "+o6A=="
)
PACKAGE = f"rrweb-player@{VERSION}"
# Kept between runs, so that only the first of them needs a registry.
TARBALL = Path(tempfile.gettempdir()) / f"personhood-tests-{os.getuid()}" / f"{PACKAGE}.tgz"
FILES = {"/player.js": "umd/rrweb-player.min.js", "/player.css": "dist/style.min.css"}
DEADLINE_S = 120


def pages() -> dict[str, str]:
    """Its script and style, by the paths that a page names. Skips the test without npm."""
    if not is_pinned(TARBALL):
        fetch()
    with tarfile.open(TARBALL) as archive:
        found = {path: archive.extractfile(f"package/{name}") for path, name in FILES.items()}
        return {path: file.read().decode() for path, file in found.items() if file is not None}


def fetch() -> None:
    if shutil.which("npm") is None:
        pytest.skip("there is no npm here")
    TARBALL.parent.mkdir(mode=0o700, exist_ok=True)
    # Fetched beside it and moved there whole, for whoever else runs these tests now.
    with tempfile.TemporaryDirectory(dir=TARBALL.parent, ignore_cleanup_errors=True) as made:
        options = ["--pack-destination", made, "--ignore-scripts", "--no-update-notifier"]
        try:
            done = subprocess.run(
                ["npm", "pack", PACKAGE, *options],
                cwd=made,
                capture_output=True,
                text=True,
                timeout=DEADLINE_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            pytest.skip(f"npm pack {PACKAGE} did not end")
        if done.returncode != 0:
            pytest.skip(f"npm pack {PACKAGE} failed: {done.stderr.strip()[-500:]}")
        [packed] = Path(made).glob("*.tgz")
        assert is_pinned(packed), "it is not the package that was pinned"
        packed.replace(TARBALL)


def is_pinned(path: Path) -> bool:
    if not path.is_file():
        return False
    digest = hashlib.sha512(path.read_bytes()).digest()
    return f"sha512-{base64.b64encode(digest).decode()}" == INTEGRITY
