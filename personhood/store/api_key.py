"""Personal API keys. The key itself is never stored: it is 256 random bits, so its SHA-256 is
as hard to turn back as a password hash would be, and costs nothing to compare."""

import hashlib
from collections.abc import Sequence

from psycopg import AsyncConnection
from psycopg.rows import class_row

from personhood.model import ApiKey


def digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


async def insert(
    conn: AsyncConnection,
    key: str,
    *,
    label: str,
    scopes: list[str],
    project_id: int | None,
    owner: str | None = None,
) -> ApiKey:
    """Remember `key`. Raises psycopg.errors.UniqueViolation (api_key_hash_key) for a known one."""
    async with conn.cursor(row_factory=class_row(ApiKey)) as cursor:
        await cursor.execute(
            """
            INSERT INTO api_key (label, owner, hash, scopes, project_id)
            VALUES (%(label)s, %(owner)s, %(hash)s, %(scopes)s, %(project_id)s)
            RETURNING id, label, owner, scopes, project_id, created_at, last_used_at, revoked_at
            """,
            {
                "label": label,
                "owner": owner,
                "hash": digest(key),
                "scopes": scopes,
                "project_id": project_id,
            },
        )
        row = await cursor.fetchone()
    assert row is not None, "INSERT … RETURNING gives its row"
    return row


async def all_keys(conn: AsyncConnection) -> list[ApiKey]:
    """Every key, revoked ones too, the oldest first."""
    async with conn.cursor(row_factory=class_row(ApiKey)) as cursor:
        await cursor.execute(
            """
            SELECT id, label, owner, scopes, project_id, created_at, last_used_at, revoked_at
              FROM api_key
             ORDER BY id
            """
        )
        return await cursor.fetchall()


async def by_keys(conn: AsyncConnection, keys: Sequence[str]) -> dict[str, ApiKey]:
    """The keys that are in force. The look-up is by hash: its time tells nothing of a key."""
    digests = {digest(key): key for key in keys}
    cursor = await conn.execute(
        """
        SELECT hash, id, label, owner, scopes, project_id, created_at, last_used_at, revoked_at
          FROM api_key
         WHERE hash = ANY(%(hashes)b::bytea[])
           AND revoked_at IS NULL
        """,
        {"hashes": list(digests)},
        binary=True,
    )
    return {
        digests[hash]: ApiKey(
            id=id,
            label=label,
            owner=owner,
            scopes=scopes,
            project_id=project_id,
            created_at=created_at,
            last_used_at=last_used_at,
            revoked_at=revoked_at,
        )
        for (
            hash,
            id,
            label,
            owner,
            scopes,
            project_id,
            created_at,
            last_used_at,
            revoked_at,
        ) in await cursor.fetchall()
    }


async def by_key(conn: AsyncConnection, key: str) -> ApiKey | None:
    return (await by_keys(conn, [key])).get(key)


async def revoke(conn: AsyncConnection, key_id: int) -> bool:
    """Stop a key from the next request on. False when there is no such key in force."""
    done = await conn.execute(
        """
        UPDATE api_key
           SET revoked_at = now()
         WHERE id = %(id)s
           AND revoked_at IS NULL
        """,
        {"id": key_id},
    )
    return done.rowcount == 1


async def touch(conn: AsyncConnection, key_id: int) -> None:
    """Note that the key was used; at most once a minute, so that reading stays reading."""
    await conn.execute(
        """
        UPDATE api_key
           SET last_used_at = now()
         WHERE id = %(id)s
           AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
        """,
        {"id": key_id},
    )


async def labels(conn: AsyncConnection, ids: Sequence[int]) -> dict[int, str]:
    """What these keys are called; revoked ones, too."""
    cursor = await conn.execute(
        """
        SELECT id, label
          FROM api_key
         WHERE id = ANY(%(ids)b::bigint[])
        """,
        {"ids": list(ids)},
    )
    return dict(await cursor.fetchall())
