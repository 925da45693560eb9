"""Which paths end in a form; what of an answer is rows."""

from typing import Any

import pytest
from litestar import Response
from msgspec import Struct

from personhood.http import accept, negotiated
from personhood.http.accept import Form
from personhood.http.negotiated import SUFFIX, in_form, results_of
from personhood.http.streamed import Streamed


@pytest.mark.parametrize(
    ("path", "kept", "form"),
    [
        ("/api/projects/1/persons.csv", "/api/projects/1/persons", "csv"),
        ("/api/projects/1/persons.csv/", "/api/projects/1/persons", "csv"),
        ("/api/projects/@current/persons/17.json", "/api/projects/@current/persons/17", "json"),
        ("/api/environments/1/persons/a/merges.csv", "/api/environments/1/persons/a/merges", "csv"),
        (
            "/api/projects/1/persons/distinct_id:x.csv/merges.csv",
            "/api/projects/1/persons/distinct_id:x.csv/merges",
            "csv",
        ),
    ],
)
def test_a_path_may_end_in_a_form(path: str, kept: str, form: str) -> None:
    match = SUFFIX.fullmatch(path)
    assert match is not None
    assert (path[: match.start(1)], match[2]) == (kept, form)


@pytest.mark.parametrize(
    "path",
    [
        "/api/projects/1/persons",
        "/api/projects/1.csv",
        "/api/projects/1/persons.xml",
        "/api/projects/1/persons.CSV",
        "/api/projects/1/persons/.csv",
        "/api/projects/1/persons.csv/17",
        # Whom a request is about must not depend on how a distinct id ends.
        "/api/projects/1/persons/distinct_id:report.csv",
        "/api/projects/1/persons/distinct_id:report.json/",
    ],
)
def test_other_paths_stay_as_they_are(path: str) -> None:
    assert SUFFIX.fullmatch(path) is None


class Answer(Struct):
    results: Any
    next: str | None = None


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ([{"a": 1}], [{"a": 1}]),
        ({"results": [{"a": 1}], "count": 5}, [{"a": 1}]),
        (Answer([Answer("x")]), [{"results": "x", "next": None}]),
        (Answer({"ada": {"id": 1}}), [{"key": "ada", "id": 1}]),
        (Answer({"ada": None}), [{"key": "ada", "value": None}]),
        (Answer([]), []),
        (Answer(None), None),
        ({"success": True}, None),
        (None, None),
        ("text", None),
    ],
)
def test_rows_are_the_results_of_an_answer(content: Any, rows: Any) -> None:
    assert results_of(content) == rows


async def test_an_answer_keeps_its_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    token = accept.wanted.set(Form.CSV)
    try:
        answer = await in_form(Response(Answer([{"a": 1}]), headers={"Cache-Control": "no-store"}))
        assert (answer.content, answer.headers) == (b"a\r\n1\r\n", {"Cache-Control": "no-store"})
        monkeypatch.setattr(negotiated, "CELLS_HELD_MAX", 1)
        wide = await in_form(Response(Answer([{"a": 1}, {"b": 2}], "http://x/?offset=2")))
        assert isinstance(wide, Streamed)
        assert wide.headers == {"Link": '<http://x/?offset=2>; rel="next"'}
        chunks = [chunk async for chunk in wide.rest]
        assert b"".join(chunks) == b"a,b\r\n1,\r\n,2\r\n"
    finally:
        accept.wanted.reset(token)
