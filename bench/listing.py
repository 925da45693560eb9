"""Lists of persons: the newest, and those that a search finds."""

import random

from bench.load import drive, request
from bench.measure import Goal, Sample, driven
from bench.site import Site
from tests.server import KEY

SEARCH_MS_MAX = 100
REPEATS = 3


class Listing:
    """The median of some requests, one after another."""

    unit = "ms"

    def __init__(self, site: Site, *, search: bool) -> None:
        self.site = site
        self.name = "list, searched" if search else "list, newest persons"
        self.search = search
        self.goals = {"": Goal(figure_max=SEARCH_MS_MAX) if search else Goal()}
        self.ours()

    def ours(self) -> Sample:
        requests = [self.request() for _ in range(REPEATS)]
        with self.site.meter.measured() as usage:
            done = drive(self.site.port, requests, connections=1)
        sample = driven(done, usage, operations=REPEATS)
        sample.figure = done.percentile_ms(0.5)
        return sample

    def floors(self) -> dict[str, Sample]:
        return {}

    def request(self) -> bytes:
        number = random.randint(1, self.site.persons)
        query = f"?search=user-{number}@example" if self.search else "?limit=100"
        return request(
            "GET",
            f"/api/projects/1/persons/{query}",
            headers=(f"Authorization: Bearer {KEY}",),
        )
