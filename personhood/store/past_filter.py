"""The filters of a list, asked of persons as they were: of rows that no table holds."""

from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection, sql

from personhood.filters.tree import ALWAYS
from personhood.model import Properties
from personhood.store.person_filter import EMAIL_CHARACTERS, Filter
from personhood.store.pool import encode
from personhood.store.property_filter import Condition, containing


class Then(Struct, frozen=True, kw_only=True):
    """A person as it was."""

    id: int
    uuid: UUID
    properties: Properties
    distinct_ids: Sequence[str]


SELECT = sql.SQL(
    """
    SELECT person.id
      FROM jsonb_to_recordset(%(persons)s::jsonb)
        AS person (id bigint, uuid text, properties jsonb, distinct_ids text[])
     WHERE {conditions}
    """
)
EMAIL = sql.SQL("person.properties ->> 'email' = %(email)s")
SEARCH = sql.SQL(
    """
    (left(person.properties ->> 'email', %(characters)s) ILIKE %(search)s
     OR left(person.properties ->> 'name', %(characters)s) ILIKE %(search)s
     OR person.uuid ILIKE %(search)s
     OR EXISTS (SELECT FROM unnest(person.distinct_ids) AS name WHERE name ILIKE %(search)s))
    """
)


async def matching(conn: AsyncConnection, filter: Filter, persons: Sequence[Then]) -> set[int]:
    """Those of whom all of a filter holds but its distinct id. Its cohorts have to be refused
    before: whom they had then is not known."""
    held = Condition(
        filter.properties,
        {"person": sql.Identifier("person", "properties")},
        person=sql.Identifier("person", "id"),
    )
    asked = (
        (filter.email is not None, EMAIL),
        (filter.search is not None, SEARCH),
        (filter.properties != ALWAYS, held.sql),
    )
    conditions = [condition for is_asked, condition in asked if is_asked]
    if not (conditions and persons):
        return {each.id for each in persons}
    cursor = await conn.execute(
        SELECT.format(conditions=sql.SQL(" AND ").join(conditions)),
        {
            "persons": encode(persons).decode(),
            "email": filter.email,
            "search": None if filter.search is None else containing(filter.search),
            "characters": EMAIL_CHARACTERS,
            **held.parameters,
        },
    )
    return {row[0] for row in await cursor.fetchall()}
