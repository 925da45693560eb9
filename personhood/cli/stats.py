"""`personhood stats`: how much there is, and how much room it takes."""

from cyclopts import App
from rich.filesize import decimal

from personhood.cli import database, options, tables
from personhood.volumes import Ledger, Volumes, volumes

app = App(
    name="stats",
    help_epilogue=options.examples("personhood stats", "personhood stats --json"),
)


@app.default
def stats(
    *,
    json: options.Json = False,
    data_dir: options.DataDir = None,
    database_url: options.DatabaseUrl = None,
) -> None:
    """Count persons, ids, events and changes, and tell how much room they take."""
    settings = options.settings(data_dir=data_dir, database_url=database_url)
    with database.reachable(settings) as url:
        found = database.run_once(url, volumes)
    if json:
        tables.print_json(found)
    else:
        print_volumes(found)


def print_volumes(found: Volumes) -> None:
    counts = found.counts
    tables.print_rows(
        ["WHAT", "HOW MANY"],
        [
            ["persons", f"{counts.persons:,}"],
            ["persons merged into others", f"{counts.merged_persons:,}"],
            ["distinct ids", f"{counts.distinct_ids:,}"],
            ["distinct ids of deleted persons", f"{counts.ended_distinct_ids:,}"],
            ["events", f"{counts.events:,}"],
            ["ledger entries", f"{counts.ledger_entries:,}"],
        ],
    )
    print()
    tables.print_rows(
        ["TABLE", "SIZE", "OF IT INDEXES"],
        [[each.table, decimal(each.bytes), decimal(each.index_bytes)] for each in found.tables],
    )
    print()
    print(sentence(found.ledger))


def sentence(ledger: Ledger) -> str:
    if ledger.bytes_per_person is None:
        return "There are no persons yet."
    told = f"The ledger takes {ledger.bytes_per_person:,.0f} bytes of disk for each person."
    if ledger.bytes_per_100_changes is None or ledger.snapshot_bytes_per_100_changes is None:
        return told
    return (
        f"{told} 100 changes are {ledger.bytes_per_100_changes:,.0f} bytes of JSON in it; as whole "
        f"persons they would be {ledger.snapshot_bytes_per_100_changes:,.0f} (measured on "
        f"{ledger.sampled_changes:,} changes of {ledger.sampled_persons:,} persons)."
    )
