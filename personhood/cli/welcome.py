"""What `personhood serve` prints once it answers: all that a first event takes."""

import sys
from textwrap import dedent

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from personhood import __version__
from personhood.cli.bootstrap import Bootstrapped
from personhood.cli.port import local, shown
from personhood.settings import Settings

PLACEHOLDER = "phx_..."


def show(settings: Settings, made: Bootstrapped) -> None:
    """Facts in a frame and what is to be pasted outside of it; in a pipe, plain lines."""
    base = f"http://{shown(local((settings.host, settings.port)))}"
    rows = facts(settings, made, base)
    console = Console(soft_wrap=True, highlight=False)
    if console.is_terminal:
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim")
        table.add_column(overflow="fold")  # a key cut short would be lost
        for name, value, note in rows:
            table.add_row(name, Text.assemble((value, "bold"), "\n" * bool(note), (note, "green")))
        console.print(
            Panel(table, title=f"personhood {__version__}", expand=False, padding=(1, 2)),
            soft_wrap=False,
        )
    else:
        print(f"personhood {__version__}")
        for name, value, note in rows:
            print(f"  {name:<9} {value}{f'  ({note})' if note else ''}")
    console.print(snippets(base, made), markup=False, style=None)
    sys.stdout.flush()


def facts(settings: Settings, made: Bootstrapped, base: str) -> list[tuple[str, str, str]]:
    return [
        ("Address", base, "" if settings.host == local((settings.host, 0))[0] else "and others"),
        ("Project", str(made.project.id), made.project.name),
        ("Token", made.project.token, "public; what SDKs send"),
        ("API key", made.key or PLACEHOLDER, about_the_key(settings, made)),
        ("API docs", f"{base}/api/docs", ""),
    ]


def about_the_key(settings: Settings, made: Bootstrapped) -> str:
    if made.key is not None:
        return "shown once: keep it"
    if settings.bootstrap_key is not None:
        return "as preset by PERSONHOOD_BOOTSTRAP_KEY"
    return f"shown when it was made; another one: {how_to_make_a_key(settings)}"


def how_to_make_a_key(settings: Settings) -> str:
    where = "" if settings.database_url else f" --data-dir {settings.data_dir}"
    return f"personhood key create --scopes '*'{where}"


def snippets(base: str, made: Bootstrapped) -> str:
    key = made.key or PLACEHOLDER
    return dedent(f"""
        Send an event, then read the person that it made:

          curl {base}/i/v0/e/ -H 'Content-Type: application/json' -d '{{
            "api_key": "{made.project.token}", "event": "signed up", "distinct_id": "ada",
            "properties": {{"$set": {{"email": "ada@example.com"}}}}}}'
          curl '{base}/api/projects/{made.project.id}/persons/?distinct_id=ada' \\
            -H 'Authorization: Bearer {key}'

        The same from Python (pip install posthog):

          from posthog import Posthog
          posthog = Posthog("{made.project.token}", host="{base}")
          posthog.capture("signed up", distinct_id="ada",
                          properties={{"$set": {{"email": "ada@example.com"}}}})
          posthog.shutdown()

        Ctrl-C stops the server.
    """).rstrip()
