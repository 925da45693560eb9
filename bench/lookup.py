"""A person read by its distinct id; beside pgbench, which runs the same look-ups."""

import asyncio
import random

from bench import pgbench, recorded
from bench.load import drive, last_answer, request
from bench.measure import Goal, Sample, driven
from bench.site import Site
from personhood.store import person_lookup
from personhood.store.person_lookup import Name
from tests.server import KEY

REQUESTS_MAX = 40_000
SECONDS = 3
FLOOR_SECONDS = 2
OWN = "pgbench, our statements"
JOINED = "pgbench, one join"
ROW_DISTINCT_IDS_MAX = 1000

# What anybody would write for it by hand.
ONE_JOIN = """\\set n random(1, {persons})
SELECT p.id, p.uuid, p.properties, p.created_at, p.last_seen_at, p.is_identified \
FROM distinct_id d JOIN person p ON p.id = d.person_id \
WHERE d.project_id = 1 AND d.distinct_id = 'user-' || :n AND d.ended_at IS NULL;
"""


class Lookup:
    name = f"GET person by distinct id, {pgbench.CLIENTS} connections"
    unit = "requests/s"

    def __init__(self, site: Site) -> None:
        self.site = site
        self.goals = {OWN: Goal(ratio_min=0.3), JOINED: Goal()}
        number = site.persons // 2 + 1  # one that nobody was merged into
        text = f"user-{number}"
        name = Name(1, text, ROW_DISTINCT_IDS_MAX)
        taken = asyncio.run(
            recorded.statements(site.url, lambda conn: person_lookup.owners(conn, [name]))
        )
        self.own = recorded.script(taken, number=number, text=text, persons=site.persons)
        answer = last_answer(site.port, asked(number))
        assert f'"distinct_ids":["{text}"'.encode() in answer, answer
        self.take(REQUESTS_MAX // 20)

    def ours(self) -> Sample:
        return self.take(REQUESTS_MAX)

    def take(self, count: int) -> Sample:
        rng = random.Random()
        requests = [asked(rng.randint(1, self.site.persons)) for _ in range(count)]
        with self.site.meter.measured() as usage:
            done = drive(self.site.port, requests, connections=pgbench.CLIENTS, seconds=SECONDS)
        return driven(done, usage, operations=done.requests)

    def floors(self) -> dict[str, Sample]:
        joined = ONE_JOIN.format(persons=self.site.persons)
        return {
            OWN: pgbench.run(self.site, self.own, seconds=FLOOR_SECONDS),
            JOINED: pgbench.run(self.site, joined, seconds=FLOOR_SECONDS),
        }


def asked(number: int) -> bytes:
    return request(
        "GET",
        f"/api/projects/1/persons/?distinct_id=user-{number}",
        headers=(f"Authorization: Bearer {KEY}",),
    )
