"""The statements that the server runs for something, as a pgbench script.

They are taken down while the server's own code runs, so that the floor follows the code: pgbench
does what the server does, for a person drawn at random, without the server.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection, AsyncCursor

PLACEHOLDER = re.compile(r"%\((\w+)\)[sb]")

Statement = tuple[str, Mapping[str, Any]]


async def statements(
    url: str, verb: Callable[[AsyncConnection], Awaitable[Any]]
) -> list[Statement]:
    """What `verb` executes on a connection."""
    taken: list[Statement] = []

    class Recording(AsyncCursor[Any]):
        async def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
            taken.append((text_of(query, self), params or {}))
            return await super().execute(query, params, **options)

    async with await AsyncConnection.connect(url, autocommit=True) as conn:
        conn.cursor_factory = Recording
        await verb(conn)
    return taken


def text_of(query: Any, cursor: AsyncCursor[Any]) -> str:
    return query if isinstance(query, str) else query.as_string(cursor)


def script(taken: list[Statement], *, number: int, text: str, persons: int) -> str:
    """A pgbench script: wherever `number` and `text` stand, those of a random person."""

    def rendered(value: Any) -> str:
        match value:
            case None:
                return "NULL"
            case bool():
                return str(value).lower()
            case list() | tuple() | set():
                return f"ARRAY[{', '.join(map(rendered, value))}]"
            case int():
                return ":n" if value == number else str(value)
            case str() if value == text:
                return f"('{text.removesuffix(str(number))}' || :n)"
            case str() | UUID() | datetime():
                return "'" + str(value).replace("'", "''") + "'"
            case _:
                raise TypeError(f"no SQL for {value!r}")

    lines = [f"\\set n random(1, {persons})"]
    for query, params in taken:
        values = {name: rendered(value) for name, value in params.items()}
        bound = PLACEHOLDER.sub(lambda found, values=values: values[found[1]], query)
        lines.append(" ".join(bound.split()) + ";")
    return "\n".join(lines) + "\n"
