"""What `/api/docs` says of deletions of many: shapes, words and examples, no behaviour."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from litestar.openapi.spec import Example, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import QueryParameter
from msgspec import Struct, structs

from personhood.http.envelope import Error
from personhood.http.page import LIMIT_DEFAULT, LIMIT_MAX
from personhood.model import DeletionState

EVERYBODY = "The filter asks for nothing, so it would find everybody."


class ManyDeletion(Struct, frozen=True, kw_only=True):
    """Of the `persons` that were found, `done` were dealt with; `missing` were gone by then, or had
    become part of somebody else.
    """

    id: UUID
    state: DeletionState
    profile: bool
    events: bool
    recordings: bool
    persons: int
    done: int
    missing: int
    requested_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    failure: str | None


class ManyDeletions(Struct, frozen=True, kw_only=True):
    count: int
    next: str | None
    results: list[ManyDeletion]


ASKED_AT = datetime(2026, 5, 1, 12, 30, tzinfo=UTC)
RUNNING = ManyDeletion(
    id=UUID("0b7c5c0e-5d0c-4a53-9d0e-6a7f0f7d1c11"),
    state=DeletionState.RUNNING,
    profile=True,
    events=True,
    recordings=False,
    persons=250_000,
    done=97_500,
    missing=0,
    requested_at=ASKED_AT,
    started_at=ASKED_AT + timedelta(seconds=1),
    completed_at=None,
    failure=None,
)
CANCELLED = structs.replace(
    RUNNING, state=DeletionState.CANCELLED, completed_at=ASKED_AT + timedelta(seconds=9)
)

URL = f"'http://127.0.0.1:8000/api/projects/@current/persons/bulk_delete/{RUNNING.id}"
PAGE = ManyDeletions(count=1, next=None, results=[RUNNING])
STATES = ("queued", "running", "completed", "cancelled")
NO_STATE = Error("validation_error", "invalid_choice", '"x" is not a valid choice.', "state")
LIST = """
The deletions of all persons that filters found, the newest first, and how far each is: `done` of
`persons`.

```sh
curl -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/bulk_deletions/?state=running'
```

`next` leads to the page that follows, whatever is asked for meanwhile. Scope: `person:read`.
"""
STATE = QueryParameter(
    name="state",
    description="Only those in this state.",
    schema_extra={"enum": STATES},
)
LIMIT = QueryParameter(
    description=f"Deletions on a page; {LIMIT_MAX:,} at most.",
    schema_extra={"type": "integer", "minimum": 0, "default": LIMIT_DEFAULT},
)
CURSOR = QueryParameter(
    description="Where the page begins: as `next` has it.",
    examples=[Example(value=str(RUNNING.id))],
)
RETRIEVE = f"""
How far a deletion of all persons that a filter found is: `done` of `persons`.

```sh
curl -H 'Authorization: Bearer phx_your_key' \\
  {URL}'
```

What became of each person stands on its own receipt, in the list of deletions.

Scope: `person:read`.
"""
CANCEL = f"""
Leave those alone that were not deleted yet. What was done is not undone.

```sh
curl -X POST -H 'Authorization: Bearer phx_your_key' \\
  {URL}/cancel'
```

Scope: `person:write`. 409 when it is completed.
"""
CANCEL_BODY = Schema(type=OpenAPIType.OBJECT)
