"""Settings: what fits, and what is said of what does not."""

from pathlib import Path

import pytest

from personhood.errors import InvalidSetting
from personhood.settings import Settings, read

COUNTS = [
    "workers",
    "pool_size",
    "ingest_pool_size",
    "statement_timeout_s",
    "lock_timeout_s",
    "ingest_queue_bytes",
    "recording_retention_s",
    "warning_retention_s",
    "idempotency_retention_s",
]


def test_the_environment_decides_and_an_option_wins() -> None:
    environment = {"PERSONHOOD_PORT": "9000", "PERSONHOOD_WORKERS": "3", "DATABASE_URL": "a"}
    assert read(environment, port=7, host=None) == Settings(port=7, workers=3, database_url="a")
    assert read({"DATABASE_URL": "a", "PERSONHOOD_DATABASE_URL": "b"}).database_url == "b"
    assert read({"PERSONHOOD_DATA_DIR": "~/x"}).data_dir == Path("~/x")
    assert read({"PERSONHOOD_TRUST_FORWARDED_FOR": "1"}).trust_forwarded_for is True


def test_every_number_is_bounded() -> None:
    numbers = [name for name, value in vars_of(Settings()) if type(value) is int]
    assert set(numbers) == {*COUNTS, "port"}


def vars_of(settings: Settings) -> list[tuple[str, object]]:
    return [(name, getattr(settings, name)) for name in Settings.__struct_fields__]


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", "9" * 30, "nan"])
def test_a_number_that_does_not_fit_is_told_by_its_variable(name: str, value: str) -> None:
    variable = f"PERSONHOOD_{name.upper()}"
    with pytest.raises(InvalidSetting) as refusal:
        read({variable: value})
    assert str(refusal.value).startswith(f"{variable} is '{value}'; it has to be ")
    assert "1" in str(refusal.value).partition("it has to be")[2]


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("PERSONHOOD_PORT", "65536", "is '65536'; it has to be a number from 0 to 65535."),
        ("PERSONHOOD_PORT", "-1", "is '-1'; it has to be a number from 0 to 65535."),
        ("PERSONHOOD_LOG_FORMAT", "JSON", "is 'JSON'; it has to be one of auto, console and json."),
        *[
            (
                "PERSONHOOD_BLOB_URL",
                text,
                f"is {text!r}; it has to be a URL such as s3://bucket/folder, gs: or az:, or "
                "file:///folder.",
            )
            for text in ("ftp://x", "file://rel", "/folder")
        ],
        ("PERSONHOOD_TRUST_FORWARDED_FOR", "x", "is 'x'; it has to be true or false."),
        *[
            (
                "PERSONHOOD_RATE_LIMIT",
                text,
                f"is {text!r}; it has to be such as 240/minute, or several with commas: of a "
                "second, minute, hour or day.",
            )
            for text in ("240", "0/minute", "x/minute", "1/week", "1/minute,", "-1/day")
        ],
    ],
)
def test_so_are_the_others(variable: str, value: str, complaint: str) -> None:
    with pytest.raises(InvalidSetting) as refusal:
        read({variable: value})
    assert str(refusal.value) == f"{variable} {complaint}"


def test_an_option_is_told_as_one() -> None:
    with pytest.raises(InvalidSetting, match=r"^--pool-size is 0; it has to be"):
        read({"PERSONHOOD_POOL_SIZE": "5"}, pool_size=0)
