"""The command line: a file for each group of commands, imported when it is used.

0  done (also a server that Ctrl-C or SIGTERM stopped)
1  it could not be done; one line on stderr says why
2  the command was not understood
"""

import sys

from cyclopts import App

from personhood import __version__
from personhood.errors import PersonhoodError

app = App(
    name="personhood",
    help="A self-hosted person store that PostHog SDKs talk to.",
    version=__version__,
    help_format="markdown",
)
app.command(
    "personhood.cli.serve:serve", name="serve", help="Serve SDKs and the persons API over HTTP."
)
app.command("personhood.cli.project:app", name="project", help="Create and list projects.")
app.command("personhood.cli.key:app", name="key", help="Create, list and revoke API keys.")


def main() -> None:
    try:
        app()
    except PersonhoodError as error:
        print(f"personhood: {error}", file=sys.stderr)
        sys.exit(1)
