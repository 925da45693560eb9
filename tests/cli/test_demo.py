"""`personhood demo`: the sample data, by the real SDK, on real servers."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
import pytest

from personhood.cli import demo_data
from personhood.store import embedded
from tests.server import DEADLINE_S, TOKEN, Server, command, environment, run, serving

EXAMPLES = Path(__file__).parents[2] / "examples"
SLICE = ("--persons", "25")
ROWS = ("event", "event_key", "person", "distinct_id", "ledger", "merge", "ingestion_warning")


def demo(*arguments: str, **more: str | None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command("demo", *arguments), env=environment(more), capture_output=True, text=True,
        timeout=10 * DEADLINE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


def state(database: str) -> dict[str, tuple[int, str]]:
    """Every row of what makes events and persons, versions and all."""
    with psycopg.connect(database) as conn:
        return {
            table: conn.execute(
                f"SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} t"
            ).fetchone()
            for table in ROWS
        }  # type: ignore[return-value]


def query(database: str, statement: str) -> Any:
    with psycopg.connect(database) as conn:
        [row] = conn.execute(statement).fetchall()
    return row


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def read(url: str) -> Any:
    """As a browser asks."""
    request = urllib.request.Request(url, headers={"Accept": "text/html,*/*;q=0.8"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


# The data


def test_the_shop_has_600_users_each_identified_in_each_session() -> None:
    shop = demo_data.shop()
    assert shop.persons == 600
    names = Counter(event.name for event in shop.events)
    assert (names.pop("$identify"), sum(names.values())) == (3605, 31_106)
    identified = {
        event.properties["$anon_distinct_id"]: event.distinct_id
        for event in shop.events
        if event.name == "$identify"
    }
    assert (len(identified), len(set(identified.values()))) == (3605, 600)


def test_a_session_is_anonymous_until_its_visitor_signs_in() -> None:
    known: set[str] = set()
    for event in demo_data.shop().events:
        if event.name == "$identify":
            known.add(event.properties["$anon_distinct_id"])
        elif event.distinct_id.startswith("sess_"):
            assert event.distinct_id not in known
            assert event.name not in demo_data.SIGNED_IN
            assert event.properties["$process_person_profile"] is False
        else:
            assert "$process_person_profile" not in event.properties


def test_events_come_in_the_order_of_time_and_each_has_its_own_uuid() -> None:
    shop, customers = demo_data.shop(), demo_data.customers()
    times = [event.timestamp for event in shop.events]
    assert times == sorted(times)
    events = shop.events + customers.events
    assert len({event.uuid for event in events}) == len(events) == 104_370
    assert demo_data.shop() == shop, "the same uuids each time"


def test_cdnow_has_23570_customers_and_all_their_purchases() -> None:
    customers = demo_data.customers()
    assert (customers.persons, len(customers.events)) == (23_570, 69_659)
    dollars = sum(event.properties["dollar_value"] for event in customers.events)
    assert round(dollars, 2) == 2_500_315.63


def test_the_data_stands_beside_its_licences() -> None:
    assert "Apache License" in (EXAMPLES / "shop" / "LICENSE").read_text()
    assert "Maxim Godzi" in (EXAMPLES / "shop" / "NOTICE").read_text()
    assert "The MIT License" in (EXAMPLES / "cdnow" / "LICENSE").read_text()


# The command


def test_all_of_it_makes_600_shop_users_and_23570_customers(server: Server, database: str) -> None:
    done = demo("--port", str(server.port), DATABASE_URL=database)
    assert done.stdout.startswith("600 shop users\n23,570 customers\n")
    roots = "SELECT count(*) FROM person WHERE merged_into_id IS NULL"
    assert query(database, roots) == (600 + 23_570,)
    assert query(database, f"{roots} AND is_identified") == (600,)
    assert query(
        database,
        "SELECT count(*), min(timestamp AT TIME ZONE 'UTC')::text, "
        "max(timestamp AT TIME ZONE 'UTC')::text FROM event",
    ) == (104_370, "1997-01-01 00:00:00", "2024-06-29 22:02:40")


def test_doing_it_again_changes_nothing_and_its_urls_open(server: Server, database: str) -> None:
    arguments = ("--port", str(server.port), *SLICE)
    first = demo(*arguments, DATABASE_URL=database)
    before = state(database)
    again = demo(*arguments, DATABASE_URL=database)
    assert state(database) == before
    assert first.stdout.startswith("25 shop users\n25 customers\n")

    table, _, links = again.stdout.partition("Look at them:")
    rows = [line.split()[0] for line in table.splitlines()[4:] if line]
    assert rows == ["user_0000", "user_0001", "user_0004", "customer_00003", "customer_00004"]
    urls = re.findall(r"http\S+", links)
    pages = [read(url) for url in urls[:2]]
    assert [len(page["results"]) for page in pages] == [25, 25]
    people = [read(url) for url in urls[2:]]
    assert [person["name"] for person in people] == rows
    assert {"user_0000", "sess_000001", "sess_000002"} < set(people[0]["distinct_ids"])
    assert people[0]["properties"]["acquisition_channel"] == "email"
    assert len(urls) == 7

    # The key of the first time is no good any more, and the new one only reads.
    with pytest.raises(urllib.error.HTTPError, match="401"):
        read(re.findall(r"http\S+", first.stdout)[0])
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(
            urllib.request.Request(
                urls[2], data=b'{"properties": {"a": 1}}', method="PATCH",
                headers={"Content-Type": "application/json"},
            )
        )  # fmt: skip
    assert query(
        database, "SELECT count(*), count(revoked_at) FROM api_key WHERE label = 'demo'"
    ) == (2, 1)


def test_the_table_counts_events_also_those_from_before_a_visitor_was_known(
    server: Server, database: str
) -> None:
    done = demo("--port", str(server.port), *SLICE, DATABASE_URL=database)
    shop, customers = demo_data.shop(), demo_data.customers()
    sessions = {
        event.properties["$anon_distinct_id"]: event.distinct_id
        for event in shop.events
        if event.name == "$identify"
    }
    events = Counter(
        sessions.get(event.distinct_id, event.distinct_id)
        for event in shop.events + customers.events
    )
    told = re.findall(r"^(\w+_\d+) .* (\d+)$", done.stdout, re.MULTILINE)
    assert len(told) == 5
    assert {name: int(count) for name, count in told} == {name: events[name] for name, _ in told}


def test_without_a_server_it_starts_one_and_stops_it(tmp_path: Path) -> None:
    folder, port = tmp_path / "data", free_port()
    arguments = ("--data-dir", str(folder), "--port", str(port), *SLICE)
    first = demo(*arguments)
    assert "The server ran for the demo only." in first.stdout
    key = re.search(r"A key for everything, shown once: (phx_\w+)", first.stdout)
    assert key is not None, "a new database has a first key, and this is the only chance to tell"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    with embedded.running(folder) as url:
        before = state(url)

    again = demo(*arguments)
    assert "shown once" not in again.stdout
    with embedded.running(folder) as url:
        assert state(url) == before

    with serving("--data-dir", str(folder), port=port) as server:
        [link, *_] = re.findall(r"http\S+", again.stdout)
        assert len(read(link)["results"]) == 25
        beside = run("demo", *arguments[:2], "--port", str(free_port()), *SLICE)
        assert (beside.returncode, beside.stdout) == (1, "")
        assert "name its port with --port" in beside.stderr
        assert server.stop() == 0


def test_a_server_on_another_database_is_told(
    shared_server: Server, database: str, tmp_path: Path
) -> None:
    done = run("demo", "--port", str(shared_server.port), *SLICE, DATABASE_URL=database)
    assert (done.returncode, done.stdout) == (1, "")
    assert "is on another database" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_port_that_something_else_listens_on_is_told(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = run("demo", "--port", str(port), "--data-dir", str(tmp_path / "data"))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"Something else listens on 127.0.0.1:{port}" in done.stderr


def test_events_that_are_not_taken_fail_the_demo(server: Server, database: str) -> None:
    with psycopg.connect(database) as conn:
        conn.execute(
            """
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN RAISE 'it is poison'; END $$;
            CREATE TRIGGER refuse BEFORE INSERT ON event FOR EACH ROW
                WHEN (new.name = 'purchase') EXECUTE FUNCTION refuse()
            """
        )
    done = run("demo", "--port", str(server.port), "--persons", "3", DATABASE_URL=database)
    assert (done.returncode, done.stdout) == (1, "")
    assert "events were not taken" in done.stderr.splitlines()[-1]


def test_a_stop_takes_the_server_along_and_the_next_demo_goes_on(tmp_path: Path) -> None:
    folder, port = tmp_path / "data", free_port()
    arguments = ("--data-dir", str(folder), "--port", str(port))
    process = subprocess.Popen(
        command("demo", *arguments), env=environment({}), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stderr.readline().startswith("Sending 104,370 events")
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, out) == (1, "")
    assert err == "personhood: Stopped; doing it again goes on from there.\n"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    assert "customer_00004" in demo(*arguments, *SLICE).stdout


def test_the_example_sends_what_it_says(shared_server: Server) -> None:
    subprocess.run(
        [sys.executable, str(EXAMPLES / "send_events.py"), TOKEN, shared_server.url], check=True
    )
    persons = f"{shared_server.url}/api/projects/{shared_server.project_id}/persons/"
    [ada] = read(f"{persons}?distinct_id=visitor-1&personal_api_key={shared_server.key}")["results"]
    assert sorted(ada["distinct_ids"]) == ["ada", "visitor-1"]
    assert ada["properties"]["plan"] == "pro"
