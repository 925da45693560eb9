"""What is kept of an answer, so that only its client can read it."""

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st

from personhood.http.sealing import Answer, seal

MINE = seal(api_key="phx_a", idempotency_key="k", project_id=1)
OTHERS = [
    seal(api_key="phx_b", idempotency_key="k", project_id=1),
    seal(api_key="phx_a", idempotency_key="l", project_id=1),
    seal(api_key="phx_a", idempotency_key="k", project_id=2),
    seal(api_key="phx_a", idempotency_key=" k", project_id=1),
    seal(api_key="phx_a", idempotency_key="k", project_id=11),
]


@given(
    st.integers(100, 599), st.lists(st.tuples(st.binary(), st.binary()), max_size=3), st.binary()
)
def test_an_answer_comes_back_as_it_was(
    status: int, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    answer = Answer(status, headers, body)
    assert MINE.open(MINE.close(answer)) == answer


def test_nobody_else_can_read_it_or_find_it() -> None:
    sealed = MINE.close(Answer(200, [], b"someone@example.com"))
    assert b"someone" not in sealed
    for other in OTHERS:
        assert other.hash() != MINE.hash()
        assert other.fingerprint(b"x") != MINE.fingerprint(b"x")
        with pytest.raises(InvalidTag):
            other.open(sealed)


def test_the_same_answer_is_never_sealed_the_same() -> None:
    answer = Answer(200, [], b"x")
    assert MINE.close(answer) != MINE.close(answer)


def test_a_fingerprint_knows_where_its_parts_end() -> None:
    assert MINE.fingerprint(b"ab", b"c") != MINE.fingerprint(b"a", b"bc")
    assert MINE.fingerprint(b"a", b"") != MINE.fingerprint(b"a")
    assert MINE.fingerprint(b"a", b"b") == MINE.fingerprint(b"a", b"b")
