"""What `/api/docs` says of receipts of deletions: shapes, words and examples, no behaviour."""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from litestar.openapi.spec import Example, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import QueryParameter
from msgspec import Struct

from personhood.api.deletions_docs import AT, RECEIPT
from personhood.http.envelope import Error
from personhood.model import DeletionState


class DeletionCount(Struct, frozen=True, kw_only=True):
    """How much there was, was removed and is left; null is "not counted yet"."""

    before: int | None
    removed: int
    left: int | None


class DeletionDetail(Struct, frozen=True, kw_only=True):
    """What was asked for, when, by which key, and what came of it.

    `counts` has those of `profile`, `ids`, `ledger`, `events`, `recordings` and `blobs` that were
    asked for. `profile` counts the person and all that ever merged into it.
    """

    id: UUID
    person_uuid: UUID
    profile: bool
    events: bool
    recordings: bool
    state: DeletionState
    waiting_until: datetime | None
    requested_at: datetime
    requested_by: str | None
    cutoff: datetime
    started_at: datetime | None
    completed_at: datetime | None
    verified_at: datetime | None
    failure: str | None
    counts: dict[str, DeletionCount]


class DeletionList(Struct, frozen=True, kw_only=True):
    count: int
    next: str | None
    previous: str | None
    results: list[DeletionDetail]


DETAIL = DeletionDetail(
    id=RECEIPT.id,
    person_uuid=RECEIPT.person_uuid,
    profile=True,
    events=True,
    recordings=False,
    state=DeletionState.WAITING,
    waiting_until=AT + timedelta(hours=14, seconds=2),
    requested_at=AT,
    requested_by="support desk",
    cutoff=AT,
    started_at=None,
    completed_at=None,
    verified_at=None,
    failure=None,
    counts={
        "profile": DeletionCount(before=1, removed=1, left=0),
        "ids": DeletionCount(before=2, removed=0, left=2),
        "ledger": DeletionCount(before=7, removed=7, left=0),
        "events": DeletionCount(before=None, removed=0, left=None),
    },
)
CANCELLED = msgspec.structs.replace(DETAIL, state=DeletionState.CANCELLED, waiting_until=None)
PAGE = DeletionList(count=1, next=None, previous=None, results=[DETAIL])
NO_STATE = Error("validation_error", "invalid_choice", '"x" is not a valid choice.', "state")

LIST = """
The receipts of all deletions, the newest first: what was asked for, and how far it is.

```sh
curl -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/deletions/?state=waiting'
```

A person is gone when its deletion is answered. Its events and recordings are removed by jobs:

* `queued`: to be run any moment;
* `waiting`: until `waiting_until`, when the hours for deletions begin, or it is tried again;
* `running`: `counts.events.removed` of `counts.events.before` have gone;
* `completed`: it was looked for all of it afterwards, and nothing was found;
* `failed`: `failure` says why, and somebody has to look after it;
* `cancelled`: it was called off before it began.

Only what was received up to `cutoff` is removed. Scope: `person:read`.
"""
RETRIEVE = """
The receipt of one deletion.

```sh
curl -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/deletions/5e0f5f0e-6c1e-4c53-9a35-5f0d2b3c7a11'
```

Scope: `person:read`.
"""
CANCEL = """
Call off a deletion of events or recordings that has not begun. Afterwards it is too late: 409. A
person that was deleted with them stays deleted. Cancelled twice is cancelled once.

```sh
curl -X POST -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/deletions/5e0f5f0e-6c1e-4c53-9a35-5f0d2b3c7a11/cancel'
```

A body is not needed. Scope: `person:write`.
"""
CANCEL_BODY = Schema(type=OpenAPIType.OBJECT)
STATE = QueryParameter(
    name="state",
    description="Only deletions in this state.",
    schema_extra={"enum": [str(state) for state in DeletionState]},
)
PERSON_UUID = QueryParameter(
    description="Only deletions for the person that had this uuid.",
    examples=[Example(value=str(RECEIPT.person_uuid))],
)
