from personhood.store.pool import Pool


async def test_times_come_back_in_utc(pool: Pool) -> None:
    async with pool.connection() as conn:
        row = await (await conn.execute("SHOW timezone")).fetchone()
    assert row == ("UTC",)


async def test_json_comes_back_as_values(pool: Pool) -> None:
    async with pool.connection() as conn:
        row = await (await conn.execute("""SELECT '{"a": [1, null]}'::jsonb""")).fetchone()
    assert row == ({"a": [1, None]},)
