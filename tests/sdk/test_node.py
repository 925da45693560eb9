"""The official Node SDK against a real server. Needs node and npm, and a registry once."""

import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.sdk.conftest import person, said
from tests.server import Server, environment

PACKAGE = "posthog-node@5.70.0"
# Kept between runs, so that only the first of them needs a registry.
FOLDER = Path(tempfile.gettempdir()) / f"personhood-tests-{os.getuid()}" / PACKAGE
DEADLINE_S = 120

SCRIPT = """
const { PostHog } = require('posthog-node')
const requests = [], errors = []
const client = new PostHog(process.env.TOKEN, {
  host: process.env.HOST,
  fetch: (url, options) => {
    requests.push({ path: new URL(url).pathname, encoding: options.headers['Content-Encoding'] })
    return fetch(url, options)
  },
})
client.on('error', (error) => errors.push(String(error)))
const name = process.env.NAME
const run = async () => { %s }
run().then(() => client.shutdown()).then(
  () => console.log(JSON.stringify({ requests, errors })))
"""


@dataclass
class Node:
    folder: Path
    server: Server
    name: str

    def run(self, script: str) -> list[dict[str, Any]]:
        """Run `script`, which has a `client` and the `name` of a user; tells its requests.

        Whatever goes wrong in the SDK fails the test, as do its complaints.
        """
        done = subprocess.run(
            ["node", "-e", SCRIPT % script],
            cwd=self.folder,
            env=environment(
                {"TOKEN": self.server.token, "HOST": self.server.url, "NAME": self.name}
            ),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        [line] = done.stdout.splitlines()
        told = json.loads(line)
        assert told["errors"] == []
        return told["requests"]

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        with psycopg.connect(self.server.database_url) as conn:
            return conn.execute(
                """
                SELECT e.name, e.properties
                  FROM event e JOIN distinct_id d ON d.id = e.distinct_id_id
                 WHERE d.distinct_id = %s
                 ORDER BY e.timestamp
                """,
                [self.name],
            ).fetchall()


@pytest.fixture(scope="module")
def folder() -> Path:
    """Where node finds the SDK."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("no node and npm here")
    if FOLDER.exists():
        return FOLDER
    FOLDER.parent.mkdir(mode=0o700, exist_ok=True)
    # Installed beside it and moved there whole, for whoever else runs these tests now.
    with tempfile.TemporaryDirectory(dir=FOLDER.parent, ignore_cleanup_errors=True) as made:
        try:
            done = subprocess.run(
                ["npm", "install", "--no-audit", "--no-fund", "--prefix", made, PACKAGE],
                capture_output=True,
                text=True,
                timeout=DEADLINE_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            pytest.skip(f"npm install {PACKAGE} did not end")
        if done.returncode != 0:
            pytest.skip(f"npm install {PACKAGE} failed: {done.stderr.strip()[-500:]}")
        try:
            Path(made).rename(FOLDER)
        except OSError:
            assert FOLDER.exists(), "another run was faster"
    return FOLDER


@pytest.fixture
def node(folder: Path, shared_server: Server) -> Node:
    return Node(folder, shared_server, f"user {uuid4()}")


def test_a_captured_event_makes_a_person_and_travels_gzipped(node: Node) -> None:
    requests = node.run(
        """
        client.capture({ distinctId: name, event: 'signed up', properties: {
          plan: 'free', $set: { email: 'a@b.example' }, $set_once: { first: 'yes' } } })
        """
    )
    assert requests == [{"path": "/batch/", "encoding": "gzip"}]
    found = person(node.server, node.name)
    assert (found["name"], found["is_identified"]) == ("a@b.example", False)
    assert said(node.server, node.name) == {"email": "a@b.example", "first": "yes"}
    [(event, properties)] = node.events()
    assert (event, properties["plan"], properties["$lib"]) == ("signed up", "free", "posthog-node")


def test_identify_sets_properties_and_identifies_nobody(node: Node) -> None:
    node.run(
        """
        client.identify({ distinctId: name, properties: { city: 'Paris', nested: { a: [null] } } })
        await client.flush()
        client.identify({ distinctId: name, properties: {
          $set: { city: 'Rome' }, $set_once: { city: 'never', first: 1 } } })
        """
    )
    assert said(node.server, node.name) == {"city": "Rome", "nested": {"a": [None]}, "first": 1}
    assert person(node.server, node.name)["is_identified"] is False


def test_an_alias_makes_one_person_of_two(node: Node) -> None:
    node.run(
        """
        client.identify({ distinctId: name, properties: { a: 1 } })
        client.identify({ distinctId: name + ' 2', properties: { a: 2, b: 2 } })
        client.alias({ distinctId: name, alias: name + ' 2' })
        """
    )
    found = person(node.server, f"{node.name} 2")
    assert sorted(found["distinct_ids"]) == [node.name, f"{node.name} 2"]
    assert found["is_identified"] is True
    assert said(node.server, node.name) == {"a": 1, "b": 2}


def test_an_identify_event_brings_the_anonymous_past_along(node: Node) -> None:
    node.run(
        """
        client.capture({ distinctId: name + ' before', event: 'looked',
          properties: { $set: { seen: true } } })
        client.capture({ distinctId: name, event: '$identify', properties: {
          $anon_distinct_id: name + ' before', $set: { email: 'x@y.example' } } })
        """
    )
    assert said(node.server, f"{node.name} before") == {"seen": True, "email": "x@y.example"}
    assert person(node.server, node.name)["is_identified"] is True


def test_groups_and_exceptions_say_nothing_of_a_person(node: Node) -> None:
    node.run(
        """
        client.identify({ distinctId: name, properties: { a: 1 } })
        client.groupIdentify({ groupType: 'company', groupKey: name, distinctId: name,
          properties: { plan: 'paid' } })
        client.capture({ distinctId: name, event: 'visited', groups: { company: name } })
        await client.captureExceptionImmediate(new Error("a test's own"), name)
        """
    )
    events = dict(node.events())
    assert events.keys() == {"$identify", "$groupidentify", "visited", "$exception"}
    assert events["$groupidentify"]["$group_set"] == {"plan": "paid"}
    assert events["visited"]["$groups"] == {"company": node.name}
    assert events["$exception"]["$exception_list"][0]["value"] == "a test's own"
    assert said(node.server, node.name) == {"a": 1}


def test_many_events_arrive_in_order(node: Node) -> None:
    node.run(
        """
        for (let n = 0; n < 300; n++)
          client.capture({ distinctId: name, event: 'e', properties: { $set: { n } } })
        """
    )
    assert len(node.events()) == 300
    assert said(node.server, node.name) == {"n": 299}


def test_an_immediate_event_can_be_read_when_the_call_returns(node: Node) -> None:
    node.run(
        """
        for (let n = 0; n < 10; n++) {
          await client.captureImmediate({ distinctId: name, event: 'e',
            properties: { $set: { n } } })
          const answer = await fetch(`${process.env.HOST}/api/projects/1/persons/?distinct_id=`
            + encodeURIComponent(name), { headers: { Authorization: 'Bearer phx_test' } })
          const [person] = (await answer.json()).results
          if (person.properties.n !== n) throw new Error(`${person.properties.n} is not ${n}`)
        }
        """
    )
