"""Tests that cannot run somewhere are told of at the end, with the reason."""

import os
import subprocess
import sys


def test_what_was_skipped_is_told_at_the_end() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/sdk/test_replay.py", "-n1"],
        env={**os.environ, "PATH": ""},  # where no browser is
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    told = done.stdout.partition("These tests did not run")[2]
    assert "tests/sdk/test_replay.py: 1, because there is no Chromium here" in told
