"""`Idempotency-Key`: what is sent again is answered again, and done once."""

import asyncio
from typing import Any

import httpx
import pytest
from litestar import Litestar

from personhood.api import once
from personhood.jobs import sweep
from personhood.model import Project
from personhood.store import api_key
from personhood.store.pool import Pool
from tests.api.conftest import Client, People
from tests.api.skeleton import as_key
from tests.test_merges import identify, send, set_

PATH = "/api/projects/@current/persons"
COHORTS = "/api/projects/@current/cohorts"
REPLAYED = "idempotent-replayed"


def keyed(key: str, **headers: str) -> dict[str, str]:
    return {"Idempotency-Key": key, **headers}


async def number_of(pool: Pool, sql: str) -> int:
    async with pool.connection() as conn:
        cursor = await conn.execute(sql.encode())
        row = await cursor.fetchone()
    assert row is not None
    return row[0]


async def kept(pool: Pool) -> int:
    return await number_of(pool, "SELECT count(*) FROM idempotency")


async def test_the_same_again_is_the_same_answer(client: Client, pool: Pool, shop: Project) -> None:
    body = {"name": "Beta"}
    first = await client.post(COHORTS, json=body, headers=keyed("a"))
    again = await client.post(f"{COHORTS}/", json=body, headers=keyed("a"))
    assert first.status_code == again.status_code == 200
    assert first.content == again.content
    assert REPLAYED not in first.headers
    assert again.headers[REPLAYED] == "true"
    assert again.headers["content-type"] == first.headers["content-type"]
    assert await number_of(pool, "SELECT count(*) FROM cohort") == 1
    other = await client.post(COHORTS, json=body, headers=keyed("b"))
    assert other.json()["id"] != first.json()["id"]
    assert REPLAYED not in other.headers


async def test_headers_of_the_answer_come_again(client: Client, people: People) -> None:
    await people.add("ada")
    path, body = f"{PATH}/distinct_id:ada/update_property", {"key": "plan", "value": "paid"}
    first = await client.post(path, json=body, headers=keyed("a"))
    await client.post(path, json={"key": "plan", "value": "free"}, headers=keyed("b"))
    again = await client.post(path, json=body, headers=keyed("a"))
    assert again.content == first.content
    assert again.headers["etag"] == first.headers["etag"]
    now = (await client.get(f"{PATH}/distinct_id:ada")).json()
    assert now["properties"] == {"plan": "free"}


async def test_csv_comes_again_as_csv(client: Client, people: People) -> None:
    await people.add("ada")
    path, body = f"{PATH}/bulk_delete.csv", {"distinct_ids": ["ada"]}
    first = await client.post(path, json=body, headers=keyed("a"))
    again = await client.post(path, json=body, headers=keyed("a"))
    assert first.headers["content-type"].startswith("text/csv")
    assert again.headers[REPLAYED] == "true"
    assert (again.content, again.headers["content-type"]) == (
        first.content,
        first.headers["content-type"],
    )
    answer = await client.post(f"{PATH}/bulk_delete", json=body, headers=keyed("a"))
    assert answer.status_code == 422


async def test_an_empty_csv_is_empty_again(client: Client, shop: Project) -> None:
    for _ in range(2):
        answer = await client.post(f"{COHORTS}.csv", json={"name": "x"}, headers=keyed("a"))
        assert (answer.status_code, answer.content) == (200, b"")


async def test_another_request_is_refused(client: Client, pool: Pool, people: People) -> None:
    await people.add("ada")
    path, body = f"{PATH}/distinct_id:ada/delete_property", {"$unset": "plan"}
    assert (await client.post(path, json=body, headers=keyed("a"))).status_code == 200
    others = [
        (path, {"$unset": "name"}),
        (f"{path}?dry_run=true", body),
        (f"{PATH}/distinct_id:ada/delete_events", body),
        (path.replace("projects", "environments"), body),
    ]
    for changed, other in others:
        answer = await client.post(changed, json=other, headers=keyed("a"))
        assert answer.status_code == 422, answer.text
        assert answer.json() == {
            "type": "invalid_request",
            "code": "unprocessable",
            "detail": once.ANOTHER,
            "attr": None,
        }
    assert await number_of(pool, "SELECT count(*) FROM deletion") == 0


