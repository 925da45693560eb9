"""Every setting: its name, its default and one sentence. Read once at start; nothing else reads
the environment.

Each is set by its option of `personhood serve`, or by `PERSONHOOD_<NAME>` in the environment; the
option wins. `DATABASE_URL` is honoured as another name of `PERSONHOOD_DATABASE_URL`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from personhood import off_peak
from personhood.errors import InvalidSetting

PREFIX = "PERSONHOOD_"


# A bound's description is what a value that breaks it is answered with.
Port = Annotated[int, Meta(ge=0, le=65535, description="a number from 0 to 65535")]
Few = Annotated[int, Meta(ge=1, le=1000, description="a number from 1 to 1000")]
Count = Annotated[int, Meta(ge=1, le=2**62, description="a number of at least 1")]
Timeout = Annotated[int, Meta(ge=1, le=86_400, description="seconds, from 1 to 86400")]
Age = Annotated[int, Meta(ge=1, le=10**10, description="seconds, at least 1")]
Format = Annotated[
    str, Meta(pattern="^(auto|console|json)$", description="one of auto, console and json")
]
Rates = Annotated[
    str,
    Meta(
        pattern=r"^([1-9][0-9]{0,8}/(second|minute|hour|day)"
        r"(,[1-9][0-9]{0,8}/(second|minute|hour|day))*)?$",
        description="such as 240/minute, or several with commas: of a second, minute, hour or day",
    ),
]
Window = Annotated[
    str,
    Meta(pattern=off_peak.PATTERN, description="`now`, or two times of day as in 02:00-05:00"),
]
BlobUrl = Annotated[
    str,
    Meta(
        pattern="^((s3|gs|az)://[^/]+|file:///[^/])",
        description="a URL such as s3://bucket/folder, gs: or az:, or file:///folder",
    ),
]
Flag = Annotated[bool, Meta(description="true or false")]


class Settings(Struct, frozen=True, kw_only=True):
    """The values in force. Sizes are in bytes, times in seconds."""

    host: str = "127.0.0.1"
    port: Port = 8000
    data_dir: Path = Path("data")
    database_url: str | None = None
    workers: Few = 1
    bootstrap_token: str | None = None
    bootstrap_key: str | None = None
    bootstrap_owner: str | None = None
    log_format: Format = "auto"
    trust_forwarded_for: Flag = False
    pool_size: Few = 8
    ingest_pool_size: Few = 4
    statement_timeout_s: Timeout = 30
    lock_timeout_s: Timeout = 2
    ingest_queue_bytes: Count = 64 * 1024 * 1024
    warning_retention_s: Age = 30 * 24 * 3600
    deletion_window: Window = "02:00-05:00"
    idempotency_retention_s: Age = 24 * 3600
    blob_url: BlobUrl | None = None
    session_recording: Flag = True
    recording_retention_s: Age = 90 * 24 * 3600
    rate_limit: Rates = ""
    rate_limit_deletion: Rates = ""


SENTENCES: Mapping[str, str] = {
    "host": "Address to listen on; loopback unless told otherwise.",
    "port": "TCP port to listen on.",
    "data_dir": "Folder of the embedded PostgreSQL (without a database URL) and of recordings.",
    "database_url": "A PostgreSQL >= 15 to use in place of the embedded one.",
    "workers": "Worker processes that serve requests.",
    "bootstrap_token": "Token (phc_…) of the first project, for containers and tests.",
    "bootstrap_key": "An all-scopes personal API key (phx_…) that exists from the start.",
    "bootstrap_owner": "E-mail address of whose key that is; the activity log tells it.",
    "log_format": "auto (colour in a terminal, JSON elsewhere), console or json.",
    "trust_forwarded_for": "Trust X-Forwarded-For, -Proto and -Host; only behind a proxy.",
    "pool_size": "Database connections of each worker process for the API.",
    "ingest_pool_size": "Database connections of each worker process for events alone.",
    "statement_timeout_s": "How long a query of the API may take before it is answered 503.",
    "lock_timeout_s": "How long a write waits for a row that is locked, before it gets a 503.",
    "ingest_queue_bytes": "Events waiting to be stored, in bytes; beyond it capture answers 503.",
    "warning_retention_s": "How long ingestion warnings are kept, in seconds.",
    "deletion_window": "When events are deleted, by each project's own clock; or now, at once.",
    "idempotency_retention_s": "How long an answer is kept for its Idempotency-Key, in seconds.",
    "blob_url": "Where recordings lie: s3://…, gs://…, az://… or file:///…; else the data folder.",
    "session_recording": "Whether browsers are told to record sessions, inputs masked.",
    "recording_retention_s": "How long a recording is kept from when its session began.",
    "rate_limit": "Requests of one key to the API, such as 240/minute; none by default.",
    "rate_limit_deletion": "The same of its requests to delete: 480/minute,4800/hour, for one.",
}


def read(environ: Mapping[str, str], **options: Any) -> Settings:
    """Settings from `environ`, overlaid by the `options` that are not None.

    Raises InvalidSetting, naming the variable or the option, when a value does not fit.
    """
    values: dict[str, tuple[str, Any]] = {}
    if url := environ.get("DATABASE_URL"):
        values["database_url"] = "DATABASE_URL", url
    for name in Settings.__struct_fields__:
        if text := environ.get(PREFIX + name.upper()):
            values[name] = PREFIX + name.upper(), text
    for name, value in options.items():
        if value is not None:
            values[name] = "--" + name.replace("_", "-"), value
    types = get_type_hints(Settings, include_extras=True)
    fit = {name: fitting(types[name], *given) for name, given in values.items()}
    return Settings(**fit)


def fitting(type: Any, source: str, value: Any) -> Any:
    """`value` as `type`; `source` is where it was given."""
    try:
        return msgspec.convert(value, type, strict=False, dec_hook=to_path)
    except msgspec.ValidationError:
        # What may be left out is told without the None.
        [fit, *_] = [each for each in (type, *get_args(type)) if get_origin(each) is Annotated]
        [wanted] = [each.description for each in fit.__metadata__ if isinstance(each, Meta)]
        raise InvalidSetting(f"{source} is {value!r}; it has to be {wanted}.") from None


def to_path(type: type, value: Any) -> Any:
    """What msgspec does not know by itself: a path, given as one or as its text."""
    assert type is Path, "the only such type among the settings"
    return Path(value)
