"""What `personhood serve` prints once it answers: all that a first event takes."""

import os
import shlex
import shutil
import sys
from pathlib import Path
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
    """Print the page. That nobody reads it any more, as after `| head -2`, is no reason to stop."""
    try:
        print_page(settings, made)
        sys.stdout.flush()
    except OSError:
        # What is left in the buffer would be tried again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_page(settings: Settings, made: Bootstrapped) -> None:
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
    print(snippets(base, made))


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
    """To be pasted as it is. A database URL stays in the environment: it may hold a password."""
    where = ""
    if settings.database_url is None:
        where = f" --data-dir {shlex.quote(str(settings.data_dir.expanduser().resolve()))}"
    return f"{program()} key create --scopes '*'{where}"


def program() -> str:
    """This program, as a shell finds it."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py" or not called.exists():
        return f"{shlex.quote(sys.executable)} -m personhood"
    found = shutil.which(called.name)
    if found is not None and called.samefile(found):
        return called.name
    return shlex.quote(str(called))


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
