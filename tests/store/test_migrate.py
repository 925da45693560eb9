"""Migrations: once each, whatever happens in the middle."""

import os
from collections.abc import Iterator

import psycopg
import pytest

from personhood.store import migrate
from tests.conftest import named

NAME = "migrate_me"


@pytest.fixture
def empty(postgres: str) -> Iterator[str]:
    with psycopg.connect(postgres, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {NAME}")
        yield named(postgres, NAME)
        conn.execute(f"DROP DATABASE {NAME} WITH (FORCE)")


def test_they_are_applied_once(empty: str) -> None:
    assert migrate.migrate(empty) == len(migrate.revisions())
    assert migrate.migrate(empty) == 0


def test_a_process_that_is_killed_among_them_leaves_nothing_in_the_way(
    empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = os.fork()
    if child == 0:
        whole = migrate.revisions()

        def deadly() -> dict[str, str]:
            return whole | {"9999_wait": "SELECT pg_terminate_backend(pg_backend_pid())"}

        monkeypatch.setattr(migrate, "revisions", deadly)
        try:
            migrate.migrate(empty)
        finally:
            os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert migrate.migrate(empty) == len(migrate.revisions())
