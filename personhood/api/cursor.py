"""Cursors: where a page of persons begins, as text that a client only hands back."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta

from personhood.errors import InvalidInput
from personhood.model import BIGINT_MAX
from personhood.store.person_page import Mark

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
CHARACTERS_MAX = 100


def written(mark: Mark) -> str:
    text = f"{(mark.at - EPOCH) // MICROSECOND}.{mark.id}"
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read(text: str) -> Mark | None:
    """None is the beginning, which the empty cursor asks for. Raises InvalidInput."""
    if not text:
        return None
    try:
        if len(text) > CHARACTERS_MAX:
            raise ValueError
        decoded = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
        at, _, id = decoded.partition(".")
        mark = Mark(EPOCH + int(at) * MICROSECOND, int(id))
        if not 0 <= mark.id <= BIGINT_MAX or written(mark) != text:
            raise ValueError
    except (ValueError, OverflowError):
        raise InvalidInput("Invalid cursor", attr="cursor") from None
    return mark
