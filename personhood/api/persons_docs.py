"""What `/api/docs` says of the persons endpoints: words and examples, no behaviour."""

from datetime import UTC, datetime
from uuid import UUID

from litestar.openapi.spec import Example, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import QueryParameter

from personhood.api.wire import PersonDetail, PersonList, PersonRow, PersonsFound
from personhood.filters.reading import CHARACTERS_MAX, DEPTH_MAX, FILTERS_MAX, VALUES_MAX
from personhood.http.envelope import Error
from personhood.http.page import LIMIT_DEFAULT, LIMIT_MAX
from personhood.store.recording_count import COUNTED_MAX

ID_MALFORMED = (
    "The ID provided does not look like a personID. If you are using a distinctId, please use "
    "/persons?distinct_id=<id> instead."
)
EMAIL_ADDRESS = "ada@example.com"
PERSON = PersonDetail(
    id=17,
    name=EMAIL_ADDRESS,
    distinct_ids=[EMAIL_ADDRESS, "0190a1f2-7e2b-7c3d-9a4e-5f6071829304"],
    properties={"email": EMAIL_ADDRESS, "name": "Ada Lovelace", "plan": "scale"},
    created_at=datetime(2021, 8, 25, 22, 9, 14, 252000, tzinfo=UTC),
    uuid=UUID("b44cfe84-13e5-55bd-9d93-03bf32d61790"),
    last_seen_at=None,
    recordings_count=3,
)
ROW = PersonRow(
    id=PERSON.uuid,
    uuid=PERSON.uuid,
    created_at=PERSON.created_at,
    last_seen_at=PERSON.last_seen_at,
    properties=PERSON.properties,
    is_identified=True,
    name=PERSON.name,
    distinct_ids=PERSON.distinct_ids,
    recordings_count=PERSON.recordings_count,
)
PAGE = PersonList(
    results=[ROW],
    next="http://127.0.0.1:8000/api/projects/1/persons/?limit=1&offset=1",
    previous=None,
    count=600,
)

NO_PERSON_ID = Error("validation_error", "invalid_input", ID_MALFORMED)

FOUND = PersonsFound(
    results=[ROW],
    next_cursor="MTYyOTkyOTM1NDI1MjAwMC4xNw",
    next_offset=None,
    count=600,
)

LIST = f"""
Persons of the project, the newest first. All filters must hold.

```sh
curl -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/?search=ada&limit=20'
```

Follow `next` until it is null; a page is short only if it is the last, and behind a full one there
may be an empty one. With `cursor=` (empty for
the first page) `next` leads on by a cursor: such pages neither skip nor repeat a person, whatever
is written between them. Their order is that of the first `created_at` a person had, which a merge
does not lower. For filters that are too long for a URL there is `POST …/persons/search`.

Here `id` is the uuid, unlike where a single person is read. At most {1000:,} distinct ids are shown
for each person; reading the person shows them all. `recordings_count` is how many
`/session_recordings/?person_uuid=` lists, up to {COUNTED_MAX:,}.

As CSV, the whole list is one file: `limit` and `offset` do not count, but it ends after {300_000:,}
persons unless you say `all=true`. It shows one moment, however long it takes to read, and breaks
off visibly if it cannot be finished.

```sh
curl -OJ -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/persons.csv?all=true'
```

Scope: `person:read`.
"""

SEARCH_BY_BODY = """
The persons of a list, found by filters in a body: the same fields as in the query of a list, with
the same meaning, and `properties` as JSON instead of its text.

```sh
curl -X POST -H 'Authorization: Bearer phx_your_key' -H 'Content-Type: application/json' \\
  -d '{"properties": [{"key": "plan", "value": ["team", "scale"]}], "limit": 50}' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/search/'
```

Put `next_cursor` into the body as `cursor` for the next page, until it is null. Who sends an
`offset` gets `next_offset` instead, and pages in the order of the list. As CSV, all that is found
is one file, as for a list.

Scope: `person:read`.
"""

RETRIEVE = """
One person, with all its distinct ids: those that somebody chose first, those that an SDK made up
after them.

```sh
curl -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/17/'
```

A person that was merged into another is gone under its own id. To find a person by a distinct id,
list with `?distinct_id=`.

`recordings_count` is how many session recordings the person has, of all that it was merged from
(up to 10,000): `/session_recordings/?person_uuid=` lists them.

`ETag` stands for what is shown: send it back in `If-None-Match` to be told 304 while nothing has
changed, or in `If-Match` to change the person only if it is still the one you read.

Scope: `person:read`.
"""

