"""`personhood(…)`: a command run inside the test's own process, which spares it a start."""

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import structlog

from personhood import cli
from tests.server import environment


@dataclass
class Done:
    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def logs_as_they_were() -> Iterator[None]:
    """The command sets logging up for its process, which is the test's own here."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def personhood(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], logs_as_they_were: None
) -> Command:
    def command(*arguments: str, **more: str | None) -> Done:
        with monkeypatch.context() as patched:
            for name in os.environ.keys() - environment({}).keys():
                patched.delenv(name)
            for name, value in more.items():
                if value is not None:
                    patched.setenv(name, value)
            patched.setattr("sys.argv", ["personhood", *arguments])
            with pytest.raises(SystemExit) as exit:
                cli.main()
        out, err = capfd.readouterr()
        return Done(int(exit.value.code or 0), out, err)

    return command
