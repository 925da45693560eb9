"""What a list of persons asks for, as conditions on `person`."""

from msgspec import Struct
from psycopg import sql

from personhood.filters import tree
from personhood.filters.tree import ALWAYS, Node
from personhood.store.property_filter import Condition, containing

EMAIL_CHARACTERS = 320  # of the column `email`


class Filter(Struct, frozen=True, kw_only=True):
    """What every person of a list has in common; None asks for nothing."""

    email: str | None = None
    distinct_id: str | None = None
    search: str | None = None
    properties: Node = ALWAYS


EMAIL = sql.SQL(
    """
    AND person.email = left(%(email)s, %(email_characters)s)
    AND person.properties ->> 'email' = %(email)s
    """
)

# A scalar subquery, not IN: with it the planner sees one row, and takes it by its primary key.
DISTINCT_ID = sql.SQL(
    """
    AND person.id = (
        WITH RECURSIVE up (id) AS (
            SELECT person_id
              FROM distinct_id
             WHERE project_id = %(project_id)s
               AND distinct_id = %(distinct_id)s
               AND ended_at IS NULL
             UNION
            SELECT parent.merged_into_id
              FROM up
              JOIN person parent ON parent.id = up.id
             WHERE parent.merged_into_id IS NOT NULL
        )
        SELECT root.id
          FROM up
          JOIN person root ON root.id = up.id
         WHERE root.merged_into_id IS NULL
    )
    """
)

# The property filter says these two as well; here they are said for the sake of their indexes.
EMAILS = sql.SQL("AND person.email = ANY(%(emails)b::text[])")
COHORTS = sql.SQL(
    """
    AND person.id IN (
        WITH RECURSIVE up (id) AS (
            SELECT person_id
              FROM cohort_person
             WHERE cohort_id = ANY(%(cohorts)b::bigint[])
             UNION
            SELECT parent.merged_into_id
              FROM up
              JOIN person parent ON parent.id = up.id
             WHERE parent.merged_into_id IS NOT NULL
        )
        SELECT id FROM up
    )
    """
)


class Conditions:
    """All of a filter but its search, which `person_search` and `person_page` see to.

    `members` finds by a cohort's members what `conditions` asks of each person as well.
    """

    def __init__(self, filter: Filter) -> None:
        node = filter.properties
        held = Condition(
            node,
            {"person": sql.Identifier("person", "properties")},
            person=sql.Identifier("person", "id"),
        )
        wanted_emails, wanted_cohorts = emails(node), cohorts(node)
        asked = (
            (filter.email is not None, EMAIL),
            (filter.distinct_id is not None, DISTINCT_ID),
            (bool(wanted_emails), EMAILS),
            (node != ALWAYS, sql.SQL("AND {}").format(held.sql)),
        )
        self.conditions = [condition for is_asked, condition in asked if is_asked]
        self.members = COHORTS if wanted_cohorts else None
        self.cohorts = wanted_cohorts
        self.parameters: dict[str, object] = {
            "email": filter.email,
            "email_characters": EMAIL_CHARACTERS,
            "distinct_id": filter.distinct_id,
            "search": None if filter.search is None else containing(filter.search),
            "emails": [text[:EMAIL_CHARACTERS] for text in wanted_emails],
            "cohorts": wanted_cohorts,
            **held.parameters,
        }


def emails(node: Node) -> tuple[str, ...]:
    """What the e-mail has to be one of, if a filter demands that: there is an index for it."""
    for part in tree.demands(node):
        match part:
            case tree.Equals(tree.Property("person", "email"), texts, ()):
                return texts
            case _:
                pass
    return ()


def cohorts(node: Node) -> list[int]:
    """The first cohorts that a person has to be in one of: found by their members, not by all
    persons."""
    for part in tree.demands(node):
        match part:
            case tree.Some(parts) if parts and all(isinstance(p, tree.Member) for p in parts):
                return sorted(tree.cohort_ids(part))
            case tree.Member(cohort_id):
                return [cohort_id]
            case _:
                pass
    return []


def holds_nul(filter: Filter) -> bool:
    """PostgreSQL keeps no NUL, so such a text is nobody's."""
    return any("\0" in text for text in (filter.email, filter.distinct_id, filter.search) if text)
