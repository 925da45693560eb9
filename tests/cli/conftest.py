"""`personhood(…)`: a command run inside the test's own process, which spares it a start."""

import os
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from personhood import cli
from tests.server import environment


@dataclass
class Done:
    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def personhood(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
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
