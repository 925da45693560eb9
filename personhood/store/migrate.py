"""Brings a database to the newest schema: plain SQL files, applied once each, in order."""

from pathlib import Path
from urllib.parse import urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict
from yoyo import get_backend, read_migrations

MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(database_url: str) -> int:
    """Apply what is missing and tell how many that were. Several at once wait for one another.

    By PostgreSQL's own lock, which goes with the session: yoyo's is a row, and would stay behind a
    process that was killed.
    """
    with psycopg.connect(database_url, autocommit=True) as guard:
        guard.execute("SELECT pg_advisory_lock(hashtext('personhood migrate'))")
        backend = get_backend(yoyo_uri(database_url), migration_table="schema_migration")
        try:
            missing = backend.to_apply(read_migrations(str(MIGRATIONS)))
            backend.apply_migrations(missing)
            return len(missing)
        finally:
            backend.connection.close()


def yoyo_uri(database_url: str) -> str:
    """Any form of connection string that libpq takes, in the one form that yoyo takes."""
    arguments = conninfo_to_dict(database_url)
    return f"postgresql+psycopg:///?{urlencode(arguments)}"
