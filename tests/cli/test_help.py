"""Every command explains itself, and says what it did not understand."""

import os
import subprocess
import sys

import pytest

from tests.cli.conftest import Command
from tests.server import environment

COMMANDS = [
    "serve",
    "import",
    "demo",
    "project create",
    "project list",
    "key create",
    "key list",
    "key revoke",
    "deletions list",
    "deletions show",
    "deletions run",
    "deletions cancel",
    "stats",
    "verify",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_has_help_with_an_example(personhood: Command, command: str) -> None:
    done = personhood(*command.split(), "--help")
    assert done.code == 0
    assert f"Usage: personhood {command}" in done.out
    example = done.out.partition("Examples:")[2]
    assert f"personhood {command}" in example


@pytest.mark.parametrize(
    ("arguments", "sentences"),
    [
        (
            "",
            ["Serve SDKs", "Create, list and change projects", "Create, list and revoke API keys"],
        ),
        ("--help", ["Serve SDKs", "Create, list and change projects"]),
        ("project", ["Create a project and print its token", "List the projects"]),
        ("key --help", ["Create a personal API key", "List the keys", "Revoke a key"]),
    ],
)
def test_a_group_lists_its_commands_each_with_a_sentence(
    personhood: Command, arguments: str, sentences: list[str]
) -> None:
    done = personhood(*arguments.split())
    assert done.code == 0
    for sentence in sentences:
        assert sentence in done.out


def test_version(personhood: Command) -> None:
    from personhood import __version__

    assert personhood("--version").out.strip() == __version__


@pytest.mark.parametrize(
    "arguments",
    [
        "dance",
        "serve --port eighty",
        "serve --port 70000",
        "serve --workers 0",
        "serve --colour red",
        "import",
        "import a.csv --project one",
        "key create",
        "key revoke",
        "project create",
        "deletions show",
        "deletions show 7",
        "deletions list --state asleep",
        "deletions list --limit 0",
        "deletions cancel ada",
    ],
)
def test_what_is_not_understood_exits_with_2(personhood: Command, arguments: str) -> None:
    done = personhood(*arguments.split())
    assert done.code == 2
    assert done.out == ""
    assert "Traceback" not in done.err
    assert done.err != ""


@pytest.mark.parametrize("arguments", ["--help", "key list", "project list --json"])
def test_a_reader_that_leaves_is_told_nothing(database: str, arguments: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "personhood", *arguments.split()],
        env=environment({"DATABASE_URL": database}),
        stdout=writing, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")
