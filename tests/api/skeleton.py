"""What every endpoint refuses alike: the rows of its skeleton (style, section 7)."""

from typing import Any

import pytest

from personhood.store import api_key
from personhood.store.pool import Pool
from tests.api.conftest import Client

DEEP = "[" * 100_000
HUGE = "9" * 400

# Bodies that no endpoint can take, whatever it reads: content, content type, status, code.
BROKEN_BODIES = [
    pytest.param("{", "application/json", 400, "parse_error", id="broken"),
    pytest.param(DEEP, "application/json", 400, "parse_error", id="deep"),
    pytest.param('{"x": ' + DEEP, "application/json", 400, "parse_error", id="deep-in-object"),
    pytest.param("[]", "application/json", 400, "invalid_input", id="list"),
    pytest.param('"x"', "application/json", 400, "invalid_input", id="text"),
    pytest.param(HUGE, "application/json", 400, "invalid_input", id="huge-number"),
    pytest.param("{}", "text/plain", 415, "unsupported_media_type", id="content-type"),
]
broken_bodies = pytest.mark.parametrize(("content", "type", "status", "code"), BROKEN_BODIES)


async def refuses_body(client: Client, path: str, *row: Any) -> None:
    content, type, status, code = row
    answer = await client.post(path, content=content, headers={"Content-Type": type})
    assert answer.status_code == status, answer.text
    assert answer.json()["code"] == code


async def as_key(pool: Pool, *scopes: str) -> dict[str, str]:
    """Headers of a new key that has only these scopes."""
    key = "phx_" + "_".join(scopes).replace(":", "_")
    async with pool.connection() as conn:
        await api_key.insert(conn, key, label="few", scopes=list(scopes), project_id=None)
    return {"Authorization": f"Bearer {key}"}


async def needs(client: Client, pool: Pool, *scopes: str, method: str, path: str) -> None:
    """No key: 401. A key that lacks one of `scopes`: 403. With all of them it is let in."""
    answer = await client.request(method, path, headers={"Authorization": ""})
    assert answer.status_code == 401
    for missing in scopes:
        held = [scope for scope in scopes if scope != missing] or ["annotation:write"]
        answer = await client.request(method, path, headers=await as_key(pool, *held))
        assert answer.status_code == 403, answer.text
        assert answer.json()["detail"] == f"API key missing required scope '{missing}'"
    answer = await client.request(method, path, headers=await as_key(pool, *scopes))
    assert answer.status_code not in (401, 403)
