"""Deleting, one after the other, persons that were one: what is left tells of none that is gone."""

from itertools import permutations
from typing import Any

import httpx
from psycopg import AsyncConnection

from personhood.model import Project

PERSONS = "/api/projects/@current/persons/"
WHOLE_LIFE = """
    SELECT ledger.source_id, coalesce(ledger.before::text, '') || coalesce(ledger.after::text, '')
      FROM distinct_id
      JOIN ledger ON ledger.person_id = distinct_id.person_id
     WHERE distinct_id.distinct_id = %s
    """


async def test_a_split_that_is_forgotten_with_the_first_of_its_persons(
    client: httpx.AsyncClient, conn: AsyncConnection, shop: Project
) -> None:
    async def send(name: str, distinct_id: str, **properties: Any) -> None:
        event = {"event": name, "distinct_id": distinct_id, "properties": properties}
        body = {"api_key": shop.token, "batch": [event]}
        assert (await client.post("/batch/", json=body)).status_code == 200

    async def person_of(distinct_id: str) -> str:
        answer = await client.get(PERSONS, params={"distinct_id": distinct_id})
        return answer.json()["results"][0]["uuid"]

    for number, (kept, *gone) in enumerate(permutations("abc")):
        inner, middle, outer = (f"{letter}-{number}" for letter in "abc")
        for name in (inner, middle, outer):
            await send("e", name, **{"$set": {"own": name, f"secret of {name}": 1}})
        await send("$merge_dangerously", middle, alias=inner)
        await send("$merge_dangerously", outer, alias=middle)
        split = f"{PERSONS}{await person_of(outer)}/split/"
        answer = await client.post(split, json={"main_distinct_id": inner})
        assert answer.status_code == 200, answer.text
        names = [f"{letter}-{number}" for letter in gone]
        for name in names:
            answer = await client.delete(f"{PERSONS}{await person_of(name)}/")
            assert answer.status_code == 204, answer.text

        cursor = await conn.execute(WHOLE_LIFE, (f"{kept}-{number}",))
        lines = await cursor.fetchall()
        assert lines
        assert {source for source, _ in lines} == {None}
        assert [text for _, text in lines if any(name in text for name in names)] == []
