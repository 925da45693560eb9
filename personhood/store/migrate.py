"""Brings a database to the newest schema: revisions, applied once each, in order.

All that is missing is applied and recorded in one transaction, under a lock that goes with it: a
process that is killed at any moment leaves the database as it was before, or as it is afterwards.
"""

from pathlib import Path

import psycopg
from procrastinate.schema import SchemaManager
from psycopg.errors import FeatureNotSupported, InsufficientPrivilege, UndefinedFile

from personhood.errors import DatabaseFailed

EXTENSIONS = ("pg_trgm", "btree_gin")
CREATE_EXTENSIONS = "".join(f"CREATE EXTENSION {name}; " for name in EXTENSIONS).rstrip()
MIGRATIONS = Path(__file__).parent / "migrations"


def revisions() -> dict[str, str]:
    """The statements of each revision, by its name, in order. Jobs have procrastinate's tables."""
    texts = {path.stem: path.read_text() for path in MIGRATIONS.glob("*.sql")}
    texts["0002_jobs"] = SchemaManager.get_schema()
    return dict(sorted(texts.items()))


def migrate(database_url: str) -> int:
    """Apply what is missing and tell how many that were. Several at once wait for one another.

    Raises DatabaseFailed where the database does not let us, or lacks an extension.
    """
    with psycopg.connect(database_url) as conn:
        conn.execute("SELECT pg_advisory_xact_lock(hashtext('personhood migrate'))")
        conn.execute(
            """
            CREATE TABLE IF NOT EXISTS schema_revision (
                name text PRIMARY KEY,
                applied_at timestamptz NOT NULL DEFAULT now()
            )
            """
        )
        applied = {row[0] for row in conn.execute("SELECT name FROM schema_revision")}
        missing = {name: text for name, text in revisions().items() if name not in applied}
        for name, text in missing.items():
            try:
                conn.execute(text.encode())
            except (InsufficientPrivilege, FeatureNotSupported, UndefinedFile) as error:
                raise DatabaseFailed(
                    f"The database could not be brought to revision {name}: {error}\n"
                    f"It needs PostgreSQL's extensions {' and '.join(EXTENSIONS)}. If the account "
                    f"may not add them, let one that may run: {CREATE_EXTENSIONS}"
                ) from None
            conn.execute("INSERT INTO schema_revision (name) VALUES (%(name)s)", {"name": name})
    return len(missing)
