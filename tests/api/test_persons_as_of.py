"""`as_of` on reading and listing persons."""

import random
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from personhood.api import as_of
from personhood.capture.parse import Sent
from personhood.model import Project
from personhood.store.pool import Pool
from personhood.verification import Verifier
from tests import test_persons
from tests.api.conftest import Client
from tests.test_merges import identify, send, set_
from tests.test_persons import sent

PATH = "/api/projects/@current/persons"
Snapshot = dict[str, dict[str, Any]]


async def everybody(client: Client, query: str = "") -> Snapshot:
    """All persons by uuid, with their ids in any order."""
    found: Snapshot = {}
    url: str | None = f"{PATH}/?cursor=&limit=3{query}"
    while url is not None:
        answer = await client.get(url)
        assert answer.status_code == 200, answer.text
        url = answer.json()["next"]
        for row in answer.json()["results"]:
            assert row["uuid"] not in found
            row.pop("last_seen_at")
            row.pop("recordings_count", None)
            row["distinct_ids"] = sorted(row["distinct_ids"])
            row.pop("name")
            found[row["uuid"]] = row
    return found


async def now(pool: Pool) -> str:
    async with pool.connection() as conn:
        cursor = await conn.execute("SELECT clock_timestamp()")
        [(moment,)] = await cursor.fetchall()
    return moment.isoformat().replace("+00:00", "Z")


class History:
    """Random things that happen to the persons of a few ids, and how they are seen after each."""

    def __init__(self, client: Client, pool: Pool, shop: Project, *, seed: int) -> None:
        self.client, self.pool, self.shop = client, pool, shop
        self.chance = random.Random(seed)
        self.names = [f"n{number}" for number in range(7)]
        self.seen: list[tuple[str, Snapshot]] = []
        self.done: set[str] = set()

    async def go(self, steps: int) -> None:
        verbs = [self.write, self.write, self.join, self.join, self.identify, self.patch,
                 self.undo, self.split, self.rejoin]  # fmt: skip
        for _ in range(steps):
            verb = self.chance.choice(verbs)
            if await verb() is not False:
                self.done.add(verb.__name__)
            self.seen.append((await now(self.pool), await everybody(self.client)))

    async def write(self) -> None:
        await send(self.pool, self.shop, set_(self.one(), n=self.chance.random(), x=1))

    async def join(self) -> None:
        event = sent("$merge_dangerously", self.one(), alias=self.one())
        await send(self.pool, self.shop, event)

    async def identify(self) -> None:
        await send(self.pool, self.shop, identify(self.one(), self.one(), k=self.chance.random()))

    async def patch(self) -> bool:
        body = {"properties": {"by": self.chance.random()}}
        answer = await self.client.patch(f"{PATH}/distinct_id:{self.one()}", json=body)
        return answer.status_code == 200

    async def undo(self) -> bool:
        return await self.undo_any("merges")

    async def rejoin(self) -> bool:
        return await self.undo_any("splits")

    async def undo_any(self, what: str) -> bool:
        path = f"{PATH}/distinct_id:{self.one()}/{what}"
        found = (await self.client.get(path)).json().get("results", [])
        if not found:
            return False
        id = self.chance.choice(found)["id"]
        return (await self.client.post(f"{path}/{id}/undo")).status_code == 200

    async def split(self) -> bool:
        body = {"distinct_ids_to_split": [self.one()]}
        path = f"{PATH}/distinct_id:{body['distinct_ids_to_split'][0]}/split"
        return (await self.client.post(path, json=body)).status_code == 200

    def one(self) -> str:
        return self.chance.choice(self.names)


@pytest.mark.parametrize("seed", (1, 12, 14, 18, 29))
async def test_snapshots_of_a_random_history_are_what_as_of_tells(
    client: Client, pool: Pool, shop: Project, seed: int
) -> None:
    history = History(client, pool, shop, seed=seed)
    await history.go(40)
    for moment, seen in history.seen:
        assert await everybody(client, f"&as_of={moment}") == seen
    for moment, seen in history.chance.sample(history.seen, 8):
        for row in seen.values():
            for name in (row["uuid"], *(f"distinct_id:{name}" for name in row["distinct_ids"])):
                answer = await client.get(f"{PATH}/{name}?as_of={moment}")
                assert answer.status_code == 200
                assert answer.json()["uuid"] == row["uuid"]
                assert answer.json()["properties"] == row["properties"]
                assert sorted(answer.json()["distinct_ids"]) == row["distinct_ids"]
    report = await Verifier(pool=pool).run()
    assert report.findings == []


