"""posthog-js in a real Chromium, on a page from elsewhere, loaded from a real server of ours."""

import mimetypes
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from personhood.capture import scripts
from tests.browser import DEADLINE_S, Page, browsing, executable
from tests.sdk.conftest import person, persons, said
from tests.server import Server

pytestmark = [
    pytest.mark.skipif(executable() is None, reason="there is no Chromium here"),
    pytest.mark.skipif(
        scripts.manifest() is None,
        reason="posthog-js could not be fetched when this was installed",
    ),
]

# As the snippet of PostHog's docs: calls wait in a list until the script is there to make them.
PAGE = """<!DOCTYPE html>
<html><head><title>A shop</title><link rel="icon" href="data:,">
<script>
  window.posthog = []
  posthog._i = []
  posthog.__SV = 1
  const methods = 'capture identify alias group reset register setPersonProperties opt_in_capturing'
  for (const name of methods.split(' ')) posthog[name] = (...all) => posthog.push([name, ...all])
  posthog.init = (token, config, name) => {
    const script = document.createElement('script')
    Object.assign(script, { crossOrigin: 'anonymous', async: true, src: '%(script)s' })
    document.head.append(script)
    posthog._i.push([token, config, name])
  }
  posthog.init('%(token)s', {
    api_host: '%(host)s',
    debug: true,  // its own log, for the test to read
    opt_out_useragent_filter: true,  // or a browser without a window counts as a robot
    request_queue_config: { flush_interval_ms: %(flush_ms)s },
    loaded: () => { window.ready = true },
  })
  posthog.capture('before the script was there')
</script></head>
<body><h1>A shop</h1><button id="buy">Buy</button></body></html>
"""


class Site(ThreadingHTTPServer):
    """A web site of its own, so that the browser holds us to the rules for foreign pages."""

    pages: dict[str, str]


class Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path)
        self.send_response(200 if page else 404)
        kind = mimetypes.guess_type(self.path)[0] or "text/html"
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.end_headers()
        self.wfile.write((page or "").encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@dataclass
class Visit:
    """A visitor's browser. What posthog-js complained of fails the test."""

    page: Page
    server: Server
    site: str

    def distinct_id(self) -> str:
        return self.page.run("posthog.get_distinct_id()")

    def wait_until(self, is_so: Callable[[], Any]) -> None:
        """While the page goes on: it sends what it has in its own time."""
        deadline = time.monotonic() + DEADLINE_S
        while not is_so():
            assert time.monotonic() < deadline, (self.page.logged, self.page.requests)
            self.page.run("0")
            time.sleep(0.02)

    def wait_until_idle(self) -> None:
        """Until all was asked for and answered that this page asks for at its start."""
        here = self.page.run("location.href")

        def is_idle() -> bool:
            asked = [each for each in self.page.requests.values() if each["page"] == here]
            return any("/flags/" in each["url"] for each in asked) and all(
                "status" in each for each in asked
            )

        self.wait_until(is_idle)

    def stored(self) -> list[tuple[str, str, dict[str, Any]]]:
        with psycopg.connect(self.server.database_url) as conn:
            return conn.execute(
                """
                SELECT e.name, d.distinct_id, e.properties
                  FROM event e JOIN distinct_id d ON d.id = e.distinct_id_id
                 ORDER BY e.timestamp
                """
            ).fetchall()

    def wait_for_event(self, name: str) -> dict[str, Any]:
        def found() -> list[dict[str, Any]]:
            return [properties for event, _, properties in self.stored() if event == name]

        self.wait_until(found)
        return found()[0]

    def paths(self) -> list[str]:
        """Of the requests to us, in their order."""
        urls = [request["url"] for request in self.page.requests.values()]
        return [url.removeprefix(self.server.url) for url in urls if self.server.url in url]


@pytest.fixture(params=["static/array.js", "array/{token}/array.js"], ids=["static", "of a token"])
def visit(server: Server, request: pytest.FixtureRequest) -> Iterator[Visit]:
    program = executable()
    assert program is not None, "else the test is skipped"
    with Site(("127.0.0.1", 0), Handler) as site, browsing(program) as page:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        script = f"{server.url}/{request.param.format(token=server.token)}"
        values = {"script": script, "token": server.token, "host": server.url}
        site.pages = {
            "/": PAGE % {**values, "flush_ms": 250},
            "/slow": PAGE % {**values, "flush_ms": 5000},
        }
        made = Visit(page, server, f"http://127.0.0.1:{site.server_port}")
        page.open(f"{made.site}/")
        page.wait_for("window.ready === true")
        yield made
        check(page)
        site.shutdown()


def check(page: Page) -> None:
    """Nothing that posthog-js or the browser logged is a complaint; no request went wrong."""
    complaints = [
        each for each in page.logged if each.startswith(("warning", "error", "exception", "assert"))
    ]
    assert complaints == []
    failed = [
        request
        for request in page.requests.values()
        if "failed" in request or request.get("status", 200) not in (200, 204)
    ]
    assert failed == []


def test_it_starts_without_an_error_and_a_visitor_is_nobody_yet(visit: Visit) -> None:
    visit.wait_until(lambda: any(path.startswith("/flags/") for path in visit.paths()))
    first = visit.wait_for_event("before the script was there")
    assert first["$lib"] == "web"
    assert first["$lib_version"] == "1.449.2"
    view = visit.wait_for_event("$pageview")
    assert view["$current_url"] == f"{visit.site}/"
    assert view["$process_person_profile"] is False
    assert persons(visit.server) == []
    assert any("debug" in each or "[PostHog.js]" in each for each in visit.page.logged), "it logs"


def test_a_visitor_becomes_somebody(visit: Visit) -> None:
    visit.wait_for_event("$pageview")
    anonymous = visit.distinct_id()
    name, other = f"ada {uuid4()}", f"alias {uuid4()}"
    visit.page.run("posthog.capture('looked', { article: 'é😀' })")
    visit.page.run(f"posthog.identify('{name}', {{ email: 'a@b.example' }}, {{ first: 1 }})")
    visit.wait_for_event("$identify")  # its requests may overtake one another
    visit.page.run("posthog.setPersonProperties({ plan: 'free' }, { first: 2, once: true })")
    visit.page.run(f"posthog.alias('{other}')")
    visit.page.run("posthog.group('company', 'acme', { size: 5 })")
    visit.page.run("posthog.capture('bought', { price: 9.5, $set: { plan: 'paid' } })")

    bought = visit.wait_for_event("bought")
    assert bought["$groups"] == {"company": "acme"}
    visit.wait_until(lambda: len(person(visit.server, name)["distinct_ids"]) == 3)
    found = person(visit.server, name)
    assert sorted(found["distinct_ids"]) == sorted([anonymous, name, other])
    assert found["is_identified"] is True
    assert found["properties"].items() >= {"$initial_current_url": f"{visit.site}/"}.items()
    expected = {"email": "a@b.example", "first": 1, "plan": "paid", "once": True}
    assert said(visit.server, name).items() >= expected.items()
    assert visit.wait_for_event("looked")["article"] == "é😀"

    visit.page.run("posthog.reset()")
    assert visit.distinct_id() not in (anonymous, name)
    visit.page.run("posthog.capture('somebody else')")
    assert visit.wait_for_event("somebody else")["$process_person_profile"] is False
    assert len(persons(visit.server)) == 1


def test_clicks_are_captured(visit: Visit) -> None:
    visit.wait_for_event("$pageview")
    visit.wait_until(lambda: any(path.startswith("/flags/") for path in visit.paths()))
    visit.page.run("document.getElementById('buy').click()")
    assert visit.wait_for_event("$autocapture")["$event_type"] == "click"


def test_what_waits_is_sent_when_the_page_is_left(visit: Visit) -> None:
    visit.wait_for_event("$pageview")
    visit.wait_until_idle()
    visit.page.open(f"{visit.site}/slow")
    visit.page.wait_for("window.ready === true")
    visit.wait_until_idle()
    visit.page.run("posthog.identify('eve'), posthog.capture('last words')")
    visit.page.open(f"{visit.site}/")
    visit.page.wait_for("window.ready === true")
    visit.wait_for_event("last words")
    visit.wait_for_event("$pageleave")
    assert visit.distinct_id() == "eve", "it is remembered"


EXTENSIONS = """
surveys exception-autocapture web-vitals lazy-recorder posthog-recorder dead-clicks-autocapture
tracing-headers logs product-tours conversations
""".split()


@pytest.mark.parametrize("visit", ["static/array.js"], indirect=True)
def test_extensions_are_loaded_from_here(visit: Visit) -> None:
    for kind in EXTENSIONS:
        load = f"__PosthogExtensions__.loadExternalDependency(posthog, '{kind}', done)"
        assert visit.page.run(f"new Promise((done) => {load})") is None, kind
        assert f"/static/1.449.2/{kind}.js" in visit.paths()


@pytest.mark.parametrize("visit", ["static/array.js"], indirect=True)
def test_pages_that_ask_for_flags_and_surveys_are_answered(visit: Visit) -> None:
    visit.page.run("new Promise((done) => posthog.onFeatureFlags(() => done()))")
    assert visit.page.run("posthog.isFeatureEnabled('any') || false") is False
    assert visit.page.run("new Promise((done) => posthog.getSurveys(done, true))") == []
    early = "new Promise((done) => posthog.getEarlyAccessFeatures(done, true))"
    assert visit.page.run(early) == []