EMAIL = QueryParameter(
    description="Only persons whose property `email` is exactly this.",
    examples=[Example(value=EMAIL_ADDRESS)],
)
DISTINCT_ID = QueryParameter(
    description="Only the person that this distinct id belongs to.",
    examples=[Example(value=EMAIL_ADDRESS)],
)
SEARCH = QueryParameter(
    description=(
        "Only persons with this text, in any letter case, somewhere in the properties `email` or "
        "`name` (the first 320 characters of each), the uuid, or a distinct id. `%` and `_` are "
        "wildcards. With three letters or digits in a row an index finds them; without, the "
        "persons are gone through one by one."
    ),
    examples=[Example(value="ada")],
)
PROPERTIES = QueryParameter(
    description=f"""
A JSON list of property filters, all of which have to hold, or a group
`{{"type": "AND" | "OR", "values": […]}}` of filters and groups.

A filter is `{{"key": …, "value": …, "operator": …, "type": "person"}}`. `value` is text, a number,
true or false, or a list of these: one of them has to fit, for a negation none may. Without
`operator` it is `exact`. An empty list, and a filter without key or value, always holds. A missing
key and null are the same; they fit no operator but the negations.

* `exact`, `in`, and their negations `is_not`, `not_in`: the same text; numbers by their value.
* `icontains`, `not_icontains`: part of the text in any letter case; `%` and `_` are wildcards.
* `regex`, `not_regex`: found somewhere in the text. In PostgreSQL's syntax, but `\\b`, `\\B`, `\\z`
  and `(?P<name>…)` as in RE2. Unicode classes, and flags elsewhere than at the start, are refused.
* `starts_with`, `ends_with`, `not_starts_with`, `not_ends_with`: in the same letter case.
* `gt`, `gte`, `lt`, `lte`, `min`, `max`: as numbers, if the value is one; as times, if it is a
  date; else by the characters of text.
* `between`, `not_between`: `[min, max]`, both included in what is between.
* `is_set`, `is_not_set`.
* `is_date_exact`, `is_date_before`, `is_date_after`: ISO 8601, seconds since 1970, or relative:
  `-24h`, `-7d`, `-1w`, `-1m`, `-1q`, `-1y`, `dStart`, `-1mStart`, `mEnd`. A day counts from its
  first moment; to be exactly a day is to be in it. Times without a zone are in the project's.
* `semver_eq`, `semver_neq`, `semver_gt`, `semver_gte`, `semver_lt`, `semver_lte`, `semver_tilde`,
  `semver_caret`, `semver_wildcard`: by three numbers; what follows them does not count.

`{{"type": "cohort", "key": "id", "value": 7}}` asks for the members of a cohort,
`"operator": "not_in"` for all others. At most {FILTERS_MAX} filters with {VALUES_MAX:,} values
each, of {CHARACTERS_MAX:,} characters, in groups {DEPTH_MAX} deep.
""".strip(),
    examples=[Example(value='[{"key":"plan","value":["team","scale"],"operator":"exact"}]')],
)
CURSOR = QueryParameter(
    description=(
        "Where the page begins, as `next` has it; empty for the first page. Not together with "
        "`offset`."
    ),
)
LIMIT = QueryParameter(
    description=f"Persons on a page; {LIMIT_MAX:,} at most.",
    schema_extra={"type": "integer", "minimum": 0, "default": LIMIT_DEFAULT},
)
OFFSET = QueryParameter(
    description="Persons to skip.",
    schema_extra={"type": "integer", "minimum": 0, "default": 0},
)
INCLUDE_TOTAL = QueryParameter(
    description="Add `count`, how many persons all pages hold. Being there is enough.",
)
ALL_TOLD = "Of CSV only: all persons, also beyond 300,000."
ALL = QueryParameter(description=ALL_TOLD, schema_extra={"type": "boolean", "default": False})

AS_OF = QueryParameter(
    description=(
        "What was known at this moment, in ISO 8601 (UTC if it names no zone): persons with the "
        "properties and distinct ids they had, also those that were merged into others since. "
        "`last_seen_at` and `recordings_count` are not told of the past. A list goes by uuid then, "
        "up to 100 on a page, with every filter asked of what persons were; but of no cohort: its "
        "members are known of the present alone. No index knows the past: a page looks at 1,000 "
        "persons and may end early, even empty, while `next` leads on. There is no `offset` and no "
        "count; CSV comes in pages as well, each with a `Link` to the next. Who was deleted is in "
        "no past."
    ),
    examples=[Example(value="2026-05-04T12:00:00Z")],
)
AS_OF_BASIS = QueryParameter(
    description=(
        "`recorded`: what had been applied here by then. `event`: what had happened by then, by "
        "the times of events, also of those that came late. Of two changes that came in another "
        "order than they happened, the one that came later counts; where such were merges, splits "
        "and their undoings, a distinct id may be told of two persons, or of none."
    ),
    schema_extra={"enum": ["recorded", "event"]},
)

SEARCH_BODY_EXAMPLE = {
    "properties": {
        "type": "OR",
        "values": [
            {"key": "plan", "value": "scale", "operator": "exact", "type": "person"},
            {"key": "seats", "value": 50, "operator": "gt", "type": "person"},
        ],
    },
    "limit": 20,
}
TEXT = Schema(type=OpenAPIType.STRING)
SEARCH_BODY = Schema(
    type=OpenAPIType.OBJECT,
    properties={
        "properties": Schema(
            one_of=[
                Schema(type=OpenAPIType.ARRAY, items=Schema(type=OpenAPIType.OBJECT)),
                Schema(type=OpenAPIType.OBJECT, additional_properties=True),
            ],
            description="Property filters, as the list takes them.",
        ),
        "search": TEXT,
        "email": TEXT,
        "distinct_id": TEXT,
        "limit": Schema(type=OpenAPIType.INTEGER, minimum=0, default=LIMIT_DEFAULT),
        "offset": Schema(type=OpenAPIType.INTEGER, minimum=0),
        "cursor": Schema(type=OpenAPIType.STRING, description="`next_cursor` of the last page."),
        "include_total": Schema(type=OpenAPIType.BOOLEAN, default=False),
        "as_of": Schema(type=OpenAPIType.STRING, description="As the list takes it."),
        "as_of_basis": Schema(type=OpenAPIType.STRING, enum=["recorded", "event"]),
        "all": Schema(type=OpenAPIType.BOOLEAN, default=False, description=ALL_TOLD),
    },
)
