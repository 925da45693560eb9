"""posthog-js in a real Chromium records a visit; it is read back as its player would."""

import gzip
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from personhood.capture import scripts
from tests.browser import browsing, executable
from tests.sdk import rrweb_player
from tests.sdk.test_browser import Handler, Site, Visit, check
from tests.server import Server

pytestmark = [
    pytest.mark.skipif(executable() is None, reason="there is no Chromium here"),
    pytest.mark.skipif(
        scripts.manifest() is None,
        reason="posthog-js could not be fetched when this was installed",
    ),
]

LOOPBACK = "127.0.0.1"
TYPED = "correct horse battery"
PAGE = """<!DOCTYPE html>
<html><head><title>A shop</title><link rel="icon" href="data:,">
<style>input, button { display: block; width: 200px; height: 40px; margin: 0 }</style></head>
<body><h1 id="sign">Read all about it</h1><input id="name"><button id="buy">Buy</button>
<script src="%(host)s/static/array.js" crossorigin="anonymous"></script>
<script>
  posthog.init('%(token)s', {
    api_host: '%(host)s',
    debug: true,
    opt_out_useragent_filter: true,  // or a browser without a window counts as a robot
    request_queue_config: { flush_interval_ms: 250 },
    loaded: () => { window.ready = true },
  })
</script></body></html>
"""
PLAYER = """<!DOCTYPE html>
<html><head><title>A player</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="/player.css"></head><body><script src="/player.js"></script>
<script>
  fetch('/events.json').then((answer) => answer.json()).then((events) => {
    window.player = new rrwebPlayer.Player({
      target: document.body,
      props: { events, autoPlay: false, skipInactive: false },
    })
    window.ready = true
  })
  const replayed = (id) => document.querySelector('.replayer-wrapper iframe')
    .contentDocument.getElementById(id)
</script></body></html>
"""
PARTS = {"adds", "removes", "texts", "attributes"}


@dataclass
class Replay(Visit):
    """A visit, and a site that also shows what was recorded of it."""

    own: Site

    def play(self, events: list[dict[str, Any]]) -> None:
        self.own.pages |= {
            **rrweb_player.pages(),
            "/events.json": json.dumps(events),
            "/player": PLAYER,
        }
        self.page.open(f"{self.site}/player")
        self.page.wait_for("window.ready === true")

    def shows(self, id: str, what: str) -> None:
        """Wait until the replayed page shows that of an element."""
        self.page.wait_for(f"replayed('{id}').{what}")


@pytest.fixture
def visit(server: Server) -> Iterator[Replay]:
    program = executable()
    assert program is not None, "else the test is skipped"
    with Site((LOOPBACK, 0), Handler) as site, browsing(program) as page:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        site.pages = {"/": PAGE % {"token": server.token, "host": server.url}}
        made = Replay(page, server, f"http://{LOOPBACK}:{site.server_port}", site)
        page.open(f"{made.site}/")
        page.wait_for("window.ready === true")
        yield made
        check(page)
        site.shutdown()


class Reader:
    """Reads recordings from the API."""

    def __init__(self, server: Server) -> None:
        self.http = httpx.Client(
            base_url=f"{server.url}/api/projects/@current/session_recordings",
            headers=server.headers,
        )

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def recordings(self) -> list[dict[str, Any]]:
        return self.http.get("/").json()["results"]

    def events(self, session_id: str) -> list[dict[str, Any]]:
        """Those of rrweb, unpacked and in the order of their times, as the player has them."""
        sources = self.http.get(f"/{session_id}/snapshots?blob_v2=true").json()["sources"]
        events: list[dict[str, Any]] = []
        for source in sources:
            query = {"source": source["source"], "blob_key": source["blob_key"]}
            answer = self.http.get(f"/{session_id}/snapshots", params=query)
            events += [unpacked(json.loads(line)[1]) for line in answer.text.split("\n") if line]
        return sorted(events, key=lambda event: event["timestamp"])


def unpacked(event: dict[str, Any]) -> dict[str, Any]:
    if "cv" not in event:
        return event
    data = event["data"]
    if isinstance(data, str):
        return {**event, "data": inflated(data)}
    parts = {key: inflated(data[key]) for key in PARTS & data.keys() if isinstance(data[key], str)}
    return {**event, "data": {**data, **parts}}


def inflated(text: str) -> Any:
    return json.loads(gzip.decompress(text.encode("latin-1")))


def move(visit: Visit, id: str) -> dict[str, float]:
    """Where the middle of an element is."""
    box = visit.page.run(
        f"(() => {{ const b = document.getElementById('{id}').getBoundingClientRect();"
        " return { x: b.x + b.width / 2, y: b.y + b.height / 2 } })()"
    )
    visit.page.call("Input.dispatchMouseEvent", type="mouseMoved", **box)
    return box


def click(visit: Visit, id: str) -> None:
    at = move(visit, id)
    for kind in ("mousePressed", "mouseReleased"):
        visit.page.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)


def test_a_visit_is_recorded_and_replayed_and_what_is_typed_is_not(visit: Replay) -> None:
    with Reader(visit.server) as reader:
        visit.wait_until(lambda: visit.page.run("posthog.sessionRecordingStarted()"))
        click(visit, "name")
        visit.page.call("Input.insertText", text=TYPED)
        click(visit, "buy")
        visit.page.run("document.getElementById('sign').textContent = 'Sold out'")

        def told() -> list[dict[str, Any]]:
            return [
                each
                for each in reader.recordings()
                if each["click_count"] >= 2 and each["keypress_count"] >= 1
            ]

        visit.wait_until(told)
        [item] = told()
        assert item["id"] == visit.page.run("posthog.get_session_id()")
        assert item["distinct_id"] == visit.distinct_id()
        assert item["start_url"] == f"{visit.site}/"
        assert item["snapshot_source"] == "web"
        assert item["ongoing"] is True

        visit.wait_until(lambda: "Sold out" in json.dumps(reader.events(item["id"])))
        events = reader.events(item["id"])
        kinds = {event["type"] for event in events}
        assert kinds >= {2, 3, 4}, "the whole page, what changed, and where it was"
        [*pages] = [event for event in events if event["type"] == 2]
        assert "Read all about it" in json.dumps(pages)
        inputs = [
            event["data"]
            for event in events
            if event["type"] == 3 and event["data"].get("source") == 5
        ]
        assert {each["text"] for each in inputs} >= {"*" * len(TYPED)}
        assert TYPED not in json.dumps(events)

    visit.play(events)
    visit.shows("sign", "textContent === 'Read all about it'")
    visit.page.run("player.play()")
    visit.shows("name", f"value === '{'*' * len(TYPED)}'")
    visit.shows("sign", "textContent === 'Sold out'")
    visit.shows("buy", "textContent === 'Buy'")
    hosts = {httpx.URL(each["url"]).host for each in visit.page.requests.values()}
    assert hosts - {""} == {LOOPBACK}
