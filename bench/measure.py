"""What a measurement is: something of ours, and its floors, done in turn for some rounds."""

from statistics import median
from typing import Protocol

from msgspec import Struct, field

from bench.load import Drive
from bench.site import Site
from bench.usage import Usage


class Sample(Struct, kw_only=True):
    """One run of one thing. Processor times are for one operation, in microseconds.

    `figure` is what is compared: operations per second, or the milliseconds of one.
    """

    figure: float
    operations: int
    seconds: float
    server_us: float = 0.0
    postgres_us: float = 0.0
    tools_us: float = 0.0
    client_share: float = 0.0
    p50_ms: float | None = None
    p99_ms: float | None = None


class Goal(Struct, frozen=True, kw_only=True):
    """What is to be reached: a share of the floor, a figure, or either of them at the most."""

    ratio_min: float | None = None
    figure_min: float | None = None
    figure_max: float | None = None

    def is_reached(self, *, figure: float, ratio: float) -> bool:
        return not (
            (self.ratio_min is not None and ratio < self.ratio_min)
            or (self.figure_min is not None and figure < self.figure_min)
            or (self.figure_max is not None and figure > self.figure_max)
        )

    def __str__(self) -> str:
        if self.ratio_min is not None:
            return f">= {self.ratio_min:.0%}"
        if self.figure_min is not None:
            return f">= {self.figure_min:,.0f}"
        return "" if self.figure_max is None else f"<= {self.figure_max:,.0f}"


class Measurement(Protocol):
    """Something that is measured on one site. `goals` are by floor; "" means the figure alone."""

    name: str
    unit: str
    site: Site
    goals: dict[str, Goal]

    def ours(self) -> Sample: ...

    def floors(self) -> dict[str, Sample]:
        """The same work without us, right after `ours`."""
        ...


class Result(Struct, kw_only=True):
    """All samples of a measurement on one site. The n-th ones were taken one after another."""

    name: str
    unit: str
    persons: int
    ours: list[Sample] = field(default_factory=list)
    floors: dict[str, list[Sample]] = field(default_factory=dict)

    def ratios(self, floor: str) -> list[float]:
        """Ours as a share of the floor beside it, so that noise of a minute hits both."""
        pairs = zip(self.ours, self.floors[floor], strict=True)
        return [ours.figure / beside.figure for ours, beside in pairs]


def typical(samples: list[Sample], name: str) -> float:
    values = [value for sample in samples if (value := getattr(sample, name)) is not None]
    return median(values) if values else 0.0


def driven(drive: Drive, usage: Usage, *, operations: int) -> Sample:
    """A sample of requests that we answered."""
    return Sample(
        figure=operations / drive.seconds,
        operations=operations,
        seconds=drive.seconds,
        client_share=drive.client_cpu_s / drive.seconds,
        p50_ms=drive.percentile_ms(0.50),
        p99_ms=drive.percentile_ms(0.99),
        **each(usage, operations),
    )


def each(usage: Usage, operations: int) -> dict[str, float]:
    """Processor microseconds for one operation."""
    return {
        "server_us": usage.server_s / operations * 1e6,
        "postgres_us": usage.postgres_s / operations * 1e6,
        "tools_us": usage.tools_s / operations * 1e6,
    }
