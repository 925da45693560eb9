"""pgbench, from the same wheel as the database."""

import re

from bench.measure import Sample, each
from bench.site import Site

CLIENTS = 64
TRANSACTIONS = re.compile(r"number of transactions actually processed: ([0-9]+)")
RATE = re.compile(r"tps = ([0-9.]+)")
FAILED = re.compile(r"number of failed transactions: ([0-9]+)")


def run(site: Site, script: str, *, seconds: int) -> Sample:
    """A custom script, prepared, by as many clients as we have connections."""
    file = site.folder / "script.sql"
    file.write_text(script)
    with site.meter.measured() as usage:
        said = site.pgbench(
            "-n", "-M", "prepared", "-c", str(CLIENTS), "-j", "1", "-T", str(seconds),
            "-f", str(file),
        )  # fmt: skip
    done, rate, failed = (pattern.search(said) for pattern in (TRANSACTIONS, RATE, FAILED))
    assert done and rate and failed and failed[1] == "0", said
    count = int(done[1])
    return Sample(figure=float(rate[1]), operations=count, seconds=seconds, **each(usage, count))
