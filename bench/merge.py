"""The `$identify` that makes one of two persons with a million ids each; beside one for two ids."""

import random
from datetime import UTC, datetime

from bench import payloads
from bench.load import drive
from bench.measure import Goal, Sample, driven
from bench.site import Site

IDS = 1_000_000
REPEATS = 5  # in each round
FEW = "the same with 2 ids each"

# As if it had not been: the persons as they were, and nothing said of it.
RESET = (
    "DELETE FROM merge",
    "DELETE FROM ledger WHERE version > 0",
    """
    UPDATE person p
       SET properties = b.properties, is_identified = b.is_identified, created_at = b.created_at,
           last_seen_at = b.last_seen_at, version = b.version, merged_into_id = b.merged_into_id
      FROM person_before b
     WHERE p.id = b.id
    """,
)


class Merge:
    name = f"merge of persons with {IDS:,} ids"
    unit = "ms"

    def __init__(self, site: Site) -> None:
        self.site = site
        self.goals = {"": Goal(figure_max=50), FEW: Goal()}
        self.merged(1, 2)

    def ours(self) -> Sample:
        return self.merged(1, 2)

    def floors(self) -> dict[str, Sample]:
        return {FEW: self.merged(3, 4)}

    def merged(self, target: int, source: int) -> Sample:
        """Merge `source` into `target` some times, each time from the same beginning."""
        samples: list[Sample] = []
        for _ in range(REPEATS):
            self.reset()
            samples.append(self.merge(f"person-{target}-1", f"person-{source}-1"))
        samples.sort(key=lambda sample: sample.figure)
        return samples[REPEATS // 2]

    def merge(self, target: str, source: str) -> Sample:
        more = b'{"$anon_distinct_id":"%s"' % source.encode()
        event = payloads.event("$identify", target, more, at=datetime.now(UTC), rng=random.Random())
        with self.site.meter.measured() as usage:
            done = drive(self.site.port, payloads.singles([event]), connections=1)
        with self.site.connect() as conn:
            merged = conn.execute("SELECT count(*) FROM merge").fetchone()
        assert merged == (1,), "the two are one"
        sample = driven(done, usage, operations=1)
        sample.figure = done.seconds * 1000
        return sample

    def reset(self) -> None:
        with self.site.connect() as conn:
            for statement in RESET:
                conn.execute(statement.encode())
