"""What `/api/docs` says of the activity log, and the shape of its answers (persons-api, 7.2)."""

from datetime import UTC, datetime
from uuid import UUID

from litestar.openapi.spec import Example
from litestar.params import QueryParameter
from msgspec import UNSET, Struct, UnsetType

from personhood.api.persons_docs import EMAIL_ADDRESS
from personhood.http.numbered_page import ROWS_DEFAULT, ROWS_MAX
from personhood.model import JSON, Properties


class ActivityUser(Struct, frozen=True, kw_only=True):
    """Who did it: a key by its label and owner, or the system itself."""

    first_name: str
    email: str | None
    is_system: bool | UnsetType = UNSET


class ActivityChange(Struct, frozen=True, kw_only=True):
    """What was there before and after; of properties only the keys that changed."""

    type: str = "Person"
    action: str
    field: str | None
    before: JSON
    after: JSON


class ActivityTrigger(Struct, frozen=True, kw_only=True):
    """What made the system do it: an `event`, or a `job`."""

    job_type: str
    job_id: str
    payload: Properties


class ActivityDetail(Struct, frozen=True, kw_only=True):
    changes: list[ActivityChange] | None
    trigger: ActivityTrigger | None
    type: str | None = None
    name: str | None
    short_id: str | None = None


class ActivityEntry(Struct, frozen=True, kw_only=True):
    """One line of the log. `item_id` is the integer id of the person, as text."""

    id: UUID
    user: ActivityUser
    activity: str
    scope: str = "Person"
    item_id: str
    detail: ActivityDetail
    created_at: datetime


class ActivityList(Struct, frozen=True, kw_only=True):
    results: list[ActivityEntry]
    next: str | None
    previous: str | None
    total_count: int


SYSTEM = ActivityUser(first_name="System", email=None, is_system=True)

PAGE = ActivityList(
    results=[
        ActivityEntry(
            id=UUID("6f6b0f0e-5f3c-4a63-9d0f-6a1e1c0d7a11"),
            user=ActivityUser(first_name="dashboard", email=EMAIL_ADDRESS),
            activity="updated",
            item_id="17",
            detail=ActivityDetail(
                changes=[
                    ActivityChange(
                        action="changed",
                        field="properties",
                        before={"plan": "free"},
                        after={"plan": "scale"},
                    )
                ],
                trigger=None,
                name=None,
            ),
            created_at=datetime(2026, 5, 4, 11, 59, 58, 252000, tzinfo=UTC),
        )
    ],
    next="http://127.0.0.1:8000/api/projects/1/persons/activity?page=2&limit=1",
    previous=None,
    total_count=12,
)

WHAT = """
`user` is the key that did it: `first_name` is its label, `email` its owner. What events and jobs
did is the system's, with a `trigger` that names them. `before` and `after` are read from the
ledger: when the person has been deleted, they are gone and null. What SDKs set is not activity;
the ledger has it. A split is `split_person` of who was split, and `split_off` of each that left.

A page after the last one is empty. With `?format=csv&all=true` all lines come as one CSV.

Scope: `activity_log:read`.
"""

OF_PERSON = f"""
What was done to a person, and to those that were merged into it; the newest first.

```sh
curl -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/17/activity/'
```
{WHAT}"""

OF_PROJECT = f"""
What was done to the project's persons, deleted ones too; the newest first.

```sh
curl -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/activity/?limit=100'
```
{WHAT}"""

PAGE_NUMBER = QueryParameter(
    name="page",
    description="Which page, from 1 on.",
    schema_extra={"type": "integer", "minimum": 1, "default": 1},
)
LIMIT = QueryParameter(
    description=f"Lines on a page; {ROWS_MAX:,} at most.",
    schema_extra={"type": "integer", "minimum": 1, "default": ROWS_DEFAULT},
)
ALL = QueryParameter(
    name="all",
    description="All lines, in CSV only: `page` and `limit` do not count then.",
    examples=[Example(value="true")],
    schema_extra={"type": "boolean", "default": False},
)
