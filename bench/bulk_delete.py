"""Deleting all persons that a filter finds, from the request to the last receipt; beside one plain
SQL transaction that deletes the same rows, without locks, receipts, counts, activity or looking
whether they are gone.

The floor comes first and is rolled back. Each round is about another part of the persons.
"""

import json
import time
import urllib.request
from itertools import pairwise
from typing import Any

from bench.measure import Goal, Sample, each
from bench.site import Site
from tests.server import KEY

PATH = "/api/projects/1/persons/bulk_delete"
PARTS = 100  # the values of the property that persons are chosen by
POLL_S = 0.05
PERSONS_A_SECOND = 10_000  # a million in 100 s
PLAIN = "plain SQL, rolled back"

CHOOSE = """
    CREATE TEMP TABLE chosen ON COMMIT DROP AS
    SELECT id
      FROM person
     WHERE project_id = 1
       AND merged_into_id IS NULL
       AND (properties ->> 'seats')::int >= %(since)s
       AND (properties ->> 'seats')::int < %(until)s
    """
STATEMENTS = (
    """
    INSERT INTO chosen
    SELECT person.id FROM person JOIN chosen ON person.merged_into_id = chosen.id
    """,
    "ANALYZE chosen",
    """
    UPDATE distinct_id
       SET ended_at = now(), person_id = NULL
      FROM chosen
     WHERE person_id = chosen.id
    """,
    "DELETE FROM ledger USING chosen WHERE person_id = chosen.id",
    "DELETE FROM merge USING chosen WHERE source_id = chosen.id",
    "DELETE FROM person USING chosen WHERE person.id = chosen.id",
)


class BulkDelete:
    name = "delete by filter"
    unit = "persons/s"

    def __init__(self, site: Site, *, rounds: int) -> None:
        self.site = site
        self.goals = {"": Goal(figure_min=PERSONS_A_SECOND), PLAIN: Goal()}
        bounds = [turn * PARTS // rounds for turn in range(rounds + 1)]
        self.parts = list(pairwise(bounds))
        self.beside: Sample | None = None

    def ours(self) -> Sample:
        since, until = self.parts.pop(0)
        self.beside = self.plain(since, until)
        self.site.settle()
        between = [
            {"key": "seats", "operator": "gte", "value": since},
            {"key": "seats", "operator": "lt", "value": until},
        ]
        began = time.perf_counter()
        with self.site.meter.measured() as usage:
            asked = self.ask("POST", "/", {"properties": between})
            bulk = self.ask("GET", f"/{asked['bulk_deletion']['id']}/")
            answered_s = time.perf_counter() - began
            while bulk["state"] != "completed":
                time.sleep(POLL_S)
                bulk = self.ask("GET", f"/{bulk['id']}/")
        seconds = time.perf_counter() - began
        self.check(bulk)
        return Sample(
            figure=bulk["done"] / seconds,
            operations=bulk["done"],
            seconds=seconds,
            p99_ms=answered_s * 1000,
            **each(usage, bulk["done"]),
        )

    def ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.site.server.url}{PATH}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def check(self, bulk: dict[str, Any]) -> None:
        """Everybody is gone, and each receipt says so."""
        assert (bulk["done"], bulk["missing"]) == (bulk["persons"], 0), bulk
        with self.site.connect() as conn:
            [undone] = conn.execute(
                "SELECT count(*) FROM deletion WHERE state <> 'completed'"
            ).fetchone() or [None]
        assert undone == 0, f"{undone} receipts are not completed"

    def floors(self) -> dict[str, Sample]:
        assert self.beside is not None, "`ours` comes first"
        return {PLAIN: self.beside}

    def plain(self, since: int, until: int) -> Sample:
        with self.site.connect() as conn, self.site.meter.measured() as usage:
            began = time.perf_counter()
            with conn.transaction(force_rollback=True):
                persons = conn.execute(CHOOSE, {"since": since, "until": until}).rowcount
                for statement in STATEMENTS:
                    conn.execute(statement.encode())
            seconds = time.perf_counter() - began
        return Sample(
            figure=persons / seconds,
            operations=persons,
            seconds=seconds,
            **each(usage, persons),
        )
