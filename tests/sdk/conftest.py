"""Persons as the API tells them, for tests in which an SDK sends."""

from typing import Any

import httpx

from tests.server import Server


def persons(server: Server, **query: str) -> list[dict[str, Any]]:
    answer = httpx.get(
        f"{server.url}/api/projects/{server.project_id}/persons/",
        params=query,
        headers=server.headers,
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


def person(server: Server, distinct_id: str) -> dict[str, Any]:
    [found] = persons(server, distinct_id=distinct_id)
    return found


def said(server: Server, distinct_id: str) -> dict[str, Any]:
    """The properties that the test gave, without those that SDK and server add."""
    properties = person(server, distinct_id)["properties"]
    return {key: value for key, value in properties.items() if not key.startswith("$")}
