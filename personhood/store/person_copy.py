"""Persons as rows of CSV that PostgreSQL writes, by COPY with an expression for each column.

What a cell says is what `http.sheet` makes of the same value, and a test compares them. Few values
need to be looked at for that: their first character tells.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Generator, Sequence
from typing import LiteralString

from psycopg import AsyncConnection, generators, pq, sql
from psycopg.errors import error_from_result
from psycopg.pq.abc import PGconn
from psycopg.waiting import Ready, Wait

from personhood.store.person_export import OWN_IDS, Columns, Listed, Path, family_ids

COLUMNS_MAX = 1600  # PostgreSQL makes 1,664 at most
CHUNK_BYTES = 256 * 1024


def fits(columns: Columns, *, names: Sequence[str]) -> bool:
    """Whether COPY can make these columns: not too many, and each of one path that is one value.

    `names` are the properties that may be a person's name: what nests in one would be columns.
    """
    headers = Counter(".".join(path) for path in columns.paths)
    return (
        len(columns.paths) + columns.ids + len(FIXED) + 1 <= COLUMNS_MAX
        and all(count == 1 for count in headers.values())
        and columns.nesting.isdisjoint(names)
        and not any(is_odd_index(part) for path in columns.paths for part in path[1:])
    )


def is_odd_index(part: str) -> bool:
    """Whether `#>` would take a key for the number of an item, as it takes -1 for the last one."""
    try:
        number = int(part)
    except ValueError:
        return False
    return part != str(number) or number < 0


async def rows(
    conn: AsyncConnection, listed: Listed, columns: Columns, *, names: Sequence[str]
) -> AsyncGenerator[bytes, None]:
    """The rows in chunks, the newest person first; their columns are those of `headers`."""
    made = cells(columns, names)
    given = {
        f"path_{number}": path[0] if len(path) == 1 else list(path)
        for number, path in enumerate(columns.paths)
    }
    texts = [sql.Identifier(f"text_{number}") for number in range(len(columns.paths))]
    statement = sql.SQL(COPY).format(
        cells=sql.SQL(", ").join(made[name] for name in headers(columns)),
        texts=sql.SQL("").join(
            sql.SQL(", {} AS {}").format(at(path, number, ">>"), texts[number])
            for number, path in enumerate(columns.paths)
        ),
        ids=sql.SQL(IDS if columns.ids else "NULL::text[]").format(
            family=family_ids(deep=columns.deep),
            own=sql.SQL(OWN_IDS).format(of=sql.SQL("person.id")),
        ),
        listed=listed.query(
            "person.id, person.uuid, person.created_at, person.last_seen_at, "
            "person.is_identified, person.properties"
        ),
    )
    async with conn.cursor() as cursor, cursor.copy(statement, {**listed.parameters(), **given}):
        done = False
        while not done:
            chunk, done = await conn.wait(waiting_rows(conn.pgconn))
            if chunk:
                yield chunk


def waiting_rows(pgconn: PGconn) -> Generator[Wait, Ready | int, tuple[bytes, bool]]:
    """Rows of a running COPY until a chunk is full, and whether they were the last.

    A step of a coroutine for each row would take longer than PostgreSQL takes to make it. Each row
    ends with a line feed; those that it has elsewhere are in a cell.
    """
    found: list[memoryview] = []
    size = 0
    while size < CHUNK_BYTES:
        length, row = pgconn.get_copy_data(1)
        if length > 0:
            found.append(row[:-1])
            size += length
        elif length == 0:
            while not (yield Wait.R):
                continue
            pgconn.consume_input()
        else:
            [result] = yield from generators.fetch_many(pgconn)
            if result.status != pq.ExecStatus.COMMAND_OK:
                raise error_from_result(result)
            break
    else:
        return b"\r\n".join([*found, b""]), False
    return b"\r\n".join([*found, b""]) if found else b"", True


COPY = """
COPY (
    SELECT {cells}
      FROM (
           SELECT *,
                  CASE WHEN cardinality(unsorted) > 1
                       THEN ARRAY(SELECT each.text
                                    FROM unnest(unsorted) WITH ORDINALITY AS each (text, number)
                                   ORDER BY each.text ~ '^([a-z0-9]+-){{4}}[a-z0-9]+$', each.number)
                       ELSE unsorted
                  END AS ids
             FROM (
                  SELECT uuid::text AS uuid, is_identified, properties,
                         created_at::text AS created_at, last_seen_at::text AS last_seen_at,
                         {ids} AS unsorted
                         {texts}
                    FROM ({listed}) AS person
                   ORDER BY person.created_at DESC, person.id DESC
                  OFFSET 0
                  ) AS each
          OFFSET 0
           ) AS each
) TO STDOUT (FORMAT csv)
"""

IDS = """
    CASE WHEN EXISTS (SELECT FROM person AS child WHERE child.merged_into_id = person.id)
         THEN ARRAY(SELECT distinct_id FROM ({family}) AS each)
         ELSE ARRAY(SELECT distinct_id FROM ({own}) AS each)
    END
