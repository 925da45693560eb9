"""`personhood key`: personal API keys. Only their hashes are stored, so one is printed once."""

from datetime import datetime
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from psycopg import AsyncConnection

from personhood import tokens
from personhood.cli import database, options, tables
from personhood.errors import InvalidSetting, NotFound
from personhood.model import ApiKey
from personhood.store import api_key as store
from personhood.store import project as projects

app = App(name="key", help="Create, list and revoke API keys.")

Scopes = Annotated[
    str, Parameter(help="Comma-separated: '*' for everything, or as in person:read,person:write.")
]
Project = Annotated[
    int | None, Parameter(help="Id of the one project it opens; all when left out.")
]
Label = Annotated[str, Parameter(help="What it is for.", show_default=False)]
Owner = Annotated[
    str | None, Parameter(help="E-mail address of whose it is; the activity log tells it.")
]


@app.command(
    help_epilogue=options.examples(
        "personhood key create --scopes '*'",
        "personhood key create --scopes person:read,person:write --project 1",
        "personhood key create --scopes person:read --label dashboard --owner ada@example.com",
    ),
)
def create(
    *,
    scopes: Scopes,
    project: Project = None,
    label: Label = "",
    owner: Owner = None,
    json: options.Json = False,
    data_dir: options.DataDir = None,
    database_url: options.DatabaseUrl = None,
) -> None:
    """Create a personal API key and print it. It is not stored and cannot be shown again."""
    allowed = tokens.scopes(scopes)
    if owner is not None:
        tokens.check_owner(owner)
    settings = options.settings(data_dir=data_dir, database_url=database_url)
    key = tokens.new_key()

    async def insert(conn: AsyncConnection) -> ApiKey:
        if project is not None and await projects.by_id(conn, project) is None:
            raise InvalidSetting(f"There is no project {project}; see `personhood project list`.")
        return await store.insert(
            conn, key, label=label, scopes=allowed, project_id=project, owner=owner
        )

    with database.reachable(settings) as url:
        made = database.run_once(url, insert)
    if json:
        tables.print_json({"key": key} | msgspec.to_builtins(made))
        return
    tables.print_rows(["ID", "SCOPES", "PROJECT", "KEY (shown once)"], [[*described(made), key]])


@app.command(
    name="list",
    help_epilogue=options.examples(
        "personhood key list",
        "personhood key list --json",
    ),
)
def list_(
    *,
    json: options.Json = False,
    data_dir: options.DataDir = None,
    database_url: options.DatabaseUrl = None,
) -> None:
    """List the keys, revoked ones too; never the keys themselves."""
    settings = options.settings(data_dir=data_dir, database_url=database_url)
    with database.reachable(settings) as url:
        keys = database.run_once(url, store.all_keys)
    if json:
        tables.print_json(keys)
        return
    tables.print_rows(
        ["ID", "SCOPES", "PROJECT", "LABEL", "OWNER", "CREATED", "LAST USED", "REVOKED"],
        [
            [
                *described(key),
                key.label,
                key.owner or "",
                *map(minute, (key.created_at, key.last_used_at, key.revoked_at)),
            ]
            for key in keys
        ],
    )


@app.command(
    help_epilogue=options.examples(
        "personhood key revoke 3",
        "personhood key revoke 3 --json",
    ),
)
def revoke(
    id: Annotated[int, Parameter(help="As `personhood key list` shows it.")],
    /,
    *,
    json: options.Json = False,
    data_dir: options.DataDir = None,
    database_url: options.DatabaseUrl = None,
) -> None:
    """Revoke a key: from the next request on it opens nothing."""
    settings = options.settings(data_dir=data_dir, database_url=database_url)
    with database.reachable(settings) as url:
        if not database.run_once(url, lambda conn: store.revoke(conn, id)):
            raise NotFound(f"There is no key {id} in force; see `personhood key list`.")
    if json:
        tables.print_json({"id": id, "revoked": True})
    else:
        print(f"Key {id} is revoked.")


def described(key: ApiKey) -> list[object]:
    return [key.id, ",".join(key.scopes), key.project_id or "all"]


def minute(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M}"
