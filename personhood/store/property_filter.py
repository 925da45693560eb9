"""Property filters as SQL: a tree → a condition on columns of jsonb.

Values go as parameters, never into the text of a statement. A missing key and a JSON null are both
NULL; `Not` takes NULL for "does not hold".
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from psycopg import AsyncConnection, errors, sql
from psycopg.adapt import PyFormat
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range

from personhood.errors import InvalidInput
from personhood.filters import tree
from personhood.filters.tree import Node, Question, Span

Columns = Mapping[str, sql.Composable]

# How the questions are asked: `value` is the jsonb of a property, `text` the same as text.
MEMBER = sql.SQL(
    """
    (EXISTS (SELECT FROM cohort_person
              WHERE cohort_id = {cohort}
                AND person_id = {person})
     OR EXISTS (
        WITH RECURSIVE down (id) AS (
            SELECT child.id
              FROM person child
             WHERE child.merged_into_id = {person}
             UNION
            SELECT child.id
              FROM down
              JOIN person child ON child.merged_into_id = down.id
        )
        SELECT FROM down
          JOIN cohort_person ON cohort_person.person_id = down.id
         WHERE cohort_person.cohort_id = {cohort}
     ))
    """
)
PRESENT = sql.SQL("{text} IS NOT NULL")
EQUALS_TEXT = sql.SQL("{text} = ANY({texts})")
EQUALS = sql.SQL(
    "({text} = ANY({texts}) OR CASE WHEN jsonb_typeof({value}) = 'number'"
    " THEN {value}::numeric = ANY({numbers}) END)"
)
ILIKE = sql.SQL("{text} ILIKE ANY({texts})")
LIKE = sql.SQL("{text} LIKE ANY({texts})")
MATCHES = sql.SQL("{text} ~ ANY({texts})")
ORDERED = sql.SQL(
    "CASE WHEN jsonb_typeof({value}) = 'string' THEN {text} COLLATE \"C\" {sign} ANY({texts}) END"
)
NUMBERS = sql.SQL(
    """
    CASE jsonb_typeof({value})
         WHEN 'number' THEN {value}::numeric <@ {spans}
         WHEN 'string' THEN CASE
              WHEN {text} ~ '^[+-]?([0-9]{{1,200}}([.][0-9]{{0,200}})?|[.][0-9]{{1,200}})([eE][+-]?[0-9]{{1,3}})?$'
              THEN {text}::numeric <@ {spans}
         END
    END
    """  # noqa: E501, the pattern in one piece
)
MOMENTS = sql.SQL(
    "CASE WHEN jsonb_typeof({value}) IN ('string', 'number')"
    " THEN instant_of({text}, {zone}) <@ {spans} END"
)
VERSIONS = sql.SQL(
    """
    (SELECT part[1]::numeric * 1e18 + coalesce(part[2], '0')::numeric * 1e9
            + coalesce(part[3], '0')::numeric
       FROM regexp_match({text}, '^[vV=]?([0-9]{{1,9}})(?:[.]([0-9]{{1,9}}))?(?:[.]([0-9]{{1,9}}))?(?:[-+.].*)?$')
         AS part) <@ {spans}
    """  # noqa: E501, the pattern in one piece
)
AND, OR = sql.SQL(" AND "), sql.SQL(" OR ")
TRUE, FALSE = sql.SQL("true"), sql.SQL("false")
SIGNS = {"<": sql.SQL("<"), "<=": sql.SQL("<="), ">": sql.SQL(">"), ">=": sql.SQL(">=")}

BIGINT, TEXT = sql.SQL("bigint"), sql.SQL("text")
TEXTS, NUMERICS = sql.SQL("text[]"), sql.SQL("numeric[]")
NUMBER_SPANS, TIME_SPANS = sql.SQL("nummultirange"), sql.SQL("tstzmultirange")


class Condition:
    """`sql` is what has to hold, with names for `parameters`.

    `columns` are the properties of a person, of an event; `person` is the id of a root. Both are
    given with the names of their tables.
    """

    def __init__(self, node: Node, columns: Columns, *, person: sql.Composable) -> None:
        self.columns = columns
        self.person = person
        self.parameters: dict[str, object] = {}
        self.sql = self.of(node)

    def of(self, node: Node) -> sql.Composable:
        match node:
            case tree.All(parts):
                return self.joined(parts, AND, otherwise=TRUE)
            case tree.Some(parts):
                return self.joined(parts, OR, otherwise=FALSE)
            case tree.Not(part):
                return sql.SQL("NOT coalesce({}, false)").format(self.of(part))
            case tree.Member(cohort_id):
                cohort = self.given(cohort_id, BIGINT)
                return MEMBER.format(person=self.person, cohort=cohort)
            case _:
                return self.about(node)

    def joined(self, parts: Iterable[Node], word: sql.SQL, *, otherwise: sql.SQL) -> sql.Composable:
        found = [self.of(part) for part in parts]
        return sql.SQL("({})").format(word.join(found or [otherwise]))

    def about(self, question: Question) -> sql.Composable:
        assert not isinstance(question, tree.Member), "it is of no property"
        column, key = self.columns[question.property.of], self.given(question.property.key, TEXT)
        names: dict[str, sql.Composable] = {
            "value": sql.SQL("({} -> {})").format(column, key),
            "text": sql.SQL("({} ->> {})").format(column, key),
        }
        template = self.asking(question, names)
        return template.format(**names)

    def asking(self, question: Question, names: dict[str, sql.Composable]) -> sql.SQL:
        """How a question is asked; adds to `names` what it is asked about."""
        match question:
            case tree.Equals(_, texts, numbers):
                names["texts"] = self.given(list(texts), TEXTS)
                if not numbers:
                    return EQUALS_TEXT
                names["numbers"] = self.given(list(numbers), NUMERICS)
                return EQUALS
            case tree.Contains(_, patterns):
                names["texts"] = self.given([containing(each) for each in patterns], TEXTS)
                return ILIKE
            case tree.Matches(_, patterns):
                names["texts"] = self.given([postgres_regex(each) for each in patterns], TEXTS)
                return MATCHES
            case tree.Starts(_, texts):
                names["texts"] = self.given([f"{literal(each)}%" for each in texts], TEXTS)
                return LIKE
            case tree.Ends(_, texts):
                names["texts"] = self.given([f"%{literal(each)}" for each in texts], TEXTS)
                return LIKE
            case tree.Ordered(_, sign, texts):
                names["sign"] = SIGNS[sign]
                names["texts"] = self.given(list(texts), TEXTS)
                return ORDERED
            case tree.Numbers(_, spans) | tree.Versions(_, spans):
                names["spans"] = self.given(multirange(spans), NUMBER_SPANS)
                return NUMBERS if isinstance(question, tree.Numbers) else VERSIONS
            case tree.Moments(_, spans, zone):
                names["spans"] = self.given(multirange(spans), TIME_SPANS)
                names["zone"] = self.given(zone, TEXT)
                return MOMENTS
            case _:
                return PRESENT

    def given(self, value: object, type: sql.SQL) -> sql.Composable:
        name = f"filter_{len(self.parameters)}"
        self.parameters[name] = value
        form = PyFormat.BINARY if isinstance(value, list) else PyFormat.AUTO
        return sql.SQL("{}::{}").format(sql.Placeholder(name, form), type)


async def check(conn: AsyncConnection, node: Node, *, project_id: int) -> None:
    """Raises InvalidInput where a filter names a cohort that is not there, or no expression."""
    for question in tree.questions(node):
        if isinstance(question, tree.Matches):
            for pattern in question.patterns:
                await compile(conn, pattern)
    if not (wanted := tree.cohort_ids(node)):
        return
    cursor = await conn.execute(
        """
        SELECT id
          FROM cohort
         WHERE project_id = %(project_id)s
           AND id = ANY(%(ids)b::bigint[])
        """,
        {"project_id": project_id, "ids": sorted(wanted)},
    )
    if missing := wanted - {row[0] for row in await cursor.fetchall()}:
        raise InvalidInput(f"Cohort {min(missing)} does not exist.", attr="properties")


async def compile(conn: AsyncConnection, pattern: str) -> None:
    """Raises InvalidInput if PostgreSQL cannot read it. In a transaction, that ends with it."""
    try:
        await conn.execute("SELECT '' ~ %(pattern)s", {"pattern": postgres_regex(pattern)})
    except errors.InvalidRegularExpression as error:
        reason = error.diag.message_primary
        raise InvalidInput(f'"{pattern[:100]}": {reason}', attr="properties") from None


def containing(text: str) -> str:
    """For ILIKE: `%` and `_` are wildcards, as they are at PostHog; a backslash is itself."""
    return "%{}%".format(text.replace("\\", "\\\\"))


def literal(text: str) -> str:
    """For LIKE: nothing is a wildcard."""
    return re.sub(r"([\\%_])", r"\\\1", text)


# What RE2 spells otherwise than PostgreSQL: some escapes, named groups; not in brackets.
SPELLING = re.compile(r"\\(.)|\(\?P<\w+>|\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]", re.S)
ESCAPES = {"b": r"\y", "B": r"\Y", "z": r"\Z"}


def postgres_regex(pattern: str) -> str:
    """An RE2 expression in PostgreSQL's spelling, where only that differs."""

    def spelled(match: re.Match[str]) -> str:
        return "(" if match[0].startswith("(?P<") else ESCAPES.get(match[1] or "", match[0])

    # `***` at the start would choose another language.
    return ("(?:)" if pattern.startswith("***") else "") + SPELLING.sub(spelled, pattern)


def multirange(
    spans: Sequence[Span[int]] | Sequence[Span[Decimal]] | Sequence[Span[datetime]],
) -> Multirange[Decimal] | Multirange[datetime]:
    return Multirange([Range(end(span.low), end(span.high), span.bounds) for span in spans])


def end(value: Any) -> Any:
    """Whole numbers as the numeric that a nummultirange is made of."""
    return Decimal(value) if isinstance(value, int) else value
