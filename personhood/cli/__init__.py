"""The command line: a file for each group of commands, imported when it is used.

0  done (also a server that Ctrl-C or SIGTERM stopped)
1  it could not be done; one line on stderr says why, but not when nobody reads on what it prints
2  the command was not understood
3  done in part: `import` put some rows aside
"""

import os
import sys

from cyclopts import App

from personhood import __version__
from personhood.errors import PersonhoodError

SERVE = """Serve SDKs and the persons API.

Starts the embedded PostgreSQL under the data folder (or uses the database of `--database-url`),
brings it to the newest schema, makes the first project and key where there are none, and serves
until Ctrl-C or SIGTERM. Port 0 takes any free port.
"""

IMPORT = """Import events from a file. Doing it again adds only what is not there yet.

Takes what PostHog exports: batch exports in JSON lines, rows of the events API one a line, and
tables saved as CSV; and with `--map` any other CSV, whatever stands between its columns; all of
them plain or gzip'd. Persons come of the events, by the same rules as when SDKs send them. Works on
the data folder or database directly, whether or not a server runs.

Bad rows are put aside, the others go in. In CSV, cells that read as JSON numbers, `true` or `false`
become those (not integers of more than 15 digits, nor `007`), and empty cells are left out. Times
without a zone are UTC.

Exit codes: 0 all rows are in; 1 failed or stopped, and the same command goes on from there; 3 some
rows were rejected.
"""

DEMO = """Load two sets of sample data by PostHog's Python SDK, and show what came of them.

31,106 clicks of a shop, whose anonymous sessions are identified later, and 69,659 purchases at
CDNOW: 600 and 23,570 persons. Sends to the server that runs on the data folder, or starts one for
as long as it takes. Doing it again changes nothing. Needs the sample data of a checkout, and
`pip install 'personhood[demo]'`.
"""

VERIFY = """Check every person against its ledger, and all rows against one another.

Each person has to be what its ledger comes to; each distinct id has to lead to one person, each
person to have one; merges, pointers and events have to agree; and nothing may refer to somebody
who was deleted. A server may run meanwhile. `--repair` rebuilds persons from their ledgers; what
else is found is only told.

Exit codes: 0 all is well; 1 something is left that is not.
"""

app = App(
    name="personhood",
    help="A self-hosted person store that PostHog SDKs talk to.",
    version=__version__,
    help_format="markdown",
)
app.command("personhood.cli.serve:app", name="serve", help=SERVE)
app.command("personhood.cli.project:app", name="project", help="Create, list and change projects.")
app.command("personhood.cli.demo:app", name="demo", help=DEMO)
app.command("personhood.cli.import_events:app", name="import", help=IMPORT)
app.command(
    "personhood.cli.deletions:app",
    name="deletions",
    help="List, show, run and cancel deletions.",
)
app.command("personhood.cli.key:app", name="key", help="Create, list and revoke API keys.")
app.command(
    "personhood.cli.stats:app",
    name="stats",
    help="Count what there is, and tell how much room it takes.",
)
app.command("personhood.cli.verify:app", name="verify", help=VERIFY)


def main() -> None:
    try:
        try:
            app(sys.argv[1:])
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Else Python tries once more to write it, at the very end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except PersonhoodError as error:
        print(f"personhood: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        what = f"{error.filename}: " if error.filename else ""
        print(f"personhood: {what}{error.strerror or error}.", file=sys.stderr)
        sys.exit(1)
