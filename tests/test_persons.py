"""Events through identity, store and ledger, in a real database."""

from datetime import UTC, datetime
from itertools import count
from uuid import UUID

import pytest

from personhood import persons
from personhood.capture import claims
from personhood.capture.parse import Sent
from personhood.model import Project
from personhood.persons import Work
from personhood.store import person_lookup, project
from personhood.store.person_lookup import Name
from personhood.store.pool import Pool, encode

NOW = datetime(2024, 3, 5, 12, 30, tzinfo=UTC)
numbers = count(1)


@pytest.fixture
async def shop(pool: Pool) -> Project:
    async with pool.connection() as conn:
        return await project.insert(conn, name="Shop", token="phc_shop")


def sent(name: str, distinct_id: str, uuid: UUID | None = None, **properties: object) -> Sent:
    return Sent(
        name=name,
        distinct_id=distinct_id,
        # In the order in which they are sent: of one time, that is how events are told apart.
        uuid=uuid or UUID(int=next(numbers)),
        timestamp=NOW,
        properties=encode(properties),
    )


def work(shop: Project, *events: Sent) -> Work:
    readings = [claims.read(each, shop, received_at=NOW, ip=None) for each in events]
    return Work(
        project=shop,
        events=[each.event for each in readings if each.event is not None],
        warnings=[warning for each in readings for warning in each.warnings],
    )


async def test_two(pool: Pool, shop: Project) -> None:
    await persons.apply(
        pool,
        [work(shop, sent("page", "a", **{"$set": {"n": 1}}), sent("page", "b"))],
    )
    await persons.apply(pool, [work(shop, sent("$identify", "b", **{"$anon_distinct_id": "a"}))])
    async with pool.connection() as conn:
        owner = await person_lookup.owner(conn, Name(shop.id, "a"))
        assert owner is not None
        person = owner.person
        assert person.properties["n"] == 1
        assert person.is_identified
        assert owner.distinct_ids == ["a", "b"]
