"""Options that commands share: each is a setting, and says so in `--help`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from personhood import tokens
from personhood.settings import PREFIX, SENTENCES, Settings, read

DEFAULTS = Settings()
PORT_MAX = 65535


def option(name: str, **more: Any) -> Parameter:
    """The option of the setting `name`. Left out, the environment decides, then the default."""
    default = getattr(DEFAULTS, name)
    notes = [f"env: {PREFIX}{name.upper()}"] + ([] if default is None else [f"default: {default}"])
    return Parameter(help=f"{SENTENCES[name]} ({'; '.join(notes)})", **more)


Host = Annotated[str | None, option("host")]
Port = Annotated[int | None, option("port", validator=Number(gte=0, lte=PORT_MAX))]
DataDir = Annotated[Path | None, option("data_dir")]
DatabaseUrl = Annotated[str | None, option("database_url")]
Workers = Annotated[int | None, option("workers", validator=Number(gte=1))]
Json = Annotated[bool, Parameter(help="Print JSON.", negative="", show_default=False)]


def examples(*lines: str) -> str:
    """The end of a command's `--help`."""
    return "\n".join(["Examples:", "```", *lines, "```"])


def settings(environ: Mapping[str, str] = os.environ, **options: Any) -> Settings:
    """The settings in force, tokens and keys well-formed."""
    found = read(environ, **options)
    if found.bootstrap_token is not None:
        tokens.check_token(found.bootstrap_token)
    if found.bootstrap_key is not None:
        tokens.check_key(found.bootstrap_key)
    if found.bootstrap_owner is not None:
        tokens.check_owner(found.bootstrap_owner)
    return found
