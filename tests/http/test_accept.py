"""Which form of answer is made for which request (contract: persons-api, 8.4 and 9)."""

import pytest

from personhood.errors import NotAcceptable, NotFound
from personhood.http.accept import JSON_ONLY, JSON_OR_CSV, Form, chosen

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("header", "form"),
    [
        (None, Form.JSON),
        ("*/*", Form.JSON),
        ("*", Form.JSON),
        (BROWSER, Form.JSON),
        ("application/json", Form.JSON),
        ("application/json, text/plain, */*", Form.JSON),
        ("application/*;q=0.5", Form.JSON),
        ("application/json, text/csv", Form.JSON),
        ("text/csv, application/json", Form.JSON),
        ("text/csv;q=0.5, application/json;q=0.5", Form.JSON),
        ("text/csv", Form.CSV),
        ("TEXT/CSV; charset=utf-8", Form.CSV),
        ("text/*", Form.CSV),
        ("image/png, text/csv", Form.CSV),
        ("text/csv, */*;q=0.1", Form.CSV),
        ("application/json;q=0.5, text/csv", Form.CSV),
        ("application/json;q=0, */*", Form.CSV),
        ("text/csv;q=0, */*", Form.JSON),
        ("text/*;q=0.9, text/csv;q=0.1, application/json;q=0.2", Form.JSON),
        ("text/csv;q=nonsense, application/json", Form.JSON),
    ],
)
def test_the_form_that_is_liked_best_is_made(header: str | None, form: Form) -> None:
    assert chosen("", header, JSON_OR_CSV) == form


@pytest.mark.parametrize(
    "header", ["text/html", "", "text/csv;q=0", "*/*;q=0", "\x7f;;;,,", "json", "text/csv;q=nan"]
)
def test_what_is_not_made_here_is_not_acceptable(header: str) -> None:
    with pytest.raises(NotAcceptable):
        chosen("", header, JSON_OR_CSV)


@pytest.mark.parametrize("header", [None, "*/*", "application/json", "text/csv", BROWSER])
@pytest.mark.parametrize("name", ["json", "csv"])
def test_a_name_goes_before_the_header(name: str, header: str | None) -> None:
    assert chosen(name, header, JSON_OR_CSV) == name


def test_a_name_does_not_save_a_header_that_allows_nothing() -> None:
    with pytest.raises(NotAcceptable):
        chosen("csv", "image/png", JSON_OR_CSV)


@pytest.mark.parametrize("name", ["xml", "CSV", "0", " "])
def test_a_name_of_no_form_is_not_found(name: str) -> None:
    with pytest.raises(NotFound):
        chosen(name, "image/png", JSON_OR_CSV)


def test_routes_that_make_json_only_refuse_csv() -> None:
    assert chosen("", "text/csv, */*;q=0.1", JSON_ONLY) == Form.JSON
    with pytest.raises(NotAcceptable):
        chosen("", "text/csv", JSON_ONLY)
    with pytest.raises(NotFound):
        chosen("csv", None, JSON_ONLY)
