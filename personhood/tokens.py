"""What projects and personal API keys are called by, and what a key may be allowed to do."""

import secrets
import string

from personhood.errors import InvalidSetting

ALPHABET = string.ascii_letters + string.digits
RANDOM_CHARACTERS = 43  # of 62 letters: 256 bits
TOKEN_CHARACTERS_MAX = 64
OWNER_CHARACTERS_MAX = 254  # RFC 5321, 4.5.3.1.3, less the brackets

EVERYTHING = "*"
SCOPE_OBJECTS = (
    "activity_log",
    "cohort",
    "event_definition",
    "feature_flag",
    "ingestion_warning",
    "insight",
    "person",
    "project",
    "property_definition",
    "query",
    "session_recording",
)


def new_token() -> str:
    """A public project token (`phc_…`)."""
    return "phc_" + noise()


def new_key() -> str:
    """A secret personal API key (`phx_…`)."""
    return "phx_" + noise()


def noise() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_CHARACTERS))


def check_token(token: str) -> None:
    if not token.startswith("phc_") or not is_plain(token.removeprefix("phc_")):
        raise InvalidSetting("A project token is phc_ and then letters, digits, - or _.")
    if len(token) > TOKEN_CHARACTERS_MAX:
        raise InvalidSetting(f"A project token has at most {TOKEN_CHARACTERS_MAX} characters.")


def check_key(key: str) -> None:
    if not key.startswith("phx_") or not is_plain(key.removeprefix("phx_")):
        raise InvalidSetting("A personal API key is phx_ and then letters, digits, - or _.")


def check_owner(owner: str) -> None:
    name, at, host = owner.rpartition("@")
    if not (name and at and host and owner.isprintable()) or len(owner) > OWNER_CHARACTERS_MAX:
        raise InvalidSetting(f"The owner {owner!r} is no e-mail address.")


def is_plain(text: str) -> bool:
    return bool(text) and text.isascii() and text.replace("-", "").replace("_", "").isalnum()


def scopes(text: str) -> list[str]:
    """The scopes in a comma-separated list; each is `*` or `<object>:<read|write>`."""
    found = list(dict.fromkeys(scope.strip() for scope in text.split(",") if scope.strip()))
    if not found:
        raise InvalidSetting("A key needs a scope: '*' for everything, or person:read for example.")
    for scope in found:
        check_scope(scope)
    return found


def check_scope(scope: str) -> None:
    if scope == EVERYTHING:
        return
    about, _, action = scope.partition(":")
    if action not in ("read", "write"):
        raise InvalidSetting(f"The scope {scope!r} is neither '*' nor <object>:read or :write.")
    if about not in SCOPE_OBJECTS:
        raise InvalidSetting(
            f"The scope {scope!r} is about nothing here; known are {', '.join(SCOPE_OBJECTS)}."
        )
