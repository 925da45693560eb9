"""`personhood verify`, on rows that were made wrong by hand."""

import asyncio
import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from personhood import blobs
from personhood.recordings import Recorder
from personhood.store import project
from personhood.store.pool import pool
from tests.cli.conftest import Command
from tests.test_merges import family, identify, send, set_, undo
from tests.test_persons import sent
from tests.test_recordings import block, keep

Told = dict[str, Any]

PERSONLESS: dict[str, Any] = {"$process_person_profile": False}


async def fill(url: str) -> None:
    """Two projects with persons, merges (one undone), corrections and personless ids."""
    async with pool(url, size=4) as opened:
        async with opened.connection() as conn:
            shop = await project.insert(conn, name="Shop", token="phc_shop")
            other = await project.insert(conn, name="Other", token="phc_other")
        for tenant in (shop, other):
            await send(opened, tenant, set_("u", plan="free", n=1), set_("a", n=2), set_("b"))
            await send(opened, tenant, identify("u", "a"), set_("a", plan="paid"))
            await send(opened, tenant, sent("$merge_dangerously", "b", alias="u"))
            await undo(opened, tenant, "a", (await family(opened, tenant, "a"))[-1].id)
            await send(opened, tenant, set_("c"), set_("d"), identify("c", "d"))
            await send(opened, tenant, *(set_("c", x=number) for number in range(3)))
            await send(opened, tenant, sent("page", "x", **PERSONLESS))


@pytest.fixture
def url(database: str) -> str:
    asyncio.run(fill(database))
    return database


def spoil(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        for each in statements:
            assert conn.execute(each.encode()).rowcount > 0, each


def verify(personhood: Command, url: str, *options: str) -> tuple[int, Told]:
    done = personhood("verify", "--json", *options, DATABASE_URL=url)
    return done.code, json.loads(done.out)


def test_all_is_well(personhood: Command, url: str) -> None:
    code, told = verify(personhood, url)
    assert (code, told["findings"], told["counts"]) == (0, [], {})
    assert (told["persons"], told["merges"]) == (10, 4)
    assert told["entries"] >= 10
    done = personhood("verify", DATABASE_URL=url)
    assert (done.code, done.err) == (0, "")
    assert "10 persons" in done.out
    assert "0 findings" in done.out


def test_an_empty_database(personhood: Command, database: str) -> None:
    assert verify(personhood, database)[0] == 0


ROOT = "(SELECT min(id) FROM person WHERE merged_into_id IS NULL)"
MERGED = "(SELECT min(id) FROM person WHERE merged_into_id IS NOT NULL)"
ID = "(SELECT min(id) FROM distinct_id WHERE person_id IS NOT NULL)"
DIFFERENT = "row_differs_from_ledger"


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        (f"UPDATE person SET properties = '{{}}' WHERE id = {ROOT}", "properties ($creator"),
        (
            f"""UPDATE person SET properties = properties || '{{"x": true}}' WHERE id = {MERGED}""",
            "properties (x)",
        ),
        (f"UPDATE person SET is_identified = NOT is_identified WHERE id = {ROOT}", "is_identified"),
        (f"UPDATE person SET created_at = now() WHERE id = {ROOT}", "created_at"),
        (f"UPDATE person SET version = version + 7 WHERE id = {ROOT}", "version ("),
    ],
)
def test_a_person_that_is_not_what_its_ledger_tells_is_rebuilt(
    personhood: Command, url: str, statement: str, found: str
) -> None:
    with psycopg.connect(url) as conn:
        before = conn.execute("SELECT * FROM person ORDER BY id").fetchall()
    spoil(url, statement)
    code, told = verify(personhood, url)
    [finding] = told["findings"]
    assert (code, finding["check"], finding["repaired"]) == (1, DIFFERENT, None)
    assert found in finding["detail"]
    code, told = verify(personhood, url, "--repair")
    assert (code, told["repaired"]) == (0, 1)
    assert told["findings"][0]["repaired"].startswith("rebuilt from its ledger: ")
    assert verify(personhood, url) == (0, told | {"counts": {}, "repaired": 0, "findings": []})
    with psycopg.connect(url) as conn:
        assert conn.execute("SELECT * FROM person ORDER BY id").fetchall() == before


