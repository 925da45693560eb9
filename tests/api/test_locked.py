"""Who waits too long for somebody else's lock is told to come again."""

import asyncio

from personhood.model import Project
from personhood.store import person
from personhood.store.pool import Pool
from tests.api.conftest import Client, People

PERSONS = "/api/projects/@current/persons"


async def test_a_write_does_not_wait_for_ever(
    client: Client, people: People, shop: Project, pool: Pool
) -> None:
    ada_id, ada_uuid = await people.add("ada", "lovelace", plan="free")
    url = f"{PERSONS}/{ada_uuid}"
    body = {"properties": {"plan": "paid"}}
    async with pool.connection() as conn, conn.transaction():
        await person.lock(conn, [ada_id])
        answers = await asyncio.gather(
            client.patch(url, json=body),
            client.delete(url),
            client.post(f"{url}/split", json={}),
            client.post(f"{PERSONS}/bulk_delete", json={"ids": [str(ada_uuid)]}),
        )
        for answer in answers:
            assert answer.status_code == 503, answer.text
            assert answer.json()["code"] == "service_unavailable"
            assert answer.json()["detail"].startswith("Others write the same")
            assert answer.headers["Retry-After"] == "1"
    again = await client.patch(url, json=body)
    assert again.json()["properties"]["plan"] == "paid"
