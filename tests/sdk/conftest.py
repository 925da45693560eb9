"""Persons as the API tells them, for tests in which an SDK sends."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

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


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """For a server's own PostgreSQL. Not below pytest's own folder: as root the database runs in
    another account, and every new session of pytest locks that folder to others again."""
    with tempfile.TemporaryDirectory(prefix="personhood-") as folder:
        yield Path(folder) / "data"
