"""Every setting: its name, its default and one sentence. Read once at start; nothing else reads
the environment.

Each is set by its option of `personhood serve`, or by `PERSONHOOD_<NAME>` in the environment; the
option wins. `DATABASE_URL` is honoured as another name of `PERSONHOOD_DATABASE_URL`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from personhood.errors import InvalidSetting

PREFIX = "PERSONHOOD_"


class Settings(Struct, frozen=True, kw_only=True):
    """The values in force. Sizes are in bytes, times in seconds."""

    host: str = "127.0.0.1"
    port: int = 8000
    data_dir: Path = Path("data")
    database_url: str | None = None
    workers: int = 1
    bootstrap_token: str | None = None
    bootstrap_key: str | None = None
    bootstrap_owner: str | None = None
    log_format: str = "auto"
    trust_forwarded_for: bool = False
    pool_size: int = 8
    ingest_queue_bytes: int = 64 * 1024 * 1024
    warning_retention_s: int = 30 * 24 * 3600


SENTENCES: Mapping[str, str] = {
    "host": "Address to listen on; loopback unless told otherwise.",
    "port": "TCP port to listen on.",
    "data_dir": "Folder of the embedded PostgreSQL; unused when a database URL is given.",
    "database_url": "A PostgreSQL >= 15 to use in place of the embedded one.",
    "workers": "Worker processes that serve requests.",
    "bootstrap_token": "Token (phc_…) of the first project, for containers and tests.",
    "bootstrap_key": "An all-scopes personal API key (phx_…) that exists from the start.",
    "bootstrap_owner": "E-mail address of whose key that is; the activity log tells it.",
    "log_format": "auto (colour in a terminal, JSON elsewhere), console or json.",
    "trust_forwarded_for": "Take the client's address from X-Forwarded-For (behind a proxy only).",
    "pool_size": "Database connections for each worker process.",
    "ingest_queue_bytes": "Events waiting to be stored, in bytes; beyond it capture answers 503.",
    "warning_retention_s": "How long ingestion warnings are kept, in seconds.",
}


def read(environ: Mapping[str, str], **options: Any) -> Settings:
    """Settings from `environ`, overlaid by the `options` that are not None.

    Raises InvalidSetting when a value does not fit its type.
    """
    values: dict[str, Any] = {}
    if url := environ.get("DATABASE_URL"):
        values["database_url"] = url
    for name in Settings.__struct_fields__:
        if text := environ.get(PREFIX + name.upper()):
            values[name] = text
    values |= {name: value for name, value in options.items() if value is not None}
    try:
        return msgspec.convert(values, Settings, strict=False, dec_hook=to_path)
    except msgspec.ValidationError as error:
        raise InvalidSetting(f"Setting not understood: {error}") from None


def to_path(type: type, value: Any) -> Any:
    """What msgspec does not know by itself: a path, given as one or as its text."""
    assert type is Path, "the only such type among the settings"
    return Path(value)
