"""The first project and the first key: made when there is none, or as the settings preset them."""

from msgspec import Struct
from psycopg import AsyncConnection, IsolationLevel
from psycopg.errors import SerializationFailure, UniqueViolation

from personhood import tokens
from personhood.errors import InvalidSetting
from personhood.model import Project
from personhood.settings import Settings
from personhood.store import api_key, project

PROJECT_NAME = "Default project"
ATTEMPTS_MAX = 5


class Bootstrapped(Struct, frozen=True):
    """`key` is there only when it was made just now: nobody can read it again."""

    project: Project
    key: str | None


async def bootstrap(conn: AsyncConnection, settings: Settings) -> Bootstrapped:
    """Make what is missing; the same settings again change nothing.

    Servers that start on one new database at the same time must not make two first projects:
    the database lets one pass, the others look again.
    """
    await conn.set_isolation_level(IsolationLevel.SERIALIZABLE)
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            async with conn.transaction():
                return Bootstrapped(
                    await first_project(conn, settings.bootstrap_token),
                    await first_key(conn, settings.bootstrap_key, owner=settings.bootstrap_owner),
                )
        except SerializationFailure:
            if attempt == ATTEMPTS_MAX:
                raise
        except UniqueViolation as error:
            # Another server may have come first. One that we still do not see was revoked.
            if attempt == ATTEMPTS_MAX:
                raise InvalidSetting("The preset key was revoked; preset another.") from error
    raise AssertionError("the last attempt returns or raises")


async def first_project(conn: AsyncConnection, token: str | None) -> Project:
    if token is not None:
        found = await project.by_token(conn, token)
    else:
        found = next(iter(await project.all_projects(conn)), None)
    if found is not None:
        return found
    return await project.insert(conn, name=PROJECT_NAME, token=token or tokens.new_token())


async def first_key(conn: AsyncConnection, preset: str | None, *, owner: str | None) -> str | None:
    if preset is not None:
        if await api_key.by_key(conn, preset) is None:
            await insert_key(conn, preset, label="preset", owner=owner)
        return None
    if await api_key.all_keys(conn):
        return None
    key = tokens.new_key()
    await insert_key(conn, key, label="first key", owner=owner)
    return key


async def insert_key(conn: AsyncConnection, key: str, *, label: str, owner: str | None) -> None:
    await api_key.insert(
        conn, key, label=label, scopes=[tokens.EVERYTHING], project_id=None, owner=owner
    )
