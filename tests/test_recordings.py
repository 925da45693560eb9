"""Recordings: kept once, removed with what deletions ask for, and when they have grown old."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard

from personhood import blobs, deletion_runs, recording_runs, recordings
from personhood.blobs import Blobs
from personhood.deletion_runs import Runner
from personhood.errors import NotFound, Overloaded
from personhood.model import Project, Recorded, SessionBlock, Wish
from personhood.recordings import Recorder
from personhood.store.pool import Pool
from tests.test_deletions import counts, delete, names, read, state
from tests.test_merges import identify, send, set_
from tests.test_persons import sent, shop

__all__ = ["shop"]

BEGAN = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
RECORDINGS = Wish(recordings=True)
ALL = Wish(profile=True, events=True, recordings=True)


@pytest.fixture
def store(tmp_path: Path) -> Blobs:
    return blobs.opened(None, tmp_path)


@pytest.fixture
def recorder(pool: Pool, store: Blobs) -> Recorder:
    return Recorder(pool, store, retention_s=3600, bytes_max=1000)


def block(
    session_id: str, distinct_id: str, text: str = "{}", *, minute: int = 0, **more: int
) -> SessionBlock:
    at = BEGAN + timedelta(minutes=minute)
    numbers = dict.fromkeys(
        (
            "bytes keypresses mouse_activity console_logs console_warnings console_errors active_ms"
        ).split(),
        0,
    )
    recorded = Recorded(
        started_at=at, ended_at=at, urls=[f"/{text}"], events=1, clicks=1, **{**numbers, **more}
    )
    return SessionBlock(
        session_id=session_id,
        distinct_id=distinct_id,
        source="web",
        library="web",
        lines=f'["w",{text}]\n'.encode(),
        recorded=recorded,
    )


async def keep(recorder: Recorder, tenant: Project, *given: SessionBlock) -> None:
    await recorder.keep(tenant, given, received_at=datetime.now(UTC))


async def run(pool: Pool, tenant: Project, store: Blobs, **how: Any) -> None:
    runner = Runner(storage=lambda: store, **how)
    await deletion_runs.run_due(pool, tenant.id, runner, waiting=True)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def texts(folder: Path) -> list[str]:
    read = zstandard.ZstdDecompressor()
    return sorted(read.decompress(path.read_bytes()).decode() for path in files(folder))


async def sessions(pool: Pool) -> list[Any]:
    return await read(pool, "SELECT session_id, blocks, clicks, urls FROM recording ORDER BY 1")


async def test_all_of_a_person_goes_with_its_recordings(
    pool: Pool, shop: Project, recorder: Recorder, store: Blobs, tmp_path: Path
) -> None:
    await send(pool, shop, set_("ada"), identify("ada", "anon"), sent("x", "anon"))
    await keep(recorder, shop, block("s-1", "anon", "1"), block("s-1", "ada", "2"))
    await keep(recorder, shop, block("s-2", "ada", "3"))
    await keep(recorder, shop, block("s-3", "bob", "4"))
    outcome = await delete(pool, shop, "ada", wish=ALL)
    await run(pool, shop, store)
    assert await state(pool, outcome) == ("completed", True, True)
    told = await counts(pool, outcome)
    assert (told["recordings"], told["blobs"]) == ((2, 2, 0), (3, 3, 0))
    assert [row[0] for row in await sessions(pool)] == ["s-3"]
    assert texts(tmp_path) == ['["w",4]\n']
    assert await names(pool) == {"bob": True}
    assert await read(pool, "SELECT path FROM doomed_blob") == []


async def test_a_person_may_keep_all_but_its_recordings(
    pool: Pool, shop: Project, recorder: Recorder, store: Blobs, tmp_path: Path
) -> None:
    await send(pool, shop, set_("ada"))
    await keep(recorder, shop, block("s-1", "ada", "1"))
    outcome = await delete(pool, shop, "ada", wish=RECORDINGS)
    await keep(recorder, shop, block("s-1", "ada", "2", minute=5))
    await keep(recorder, shop, block("s-2", "ada", "3"))
    await run(pool, shop, store)
    told = await counts(pool, outcome)
    assert (told["recordings"], told["blobs"]) == ((1, 1, 0), (1, 1, 0))
    assert await sessions(pool) == [("s-1", 1, 1, ["/2"]), ("s-2", 1, 1, ["/3"])]
    [(began,)] = await read(pool, "SELECT started_at FROM recording WHERE session_id = 's-1'")
    assert began == BEGAN + timedelta(minutes=5), "what came after the request is told of"
    assert texts(tmp_path) == ['["w",2]\n', '["w",3]\n']
    assert await names(pool) == {"ada": True}


async def test_of_a_shared_session_only_ones_own_part_goes(
    pool: Pool, shop: Project, recorder: Recorder, store: Blobs, tmp_path: Path
) -> None:
    await send(pool, shop, set_("ada"), set_("bob"))
    await keep(recorder, shop, block("s-1", "ada", "1"))
    await keep(recorder, shop, block("s-1", "bob", "2"))
    await delete(pool, shop, "ada", wish=ALL)
    await run(pool, shop, store)
    [(name, number)] = await read(
        pool,
        """
        SELECT d.distinct_id, r.blocks FROM recording r JOIN distinct_id d ON d.id = distinct_id_id
        """,
    )
    assert (name, number) == ("bob", 1)
    assert texts(tmp_path) == ['["w",2]\n']


async def test_recordings_that_nobody_asked_for_keep_their_name(
    pool: Pool, shop: Project, recorder: Recorder, store: Blobs, tmp_path: Path
) -> None:
    await send(pool, shop, set_("ada"))
    await keep(recorder, shop, block("s-1", "ada"))
    outcome = await delete(pool, shop, "ada", wish=Wish(profile=True, events=True))
    await run(pool, shop, store)
    assert (await state(pool, outcome))[0] == "completed"
    assert await names(pool) == {"ada": False}
    assert len(await sessions(pool)) == len(files(tmp_path)) == 1
    await recordings.delete(pool, store, shop, session_id="s-1")
    assert await names(pool) == {}, "the name goes with the last that was its"
    assert files(tmp_path) == []


async def test_a_run_goes_on_from_wherever_it_was_killed(
    pool: Pool,
    shop: Project,
    recorder: Recorder,
    store: Blobs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recording_runs, "BLOCKS_PER_STEP", 2)
    monkeypatch.setattr(recording_runs, "BLOBS_PER_STEP", 2)
    await send(pool, shop, set_("ada"))
    await keep(recorder, shop, *[block(f"s-{n % 3}", "ada", str(n)) for n in range(7)])
    outcome = await delete(pool, shop, "ada", wish=ALL)
    for allowed in range(20):
        left = iter([True] * allowed)
        await run(pool, shop, store, may_go_on=lambda left=left: next(left, False))
        if (await state(pool, outcome))[0] == "completed":
            break
    else:
        raise AssertionError("it never ended")
    told = await counts(pool, outcome)
    assert (told["recordings"], told["blobs"]) == ((3, 3, 0), (7, 7, 0))
    assert files(tmp_path) == await sessions(pool) == []


async def test_blobs_of_a_deletion_are_not_swept_but_counted(
    pool: Pool, shop: Project, recorder: Recorder, store: Blobs, tmp_path: Path
) -> None:
    await send(pool, shop, set_("ada"))
    await keep(recorder, shop, *[block(f"s-{n}", "ada", str(n)) for n in range(3)])
    outcome = await delete(pool, shop, "ada", wish=RECORDINGS)

    class Away(Blobs):
        async def delete_all(self, paths: Any) -> None:
            raise blobs.BlobsAway("it is away")

    await run(pool, shop, Away(lambda: store.store))
    aged = "UPDATE doomed_blob SET at = now() - interval '1 day' RETURNING 1"
    assert len(await read(pool, aged)) == 3
    assert await recordings.sweep_doomed(pool, store) == 0
    await run(pool, shop, store)
    assert (await state(pool, outcome))[0] == "completed"
    assert (await counts(pool, outcome))["blobs"] == (3, 3, 0)
    assert files(tmp_path) == []


async def test_without_its_storage_a_deletion_is_not_completed(
    pool: Pool, shop: Project, recorder: Recorder, store: Blobs, tmp_path: Path
) -> None:
    await send(pool, shop, set_("ada"))
    await keep(recorder, shop, block("s-1", "ada"))
    outcome = await delete(pool, shop, "ada", wish=ALL)
    await deletion_runs.run_due(pool, shop.id, Runner(), waiting=True)
    assert (await state(pool, outcome))[0] == "waiting"

    class Away(Blobs):
        async def delete_all(self, paths: Any) -> None:
            raise blobs.BlobsAway("it is away")

    await run(pool, shop, Away(lambda: store.store))
    [(failure,)] = await read(pool, "SELECT failure FROM deletion")
    assert failure == "The storage of recordings does not answer."
    await run(pool, shop, store)
    assert (await state(pool, outcome))[0] == "completed"
    assert (await counts(pool, outcome))["blobs"] == (1, 1, 0)
    assert files(tmp_path) == []


async def test_the_same_block_from_many_at_once_is_kept_once(
    pool: Pool, shop: Project, recorder: Recorder, store: Blobs
) -> None:
    await asyncio.gather(*[keep(recorder, shop, block("s-1", "new")) for _ in range(8)])
    assert await sessions(pool) == [("s-1", 1, 1, ["/{}"])]
    assert await names(pool) == {"new": True}
    [(doomed,)] = await read(pool, "SELECT count(*) FROM doomed_blob")
    assert doomed == 7, "the other blobs are swept"


async def test_old_recordings_and_forgotten_blobs_are_swept(
    pool: Pool, shop: Project, recorder: Recorder, store: Blobs, tmp_path: Path
) -> None:
    for number in range(recordings.EXPIRED_PER_STEP + 1):
        await keep(recorder, shop, block(f"s-{number}", "ada"))
    await keep(recorder, shop, block("young", "ada", "7"))
    await keep(recorder, shop, block("young", "ada", "7"))
    await read(
        pool,
        """
        UPDATE recording SET expires_at = now() - interval '1 s' WHERE session_id <> 'young'
        RETURNING 1
        """,
    )
    assert await recordings.sweep_expired(pool, store) == recordings.EXPIRED_PER_STEP + 1
    assert [row[0] for row in await sessions(pool)] == ["young"]
    assert len(files(tmp_path)) == 2
    assert await recordings.sweep_doomed(pool, store) == 0, "it may be on its way still"
    await read(pool, "UPDATE doomed_blob SET at = now() - interval '2 h' RETURNING 1")
    assert await recordings.sweep_doomed(pool, store) == 1
    assert texts(tmp_path) == ['["w",7]\n']
    assert await recordings.sweep_expired(pool, store) == 0


async def test_what_a_killed_server_left_is_swept(
    pool: Pool, shop: Project, recorder: Recorder, store: Blobs, tmp_path: Path
) -> None:
    """The blob of a request that was never answered; and a name whose last recording is gone."""
    await send(pool, shop, set_("ada"))
    await keep(recorder, shop, block("s-1", "ada", "1"))
    await keep(recorder, shop, block("s-2", "bob", "2"))
    await delete(pool, shop, "ada", wish=Wish(profile=True, events=True))
    await run(pool, shop, store)
    async with pool.connection() as conn, conn.transaction():
        await conn.execute("LOCK TABLE recording IN SHARE MODE")
        request = asyncio.create_task(keep(recorder, shop, block("s-3", "carol", "3")))
        while len(files(tmp_path)) < 3:
            await asyncio.sleep(0.01)
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)
    async with pool.connection() as conn:
        await recordings.remove(conn, [1])
    assert [row[0] for row in await sessions(pool)] == ["s-2"]
    assert await recordings.sweep_names(pool) == await recordings.sweep_doomed(pool, store) == 0
    await read(pool, "UPDATE doomed_blob SET at = now() - interval '11 min' RETURNING 1")
    await read(
        pool,
        """
        UPDATE distinct_id SET ended_at = now() - interval '11 min' WHERE ended_at IS NOT NULL
        RETURNING 1
        """,
    )
    assert await recordings.sweep_names(pool) == 1
    assert await recordings.sweep_doomed(pool, store) == 2
    assert await names(pool) == {"bob": True}
    assert texts(tmp_path) == ['["w",2]\n']


async def test_an_expired_recording_goes_also_while_the_storage_is_away(
    pool: Pool, shop: Project, recorder: Recorder, store: Blobs, tmp_path: Path
) -> None:
    class Away(Blobs):
        async def delete_all(self, paths: Any) -> None:
            raise blobs.BlobsAway("it is away")

    await keep(recorder, shop, block("s-1", "ada"))
    await read(pool, "UPDATE recording SET expires_at = now() - interval '1 s' RETURNING 1")
    assert await recordings.sweep_expired(pool, Away(lambda: store.store)) == 1
    assert await sessions(pool) == []
    await read(pool, "UPDATE doomed_blob SET at = now() - interval '11 min' RETURNING 1")
    assert await recordings.sweep_doomed(pool, store) == 1
    assert files(tmp_path) == []


async def test_a_blob_that_was_swept_meanwhile_is_not_referred_to(
    pool: Pool, shop: Project, store: Blobs, tmp_path: Path
) -> None:
    class Slow(Blobs):
        async def put(self, path: str, content: bytes) -> None:
            await super().put(path, content)
            await read(pool, "DELETE FROM doomed_blob RETURNING 1")

    slow = Slow(lambda: store.store)
    with pytest.raises(Overloaded):
        await keep(Recorder(pool, slow, retention_s=60, bytes_max=1), shop, block("s-1", "ada"))
    assert await sessions(pool) == []


async def test_what_is_on_its_way_is_bounded(recorder: Recorder) -> None:
    async with recorder.room(5000):
        with pytest.raises(Overloaded):
            async with recorder.room(1):
                pass
    async with recorder.room(999), recorder.room(1):
        pass


async def test_few_large_requests_are_unpacked_at_once(recorder: Recorder) -> None:
    large = recordings.SMALL_BYTES
    async with recorder.turn(large), recorder.turn(large), recorder.turn(large - 1):
        waiting = asyncio.create_task(take_turn(recorder, large))
        await asyncio.sleep(0)
        assert not waiting.done()
    await waiting


async def take_turn(recorder: Recorder, size: int) -> None:
    async with recorder.turn(size):
        pass


async def test_unknown_sessions(pool: Pool, shop: Project, store: Blobs) -> None:
    with pytest.raises(NotFound):
        await recordings.delete(pool, store, shop, session_id="none")


async def test_a_session_is_not_recorded_without_end(
    pool: Pool, shop: Project, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings, "BLOCKS_MAX", 2)
    for number in range(3):
        given = [block("s-1", "ada", str(number))]
        odd = await recorder.keep(shop, given, received_at=datetime.now(UTC))
        assert [each.type for each in odd] == ["replay_session_too_long"] * (number == 2)
    assert [row[1] for row in await sessions(pool)] == [2]
