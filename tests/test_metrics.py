"""Figures of several processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from personhood import metrics

COUNTING = """
from personhood import metrics
metrics.events_stored.inc(3)
metrics.ingestion_warnings.labels("cannot_merge").inc()
metrics.ingest_group_events.observe(3)
metrics.ingest_queue_bytes.set(1000)
if {exposing}:
    print(metrics.exposition().decode())
"""


def process(folder: Path, *, exposing: bool) -> str:
    return subprocess.run(
        [sys.executable, "-c", COUNTING.format(exposing=exposing)],
        env=os.environ | {metrics.FOLDER_VARIABLE: str(folder)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_counts_of_processes_add_up_and_a_dead_one_has_no_queue(tmp_path: Path) -> None:
    process(tmp_path, exposing=False)
    figures = process(tmp_path, exposing=True)
    assert "personhood_events_stored_total 6.0" in figures
    assert 'personhood_ingestion_warnings_total{type="cannot_merge"} 2.0' in figures
    assert "personhood_ingest_group_events_sum 6.0" in figures
    assert "personhood_ingest_queue_bytes 1000.0" in figures


async def test_an_error_that_reaches_the_server_counts_as_500() -> None:
    async def broken(*_: object) -> None:
        raise ValueError

    async def none(*_: object) -> None: ...

    measured = metrics.Measured(broken)
    with pytest.raises(ValueError):
        await measured({"type": "http", "method": "GET", "path_template": "/x"}, none, none)
    assert ("GET", "/x", 500) in measured.children


async def test_what_is_no_request_passes_unmeasured() -> None:
    seen: list[object] = []

    async def app(scope: object, *_: object) -> None:
        seen.append(scope)

    measured = metrics.Measured(app)
    await measured({"type": "lifespan"}, None, None)
    assert seen == [{"type": "lifespan"}]
    assert measured.children == {}