@pytest.mark.parametrize("key", ["", " ", '""', "x" * 256])
async def test_a_key_that_is_none(client: Client, pool: Pool, shop: Project, key: str) -> None:
    for path in (COHORTS, f"{PATH}/search"):
        answer = await client.post(path, json={"name": "x"}, headers=keyed(key))
        assert answer.status_code == 400
        assert answer.json()["detail"] == once.KEY_MALFORMED
    assert await number_of(pool, "SELECT count(*) FROM cohort") == 0


async def test_two_keys_are_none_and_255_characters_are_one(client: Client, shop: Project) -> None:
    headers = httpx.Headers([("Idempotency-Key", "a"), ("Idempotency-Key", "b")])
    answer = await client.post(COHORTS, json={"name": "x"}, headers=headers)
    assert answer.status_code == 400
    for _ in range(2):
        answer = await client.post(COHORTS, json={"name": "x"}, headers=keyed("x" * 255))
        assert answer.status_code == 200
    assert answer.headers[REPLAYED] == "true"


async def test_keys_and_projects_do_not_share(
    client: Client, pool: Pool, shop: Project, other: Project
) -> None:
    body = {"name": "x"}
    first = await client.post(f"/api/projects/{shop.id}/cohorts", json=body, headers=keyed("a"))
    elsewhere = await client.post(
        f"/api/projects/{other.id}/cohorts", json=body, headers=keyed("a")
    )
    somebody = await client.post(
        f"/api/projects/{shop.id}/cohorts",
        json=body,
        headers=keyed("a", **await as_key(pool, "cohort:write")),
    )
    answers = [first, elsewhere, somebody]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert len({answer.json()["id"] for answer in answers}) == 3
    assert not any(REPLAYED in answer.headers for answer in answers)


async def test_who_may_not_is_told_so_before_any_answer(
    client: Client, pool: Pool, shop: Project
) -> None:
    await client.post(COHORTS, json={"name": "x"}, headers=keyed("a"))
    answer = await client.post(
        COHORTS, json={"name": "x"}, headers=keyed("a", Authorization="Bearer phx_unknown")
    )
    assert answer.status_code == 401
    async with pool.connection() as conn:
        key = await api_key.by_key(conn, "phx_everything")
        assert key is not None
        await api_key.revoke(conn, key.id)
    answer = await client.post(COHORTS, json={"name": "x"}, headers=keyed("a"))
    assert answer.status_code == 401


async def test_a_refusal_leaves_the_key_free(client: Client, pool: Pool, people: People) -> None:
    path = f"{PATH}/distinct_id:ada/update_property"
    assert (await client.post(path, json={"key": "a"}, headers=keyed("a"))).status_code == 400
    body = {"key": "a", "value": 1}
    assert (await client.post(path, json=body, headers=keyed("a"))).status_code == 404
    assert await kept(pool) == 0
    await people.add("ada")
    assert (await client.post(path, json=body, headers=keyed("a"))).status_code == 200
    assert await kept(pool) == 1


async def test_reading_keeps_nothing(client: Client, pool: Pool, people: People) -> None:
    await people.add("ada")
    for path, body in [
        ("search", {"distinct_id": "ada"}),
        ("batch_by_distinct_ids", {"distinct_ids": ["ada"]}),
    ]:
        for _ in range(2):
            answer = await client.post(f"{PATH}/{path}", json=body, headers=keyed("a"))
            assert answer.status_code == 200
            assert REPLAYED not in answer.headers
    assert (await client.get(PATH, headers=keyed(""))).status_code == 200
    assert await kept(pool) == 0


async def test_what_is_kept_tells_nobody(client: Client, pool: Pool, people: People) -> None:
    await people.add("ada@example.com", secret="marker")
    path = f"{PATH}/distinct_id:ada%40example.com/update_property"
    answer = await client.post(path, json={"key": "a", "value": "marker"}, headers=keyed("my-key"))
    assert b"ada@example.com" in answer.content
    async with pool.connection() as conn:
        cursor = await conn.execute("SELECT hash, fingerprint, answer FROM idempotency")
        [row] = await cursor.fetchall()
    for secret in (b"ada@example.com", b"marker", b"my-key", b"phx_everything"):
        assert not any(secret in value for value in row)


