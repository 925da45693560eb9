"""One event in each request; beside the cheapest request there is, and a durable INSERT each."""

import json
import random

from bench import payloads, pgbench
from bench.ingest import make_tables
from bench.load import drive, request
from bench.measure import Goal, Sample, driven
from bench.site import Site

REQUESTS_MAX = 25_000
ALIVE_REQUESTS_MAX = 50_000
SECONDS = 3
FLOOR_SECONDS = 2
ALIVE = "our /_liveness"
INSERT = "pgbench, one INSERT each"

SCRIPT = """\\set n random(1, {persons})
INSERT INTO bench.event (project_id, distinct_id_id, timestamp, uuid, name, received_at, \
person_id, person_version, person_mode, properties) VALUES (1, :n, now(), gen_random_uuid(), \
'order placed', now(), :n, 0, 0, '{properties}'::jsonb);
"""


class Single:
    name = f"single events, {pgbench.CLIENTS} connections"
    unit = "events/s"

    def __init__(self, site: Site) -> None:
        self.site = site
        self.goals = {"": Goal(figure_min=5000), ALIVE: Goal(), INSERT: Goal()}
        make_tables(site)
        self.take(REQUESTS_MAX // 20)

    def ours(self) -> Sample:
        return self.take(REQUESTS_MAX)

    def take(self, count: int) -> Sample:
        rng = random.Random()
        visits = count // payloads.EVENTS_PER_PERSON
        persons = payloads.some_persons(self.site.persons, count=visits, rng=rng)
        made = payloads.events(count, persons=persons, kind="plain", rng=rng)
        self.site.settle()
        return self.drive(payloads.singles(made), seconds=SECONDS)

    def drive(self, requests: list[bytes], *, seconds: float) -> Sample:
        with self.site.meter.measured() as usage:
            done = drive(self.site.port, requests, connections=pgbench.CLIENTS, seconds=seconds)
        return driven(done, usage, operations=done.requests)

    def floors(self) -> dict[str, Sample]:
        alive = self.drive(
            [request("GET", "/_liveness")] * ALIVE_REQUESTS_MAX, seconds=FLOOR_SECONDS
        )
        # With a space behind each colon: pgbench takes `:true` for a variable.
        properties = json.dumps(json.loads(payloads.TEMPLATES["plain"] + b"}"))
        script = SCRIPT.format(persons=self.site.persons, properties=properties)
        self.site.psql("-q", "-c", "TRUNCATE bench.event")
        self.site.settle()
        return {ALIVE: alive, INSERT: pgbench.run(self.site, script, seconds=FLOOR_SECONDS)}
