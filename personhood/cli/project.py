"""`personhood project`: the tenants."""

from typing import Annotated

from cyclopts import App, Parameter

from personhood import tokens
from personhood.cli import database, options, tables
from personhood.errors import InvalidSetting
from personhood.store import project as store

app = App(name="project", help="Create and list projects.")


@app.command(
    help_epilogue=options.examples(
        'personhood project create "Web shop"',
        'personhood project create "Web shop" --json | jq -r .token',
    ),
)
def create(
    name: Annotated[str, Parameter(help="What people call it.")],
    /,
    *,
    json: options.Json = False,
    data_dir: options.DataDir = None,
    database_url: options.DatabaseUrl = None,
) -> None:
    """Create a project and print its token; whether or not a server is running."""
    if not name.strip():
        raise InvalidSetting("A project needs a name.")
    settings = options.settings(data_dir=data_dir, database_url=database_url)
    with database.reachable(settings, make=True) as url:
        made = database.run_once(
            url, lambda conn: store.insert(conn, name=name.strip(), token=tokens.new_token())
        )
    if json:
        tables.print_json(made)
    else:
        tables.print_rows(["ID", "NAME", "TOKEN"], [[made.id, made.name, made.token]])


@app.command(
    name="list",
    help_epilogue=options.examples(
        "personhood project list",
        "personhood project list --data-dir /var/lib/personhood --json",
    ),
)
def list_(
    *,
    json: options.Json = False,
    data_dir: options.DataDir = None,
    database_url: options.DatabaseUrl = None,
) -> None:
    """List the projects, the oldest first."""
    settings = options.settings(data_dir=data_dir, database_url=database_url)
    with database.reachable(settings) as url:
        projects = database.run_once(url, store.all_projects)
    if json:
        tables.print_json(projects)
    else:
        tables.print_rows(
            ["ID", "NAME", "TOKEN", "CREATED"],
            [[p.id, p.name, p.token, f"{p.created_at:%Y-%m-%d %H:%M}"] for p in projects],
        )
