"""The client's own view of a request, as a proxy tells it."""

import pytest
from litestar import Litestar
from msgspec.structs import replace

from tests.api.conftest import Client, People

PERSONS = "/api/projects/1/persons/?limit=1"


async def next_url(client: Client, **headers: str) -> str:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await client.get(PERSONS, headers=given)
    return answer.json()["next"]


@pytest.fixture
async def trusting(app: Litestar, client: Client, people: People) -> Client:
    app.state.settings = replace(app.state.settings, trust_forwarded_for=True)
    await people.add("ada")
    await people.add("bob")
    return client


async def test_a_trusted_proxy_tells_scheme_and_host(trusting: Client) -> None:
    url = await next_url(
        trusting, x_forwarded_proto="https", x_forwarded_host="persons.example.com"
    )
    assert url.startswith("https://persons.example.com/api/projects/1/persons/?limit=1&")


@pytest.mark.parametrize(
    ("headers", "base"),
    [
        ({}, "http://testserver/"),
        ({"x_forwarded_proto": "https"}, "https://testserver/"),
        ({"x_forwarded_host": "a.example:8443"}, "http://a.example:8443/"),
        ({"x_forwarded_host": "[::1]:80"}, "http://[::1]:80/"),
        ({"x_forwarded_proto": "https, http"}, "https://testserver/"),
        ({"x_forwarded_host": "outer.example, inner"}, "http://outer.example/"),
        ({"x_forwarded_proto": "javascript"}, "http://testserver/"),
        ({"x_forwarded_host": "a.example/path?"}, "http://testserver/"),
        ({"x_forwarded_host": "user@a.example"}, "http://testserver/"),
        ({"x_forwarded_host": ""}, "http://testserver/"),
    ],
)
async def test_what_it_says_is_taken_if_it_makes_sense(
    trusting: Client, headers: dict[str, str], base: str
) -> None:
    assert (await next_url(trusting, **headers)).startswith(base)


async def test_nobody_is_trusted_unless_told(client: Client, people: People) -> None:
    await people.add("ada")
    await people.add("bob")
    url = await next_url(client, x_forwarded_proto="https", x_forwarded_host="evil.example")
    assert url.startswith("http://testserver/")