@pytest.mark.parametrize(
    ("statements", "checks"),
    [
        ([f"DELETE FROM ledger WHERE person_id = {ROOT}"], {"person_without_ledger"}),
        (["DELETE FROM ledger WHERE after ->> 'x' = '1'"], {"versions_not_in_order"}),
        ([f"DELETE FROM ledger WHERE version = 0 AND person_id = {ROOT}"],
         {"versions_not_in_order"}),
        *(([f"UPDATE ledger SET version = version + 1000 FROM (SELECT person_id AS id, "
            f"max(version) AS last FROM ledger WHERE kind = '{kind}' GROUP BY 1) AS leap "
            "WHERE person_id = leap.id AND version >= leap.last",
            "UPDATE person SET version = last FROM (SELECT person_id, max(version) AS last "
            "FROM ledger GROUP BY 1) AS l WHERE l.person_id = person.id"],
           {"versions_not_in_order"}) for kind in ("merged", "undone")),
        ([f"UPDATE distinct_id SET ended_at = now() WHERE id = {ID}"],
         {"ended_distinct_id_has_person", "root_without_distinct_ids"}),
        ([f"UPDATE distinct_id SET person_id = 99999 WHERE id = {ID}"],
         {"distinct_id_without_person", "root_without_distinct_ids"}),
        ([f"UPDATE person SET merged_into_id = id WHERE id = {MERGED}"],
         {"pointer_leads_nowhere", "merge_at_odds_with_pointers"}),
        ([f"UPDATE person SET merged_into_id = NULL WHERE id = {MERGED}"],
         {"merge_at_odds_with_pointers"}),
        ([f"UPDATE person SET merged_into_id = 99999 WHERE id = {MERGED}"],
         {"pointer_leads_nowhere", "merge_at_odds_with_pointers", "refers_to_nobody"}),
        ([f"UPDATE merge SET undone_at = now() WHERE source_id = {MERGED}"],
         {"merged_without_a_merge"}),
        (["UPDATE event SET person_id = 99999 WHERE uuid = (SELECT uuid FROM event "
          "WHERE person_id IS NOT NULL LIMIT 1)"],
         {"events_of_a_missing_person"}),
        *(([f"{statement} WHERE uuid = (SELECT uuid FROM event "
            "WHERE person_id IS NOT NULL LIMIT 1)"],
           {"refers_to_nobody"})
          for statement in ("DELETE FROM event_key", "DELETE FROM event",
                            "UPDATE event SET person_version = 777")),
        (["UPDATE event SET distinct_id_id = 99999 WHERE uuid = (SELECT uuid FROM event LIMIT 1)"],
         {"refers_to_nobody"}),
    ],
)  # fmt: skip
def test_what_else_does_not_hold_is_told_and_left(
    personhood: Command, url: str, statements: list[str], checks: set[str]
) -> None:
    spoil(url, *statements)
    for _ in range(2):
        code, told = verify(personhood, url, "--repair")
        assert code == 1
        # Events that name a state of a person are told when it is gone.
        found = set(told["counts"]) - ({"refers_to_nobody"} - checks)
        assert checks - {"root_without_distinct_ids"} <= found <= checks
        assert told["repaired"] == 0


def test_one_project_alone(personhood: Command, url: str) -> None:
    spoil(url, f"UPDATE person SET is_identified = NOT is_identified WHERE id = {ROOT}")
    assert verify(personhood, url, "--project", "1")[0] == 1
    code, told = verify(personhood, url, "--project", "2")
    assert (code, told["persons"]) == (0, 5)
    done = personhood("verify", "--project", "9", DATABASE_URL=url)
    assert done.code == 1
    assert "There is no project 9" in done.err


def test_the_table_is_cut_but_all_is_counted(
    personhood: Command, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("personhood.verification.SHOWN_MAX", 2)
    monkeypatch.setattr("personhood.verification.PERSONS_AT_ONCE", 3)
    spoil(url, "UPDATE person SET version = version + 1")
    done = personhood("verify", DATABASE_URL=url)
    assert done.code == 1
    assert done.out.count(DIFFERENT) == 2
    assert "8 more" in done.out
    assert "10 findings are left" in done.err
    repaired = personhood("verify", "--repair", DATABASE_URL=url)
    assert repaired.code == 0
    assert "10 repaired" in repaired.out


def test_no_value_of_a_person_is_shown(personhood: Command, url: str) -> None:
    spoil(url, """UPDATE person SET properties = '{"plan": "secret"}' """)
    done = personhood("verify", DATABASE_URL=url)
    assert "plan" in done.out
    assert "secret" not in done.out


def test_the_storage_of_recordings_is_what_rows_refer_to(
    personhood: Command, url: str, data_dir: Path
) -> None:
    options = ("--data-dir", str(data_dir))
    assert verify(personhood, url, *options)[1]["blobs"] is None
    assert not data_dir.exists(), "it is for reading alone"

    async def record() -> None:
        async with pool(url, size=1) as opened:
            recorder = Recorder(opened, blobs.opened(None, data_dir), retention_s=60, bytes_max=1)
            async with opened.connection() as conn:
                tenant = await project.by_id(conn, 1)
            assert tenant is not None
            for number in range(3):
                await keep(recorder, tenant, block(f"s-{number}", "u"))

    asyncio.run(record())
    code, told = verify(personhood, url, *options)
    assert (code, told["blobs"], told["findings"]) == (0, 3, [])
    assert "3 blobs" in personhood("verify", *options, DATABASE_URL=url).out

    folder = data_dir / blobs.FOLDER
    paths = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.zst"))
    doomed, gone, other = paths
    (folder / "somebody else's").write_text("in our bucket")
    spoil(url, "UPDATE recording_block SET received_at = now() - interval '1 hour'")
    assert verify(personhood, url, *options)[0] == 0
    spoil(url, f"DELETE FROM recording_block WHERE path IN ('{doomed}', '{other}')",
          f"INSERT INTO doomed_blob (path) VALUES ('{doomed}')")  # fmt: skip
    (folder / gone).unlink()
    code, told = verify(personhood, url, *options, "--repair")
    assert (code, told["repaired"]) == (1, 0)
    assert {each["check"]: each["detail"] for each in told["findings"]} == {
        "blob_that_nothing_refers_to": other,
        "recording_without_its_blob": f"block 0: {gone}",
    }
    assert verify(personhood, url, *options, "--project", "1")[1]["blobs"] is None


def test_a_storage_that_is_away_is_told(personhood: Command, url: str) -> None:
    key = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_ALLOW_HTTP": "true"}
    away = {"PERSONHOOD_BLOB_URL": "s3://b", "AWS_ENDPOINT": "http://127.0.0.1:1", **key}
    done = personhood("verify", DATABASE_URL=url, **away)
    assert done.code == 1
    assert "The storage of recordings cannot be read" in done.err
