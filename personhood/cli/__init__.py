"""The command line: a file for each group of commands, imported when it is used.

0  done (also a server that Ctrl-C or SIGTERM stopped)
1  it could not be done; one line on stderr says why
2  the command was not understood
"""

import sys

from cyclopts import App

from personhood import __version__
from personhood.errors import PersonhoodError

SERVE = """Serve SDKs and the persons API.

Starts the embedded PostgreSQL under the data folder (or uses the database of `--database-url`),
brings it to the newest schema, makes the first project and key where there are none, and serves
until Ctrl-C or SIGTERM. Port 0 takes any free port.
"""

app = App(
    name="personhood",
    help="A self-hosted person store that PostHog SDKs talk to.",
    version=__version__,
    help_format="markdown",
)
app.command("personhood.cli.serve:app", name="serve", help=SERVE)
app.command("personhood.cli.project:app", name="project", help="Create and list projects.")
app.command("personhood.cli.key:app", name="key", help="Create, list and revoke API keys.")


def main() -> None:
    try:
        app(sys.argv[1:])
    except PersonhoodError as error:
        print(f"personhood: {error}", file=sys.stderr)
        sys.exit(1)
