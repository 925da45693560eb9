"""What `/api/docs` says of deleting one person: shapes, words and examples, no behaviour."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import msgspec
from litestar.openapi.spec import Reference, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import QueryParameter
from msgspec import Struct

from personhood.api.persons_docs import PERSON
from personhood.http.envelope import Error
from personhood.model import DeletionState


class Receipt(Struct, frozen=True, kw_only=True):
    """What was asked for, and how far it is. Events received up to `cutoff` go; all of it is at
    `/deletions/:id`."""

    id: UUID
    person_uuid: UUID
    profile: bool
    events: bool
    recordings: bool
    state: DeletionState
    waiting_until: datetime | None
    requested_at: datetime
    cutoff: datetime


class Extent(Struct, frozen=True, kw_only=True):
    """How much of each kind of data would go."""

    persons: int
    distinct_ids: int
    ledger_entries: int
    events: int
    recordings: int


class DeletionPreview(Struct, frozen=True, kw_only=True):
    """What a deletion would take now; nothing was done."""

    person_uuid: UUID
    would_delete: Extent
    dry_run: bool = True


RECEIPT_OR_PREVIEW = cast("type[Any]", Receipt | DeletionPreview)

AT = datetime(2026, 5, 4, 11, 59, 58, tzinfo=UTC)
RECEIPT = Receipt(
    id=UUID("5e0f5f0e-6c1e-4c53-9a35-5f0d2b3c7a11"),
    person_uuid=PERSON.uuid,
    profile=False,
    events=True,
    recordings=False,
    state=DeletionState.WAITING,
    waiting_until=AT + timedelta(hours=14, seconds=2),
    requested_at=AT,
    cutoff=AT,
)
RECORDINGS_RECEIPT = msgspec.structs.replace(RECEIPT, events=False, recordings=True)
EXTENT = Extent(persons=1, distinct_ids=2, ledger_entries=7, events=1204, recordings=0)
PREVIEW = DeletionPreview(person_uuid=PERSON.uuid, would_delete=EXTENT)
NO_FLAG = Error("validation_error", "invalid_input", "Must be a valid boolean.", "delete_events")

DELETE = """
Delete a person: its properties, its history, its distinct ids. It is gone when the answer is there,
and its ids are free: whoever sends one of them next is somebody new.

Its events stay, unless `delete_events` asks for them; they and, with `delete_recordings`, its
recordings are queued to be deleted. `GET /deletion_status` tells when its events are gone. With
`keep_person` only what the other two flags ask for is deleted.

```sh
curl -X DELETE -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/17/?delete_events=true'
```

A flag is on as `true`, `1` or the bare key, and off as `false` or `0`. All of them may stand in a
JSON body too. `dry_run=true` counts what would go, and changes nothing. With `If-Match` the person
goes only as it was read: if it has changed since, the answer is 412.

Scope: `person:write`.
"""
DELETE_EVENTS = """
Queue the deletion of all events that a person's distinct ids have sent until now. The person stays,
and so does what arrives later. Asked again before it came to run, it is the same receipt, and
covers what arrived meanwhile.

```sh
curl -X POST -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/17/delete_events'
```

A body is not needed. `dry_run=true` counts the events, and changes nothing.

Scope: `person:write`.
"""
DELETE_RECORDINGS = """
Queue the deletion of all session recordings of a person. The person and its events stay.

```sh
curl -X POST -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/17/delete_recordings'
```

A body is not needed. `dry_run=true` changes nothing.

Scope: `person:write`.
"""


def flag(description: str) -> QueryParameter:
    return QueryParameter(
        description=description, schema_extra={"type": "boolean", "default": False}
    )


EVENTS_TOO = "Delete the events as well. May be given in the body too."
RECORDINGS_TOO = "Delete the session recordings as well. May be given in the body too."
PERSON_STAYS = "Leave the person itself as it is. May be given in the body too."
ONLY_COUNTED = "Count what would be deleted, and change nothing. May be given in the body too."

WITH_EVENTS = flag(EVENTS_TOO)
WITH_RECORDINGS = flag(RECORDINGS_TOO)
KEEP_PERSON = flag(PERSON_STAYS)
DRY_RUN = flag(ONLY_COUNTED)

FLAG_FIELDS: dict[str, Schema | Reference] = {
    "delete_events": Schema(type=OpenAPIType.BOOLEAN, description="Delete the events as well."),
    "delete_recordings": Schema(
        type=OpenAPIType.BOOLEAN, description="Delete the session recordings as well."
    ),
    "keep_person": Schema(
        type=OpenAPIType.BOOLEAN, description="Leave the person itself as it is."
    ),
    "dry_run": Schema(
        type=OpenAPIType.BOOLEAN, description="Count what would be deleted, and change nothing."
    ),
}
BODY = Schema(type=OpenAPIType.OBJECT, properties=FLAG_FIELDS)
BODY_EXAMPLE = {"delete_events": True}
EVENTS_BODY = Schema(type=OpenAPIType.OBJECT, properties={"dry_run": FLAG_FIELDS["dry_run"]})
EVENTS_BODY_EXAMPLE = {"dry_run": False}