async def test_of_many_at_once_one_is_done(client: Client, pool: Pool, shop: Project) -> None:
    body = {"name": "x"}
    answers = await asyncio.gather(
        *(client.post(COHORTS, json=body, headers=keyed("a")) for _ in range(8))
    )
    assert {answer.status_code for answer in answers} <= {200, 409}
    for answer in answers:
        if answer.status_code == 409:
            assert answer.headers["retry-after"] == "1"
            assert answer.json()["detail"] == once.RUNNING
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 200}) == 1
    assert await number_of(pool, "SELECT count(*) FROM cohort") == 1


async def abandon(pool: Pool, *, answered: bool = False) -> None:
    """As a server leaves it that was killed, half a minute ago."""
    async with pool.connection() as conn:
        await conn.execute("UPDATE idempotency SET alive_at = now() - interval '31 seconds'")
        if not answered:
            await conn.execute("UPDATE idempotency SET answer = NULL")


MADE: list[tuple[str, dict[str, Any]]] = [
    (f"{PATH}/distinct_id:ada/update_property", {"key": "a", "value": 1}),
    (f"{PATH}/distinct_id:ada/delete_property", {"$unset": "plan"}),
    (f"{PATH}/distinct_id:ada/delete_events", {}),
    (f"{PATH}/distinct_id:ada/delete_recordings", {}),
    (f"{PATH}/distinct_id:ada/split", {"distinct_ids_to_split": ["anon"]}),
    (f"{PATH}/bulk_delete", {"distinct_ids": ["ada"]}),
    (COHORTS, {"name": "x"}),
]


@pytest.mark.parametrize(("path", "body"), MADE)
async def test_what_was_done_is_not_done_again_when_its_answer_was_lost(
    client: Client, pool: Pool, shop: Project, path: str, body: dict[str, Any]
) -> None:
    await send(pool, shop, set_("ada", plan="free"), set_("anon"), identify("ada", "anon"))
    first = await client.post(path, json=body, headers=keyed("a"))
    assert first.status_code == 200, first.text
    await abandon(pool)
    told = await number_of(pool, "SELECT count(*) FROM ledger")
    for _ in range(2):
        answer = await client.post(path, json=body, headers=keyed("a"))
        assert (answer.status_code, answer.json()["code"]) == (409, "answer_lost")
        assert "retry-after" not in answer.headers
    assert await number_of(pool, "SELECT count(*) FROM ledger") == told
    assert await number_of(pool, "SELECT count(*) FROM cohort") <= 1


async def test_an_undone_merge_is_not_undone_again(
    client: Client, pool: Pool, shop: Project
) -> None:
    await send(pool, shop, set_("ada"), set_("anon"), identify("ada", "anon"))
    [merge] = (await client.get(f"{PATH}/distinct_id:ada/merges")).json()["results"]
    path = f"{PATH}/distinct_id:ada/merges/{merge['id']}/undo"
    first = await client.post(path, headers=keyed("a"))
    again = await client.post(path, headers=keyed("a"))
    assert (first.status_code, again.content) == (200, first.content)
    await abandon(pool)
    assert (await client.post(path, headers=keyed("a"))).json()["code"] == "answer_lost"


async def test_what_was_not_done_is_done_once_it_is_abandoned(
    client: Client, pool: Pool, shop: Project
) -> None:
    body = {"name": "x"}
    await client.post(COHORTS, json=body, headers=keyed("a"))
    async with pool.connection() as conn:
        await conn.execute("DELETE FROM cohort")
        await conn.execute("UPDATE idempotency SET answer = NULL, alive_at = now()")
    answer = await client.post(COHORTS, json=body, headers=keyed("a"))
    assert (answer.status_code, answer.headers["retry-after"]) == (409, "1")
    await abandon(pool)
    answer = await client.post(COHORTS, json=body, headers=keyed("a"))
    assert answer.status_code == 200
    again = await client.post(COHORTS, json=body, headers=keyed("a"))
    assert (again.headers[REPLAYED], again.content) == ("true", answer.content)
    assert await number_of(pool, "SELECT count(*) FROM cohort") == 1