@pytest.mark.parametrize("seed", (101, 104))
async def test_where_all_came_when_it_happened_both_bases_are_one(
    client: Client, pool: Pool, shop: Project, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History(client, pool, shop, seed=seed)
    for _ in range(25):
        monkeypatch.setattr(test_persons, "NOW", datetime.now(UTC))
        await history.go(1)
    for moment, seen in history.seen:
        assert await everybody(client, f"&as_of={moment}&as_of_basis=event") == seen
    for moment, seen in (("1999-01-01", {}), ("2999-12-31T23:59Z", history.seen[-1][1])):
        for basis in ("event", "recorded"):
            assert await everybody(client, f"&as_of={moment}&as_of_basis={basis}") == seen


async def test_by_the_times_of_events(client: Client, pool: Pool, shop: Project) -> None:
    early, late = (datetime(2024, 1, day, tzinfo=UTC) for day in (1, 20))
    await send(pool, shop, at(set_("u", plan="late"), late), at(set_("u", seats=1), early))
    before = await now(pool)
    await send(pool, shop, set_("a"), identify("u", "a"))
    path = f"{PATH}/distinct_id:u?as_of="
    event = (await client.get(f"{path}{before}&as_of_basis=recorded")).json()
    assert {"plan", "seats"} <= event["properties"].keys()
    answer = await client.get(f"{path}2024-01-21&as_of_basis=event")
    assert answer.status_code == 200
    assert answer.json()["distinct_ids"] == ["u"]
    assert (await client.get(f"{path}2024-01-10&as_of_basis=event")).status_code == 404
    assert (await client.get(f"{path}2024-01-21&as_of_basis=recorded")).status_code == 404


def at(event: Sent, moment: datetime) -> Sent:
    return msgspec.structs.replace(event, timestamp=moment)


async def test_of_who_was_deleted_nothing_is_told(
    client: Client, pool: Pool, shop: Project
) -> None:
    await send(pool, shop, set_("u", secret=1))
    moment = await now(pool)
    assert len(await everybody(client, f"&as_of={moment}")) == 1
    assert (await client.delete(f"{PATH}/distinct_id:u")).status_code == 204
    assert await everybody(client, f"&as_of={moment}") == {}
    assert (await client.get(f"{PATH}/distinct_id:u?as_of={moment}")).status_code == 404


async def test_a_list_of_one_distinct_id(client: Client, pool: Pool, shop: Project) -> None:
    await send(pool, shop, set_("u", n=1), set_("a", n=2))
    moment = await now(pool)
    await send(pool, shop, identify("u", "a"))
    [row] = (await client.get(f"{PATH}/?distinct_id=a&as_of={moment}")).json()["results"]
    assert (row["properties"]["n"], row["distinct_ids"]) == (2, ["a"])
    [row] = (await client.get(f"{PATH}/?distinct_id=a&as_of={await now(pool)}")).json()["results"]
    assert row["properties"]["n"] == 1
    assert (await client.get(f"{PATH}/?distinct_id=x&as_of={moment}")).json()["results"] == []


@pytest.mark.parametrize(
    ("query", "attr"),
    [
        ("as_of=yesterday", "as_of"),
        ("as_of=", "as_of"),
        ("as_of=0001-01-01T00:00:00%2B14:00", "as_of"),
        ("as_of=2024-01-01&as_of_basis=wall", "as_of_basis"),
        ("as_of_basis=event", "as_of_basis"),
    ],
)
async def test_moments_that_are_none(
    client: Client, pool: Pool, shop: Project, query: str, attr: str
) -> None:
    await send(pool, shop, set_("u"))
    for path in (f"{PATH}/distinct_id:u", f"{PATH}/"):
        answer = await client.get(f"{path}?{query}")
        assert (answer.status_code, answer.json()["attr"]) == (400, attr)


async def test_filters_are_asked_of_what_persons_were(
    client: Client, pool: Pool, shop: Project
) -> None:
    await send(pool, shop, set_("u", email="Old@example.com", n=1), set_("a", n=20, plan="free"))
    await send(pool, shop, *(set_(f"x{number}", n=number) for number in range(2, 8)))
    moment = await now(pool)
    await send(pool, shop, set_("u", email="new@example.com", n=9), identify("u", "a"))
    everybody_then = {"u", "a", *(f"x{number}" for number in range(2, 8))}
    for query, found in (
        ("email=Old@example.com", {"u"}),
        ("email=new@example.com", set[str]()),
        ("search=OLD@ex", {"u"}),
        ("search=X3", {"x3"}),
        ("search=new@", set[str]()),
        (where("n", 5, "lt"), {"u", "x2", "x3", "x4"}),
        (where("plan", "free", "exact"), {"a"}),
        (where("plan", "free", "is_not"), everybody_then - {"a"}),
        (f"{where('n', 6, 'gte')}&search=x", {"x6", "x7"}),
        ("distinct_id=a&search=x", set[str]()),
        (f"distinct_id=a&{where('n', 20, 'exact')}", {"a"}),
        ("search=%00", set[str]()),
        ("distinct_id=%00", set[str]()),
    ):
        rows = await everybody(client, f"&as_of={moment}&{query}")
        assert {name for row in rows.values() for name in row["distinct_ids"]} == found, query
    now_too = await everybody(client, f"&as_of={await now(pool)}&email=new@example.com")
    assert [row["distinct_ids"] for row in now_too.values()] == [["a", "u"]]


def where(key: str, value: Any, operator: str) -> str:
    filter = [{"key": key, "value": value, "operator": operator, "type": "person"}]
    return f"properties={quote(msgspec.json.encode(filter))}"


async def test_a_page_that_finds_few_ends_early_and_leads_on(
    client: Client, pool: Pool, shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(as_of, "BATCH", 2)
    monkeypatch.setattr(as_of, "LOOKED_AT_MAX", 4)
    await send(pool, shop, *(set_(f"x{number}", n=number) for number in range(11)))
    url: str | None = f"{PATH}/?limit=2&as_of={await now(pool)}&{where('n', [3, 9], 'exact')}"
    found: list[int] = []
    pages = 0
    while url is not None:
        answer = (await client.get(url)).json()
        found += [row["properties"]["n"] for row in answer["results"]]
        url, pages = answer["next"], pages + 1
    assert (sorted(found), pages) == ([3, 9], 3)


async def test_a_search_by_a_body(client: Client, pool: Pool, shop: Project) -> None:
    await send(pool, shop, *(set_(f"x{number}", n=number) for number in range(5)))
    body: dict[str, Any] = {"as_of": await now(pool), "search": "x", "limit": 3}
    await send(pool, shop, *(set_(f"x{number}", n=0) for number in range(5)))
    found: list[int] = []
    for following in (True, False):
        answer = (await client.post(f"{PATH}/search", json=body)).json()
        found += [row["properties"]["n"] for row in answer["results"]]
        assert (answer["next_cursor"] is not None, answer["next_offset"]) == (following, None)
        body["cursor"] = answer["next_cursor"]
    assert sorted(found) == [0, 1, 2, 3, 4]
    for name, value in (("offset", 1), ("include_total", True), ("as_of", "x"), ("as_of", 1)):
        answer = await client.post(f"{PATH}/search", json={"as_of": "2024-01-01", name: value})
        assert (answer.status_code, answer.json()["attr"]) == (400, name)


async def test_as_csv_a_page_leads_to_the_next(client: Client, pool: Pool, shop: Project) -> None:
    await send(pool, shop, set_("u"), set_("a"))
    answer = await client.get(f"{PATH}.csv?limit=1&as_of={await now(pool)}")
    assert len(answer.text.splitlines()) == 2
    assert 'rel="next"' in answer.headers["link"]


@pytest.mark.parametrize(
    ("query", "attr"),
    [
        ("offset=1", "offset"),
        ("include_total", "include_total"),
        ("cursor=x", "cursor"),
        ('properties=[{"type":"cohort","key":"id","value":1}]', "properties"),
        ('properties=[{"key":"n","value":"(","operator":"regex"}]', "properties"),
    ],
)
async def test_what_cannot_be_asked_of_the_past(client: Client, query: str, attr: str) -> None:
    answer = await client.get(f"{PATH}/?as_of=2024-01-01&{query}")
    assert (answer.status_code, answer.json()["attr"]) == (400, attr)


async def test_another_projects_past_is_its_own(
    client: Client, pool: Pool, shop: Project, other: Project
) -> None:
    await send(pool, shop, set_("u"))
    moment = await now(pool)
    [uuid] = await everybody(client, f"&as_of={moment}")
    for name in (uuid, "distinct_id:u"):
        path = f"/api/projects/{other.id}/persons/{name}?as_of={moment}"
        assert (await client.get(path)).status_code == 404
    theirs = await client.get(f"/api/environments/{other.id}/persons/?as_of={moment}")
    assert theirs.json()["results"] == []
