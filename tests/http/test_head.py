"""HEAD, as load balancers ask."""

import httpx
import psycopg
import pytest

from tests.server import TOKEN, Server

PATHS = [
    "/",
    "/_health",
    "/_liveness",
    "/_readiness",
    "/_readyz/",
    "/metrics",
    "/api/docs",
    "/api/docs/assets/swagger-ui.css",
    "/api/schema/",
    "/api/schema/openapi.json",
    "/api/projects/1/persons/",
]


@pytest.mark.parametrize("path", PATHS)
def test_it_is_a_get_without_its_body(shared_server: Server, path: str) -> None:
    with httpx.Client(base_url=shared_server.url, headers=shared_server.headers) as client:
        get, head = client.get(path), client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == get.headers["content-type"]
        # The connection is where it should be: no body was sent that would be taken for an answer.
        assert client.get("/_liveness").text == "ok"


def test_a_refusal_has_no_body_either(shared_server: Server) -> None:
    answer = httpx.head(f"{shared_server.url}/api/projects/1/persons/")
    assert (answer.status_code, answer.content) == (401, b"")
    answer = httpx.head(f"{shared_server.url}/api/nowhere")
    assert (answer.status_code, answer.content) == (404, b"")


def test_it_is_counted_as_what_it_is(shared_server: Server) -> None:
    httpx.head(f"{shared_server.url}/_livez")
    figures = httpx.get(f"{shared_server.url}/metrics").text
    assert 'personhood_http_requests_total{method="HEAD",route="/_livez",status="200"}' in figures


def test_it_brings_no_event(shared_server: Server) -> None:
    event = f'{{"api_key":"{TOKEN}","event":"seen","distinct_id":"ada"}}'
    answer = httpx.head(f"{shared_server.url}/e/", params={"data": event})
    assert answer.status_code == 405
    with psycopg.connect(shared_server.database_url) as conn:
        assert conn.execute("SELECT count(*) FROM event").fetchone() == (0,)