async def test_a_crash_after_the_effect_does_not_free_the_key(
    client: Client, pool: Pool, shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash(*_: Any, **__: Any) -> None:
        raise RuntimeError("in the middle")

    with monkeypatch.context() as patch:
        patch.setattr("personhood.api.cohorts.read", crash)
        answer = await client.post(COHORTS, json={"name": "x"}, headers=keyed("a"))
        assert answer.status_code == 500
    await abandon(pool)
    answer = await client.post(COHORTS, json={"name": "x"}, headers=keyed("a"))
    assert answer.json()["code"] == "answer_lost"
    assert await number_of(pool, "SELECT count(*) FROM cohort") == 1


async def test_a_crash_before_the_effect_frees_it(
    client: Client, pool: Pool, shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash(*_: Any, **__: Any) -> None:
        raise RuntimeError("too early")

    with monkeypatch.context() as patch:
        patch.setattr("personhood.cohorts.create", crash)
        answer = await client.post(COHORTS, json={"name": "x"}, headers=keyed("a"))
        assert answer.status_code == 500
    assert await kept(pool) == 0
    answer = await client.post(COHORTS, json={"name": "x"}, headers=keyed("a"))
    assert answer.status_code == 200


async def test_an_answer_is_kept_for_a_day(
    client: Client, app: Litestar, pool: Pool, shop: Project
) -> None:
    body = {"name": "x"}
    first = await client.post(COHORTS, json=body, headers=keyed("a"))
    async with pool.connection() as conn:
        await conn.execute("UPDATE idempotency SET created_at = now() - interval '23 hours'")
    assert (await client.post(COHORTS, json=body, headers=keyed("a"))).headers[REPLAYED] == "true"
    async with pool.connection() as conn:
        await conn.execute("UPDATE idempotency SET created_at = now() - interval '25 hours'")
    later = await client.post(COHORTS, json={"name": "y"}, headers=keyed("a"))
    assert later.json()["id"] != first.json()["id"]


async def test_old_answers_are_swept_and_running_ones_stay(
    client: Client, app: Litestar, pool: Pool, shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "ANSWERS_PER_PASS", 2)
    for name in "abcdefg":
        await client.post(COHORTS, json={"name": name}, headers=keyed(name))
    context = type("Context", (), {})()
    context.additional_context = {"pool": pool, "settings": app.state.settings}
    assert await sweep.kept_answers(context, 0) == 0
    async with pool.connection() as conn:
        await conn.execute("UPDATE idempotency SET created_at = now() - interval '25 hours'")
        await conn.execute(
            """
            UPDATE idempotency SET answer = NULL
             WHERE hash IN (SELECT hash FROM idempotency LIMIT 1)
            """
        )
    assert await sweep.kept_answers(context, 0) == 6
    assert await kept(pool) == 1


async def test_a_long_request_tells_that_it_still_runs(
    client: Client, pool: Pool, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(once, "BEAT_S", 0.01)
    await people.add("ada")
    path, body = f"{PATH}/distinct_id:ada/update_property", {"key": "a", "value": 1}
    async with pool.connection() as conn, conn.transaction():
        await conn.execute("SELECT FROM person FOR UPDATE")
        first = asyncio.create_task(client.post(path, json=body, headers=keyed("a")))
        while not await kept(pool):
            await asyncio.sleep(0.01)
        await abandon(pool)
        while await number_of(
            pool, "SELECT count(*) FROM idempotency WHERE alive_at < now() - interval '30 seconds'"
        ):
            await asyncio.sleep(0.01)
        assert (await client.post(path, json=body, headers=keyed("a"))).status_code == 409
    assert (await first).status_code == 200


async def test_whether_a_request_had_its_effect_is_told_by_indexes(pool: Pool) -> None:
    """However many requests are known, and however much was done, one is found by its id."""
    async with pool.connection() as conn:
        await conn.execute("SET enable_seqscan = off")
        for table in ("activity", "deletion", "bulk_deletion", "cohort"):
            more = "AND NOT profile" if table == "deletion" else ""
            cursor = await conn.execute(
                f"EXPLAIN SELECT FROM {table} WHERE request_id = gen_random_uuid() {more}".encode()
            )
            assert f"{table}_request" in str(await cursor.fetchall())
