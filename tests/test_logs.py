"""What reaches the log, and what never does."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from personhood import logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def configured(log_format: str) -> structlog.stdlib.BoundLogger:
    logs.configure(log_format)
    return structlog.get_logger("personhood.test")


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    out, err = capsys.readouterr()
    assert out == ""
    return [json.loads(line) for line in err.splitlines()]


def test_one_json_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    log = configured("json")
    log.info("group stored", events=3)
    [line] = lines(capsys)
    assert line["event"] == "group stored"
    assert line["events"] == 3
    assert line["level"] == "info"
    assert line["logger"] == "personhood.test"
    assert line["timestamp"].endswith("Z")


def test_libraries_come_the_same_way_from_warning_on(capsys: pytest.CaptureFixture[str]) -> None:
    configured("json")
    logging.getLogger("psycopg.pool").info("quiet")
    logging.getLogger("psycopg.pool").warning("lost %s", "a connection")
    [line] = lines(capsys)
    assert (line["event"], line["logger"]) == ("lost a connection", "psycopg.pool")


@pytest.mark.parametrize(
    "secret",
    [
        "the key phx_hunter2",
        "postgresql://someone:hunter2@db/persons",
        "Authorization: Bearer hunter2",
    ],
)
def test_secrets_are_blackened_wherever_they_come_from(
    capsys: pytest.CaptureFixture[str], secret: str
) -> None:
    log = configured("json")
    log.warning(secret, value=secret)
    try:
        raise ValueError(secret)
    except ValueError:
        log.exception("failed")
    logging.getLogger("library").warning("it said: %s", secret)
    text = capsys.readouterr().err
    assert text.count("\n") == 3
    assert "Traceback" in text
    assert "hunter2" not in text
    assert "***" in text


def test_the_console_shows_no_values_of_variables(capsys: pytest.CaptureFixture[str]) -> None:
    log = configured("console")
    hidden = "hunter" + "2"
    try:
        raise ValueError(len(hidden))
    except ValueError:
        log.exception("failed")
    text = capsys.readouterr().err
    assert "ValueError: 7" in text
    assert "hunter2" not in text
