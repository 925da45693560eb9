"""Pages: what a query asks for, and the URLs of the neighbours (contract: persons-api, 2.1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personhood.errors import InvalidInput
from personhood.http.page import (
    LIMIT_DEFAULT,
    LIMIT_MAX,
    Page,
    absolute,
    next_url,
    number,
    page,
    previous_url,
)
from personhood.model import BIGINT_MAX

URL = "http://host/api/projects/1/persons"


@pytest.mark.parametrize(
    ("limit", "offset", "expected"),
    [
        (None, None, Page(limit=LIMIT_DEFAULT, offset=0)),
        ("", "", Page(limit=LIMIT_DEFAULT, offset=0)),
        ("0", "0", Page(limit=LIMIT_DEFAULT, offset=0)),
        ("-0", "+7", Page(limit=LIMIT_DEFAULT, offset=7)),
        (" 5 ", "007", Page(limit=5, offset=7)),
        ("999999", "9" * 40, Page(limit=LIMIT_MAX, offset=BIGINT_MAX)),
    ],
)
def test_numbers_of_a_query(limit: str | None, offset: str | None, expected: Page) -> None:
    assert page(limit, offset) == expected


@pytest.mark.parametrize("text", ["x", "1.0", "1e2", "--1", "1 2", "١", "0x1", "\0", "1\n2"])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(InvalidInput, match="A valid integer is required") as caught:
        page(text, None)
    assert caught.value.attr == "limit"


def test_less_than_nothing() -> None:
    with pytest.raises(InvalidInput, match="greater than or equal to 0") as caught:
        page(None, "-1")
    assert caught.value.attr == "offset"


@given(st.integers(min_value=0, max_value=10**15))
def test_every_number_is_read_as_itself(value: int) -> None:
    assert number(str(value), attr="offset") == value


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (URL, f"{URL}?offset=100"),
        (f"{URL}?search=a%20b", f"{URL}?search=a%20b&offset=100"),
        (f"{URL}?offset=0&search=a", f"{URL}?offset=100&search=a"),
        (f"{URL}?search=a&offset=17", f"{URL}?search=a&offset=100"),
        (f"{URL}?my_offset=3", f"{URL}?my_offset=3&offset=100"),
    ],
)
def test_the_next_page_keeps_the_rest_of_the_url(url: str, expected: str) -> None:
    assert next_url(url, Page(limit=100, offset=0), more=True) == expected


def test_the_last_page_has_no_next() -> None:
    assert next_url(URL, Page(limit=100, offset=0), more=False) is None


@pytest.mark.parametrize(
    ("limit", "offset", "expected"),
    [
        (100, 0, None),
        (100, 50, None),
        (100, 100, f"{URL}?offset=0"),
        (10, 25, f"{URL}?offset=15"),
    ],
)
def test_the_previous_page(limit: int, offset: int, expected: str | None) -> None:
    assert previous_url(f"{URL}?offset={offset}", Page(limit=limit, offset=offset)) == expected


def test_an_absolute_url_is_what_was_asked_for() -> None:
    url = absolute(scheme="https", host="h:1", path=b"/api/%40current/persons/", query=b"a=%C3%A9")
    assert url == "https://h:1/api/%40current/persons/?a=%C3%A9"
    assert absolute(scheme="http", host="h", path=b"/x", query=b"") == "http://h/x"
