"""Migrations: once each, whatever happens in the middle."""

import os
from collections.abc import Iterator

import psycopg
import pytest

from personhood.errors import DatabaseFailed
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


def test_a_database_that_lacks_an_extension_is_told_what_to_do(
    empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = {"0005_search": "CREATE EXTENSION there_is_no_such_extension"}
    monkeypatch.setattr(migrate, "revisions", lambda: lacking)
    with pytest.raises(
        DatabaseFailed, match="CREATE EXTENSION pg_trgm; CREATE EXTENSION btree_gin"
    ):
        migrate.migrate(empty)


def test_an_account_that_may_not_add_extensions_can_have_them_added(empty: str) -> None:
    owner = "migrate_owner"
    with psycopg.connect(empty, autocommit=True) as conn:
        conn.execute(f"CREATE ROLE {owner} LOGIN")
        conn.execute(f"GRANT CREATE, USAGE ON SCHEMA public TO {owner}")
        address = empty.replace("//personhood@", f"//{owner}@")
        try:
            with pytest.raises(DatabaseFailed, match="permission denied"):
                migrate.migrate(address)
            for name in migrate.EXTENSIONS:
                conn.execute(f"CREATE EXTENSION {name}")
            assert migrate.migrate(address) == len(migrate.revisions())
        finally:
            conn.execute(f"DROP OWNED BY {owner}")
            conn.execute(f"DROP ROLE {owner}")
