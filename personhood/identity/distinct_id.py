"""What a distinct id's text tells (contract: capture-and-identity 2.2, 3.1, 3.4; persons 3.2)."""

import json
import re
from uuid import UUID, uuid5

from personhood.model import JSON

PERSON_NAMESPACE = UUID("932979b4-65c3-4424-8467-0b66ec27bc22")
LENGTH_MAX = 200  # characters; longer ids are cut
MERGE_LENGTH_MAX = 400  # characters; longer ids may not be merged

ILLEGAL_IN_ANY_CASE = frozenset(
    "anonymous guest distinctid distinct_id id not_authenticated email undefined true false".split()
)
ILLEGAL_AS_WRITTEN = frozenset({"[object Object]", "NaN", "None", "none", "null", "0"})
# The characters with the property White_Space (Unicode, PropList.txt).
WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"  # noqa: E501, one string of single characters
ANONYMOUS = re.compile(r"([a-z0-9]+-){4}[a-z0-9]+")


def text_of(value: JSON) -> str:
    """A JSON value as a distinct id: a string as it is, anything else as compact JSON text."""
    return whole_text_of(value)[:LENGTH_MAX]


def claimed_text_of(value: JSON) -> str:
    """As `text_of`; but what is too long to be merged stays so, by one character (3.4)."""
    text = whole_text_of(value)
    return text[: LENGTH_MAX if len(text) <= MERGE_LENGTH_MAX else MERGE_LENGTH_MAX + 1]


def whole_text_of(value: JSON) -> str:
    if isinstance(value, str):
        text = value
    elif isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        text = str(int(value))
    else:
        text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.replace("\0", "\ufffd")


def is_illegal(text: str) -> bool:
    """Whether an id may never be merged: a placeholder that some program sent for nobody."""
    if "\0" in text or len(text) > MERGE_LENGTH_MAX:
        return True
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]
    return (
        not text.strip(WHITE_SPACE)
        or text in ILLEGAL_AS_WRITTEN
        or text.lower() in ILLEGAL_IN_ANY_CASE
    )


def is_anonymous(text: str) -> bool:
    """Whether an SDK made the id up: five groups of lowercase letters or digits."""
    return ANONYMOUS.fullmatch(text) is not None


def person_uuid(project_id: int, text: str) -> UUID:
    """The uuid of the person that is first made for a distinct id."""
    return uuid5(PERSON_NAMESPACE, f"{project_id}:{text}")
