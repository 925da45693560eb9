"""All persons as CSV; beside psql's \\copy of the same persons.

The floor knows beforehand which columns there are, and that nobody was merged into somebody who was
merged. The export has to find out both, and looks at each value for what a spreadsheet would run.
"""

import re
import socket
import time

from bench.load import RECEIVE_BYTES, Unexpected, request
from bench.measure import Goal, Sample, each
from bench.site import Site
from bench.usage import Usage
from tests.server import KEY

FLAT = "\\copy, same columns"
STORED = "\\copy, rows as stored"
MILLISECONDS = re.compile(r"Time: ([0-9.]+) ms")
END = b"\r\n0\r\n\r\n"

KEYS = (
    "$browser $creator_event_uuid $geoip_country_code $initial_current_url $initial_referrer $os "
    "company email name plan seats signup_source"
).split()
# What anybody would write for it by hand, who knows this database.
SAME_COLUMNS = """
SELECT created_at, ids[1], ids[2], uuid, is_identified, last_seen_at,
       coalesce(properties ->> 'email', properties ->> 'name', ids[1]),
       {properties},
       'person', uuid, NULL
  FROM (SELECT *, ARRAY(SELECT distinct_id.distinct_id
                          FROM (SELECT person.id
                                 UNION ALL
                                SELECT id FROM person child WHERE merged_into_id = person.id) member
                          JOIN distinct_id ON distinct_id.person_id = member.id
                         WHERE ended_at IS NULL
                         ORDER BY distinct_id.id) AS ids
          FROM person
         WHERE project_id = 1 AND merged_into_id IS NULL
         ORDER BY created_at DESC, id DESC
        OFFSET 0) person
"""
AS_STORED = """
SELECT id, uuid, created_at, last_seen_at, is_identified, properties
  FROM person
 WHERE project_id = 1 AND merged_into_id IS NULL
 ORDER BY created_at DESC, id DESC
"""


class Export:
    name = "export, all persons as CSV"
    unit = "persons/s"

    def __init__(self, site: Site) -> None:
        self.site = site
        self.goals = {FLAT: Goal(ratio_min=0.5), STORED: Goal()}
        self.ours()

    def ours(self) -> Sample:
        with self.site.meter.measured() as usage:
            seconds, client_s = self.read()
        return sample(usage, self.site.persons, seconds, client_s)

    def read(self) -> tuple[float, float]:
        """Seconds that the whole file takes, and processor seconds of reading it."""
        began, cpu_began = time.perf_counter(), time.process_time()
        path = "/api/projects/1/persons.csv?all=true"
        with socket.create_connection(("127.0.0.1", self.site.port)) as client:
            client.sendall(request("GET", path, headers=(f"Authorization: Bearer {KEY}",)))
            head = tail = client.recv(RECEIVE_BYTES)
            while not tail.endswith(END):
                chunk = client.recv(RECEIVE_BYTES)
                if not chunk:
                    raise Unexpected("the file broke off")
                tail = tail[-len(END) :] + chunk if len(chunk) < len(END) else chunk
        if not head.startswith(b"HTTP/1.1 200"):
            raise Unexpected(head[:500].decode(errors="replace"))
        return time.perf_counter() - began, time.process_time() - cpu_began

    def floors(self) -> dict[str, Sample]:
        properties = ", ".join(f"properties ->> '{key}'" for key in KEYS)
        return {
            FLAT: self.copied(SAME_COLUMNS.format(properties=properties)),
            STORED: self.copied(AS_STORED),
        }

    def copied(self, query: str) -> Sample:
        command = f"\\copy ({' '.join(query.split())}) TO '/dev/null' (FORMAT csv)"
        with self.site.meter.measured() as usage:
            said = self.site.psql("-q", "-c", "\\timing on", "-c", command)
        match = MILLISECONDS.search(said)
        if match is None:
            raise RuntimeError(f"psql told no time: {said[:500]}")
        return sample(usage, self.site.persons, float(match[1]) / 1000, 0.0)


def sample(usage: Usage, persons: int, seconds: float, client_s: float) -> Sample:
    return Sample(
        figure=persons / seconds,
        operations=persons,
        seconds=seconds,
        client_share=client_s / seconds,
        **each(usage, persons),
    )
