"""Where the time goes: `python -m bench.profile --help`.

The worker's Python by py-spy (which has to be installed beside: `pip install py-spy`), PostgreSQL's
by pg_stat_statements, under the same load as the measurement of that name.
"""

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
from cyclopts import App

from bench.ingest import Ingest
from bench.lookup import Lookup
from bench.measure import Measurement, Sample
from bench.single import Single
from bench.site import Site, site

LOADS: dict[str, Callable[[Site], Measurement]] = {
    "ingest": lambda site: Ingest(site, kind="plain"),
    "browser": lambda site: Ingest(site, kind="browser"),
    "single": Single,
    "lookup": Lookup,
}
CONFIGURATION = """
shared_preload_libraries = 'pg_stat_statements'
pg_stat_statements.track_utility = on
"""
STATEMENTS = """
SELECT calls, total_exec_time, rows, shared_blks_hit + shared_blks_read AS blocks, wal_bytes,
       regexp_replace(query, '\\s+', ' ', 'g')
  FROM pg_stat_statements
 WHERE calls > 5
 ORDER BY total_exec_time DESC
 LIMIT %(most)s
"""
LOOP = "Handle._run  asyncio/events.py"
OUTSIDE = "(event loop and waiting)"
SAMPLES_PER_S = 250
SECONDS = 3

app = App(name="bench-profile", help=__doc__)


@app.default
def run(load: str = "ingest", *, persons: int = 10_000, top: int = 30) -> None:
    """Profile one of ingest, browser, single, lookup.

    Parameters
    ----------
    persons
        How many persons the database has.
    top
        How many functions, and half as many statements, are shown.
    """
    spy = shutil.which("py-spy")
    if spy is None:
        sys.exit("py-spy is needed: pip install py-spy")
    with site(
        "fill.sql",
        persons=persons,
        variables=[f"persons={persons}"],
        workers=1,
        configuration=CONFIGURATION,
    ) as each:
        measurement = LOADS[load](each)
        with each.connect() as conn:
            conn.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
            conn.execute("SELECT pg_stat_statements_reset()")
        stacks, sample = spied(spy, each, measurement)
        show_sample(sample)
        show_stacks(stacks, top)
        show_statements(each, sample, most=top // 2)


def spied(spy: str, each: Site, measurement: Measurement) -> tuple[str, Sample]:
    """The collapsed stacks of the worker while the load ran, and what that came to."""
    file = each.folder / "stacks"
    [worker] = [
        child for child in psutil.Process(each.server.process.pid).children() if is_worker(child)
    ]
    recording = subprocess.Popen(
        [spy, "record", "--pid", str(worker.pid), "--rate", str(SAMPLES_PER_S), "--format", "raw",
         "--output", str(file), "--duration", str(SECONDS + 1)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    sample = measurement.ours()
    _, complaint = recording.communicate(timeout=60)
    if recording.returncode != 0:
        sys.exit(f"py-spy failed: {complaint}")
    return file.read_text(), sample


def is_worker(process: psutil.Process) -> bool:
    return "python" in process.name() or "granian" in process.name()


def show_sample(sample: Sample) -> None:
    print(
        f"{sample.figure:,.0f}/s; each: server {sample.server_us:.0f} µs, "
        f"PostgreSQL {sample.postgres_us:.0f} µs; client {sample.client_share:.0%} of a core\n"
    )


def show_stacks(stacks: str, top: int) -> None:
    """Of what the event loop ran; the rest is the server's own threads, and waiting."""
    own: Counter[str] = Counter()
    inside: Counter[str] = Counter()
    total = 0
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        total += int(count)
        frames = [name_of(frame) for frame in stack.split(";")]
        if LOOP not in frames:
            own[OUTSIDE] += int(count)
            continue
        frames = frames[frames.index(LOOP) + 1 :] or [LOOP]
        own[frames[-1]] += int(count)
        for frame in set(frames):
            inside[frame] += int(count)
    for title, counted in (("by itself", own), ("with what it calls", inside)):
        print(f"Share of the worker's samples, {title}:")
        for frame, count in counted.most_common(top):
            print(f"  {count / total:6.1%}  {frame}")
        print()


def name_of(frame: str) -> str:
    """`function (module.py:12)` without the line, and the file as short as it is telling."""
    function, _, place = frame.rpartition(" (")
    path = Path(place.rpartition(":")[0] or place.rstrip(")"))
    return f"{function}  {'/'.join(path.parts[-2:])}"


def show_statements(each: Site, sample: Sample, *, most: int) -> None:
    print("PostgreSQL's statements: calls, ms each, µs an operation, blocks each, WAL bytes each")
    with each.connect() as conn:
        rows = conn.execute(STATEMENTS.encode(), {"most": most}).fetchall()
    for calls, total_ms, _, blocks, wal, query in rows:
        print(
            f"  {calls:6,} {total_ms / calls:8.3f} {total_ms / sample.operations * 1000:7.1f} "
            f"{blocks / calls:8,.0f} {wal / calls:9,.0f}  {query.strip()[:95]}"
        )


if __name__ == "__main__":
    app()
