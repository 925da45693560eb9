"""What an import tells: how far it is, what came of the rows, and the bad ones in a file."""

import sys
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import IO, Any, Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from personhood.cli.event_csv import BadRow
from personhood.cli.event_file import EventFile
from personhood.cli.import_run import Verdict
from personhood.errors import PersonhoodError

REJECTS_SHOWN_MAX = 10
LINE_EVERY_S = 10


class Report:
    """Adds up verdicts while it is open: a bar in a terminal, now and then a line elsewhere."""

    def __init__(self, file: EventFile, rejects_path: Path) -> None:
        self.file = file
        self.rejects_path = rejects_path
        self.rejects: IO[bytes] | None = None
        self.read = self.imported = self.known = self.rejected = 0
        self.first_rejected: list[BadRow] = []
        self.persons_before = self.persons_after = 0
        console = Console(stderr=True)
        self.progress = Progress(
            TextColumn("Importing"),
            BarColumn(),
            DownloadColumn(),
            TextColumn("{task.fields[rows]:,} rows"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.progress.add_task("", total=file.bytes, rows=0)
        self.line_at = monotonic() + LINE_EVERY_S

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.progress.stop()
        if self.rejects is not None:
            self.rejects.close()

    def add(self, verdict: Verdict) -> None:
        bad = [row for row in verdict.bad if not row.continued]
        self.imported += verdict.imported
        self.known += verdict.known
        self.rejected += len(bad)
        self.read += verdict.imported + verdict.known + len(bad)
        self.first_rejected += bad[: REJECTS_SHOWN_MAX - len(self.first_rejected)]
        for row in verdict.bad:
            self.put_aside(row)
        self.show_progress()

    def put_aside(self, row: BadRow) -> None:
        """Write a bad row down as it is, under the header it had: to be mended and imported."""
        try:
            if self.rejects is None:
                self.rejects = self.rejects_path.open("wb")
                self.write_line(self.file.header)
            if row.continued:
                self.rejects.seek(-1, 1)  # the line goes on
            self.write_line(row.raw)
        except OSError as error:
            raise PersonhoodError(
                f"Bad rows cannot be written to {self.rejects_path}: {error.strerror}. "
                "Name another place with --rejects; what came before is imported."
            ) from error

    def write_line(self, raw: bytes) -> None:
        assert self.rejects is not None, "opened by the caller"
        if raw:
            self.rejects.write(raw if raw.endswith(b"\n") else raw + b"\n")

    def show_progress(self) -> None:
        self.progress.update(self.task, completed=self.file.position, rows=self.read)
        if self.progress.disable and monotonic() > self.line_at:
            self.line_at = monotonic() + LINE_EVERY_S
            share = self.file.position / max(self.file.bytes, 1)
            print(f"{share:.0%} read, {self.read:,} rows", file=sys.stderr, flush=True)

    def summary(self) -> dict[str, Any]:
        return {
            "file": str(self.file.path),
            "read": self.read,
            "imported": self.imported,
            "already_there": self.known,
            "rejected": self.rejected,
            "first_rejected": [
                {"line": row.line, "reason": row.reason} for row in self.first_rejected
            ],
            "rejects_file": str(self.rejects_path) if self.rejected else None,
            "persons_before": self.persons_before,
            "persons_after": self.persons_after,
        }


def shown(report: Report) -> None:
    """The summary on stdout; before it, on stderr, the first bad rows."""
    for row in report.first_rejected:
        print(f"line {row.line}: {row.reason}", file=sys.stderr)
    if more := report.rejected - len(report.first_rejected):
        print(f"and {more:,} more", file=sys.stderr)
    sys.stderr.flush()
    rejected = f"{report.rejected:,}"
    if report.rejected:
        rejected += f"  (in {report.rejects_path})"
    print(f"Rows read      {report.read:,}")
    print(f"Imported       {report.imported:,}")
    print(f"Already there  {report.known:,}")
    print(f"Rejected       {rejected}")
    print(f"Persons        {report.persons_before:,} before, {report.persons_after:,} after")
