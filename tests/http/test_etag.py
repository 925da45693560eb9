"""Entity tags and what requests say of them."""

import pytest

from personhood.http import etag

TAG = etag.tag(1, None, "x")


def test_the_same_facts_have_the_same_tag_and_others_another() -> None:
    assert etag.tag(1, None, "x") == TAG
    assert len({etag.tag(1, "2"), etag.tag("1", 2), etag.tag(1, 2), etag.tag(12), etag.tag()}) == 5
    assert TAG[0] == TAG[-1] == '"'
    assert TAG[1:-1].isalnum()


@pytest.mark.parametrize(
    ("header", "strongly", "weakly"),
    [
        (TAG, True, True),
        (f"  {TAG}\t", True, True),
        (f'"other", {TAG}', True, True),
        (f'W/"other",{TAG},"more"', True, True),
        ("*", True, True),
        (" * ", True, True),
        (f"W/{TAG}", False, True),
        (f'W/{TAG}, "other"', False, True),
        ('"other"', False, False),
        ('"*"', False, False),
        ("", False, False),
        (TAG[1:-1], False, False),
        (TAG[:-1], False, False),
        (f"'{TAG[1:-1]}'", False, False),
        ('"', False, False),
        ("," * 1000, False, False),
    ],
)
def test_which_headers_match(header: str, strongly: bool, weakly: bool) -> None:
    assert etag.matches_strongly(header, TAG) is strongly
    assert etag.matches_weakly(header, TAG) is weakly
