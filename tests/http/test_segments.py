"""Distinct ids in a path."""

import pytest

from personhood.http.segments import decoded, kept_whole


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/persons/distinct_id:a%2Fb/activity", "/persons/distinct_id:a%2Fb/activity"),
        (b"/persons/distinct_id%3Aa%252Fb", "/persons/distinct_id:a%252Fb"),
        (b"/persons/distinct_id:a?x=/distinct_id:/", "/persons/distinct_id:a"),
        (b"/persons/%64istinct_id:%20a%20/", "/persons/distinct_id:%20a%20/"),
        (b"/persons/a%2Fdistinct_id:b", "/persons/a/distinct_id:b"),
        (b"/persons/distinct_id:", "/persons/distinct_id:"),
    ],
)
def test_only_the_value_stays_encoded(raw: bytes, path: str) -> None:
    assert kept_whole(raw) == path


@pytest.mark.parametrize("text", ["a/b", "a%2Fb", "100%", "é?x=1&y#z", " a ", ":", "\N{OWL}"])
def test_the_value_comes_back(text: str) -> None:
    raw = "/" + "distinct_id:" + "".join(f"%{byte:02x}" for byte in text.encode())
    assert decoded(kept_whole(raw.encode())[1:]) == f"distinct_id:{text}"


def test_what_is_no_utf_8_and_what_names_no_distinct_id() -> None:
    assert decoded(kept_whole(b"/distinct_id:%ff%fe")[1:]) == "distinct_id:\ufffd\ufffd"
    assert decoded("17") == "17"
    assert decoded("a%2Fb") == "a%2Fb"