"""

# Text of PostgreSQL's for a time in UTC, which leaves zeros away, as Python writes it.
TIME = """
    CASE WHEN octet_length({0}) = 22 THEN {0} || ':00'
         ELSE rpad(left({0}, -3), 26, '0') || '+00:00'
    END
"""
# A spreadsheet would run what begins so, unless it is a number.
SAFE = r"""
    CASE WHEN ascii({text}) IN (9, 10, 13, 43, 45, 61, 64)
          AND {text} !~ '^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$'
         THEN '''' || {text}
         ELSE {text}
    END
"""
# ascii: of an empty text, of what SAFE looks for, and of - 0 [ f t {{ in JSON.
CELL = """
    CASE WHEN ascii({text}) IN (0, 9, 10, 13, 43, 45, 48, 61, 64, 91, 102, 116, 123)
         THEN CASE jsonb_typeof({value})
              WHEN 'string' THEN nullif({safe}, '')
              WHEN 'boolean' THEN initcap({text})
              WHEN 'number' THEN CASE WHEN starts_with(ltrim({text}, '-'), '0.0000')
                                      THEN {text}::float8::text ELSE {text} END
              END
         ELSE {text}
    END
"""
# As a name: neither of what is empty, nor zero, nor false.
NAME = """
    CASE WHEN ascii({text}) IN (0, 9, 10, 13, 43, 45, 48, 61, 64, 91, 102, 116, 123)
         THEN CASE jsonb_typeof({value})
              WHEN 'string' THEN nullif({safe}, '')
              WHEN 'boolean' THEN CASE {text} WHEN 'true' THEN 'True' END
              WHEN 'number' THEN CASE WHEN {text}::numeric <> 0 THEN {cell} END
              END
         ELSE {text}
    END
"""
FIXED = {
    "created_at": sql.SQL(TIME).format(sql.SQL("created_at")),
    "id": sql.SQL("uuid"),
    "is_identified": sql.SQL("CASE WHEN is_identified THEN 'True' ELSE 'False' END"),
    "last_seen_at": sql.SQL(TIME).format(sql.SQL("last_seen_at")),
    "type": sql.SQL("'person'"),
    "uuid": sql.SQL("uuid"),
    "value_at_data_point": sql.SQL("NULL"),
}


def headers(columns: Columns) -> list[str]:
    paths = (".".join(("properties", *path)) for path in columns.paths)
    ids = (f"distinct_ids.{number}" for number in range(columns.ids))
    return sorted([*FIXED, "name", *paths, *ids])


def cells(columns: Columns, names: Sequence[str]) -> dict[str, sql.Composable]:
    """Each column's expression by its header; they name the parameters `path_0` and so on."""
    made: dict[str, sql.Composable] = {}
    by_key: dict[str, sql.Composed] = {}
    for number, path in enumerate(columns.paths):
        parts = parts_of(path, number)
        made[".".join(("properties", *path))] = sql.SQL(CELL).format(**parts)
        if path[0] in names:
            by_key[path[0]] = sql.SQL(NAME).format(**parts, cell=sql.SQL(CELL).format(**parts))
    ids = [
        sql.SQL(SAFE).format(text=sql.SQL("ids[{}]").format(sql.Literal(number + 1)))
        for number in range(columns.ids)
    ]
    made |= {f"distinct_ids.{number}": each for number, each in enumerate(ids)}
    found = [*(by_key[key] for key in names if key in by_key), *ids[:1], sql.SQL("uuid")]
    name = sql.SQL("coalesce({})").format(sql.SQL(", ").join(found))
    return {**made, **FIXED, "name": name}


def parts_of(path: Path, number: int) -> dict[str, sql.Composable]:
    text = sql.Identifier(f"text_{number}")
    return {"text": text, "value": at(path, number, ">"), "safe": sql.SQL(SAFE).format(text=text)}


def at(path: Path, number: int, arrow: LiteralString) -> sql.Composed:
    """What a path leads to in `properties`: as JSON by `>`, as text by `>>`."""
    template = "properties -{} {}::text" if len(path) == 1 else "properties #{} {}::text[]"
    return sql.SQL(template).format(sql.SQL(arrow), sql.Placeholder(f"path_{number}"))
