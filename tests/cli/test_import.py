"""`personhood import`, on real databases: what goes in, what does not, what is told."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from personhood.cli import import_run
from tests.cli.conftest import Command, Done
from tests.server import Server, command, environment

CDNOW = Path(__file__).parents[2] / "examples" / "cdnow" / "cdnow.txt.gz"
CDNOW_MAP = "distinct_id=customer_id,event='purchase',timestamp=date:%Y%m%d"
UUID_1 = "0190a0b0-0000-7000-8000-000000000001"


@pytest.fixture
def project(personhood: Command, database: str) -> int:
    return json.loads(personhood("project", "create", "A", "--json", DATABASE_URL=database).out)[
        "id"
    ]


@pytest.fixture
def importing(personhood: Command, database: str, project: int, tmp_path: Path) -> "Importing":
    return Importing(personhood, database, tmp_path)


class Importing:
    def __init__(self, personhood: Command, database: str, folder: Path) -> None:
        self.personhood = personhood
        self.database = database
        self.path = folder / "events.txt"

    def __call__(self, *arguments: str) -> Done:
        return self.personhood("import", str(self.path), *arguments, DATABASE_URL=self.database)

    def json(self, *arguments: str) -> dict[str, Any]:
        return json.loads(self(*arguments, "--json").out)

    def write(self, *rows: object) -> None:
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        self.path.write_text("".join(f"{line}\n" for line in lines))

    def query(self, statement: str) -> list[Any]:
        with psycopg.connect(self.database) as conn:
            return conn.execute(statement).fetchall()

    def state(self) -> list[Any]:
        """All that an import could change."""
        tables = ("event", "event_key", "person", "distinct_id", "ledger", "merge")
        return [
            *(self.query(f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4") for table in tables),
            self.query("SELECT count(*) FROM ingestion_warning"),
        ]


def row(number: int, **more: object) -> dict[str, object]:
    return {
        "event": "page",
        "distinct_id": f"id {number % 7}",
        "timestamp": "2024-03-05T10:00:00Z",
        "properties": {"number": number, "$set": {"last": number}},
        **more,
    }


def test_json_lines_become_events_and_persons(importing: Importing) -> None:
    importing.write(
        row(1, uuid=UUID_1, properties='{"a": 1}', set={"plan": "pro"}, ip="192.0.2.1"),
        row(2, event="$identify", properties={"$anon_distinct_id": "id 1"}),
    )
    done = importing()
    assert (done.code, done.err) == (0, "")
    assert [line.split(maxsplit=2) for line in done.out.splitlines()] == [
        ["Rows", "read", "2"],
        ["Imported", "2"],
        ["Already", "there", "0"],
        ["Rejected", "0"],
        ["Persons", "0", "before, 1 after"],
    ]
    [(uuid, properties)] = importing.query(
        "SELECT uuid::text, properties FROM event WHERE name = 'page'"
    )
    assert (uuid, properties) == (UUID_1, {"a": 1, "$ip": "192.0.2.1", "$set": {"plan": "pro"}})
    [(person, identified)] = importing.query(
        "SELECT properties ->> 'plan', is_identified FROM person WHERE merged_into_id IS NULL"
    )
    assert (person, identified) == ("pro", True)


def test_importing_again_changes_nothing(importing: Importing) -> None:
    importing.write(*(row(number) for number in range(20)), *(row(1), row(1)), '{"event": 1}')
    first = importing.json()
    assert (first["imported"], first["rejected"]) == (22, 1)
    before = importing.state()
    again = importing.json()
    assert again | {"imported": 0, "already_there": 22, "persons_before": 7} == again
    assert importing.state() == before


def test_the_same_event_twice_in_a_file_is_one(importing: Importing) -> None:
    importing.write(row(1, uuid=UUID_1), row(1, uuid=UUID_1))
    told = importing.json()
    assert (told["imported"], told["already_there"]) == (1, 1)
    assert importing.query("SELECT count(*) FROM event") == [(1,)]


def test_bad_rows_are_put_aside_and_the_others_go_in(importing: Importing) -> None:
    bad = [
        "not json",
        "[1]",
        row(1, distinct_id=""),
        row(2, distinct_id=None),
        row(3, event=""),
        row(4, timestamp="soon"),
        row(5, uuid="7"),
        row(6, properties={"$cookieless_mode": "yes"}),
        row(7, event="$snapshot"),
        row(8, properties={"big": "x" * (1024 * 1024)}),
        row(9, properties={"$process_person_profile": False}, event="$create_alias"),
        row(10, timestamp=None),
    ]
    rows = [each for number, wrong in enumerate(bad) for each in (row(number), wrong)]
    importing.write(*rows)
    done = importing("--json")
    assert done.code == 3
    told = json.loads(done.out)
    assert (told["read"], told["imported"], told["rejected"]) == (24, 12, 12)
    assert [(each["line"], each["reason"]) for each in told["first_rejected"]] == [
        (2, "not JSON: Expecting value at column 1"),
        (4, "not a JSON object"),
        (6, "event submitted without a distinct_id"),
        (8, "event submitted without a distinct_id"),
        (10, "no event name"),
        (12, "timestamp not understood: 'soon'"),
        (14, "uuid is not one: '7'"),
        (16, "event submitted with invalid cookieless mode"),
        (18, "schema_validation_failed"),
        (20, "maximum event size exceeded: 1048586 bytes, allowed are 1048576"),
    ]
    rejects = Path(told["rejects_file"])
    assert rejects == importing.path.with_name("events.txt.rejects.ndjson")
    assert rejects.read_text().splitlines() == importing.path.read_text().splitlines()[1::2]
    assert importing.query("SELECT count(*) FROM ingestion_warning") == [(0,)]

    shown = importing()
    assert shown.code == 3
    assert shown.err.splitlines()[0] == "line 2: not JSON: Expecting value at column 1"
    assert shown.err.splitlines()[10:] == ["and 2 more"]
    assert f"Rejected       12  (in {rejects})" in shown.out


def test_rejects_of_a_csv_have_its_header_and_can_be_mended(
    importing: Importing, tmp_path: Path
) -> None:
    header = "user;at;event;note"
    importing.write(header, "ada;2024-01-01;page;1", "bob;never;page;2", 'eve;2024-01-01;page;"3')
    elsewhere = tmp_path / "bad"
    arguments = ("--map", "distinct_id=user,timestamp=at", "--rejects", str(elsewhere))
    told = importing.json(*arguments)
    assert told["first_rejected"] == [
        {"line": 3, "reason": "timestamp not understood: 'never'"},
        {"line": 4, "reason": "a quote is opened and never closed"},
    ]
    assert elsewhere.read_text() == f'{header}\nbob;never;page;2\neve;2024-01-01;page;"3\n'
    importing.path = tmp_path / "mended"
    importing.path.write_text(elsewhere.read_text().replace("never", "2024-01-01") + '"\n')
    assert importing.json(*arguments[:2])["imported"] == 2
    assert importing.query("SELECT properties ->> 'note' FROM event ORDER BY 1") == [
        ("1",),
        ("2",),
        ("3\n",),
    ]


def test_a_line_that_is_too_long_is_put_aside_whole(
    importing: Importing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("personhood.cli.event_file.LINE_BYTES_MAX", 1000)
    importing.write(row(1), {"a": "x" * 10_000}, row(2), {"a": "y" * 2000})
    told = importing.json()
    assert (told["read"], told["imported"], told["rejected"]) == (4, 2, 2)
    assert [each["line"] for each in told["first_rejected"]] == [2, 4]
    rejects = Path(told["rejects_file"]).read_text()
    assert rejects.splitlines() == importing.path.read_text().splitlines()[1::2]


def test_what_the_database_refuses_is_a_bad_row_too(importing: Importing) -> None:
    with psycopg.connect(importing.database) as conn:
        conn.execute(
            """
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN RAISE 'it is poison'; END $$;
            CREATE TRIGGER refuse BEFORE INSERT ON event FOR EACH ROW
                WHEN (new.name = 'poison') EXECUTE FUNCTION refuse()
            """
        )
    importing.write(row(1), row(2, event="poison"), row(3))
    told = importing.json()
    assert (told["imported"], told["already_there"], told["rejected"]) == (2, 0, 1)
    assert told["first_rejected"][0]["line"] == 2
    assert told["first_rejected"][0]["reason"].endswith("cannot be stored: it is poison")


def test_batches_are_counted_right_and_the_newest_value_holds(
    importing: Importing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_run, "BATCH_ROWS_MAX", 3)

    def ada(number: int) -> dict[str, object]:
        at = f"2024-03-05T{10 + number // 60}:{number % 60:02}:00Z"
        return row(number, distinct_id="ada", timestamp=at)

    importing.write(*(ada(number) for number in range(100)))
    assert importing.json()["imported"] == 100
    assert importing.query("SELECT properties -> 'last' FROM person") == [(99,)]
    importing.write(*(ada(number) for number in range(110)))
    told = importing.json()
    assert (told["imported"], told["already_there"]) == (10, 100)


def test_times_stay_as_they_are_and_events_are_historical(importing: Importing) -> None:
    importing.write(row(1, timestamp="1997-01-01T00:00:00+01:00"))
    importing()
    assert importing.query("SELECT timestamp AT TIME ZONE 'UTC' FROM event")[0][0].isoformat() == (
        "1996-12-31T23:00:00"
    )
    [(created_at,)] = importing.query("SELECT created_at AT TIME ZONE 'UTC' FROM person")
    assert created_at.isoformat() == "1996-12-31T23:00:00"


def test_a_project_can_be_named(importing: Importing, personhood: Command) -> None:
    personhood("project", "create", "B", DATABASE_URL=importing.database)
    importing.write(row(1))
    assert importing.json("--project", "2")["imported"] == 1
    assert importing.query("SELECT project_id FROM event") == [(2,)]
    assert importing.json("--project", "1")["imported"] == 1, "another project, another event"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--project", "9"], "There is no project 9; see `personhood project list`."),
        (["--map", "user=x"], "--map does not understand 'user=x'"),
        (["--rejects", "{path}"], "The rejects cannot go into the file that is read."),
        (["--rejects", "/nowhere/x"], "Bad rows cannot be written to /nowhere/x: No such file"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    importing: Importing, arguments: list[str], complaint: str
) -> None:
    importing.write(row(1), "bad")
    done = importing(*(each.format(path=importing.path) for each in arguments))
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"personhood: {complaint}")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "complaint"), [("missing", "There is no file"), (".", "is a folder, not a file")]
)
def test_a_file_that_is_none_is_one_line(
    importing: Importing, tmp_path: Path, name: str, complaint: str
) -> None:
    importing.path = tmp_path / name
    done = importing()
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert complaint in done.err


def test_a_database_without_a_project_says_so(
    personhood: Command, database: str, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text(json.dumps(row(1)))
    done = personhood("import", str(tmp_path / "a"), DATABASE_URL=database)
    assert done.code == 1
    assert "There is no project yet" in done.err


def test_it_works_while_a_server_runs(server: Server, database: str, tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_text("".join(json.dumps(row(number)) + "\n" for number in range(50)))
    done = subprocess.run(
        command("import", str(path)), env=environment({"DATABASE_URL": database}),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "Imported       50" in done.stdout


def test_it_works_on_a_data_folder_that_no_server_runs_on(
    personhood: Command, tmp_path: Path
) -> None:
    folder = str(tmp_path / "data")
    personhood("project", "create", "A", "--data-dir", folder)
    path = tmp_path / "events"
    path.write_text(json.dumps(row(1)))
    assert personhood("import", str(path), "--data-dir", folder).code == 0
    again = personhood("import", str(path), "--data-dir", folder)
    assert "Already there  1" in again.out


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_after_a_stop_in_the_middle_the_same_command_goes_on(
    importing: Importing, how: signal.Signals
) -> None:
    rows = 20_000
    importing.write(*(row(number) for number in range(rows)))
    process = subprocess.Popen(
        command("import", str(importing.path)),
        env=environment({"DATABASE_URL": importing.database}),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with psycopg.connect(importing.database, autocommit=True) as conn:
        while conn.execute("SELECT count(*) FROM event_key").fetchone() == (0,):
            time.sleep(0.005)
    process.send_signal(how)
    out, err = process.communicate(timeout=60)
    while importing.query(
        "SELECT 1 FROM pg_stat_activity WHERE application_name = 'personhood' "
        "AND datname = current_database()"
    ):
        time.sleep(0.005)  # the database may not have noticed yet
    [(stored,)] = importing.query("SELECT count(*) FROM event")
    assert 0 < stored < rows
    assert out == ""
    if how is signal.SIGKILL:
        assert process.returncode == -how
    else:
        assert process.returncode == 1
        assert err == (
            f"personhood: Stopped after {stored:,} rows; the same command goes on from there.\n"
        )
    told = importing.json()
    assert (told["imported"], told["already_there"]) == (rows - stored, stored)
    assert importing.query("SELECT count(*) FROM event") == [(rows,)]


def test_real_purchases_become_real_customers(importing: Importing) -> None:
    importing.path.unlink(missing_ok=True)
    lines = 2000
    with subprocess.Popen(["gzip", "-dc", CDNOW], stdout=subprocess.PIPE) as unpacked:
        assert unpacked.stdout is not None
        importing.path.write_bytes(b"".join(unpacked.stdout.readline() for _ in range(lines)))
        unpacked.stdout.read()
    told = importing.json("--map", CDNOW_MAP)
    assert (told["read"], told["rejected"]) == (lines - 1, 0)
    customers = {line.split()[0] for line in importing.path.read_text().splitlines()[1:]}
    assert told["persons_after"] == len(customers)
    [(first, event, properties)] = importing.query(
        "SELECT min(timestamp AT TIME ZONE 'UTC')::text, min(name), min(properties::text) "
        "FROM event JOIN distinct_id d ON d.id = distinct_id_id WHERE distinct_id = '00001'"
    )
    assert (first, event) == ("1997-01-01 00:00:00", "purchase")
    assert json.loads(properties) == {"number_of_cds": 1, "dollar_value": 11.77}


def test_in_a_pipe_there_are_no_colours(importing: Importing) -> None:
    importing.write(row(1), "bad")
    done = importing()
    assert "\x1b" not in done.out + done.err
    assert os.linesep in done.out


def test_a_map_is_for_csv(importing: Importing) -> None:
    importing.write(row(1))
    before = importing.state()
    done = importing("--map", "distinct_id=customer")
    assert done.code == 1
    assert "--map is for CSV" in done.err
    assert importing.state() == before


def test_a_pipe_is_told_to_be_none(importing: Importing) -> None:
    os.mkfifo(importing.path)
    done = importing()
    assert done.code == 1
    assert "such as a pipe: save it as one first" in done.err
