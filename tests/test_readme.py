"""Every command of the README is run, against a real server."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from personhood.settings import SENTENCES
from tests.server import Server

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
ADDRESS = "http://127.0.0.1:8000"


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCK.findall(README) if name == language]


def commands() -> list[str]:
    """The shell's commands; one that ends in a backslash, or in an open quote, goes on."""
    found: list[str] = []
    for block in blocks("sh"):
        parts: list[str] = []
        for line in block.splitlines():
            parts.append(line)
            whole = "\n".join(parts)
            if not line.endswith("\\") and whole.count("'") % 2 == 0:
                found.append(whole)
                parts = []
        assert not parts, f"a command has no end: {parts}"
    return found


def adapted(text: str, server: Server) -> str:
    text = text.replace(ADDRESS, server.url).replace("phc_your_token", server.token)
    return text.replace("phx_your_key", server.key)


def shell(command: str, server: Server, *, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "DATABASE_URL": server.database_url,
    }
    return subprocess.run(
        ["bash", "-c", adapted(command, server)],
        cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_the_commands_do_what_they_say(server: Server, tmp_path: Path) -> None:
    """In their order, as a reader would: the later ones need what the earlier ones made."""
    answers: list[Any] = []
    for command in commands():
        if command.startswith("make "):
            command = f"make --dry-run {command.removeprefix('make ')}"
        # Some write what they got into a file.
        done = shell(command, server, cwd=tmp_path if command.startswith("curl") else ROOT)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        if command.startswith("curl") and done.stdout:
            answers.append(json.loads(done.stdout))

    sent, found, patched, then, history, receipts = answers
    assert sent == {"status": "Ok"}
    assert found["results"][0]["properties"]["email"] == "ada@example.com"
    assert patched["properties"]["plan"] == "scale"
    assert then["properties"]["plan"] == "scale"
    assert history["results"][0]["key"] == "plan"
    assert [each["state"] for each in receipts["results"]] == ["waiting"]
    assert ",ada," in (tmp_path / "persons.csv").read_text()


def test_the_python_snippet_works(server: Server) -> None:
    [snippet] = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", adapted(snippet, server)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize("name", SENTENCES)
def test_each_setting_is_explained(name: str) -> None:
    assert f"PERSONHOOD_{name.upper()}`" in README
