"""`personhood project`."""

import json
import re
from pathlib import Path

import psycopg
import pytest

from tests.cli.conftest import Command


def test_a_project_is_created_with_a_token_and_listed(personhood: Command, database: str) -> None:
    created = personhood("project", "create", "Web shop", DATABASE_URL=database)
    assert (created.code, created.err) == (0, "")
    token = re.search(r"1 +Web shop +(phc_[A-Za-z0-9]{43})$", created.out, re.MULTILINE)
    assert token is not None

    listed = personhood("project", "list", "--database-url", database)
    assert listed.code == 0
    assert listed.out.splitlines()[0].split() == ["ID", "NAME", "TOKEN", "CREATED"]
    assert token[1] in listed.out


def test_json_parses(personhood: Command, database: str) -> None:
    created = personhood("project", "create", "A", "--json", DATABASE_URL=database)
    project = json.loads(created.out)
    assert project["name"] == "A"
    assert project["token"].startswith("phc_")
    assert json.loads(personhood("project", "list", "--json", DATABASE_URL=database).out) == [
        project
    ]


def test_a_name_may_hold_what_consoles_take_for_markup(personhood: Command, database: str) -> None:
    personhood("project", "create", "[red]Zürich[/red]", DATABASE_URL=database)
    assert "[red]Zürich[/red]" in personhood("project", "list", DATABASE_URL=database).out


def test_a_project_needs_a_name(personhood: Command, database: str) -> None:
    done = personhood("project", "create", "  ", DATABASE_URL=database)
    assert (done.code, done.out) == (1, "")
    assert done.err == "personhood: A project needs a name.\n"


def test_a_project_is_changed_in_what_is_given_only(personhood: Command, database: str) -> None:
    personhood("project", "create", "Shop", DATABASE_URL=database)

    def changed(*options: str) -> dict[str, object]:
        done = personhood("project", "set", "1", *options, "--json", DATABASE_URL=database)
        assert (done.code, done.err) == (0, "")
        return json.loads(done.out)

    before = changed()
    named = changed("--timezone", "Asia/Kathmandu", "--display-name-properties", "full, email,")
    assert named == before | {
        "timezone": "Asia/Kathmandu",
        "display_name_properties": ["full", "email"],
    }
    assert changed("--name", " Web ", "--anonymize-ips", "--no-person-processing") == named | {
        "name": "Web",
        "anonymize_ips": True,
        "person_processing": False,
    }
    usual = changed("--display-name-properties", "", "--no-anonymize-ips", "--person-processing")
    assert usual == named | {"name": "Web", "display_name_properties": None}
    assert "email,name,username" in personhood("project", "set", "1", DATABASE_URL=database).out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("1", "--timezone", "Mars/Olympus"), "There is no time zone 'Mars/Olympus'."),
        (("1", "--timezone", "Europe"), "There is no time zone 'Europe'."),
        (("1", "--timezone", "../UTC"), "There is no time zone '../UTC'."),
        (("1", "--timezone", ""), "There is no time zone ''."),
        (("1", "--name", " "), "A project needs a name."),
        (("7", "--name", "x"), "There is no project 7; see `personhood project list`."),
    ],
)
def test_what_cannot_be_set_changes_nothing(
    personhood: Command, database: str, options: tuple[str, ...], says: str
) -> None:
    personhood("project", "create", "Shop", DATABASE_URL=database)
    before = personhood("project", "list", "--json", DATABASE_URL=database).out
    done = personhood("project", "set", *options, DATABASE_URL=database)
    assert (done.code, done.err) == (1, f"personhood: {says}\n")
    assert personhood("project", "list", "--json", DATABASE_URL=database).out == before


def test_a_folder_that_is_not_there_is_not_made_by_looking(
    personhood: Command, tmp_path: Path
) -> None:
    done = personhood("project", "list", "--data-dir", str(tmp_path / "slip"))
    assert done.code == 1
    assert "There is no data folder" in done.err
    assert not (tmp_path / "slip").exists()


def test_a_database_that_is_away_is_one_line(personhood: Command) -> None:
    url = "postgresql://someone:hunter2@127.0.0.1:1/nowhere"
    done = personhood("project", "list", DATABASE_URL=url)
    assert done.code == 1
    assert done.err.startswith("personhood: The database does not answer: ")
    assert done.err.count("\n") == 1
    assert "hunter2" not in done.err


def test_a_database_url_that_is_none_does_not_tell_its_password(personhood: Command) -> None:
    done = personhood("project", "list", DATABASE_URL="postgres//someone:hunter2@db")
    assert done.code == 1
    assert done.err == ("personhood: The database URL is not one that PostgreSQL understands.\n")


def test_a_database_that_we_may_not_write_to(personhood: Command, postgres: str) -> None:
    with psycopg.connect(postgres, autocommit=True) as conn:
        conn.execute("CREATE ROLE guest LOGIN")
        done = personhood("project", "list", DATABASE_URL=postgres.replace("personhood@", "guest@"))
        conn.execute("DROP ROLE guest")
    assert done.code == 1
    assert done.err.startswith("personhood: The newest schema could not be made: ")
    assert done.err.endswith(" The account must be allowed to create tables.\n")
    assert done.err.count("\n") == 1
