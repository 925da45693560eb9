"""`personhood project`: the tenants."""

from typing import Annotated
from zoneinfo import ZoneInfo

from cyclopts import App, Parameter
from psycopg import AsyncConnection

from personhood import tokens
from personhood.cli import database, options, tables
from personhood.errors import InvalidSetting, NotFound
from personhood.model import DISPLAY_NAME_PROPERTIES, Project
from personhood.store import project as store

app = App(name="project", help="Create, list and change projects.")

Name = Annotated[str | None, Parameter(help="What people call it.")]
TimeZone = Annotated[
    str | None,
    Parameter(help="Its clock, as in Europe/Berlin: of timelines, dates and nightly deletion."),
]
DisplayNames = Annotated[
    str | None,
    Parameter(
        help="Comma-separated: the properties that give a person its name, the first that is set; "
        f"'' for the usual {', '.join(DISPLAY_NAME_PROPERTIES)}."
    ),
]
AnonymizeIps = Annotated[
    bool | None, Parameter(help="Whether events are stored without IP addresses.")
]
PersonProcessing = Annotated[bool | None, Parameter(help="Whether events make persons at all.")]
PersonlessFlagCalls = Annotated[
    bool | None, Parameter(help="Whether calls of feature flags make no persons.")
]


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


@app.command(
    name="set",
    help_epilogue=options.examples(
        "personhood project set 1 --timezone Europe/Berlin",
        "personhood project set 1 --display-name-properties full_name,email",
        "personhood project set 1 --display-name-properties '' --anonymize-ips --json",
    ),
)
def set_(
    id: Annotated[int, Parameter(help="As `personhood project list` shows it.")],
    /,
    *,
    name: Name = None,
    timezone: TimeZone = None,
    display_name_properties: DisplayNames = None,
    anonymize_ips: AnonymizeIps = None,
    person_processing: PersonProcessing = None,
    personless_flag_calls: PersonlessFlagCalls = None,
    json: options.Json = False,
    data_dir: options.DataDir = None,
    database_url: options.DatabaseUrl = None,
) -> None:
    """Change what is given of a project and print it. In force within seconds."""
    if name is not None and not name.strip():
        raise InvalidSetting("A project needs a name.")
    if timezone is not None:
        check_timezone(timezone)
    names = None if display_name_properties is None else listed(display_name_properties)
    settings = options.settings(data_dir=data_dir, database_url=database_url)

    async def change(conn: AsyncConnection) -> Project | None:
        return await store.update(
            conn,
            id,
            name=name and name.strip(),
            timezone=timezone,
            display_name_properties=names,
            anonymize_ips=anonymize_ips,
            person_processing=person_processing,
            personless_flag_calls=personless_flag_calls,
        )

    with database.reachable(settings) as url:
        changed = database.run_once(url, change)
    if changed is None:
        raise NotFound(f"There is no project {id}; see `personhood project list`.")
    if json:
        tables.print_json(changed)
        return
    shown = changed.display_name_properties or DISPLAY_NAME_PROPERTIES
    tables.print_rows(
        ["ID", "NAME", "TIME ZONE", "DISPLAY NAMES"],
        [[changed.id, changed.name, changed.timezone, ",".join(shown)]],
    )


def check_timezone(text: str) -> None:
    """Raise InvalidSetting unless it names a time zone."""
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        raise InvalidSetting(f"There is no time zone {text!r}.") from None


def listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]
