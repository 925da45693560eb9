"""Pages that go by numbers."""

import pytest

from personhood.errors import InvalidInput
from personhood.http import numbered_page
from personhood.http.numbered_page import ROWS_MAX, NumberedPage
from personhood.model import BIGINT_MAX

URL = "http://h/activity"


@pytest.mark.parametrize(
    ("text", "limit", "expected", "offset"),
    [
        (None, None, (1, 10), 0),
        ("", "", (1, 10), 0),
        ("3", "20", (3, 20), 40),
        (" +2 ", "007", (2, 7), 7),
        ("1", "99999999999999999999999999", (1, ROWS_MAX), 0),
    ],
)
def test_a_page_that_is_asked_for(
    text: str | None, limit: str | None, expected: tuple[int, int], offset: int
) -> None:
    page = numbered_page.page(text, limit)
    assert (page.number, page.rows) == expected
    assert page.offset == offset


def test_what_is_skipped_and_shown_stays_within_a_bigint() -> None:
    page = numbered_page.page("9" * 5000, "1000")
    assert page.offset + page.rows == BIGINT_MAX


@pytest.mark.parametrize("value", ["0", "-0", "-1", "x", "1.0", "1e3", "\u0661", "0x1"])
def test_a_bad_number_names_its_parameter(value: str) -> None:
    with pytest.raises(InvalidInput) as error:
        numbered_page.page(value, None)
    assert error.value.attr == "page"
    with pytest.raises(InvalidInput) as error:
        numbered_page.page(None, value)
    assert error.value.attr == "limit"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "?page=3&limit=5"),
        ("?limit=5", "?limit=5&page=3"),
        ("?page=2", "?page=3&limit=5"),
        ("?page=2&x=%20&limit=5&y", "?page=3&x=%20&limit=5&y"),
        ("?limit=&page=", "?limit=5&page=3"),
        ("?homepage=7", "?homepage=7&page=3&limit=5"),
        ("?limit=5000", "?limit=5&page=3"),
    ],
)
def test_the_next_url_is_the_same_request_for_another_page(query: str, expected: str) -> None:
    page = NumberedPage(number=2, rows=5)
    assert numbered_page.next_url(URL + query, page, total=11) == URL + expected
    before = numbered_page.previous_url(URL + query, page)
    assert before == (URL + expected).replace("page=3", "page=1")


@pytest.mark.parametrize(("total", "more"), [(9, False), (10, False), (11, True)])
def test_the_last_page_has_no_next(total: int, more: bool) -> None:
    found = numbered_page.next_url(URL, NumberedPage(number=2, rows=5), total=total)
    assert (found is not None) is more


def test_the_first_page_has_no_previous() -> None:
    assert numbered_page.previous_url(URL, NumberedPage(number=1, rows=5)) is None
