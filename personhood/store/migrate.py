"""Brings a database to the newest schema: plain SQL files, applied once each, in order."""

from pathlib import Path
from urllib.parse import urlencode

from psycopg.conninfo import conninfo_to_dict
from yoyo import get_backend, read_migrations

MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(database_url: str) -> int:
    """Apply what is missing and tell how many that were. Several at once wait for one another."""
    backend = get_backend(yoyo_uri(database_url), migration_table="schema_migration")
    try:
        with backend.lock():
            missing = backend.to_apply(read_migrations(str(MIGRATIONS)))
            backend.apply_migrations(missing)
        return len(missing)
    finally:
        backend.connection.close()


def yoyo_uri(database_url: str) -> str:
    """Any form of connection string that libpq takes, in the one form that yoyo takes."""
    arguments = conninfo_to_dict(database_url)
    return f"postgresql+psycopg:///?{urlencode(arguments)}"
