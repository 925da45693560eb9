"""What `/metrics` tells. Worker processes share their figures through files in the folder that
PROMETHEUS_MULTIPROC_DIR names, which `personhood serve` sets before this module is imported.
"""

import os
from pathlib import Path
from time import perf_counter
from typing import Any

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

events_stored = Counter("personhood_events_stored", "Events committed to the database.")
ingestion_warnings = Counter(
    "personhood_ingestion_warnings", "Ingestion warnings recorded, by their type.", ["type"]
)
events_of_no_project = Counter(
    "personhood_events_of_no_project", "Events answered 200, but whose token no project has."
)
ingest_group_events = Histogram(
    "personhood_ingest_group_events",
    "Events committed in one transaction.",
    buckets=(1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000),
)
ingest_queue_bytes = Gauge(
    "personhood_ingest_queue_bytes",
    "Bytes of events waiting to be stored.",
    multiprocess_mode="livesum",
)
http_requests = Counter(
    "personhood_http_requests", "Requests answered.", ["method", "route", "status"]
)
http_request_seconds = Histogram(
    "personhood_http_request_seconds",
    "Time from a request to the end of its answer.",
    ["method", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

# Anybody can send any method or path; only these become labels, so that their number stays small.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNKNOWN_METHOD = "other"
UNKNOWN_ROUTE = "unmatched"


class Measured:
    """An ASGI application whose requests are counted and timed."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 500

        async def note_status(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began = perf_counter()
        try:
            await self.app(scope, receive, note_status)
        finally:
            self.record(scope, status, perf_counter() - began)

    def record(self, scope: Any, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in METHODS else UNKNOWN_METHOD
        # The router puts the template there, unless no route fits.
        key = (method, scope.get("path_template") or UNKNOWN_ROUTE, status)
        children = self.children.get(key)
        if children is None:
            children = self.children[key] = (
                http_requests.labels(method, key[1], status),
                http_request_seconds.labels(method, key[1]),
            )
        count, time = children
        count.inc()
        time.observe(seconds)


def exposition() -> bytes:
    """Every figure, of all workers, in the Prometheus text format."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder is None:
        return generate_latest(REGISTRY)
    forget_dead_workers(Path(folder))
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=folder)
    return generate_latest(registry)


def forget_dead_workers(folder: Path) -> None:
    """Drop the gauges of workers that are gone; what they counted stays."""
    for pid in {int(file.stem.rpartition("_")[2]) for file in folder.glob("gauge_live*.db")}:
        if not is_alive(pid):
            mark_process_dead(pid, str(folder))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
