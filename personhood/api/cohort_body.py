"""What a body says of a cohort. Each function reads one field, and raises InvalidInput."""

from uuid import UUID

from personhood.api import person_filter
from personhood.api.cohorts_docs import DESCRIPTION_CHARACTERS_MAX, NAME_CHARACTERS_MAX
from personhood.cohorts import Members, Selection
from personhood.errors import InvalidInput
from personhood.filters import tree
from personhood.model import JSON, Project, Properties


def name(body: Properties) -> str:
    """A name, which every cohort has."""
    if body.get("name") is None:
        raise InvalidInput("This field is required.", code="required", attr="name")
    text = text_of(body["name"], attr="name", most=NAME_CHARACTERS_MAX).strip()
    if not text:
        raise InvalidInput("This field may not be blank.", code="blank", attr="name")
    return text


def new_name(body: Properties) -> str | None:
    return None if body.get("name") is None else name(body)


def description(body: Properties) -> str | None:
    given = body.get("description")
    if given is None:
        return None
    return text_of(given, attr="description", most=DESCRIPTION_CHARACTERS_MAX)


def text_of(given: JSON, *, attr: str, most: int) -> str:
    if not isinstance(given, str):
        raise InvalidInput("Not a valid string.", attr=attr)
    if len(given) > most:
        raise InvalidInput(
            f"Ensure this field has no more than {most} characters.", code="max_length", attr=attr
        )
    return given


def only_static(body: Properties) -> None:
    if body.get("is_static") not in (None, True):
        raise InvalidInput("Cohorts are static here.", attr="is_static")


def deleted(body: Properties) -> bool:
    given = body.get("deleted")
    if given is not None and not isinstance(given, bool):
        raise InvalidInput("Must be a valid boolean.", attr="deleted")
    return bool(given)


def members(body: Properties, *, uuids: str) -> Members:
    """Whom it names: by the field `uuids`, by distinct ids, or both. Each counts once."""
    return Members(
        list(dict.fromkeys(uuids_of(body.get(uuids), attr=uuids))),
        list(dict.fromkeys(distinct_ids_of(body.get("distinct_ids")))),
    )


def selection(body: Properties, project: Project) -> Selection | None:
    """Whom its `filters` choose; None if they choose nobody in particular.

    Incomplete filters, which a list passes over, are refused: a cohort stays what it was made.
    """
    given = body.get("filters")
    if given is None:
        return None
    if not isinstance(given, dict):
        raise InvalidInput("Expected a JSON object.", attr="filters")
    filter = person_filter.filter_of(project, properties=given.get("properties"), strict=True)
    if not any(tree.questions(filter.properties)):
        return None
    return Selection(filter, given)


def uuids_of(given: JSON, *, attr: str) -> list[UUID]:
    if given is None:
        return []
    if not isinstance(given, list):
        raise InvalidInput(f"{attr} must be a list", attr=attr)
    try:
        return [UUID(text) for text in given]
    except (ValueError, AttributeError, TypeError):
        raise InvalidInput("One or more UUIDs are invalid.", attr=attr) from None


def distinct_ids_of(given: JSON) -> list[str]:
    if given is None:
        return []
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
        raise InvalidInput("must be a list of strings", attr="distinct_ids")
    return given


def person_id(body: Properties) -> UUID:
    given = body.get("person_id")
    if not given:
        raise InvalidInput("person_id is required")
    if not isinstance(given, str):
        raise InvalidInput("person_id must be a string")
    try:
        return UUID(given)
    except ValueError:
        raise InvalidInput("person_id must be a valid UUID") from None
