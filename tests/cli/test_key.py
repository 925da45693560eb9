"""`personhood key`."""

import json
import re

import pytest

from personhood import tokens
from tests.cli.conftest import Command


def test_a_key_is_printed_once_and_never_listed(personhood: Command, database: str) -> None:
    created = personhood(
        "key", "create", "--scopes", "person:read, person:write", DATABASE_URL=database
    )
    assert (created.code, created.err) == (0, "")
    assert "shown once" in created.out
    key = re.search(r"phx_[A-Za-z0-9]{43}\b", created.out)
    assert key is not None

    listed = personhood("key", "list", DATABASE_URL=database)
    assert "person:read,person:write" in listed.out
    assert "phx_" not in listed.out


def test_json_parses(personhood: Command, database: str) -> None:
    personhood("project", "create", "A", DATABASE_URL=database)
    made = json.loads(
        personhood(
            "key", "create", "--scopes", "*", "--project", "1", "--label", "robot",
            "--owner", "ada@example.com", "--json", DATABASE_URL=database,
        ).out
    )  # fmt: skip
    assert made.pop("key").startswith("phx_")
    assert (made["scopes"], made["project_id"], made["label"]) == (["*"], 1, "robot")
    assert made["owner"] == "ada@example.com"
    assert json.loads(personhood("key", "list", "--json", DATABASE_URL=database).out) == [made]


@pytest.mark.parametrize(
    ("scopes", "complaint"),
    [
        ("", "needs a scope"),
        (" , ", "needs a scope"),
        ("person", "'person' is neither"),
        ("person:delete", "'person:delete' is neither"),
        ("person:*", "'person:*' is neither"),
        ("*:read", "'*:read' is about nothing here"),
        ("person:read,unicorn:read", "'unicorn:read' is about nothing here"),
    ],
)
def test_bad_scopes_are_told_before_anything_is_made(
    personhood: Command, scopes: str, complaint: str
) -> None:
    done = personhood("key", "create", "--scopes", scopes)
    assert (done.code, done.out) == (1, "")
    assert complaint in done.err


def test_the_owner_is_listed(personhood: Command, database: str) -> None:
    personhood(
        "key", "create", "--scopes", "*", "--owner", "ada@example.com", DATABASE_URL=database
    )
    assert "ada@example.com" in personhood("key", "list", DATABASE_URL=database).out


@pytest.mark.parametrize(
    "owner", ["", "ada", "@example.com", "ada@", "a\tb@c", "a" * 250 + "@b.cd"]
)
def test_an_owner_that_is_no_address(personhood: Command, owner: str) -> None:
    done = personhood("key", "create", "--scopes", "*", f"--owner={owner}")
    assert (done.code, done.out) == (1, "")
    assert "is no e-mail address" in done.err


def test_a_key_for_a_project_that_is_not_there(personhood: Command, database: str) -> None:
    done = personhood("key", "create", "--scopes", "*", "--project", "9", DATABASE_URL=database)
    assert done.code == 1
    assert "There is no project 9" in done.err
    assert json.loads(personhood("key", "list", "--json", DATABASE_URL=database).out) == []


def test_a_key_is_revoked_once(personhood: Command, database: str) -> None:
    personhood("key", "create", "--scopes", "*", DATABASE_URL=database)
    done = personhood("key", "revoke", "1", "--json", DATABASE_URL=database)
    assert (done.code, json.loads(done.out)) == (0, {"id": 1, "revoked": True})
    [key] = json.loads(personhood("key", "list", "--json", DATABASE_URL=database).out)
    assert key["revoked_at"] is not None
    again = personhood("key", "revoke", "1", "--json", DATABASE_URL=database)
    assert again.code == 1
    assert "no key 1 in force" in again.err


def test_keys_and_tokens_are_long_and_differ() -> None:
    made = {tokens.new_key() for _ in range(100)} | {tokens.new_token() for _ in range(100)}
    assert len(made) == 200
    assert {len(one) for one in made} == {47}
    for one in made:
        (tokens.check_key if one.startswith("phx_") else tokens.check_token)(one)
