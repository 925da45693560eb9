"""The first project and the first key."""

import asyncio

import pytest

from personhood.cli.bootstrap import Bootstrapped, bootstrap
from personhood.errors import InvalidSetting
from personhood.settings import Settings
from personhood.store import api_key, project
from personhood.store.pool import Pool

PRESET = Settings(bootstrap_token="phc_first", bootstrap_key="phx_first")


async def run(pool: Pool, settings: Settings) -> Bootstrapped:
    async with pool.connection() as conn:
        before = conn.isolation_level
        try:
            return await bootstrap(conn, settings)
        finally:
            await conn.set_isolation_level(before)


async def state(pool: Pool) -> tuple[list[str], list[tuple[list[str], int | None]]]:
    async with pool.connection() as conn:
        projects = await project.all_projects(conn)
        keys = await api_key.all_keys(conn)
    return [each.token for each in projects], [(key.scopes, key.project_id) for key in keys]


async def test_an_empty_database_gets_a_project_and_an_all_scopes_key(pool: Pool) -> None:
    made = await run(pool, Settings())
    assert made.key is not None
    assert await state(pool) == ([made.project.token], [(["*"], None)])
    async with pool.connection() as conn:
        assert await api_key.by_key(conn, made.key) is not None


async def test_a_second_start_changes_nothing_and_shows_no_key(pool: Pool) -> None:
    first = await run(pool, Settings())
    after_first = await state(pool)
    second = await run(pool, Settings())
    assert second == Bootstrapped(first.project, None)
    assert await state(pool) == after_first


async def test_presets_are_made_once(pool: Pool) -> None:
    first = await run(pool, PRESET)
    assert (first.project.token, first.key) == ("phc_first", None)
    assert await run(pool, PRESET) == first
    assert await state(pool) == (["phc_first"], [(["*"], None)])


@pytest.mark.parametrize("key", [None, "phx_first"], ids=["random", "preset"])
async def test_the_first_key_has_the_owner_of_the_settings(pool: Pool, key: str | None) -> None:
    await run(pool, Settings(bootstrap_key=key, bootstrap_owner="ada@example.com"))
    async with pool.connection() as conn:
        [made] = await api_key.all_keys(conn)
    assert made.owner == "ada@example.com"


async def test_presets_join_what_is_there(pool: Pool) -> None:
    older = await run(pool, Settings())
    made = await run(pool, PRESET)
    assert made.project.token == "phc_first"
    assert await state(pool) == ([older.project.token, "phc_first"], [(["*"], None)] * 2)


async def test_a_project_that_has_the_preset_token_is_left_as_it_is(pool: Pool) -> None:
    async with pool.connection() as conn:
        shop = await project.insert(conn, name="Shop", token="phc_first")
    assert (await run(pool, PRESET)).project == shop


async def test_a_key_that_somebody_revoked_stays_revoked(pool: Pool) -> None:
    await run(pool, PRESET)
    async with pool.connection() as conn:
        await api_key.revoke(conn, 1)
    with pytest.raises(InvalidSetting, match="was revoked"):
        await run(pool, PRESET)
    made = await run(pool, Settings())
    assert made.key is None, "nobody asked for a key"


@pytest.mark.parametrize("settings", [Settings(), PRESET], ids=["random", "preset"])
async def test_servers_that_start_together_make_one_project_and_one_key(
    pool: Pool, settings: Settings
) -> None:
    made = await asyncio.gather(*(run(pool, settings) for _ in range(4)))
    assert len({each.project.id for each in made}) == 1
    projects, keys = await state(pool)
    assert (len(projects), len(keys)) == (1, 1)
    assert sum(each.key is not None for each in made) == (settings.bootstrap_key is None)
