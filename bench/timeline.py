"""The timeline of a person with a million events, beside PostgreSQL counting them."""

import time

from bench.load import drive, request
from bench.measure import Goal, Sample, driven
from bench.site import Site
from tests.server import KEY

EVENTS = 1_000_000
REPEATS = 5  # in each round
COUNT = "count(*) of its events"
QUERY = "date_from=-40d&properties=%5B%7B%22key%22%3A%22plan%22%2C%22type%22%3A%22person%22%7D%5D"


class Timeline:
    """The median of some requests, one after another."""

    name = f"timeline of {EVENTS:,} events"
    unit = "ms"

    def __init__(self, site: Site) -> None:
        self.site = site
        self.goals = {"": Goal(figure_max=200), COUNT: Goal()}
        self.ours()

    def ours(self) -> Sample:
        asked = request(
            "GET",
            f"/api/projects/1/persons/1/properties_timeline?{QUERY}",
            headers=(f"Authorization: Bearer {KEY}",),
        )
        with self.site.meter.measured() as usage:
            done = drive(self.site.port, [asked] * REPEATS, connections=1)
        sample = driven(done, usage, operations=REPEATS)
        sample.figure = done.percentile_ms(0.5)
        return sample

    def floors(self) -> dict[str, Sample]:
        times: list[float] = []
        with self.site.connect() as conn:
            for _ in range(REPEATS):
                start = time.perf_counter()
                conn.execute("SELECT count(*) FROM event WHERE person_id = 1")
                times.append(time.perf_counter() - start)
        median = sorted(times)[REPEATS // 2]
        return {COUNT: Sample(figure=median * 1000, operations=REPEATS, seconds=sum(times))}
