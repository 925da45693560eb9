"""Processor time, by who took it: the answer to noise. A busy machine stretches the clock, while
the processor seconds for an event stay nearly the same.
"""

import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from msgspec import Struct


class Usage(Struct):
    """Processor seconds: of the server's processes, of PostgreSQL's, of psql and pgbench."""

    server_s: float = 0.0
    postgres_s: float = 0.0
    tools_s: float = 0.0


class Meter:
    """Reads how much processor time a server and its PostgreSQL have taken."""

    def __init__(self, server_pid: int, postgres: Path) -> None:
        self.server = psutil.Process(server_pid)
        self.postgres = psutil.Process(int((postgres / "postmaster.pid").read_text().split()[0]))

    def read(self) -> Usage:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return Usage(
            family_cpu_s(self.server),
            family_cpu_s(self.postgres),
            children.ru_utime + children.ru_stime,
        )

    @contextmanager
    def measured(self) -> Iterator[Usage]:
        """The usage inside the block, filled in when it ends."""
        usage, before = Usage(), self.read()
        yield usage
        after = self.read()
        usage.server_s = after.server_s - before.server_s
        usage.postgres_s = after.postgres_s - before.postgres_s
        usage.tools_s = after.tools_s - before.tools_s


def family_cpu_s(process: psutil.Process) -> float:
    """Of a process, its live children, and those that it has waited for."""
    while True:
        own = process.cpu_times()
        total = own.user + own.system + own.children_user + own.children_system
        for child in process.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                times = child.cpu_times()
                total += times.user + times.system
        again = process.cpu_times()
        # A child that was waited for meanwhile may be missing, or counted twice.
        if (again.children_user, again.children_system) == (own.children_user, own.children_system):
            return total
