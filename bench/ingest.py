"""Events in batches, durable and resolved; beside psql's \\copy of the same rows."""

import random
import re

from bench import payloads
from bench.load import drive
from bench.measure import Goal, Sample, driven, each
from bench.site import Site

EVENTS_MAX = 60_000
SECONDS = 3
BATCH_EVENTS = 100
CONNECTIONS = 8
COPY = "\\copy"
MILLISECONDS = re.compile(r"Time: ([0-9.]+) ms")

# The empty copy of the table: same columns, index and partitions.
TABLE = """
CREATE SCHEMA bench;
CREATE TABLE bench.event (LIKE event INCLUDING ALL) PARTITION BY RANGE (timestamp);
CREATE TABLE bench.event_key (LIKE event_key INCLUDING ALL);
"""
PARTITION = """
SELECT format('CREATE TABLE bench.%I PARTITION OF bench.event %s',
              child.relname, pg_get_expr(child.relpartbound, child.oid))
  FROM pg_inherits
  JOIN pg_class child ON child.oid = inhrelid
 WHERE inhparent = 'public.event'::regclass
"""


class Ingest:
    """`kind` is that of the events' properties, see `payloads`."""

    unit = "events/s"

    def __init__(self, site: Site, *, kind: str) -> None:
        self.name = f"ingest, batches of {BATCH_EVENTS}, {kind} properties"
        self.site = site
        self.kind = kind
        self.goals = {COPY: Goal(ratio_min=0.5)}
        self.rows = site.folder / "rows.copy"
        make_tables(site)
        self.take(EVENTS_MAX // 20)  # plans, partitions, caches

    def ours(self) -> Sample:
        with self.site.connect() as conn:
            [(self.since,)] = conn.execute("SELECT clock_timestamp()").fetchall()
        return self.take(EVENTS_MAX)

    def take(self, count: int) -> Sample:
        rng = random.Random()
        visits = count // payloads.EVENTS_PER_PERSON
        persons = payloads.some_persons(self.site.persons, count=visits, rng=rng)
        made = payloads.events(count, persons=persons, kind=self.kind, rng=rng)
        requests = payloads.batches(made, size=BATCH_EVENTS)
        self.site.settle()
        with self.site.meter.measured() as usage:
            done = drive(self.site.port, requests, connections=CONNECTIONS, seconds=SECONDS)
        self.stored = done.requests * BATCH_EVENTS
        return driven(done, usage, operations=self.stored)

    def floors(self) -> dict[str, Sample]:
        rows = self.export()
        assert rows == self.stored, f"{rows} of {self.stored} events are stored"
        return {COPY: self.copy(rows)}

    def export(self) -> int:
        """Write the rows that `ours` made to a file; tells how many."""
        query = f"SELECT * FROM event WHERE received_at >= '{self.since}'"  # noqa: S608, our own
        done = self.site.psql("-c", f"\\copy ({query}) TO '{self.rows}'")
        return int(done.split()[1])

    def copy(self, rows: int) -> Sample:
        self.site.psql("-q", "-c", "TRUNCATE bench.event")
        self.site.settle()
        with self.site.meter.measured() as usage:
            said = self.site.psql("-c", "\\timing on", "-c", f"\\copy bench.event FROM {self.rows}")
        took = MILLISECONDS.search(said)
        assert took is not None, "psql tells the time"
        seconds = float(took[1]) / 1000
        return Sample(figure=rows / seconds, operations=rows, seconds=seconds, **each(usage, rows))


def make_tables(site: Site) -> None:
    with site.connect() as conn:
        if conn.execute("SELECT to_regclass('bench.event')").fetchone() != (None,):
            return
        for statement in TABLE.split(";"):
            if statement.strip():
                conn.execute(statement.encode())
        for (partition,) in conn.execute(PARTITION).fetchall():
            conn.execute(partition.encode())
