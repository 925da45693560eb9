"""What `/api/docs` says of the status of deletions: shapes, words and examples, no behaviour."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from litestar.openapi.spec import Example
from litestar.params import QueryParameter
from msgspec import Struct

from personhood.api.deletions_docs import AT
from personhood.api.persons_docs import PERSON
from personhood.http.envelope import Error


class Status(StrEnum):
    PENDING = "pending"
    COMPLETED = "completed"


class DeletionStatus(Struct, frozen=True, kw_only=True):
    """The deletion of one person's events, and when it was found that none is left."""

    person_uuid: UUID
    created_at: datetime
    status: Status
    delete_verified_at: datetime | None


class DeletionStatusList(Struct, frozen=True, kw_only=True):
    count: int
    next: str | None
    previous: str | None
    results: list[DeletionStatus]


PAGE = DeletionStatusList(
    count=1,
    next=None,
    previous=None,
    results=[
        DeletionStatus(
            person_uuid=PERSON.uuid, created_at=AT, status=Status.PENDING, delete_verified_at=None
        )
    ],
)
NO_CHOICE = Error("validation_error", "invalid_choice", '"x" is not a valid choice.', "status")

LIST = """
How far the deletion of persons' events is, the newest request first. `completed` means that it was
looked for the events afterwards, and none was found. Deletions of profiles alone are done when they
are answered, and not listed here; neither are recordings, nor what was cancelled.

```sh
curl -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/deletion_status?status=pending'
```

Scope: `person:read`.
"""
STATUS = QueryParameter(
    description="Only deletions that are still to be done, or only those that are done.",
    schema_extra={"enum": ["pending", "completed", "all"], "default": "all"},
)
PERSON_UUID = QueryParameter(
    description="Only deletions for the person that has or had this uuid.",
    examples=[Example(value=str(PERSON.uuid))],
)
