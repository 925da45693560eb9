"""What `/api/docs` says of deleting many persons: shapes, words and examples, no behaviour."""

from enum import StrEnum
from uuid import UUID

from litestar.openapi.spec import Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from litestar.params import QueryParameter
from msgspec import UNSET, Struct, UnsetType

from personhood.api.bulk_deletions_docs import ManyDeletion
from personhood.api.deletions_docs import FLAG_FIELDS, Extent
from personhood.api.persons_docs import EMAIL_ADDRESS, PERSON, SEARCH_BODY
from personhood.http.envelope import Error
from personhood.model import JSON

IDS_MAX = 1000

BOTH = "You must provide either distinct_ids or ids, not both"
TOO_MANY_DISTINCT_IDS = f"You can only pass {IDS_MAX} distinct_ids in one call"
TOO_MANY_IDS = f"You can only pass {IDS_MAX} ids in one call"
FILTER_AND_IDS = "You must provide either ids or a filter, not both"
NEITHER = "You need to specify either distinct_ids or ids"


class Happened(StrEnum):
    """What became of one id that was asked for; `found` is a person that was left as it is."""

    DELETED = "deleted"
    FOUND = "found"
    NOT_FOUND = "not_found"


class Result(Struct, frozen=True):
    """One id as it was asked for, and the person that it led to."""

    id: JSON
    status: Happened
    person_uuid: UUID | None = None


class BulkDeletion(Struct, frozen=True, kw_only=True):
    """The summary that clients know, and `results` for each id, in the order of the request."""

    persons_found: int
    persons_deleted: int
    persons_queued_for_deletion: int
    events_queued_for_deletion: bool
    recordings_queued_for_deletion: bool
    deletion_errors: list[JSON]
    results: list[Result]
    dry_run: bool | UnsetType = UNSET
    would_delete: Extent | UnsetType = UNSET
    bulk_deletion: ManyDeletion | UnsetType = UNSET


DONE = BulkDeletion(
    persons_found=1,
    persons_deleted=1,
    persons_queued_for_deletion=0,
    events_queued_for_deletion=True,
    recordings_queued_for_deletion=False,
    deletion_errors=[],
    results=[
        Result(EMAIL_ADDRESS, Happened.DELETED, PERSON.uuid),
        Result("nobody", Happened.NOT_FOUND),
    ],
)
NOBODY_NAMED = Error("validation_error", "invalid_input", NEITHER)

BULK_DELETE = f"""
Delete up to {IDS_MAX:,} persons, by their uuids in `ids` or by distinct ids in `distinct_ids`: the
person that owns any of these goes, with all its ids. Either all of them are deleted, or none.

```sh
curl -X POST -H 'Authorization: Bearer phx_your_key' -H 'Content-Type: application/json' \\
  -d '{{"distinct_ids": ["{EMAIL_ADDRESS}"], "delete_events": true}}' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/bulk_delete'
```

Instead of ids a body may have a filter: `properties`, `search` and `email` as
`POST /persons/search` takes them, and `cohort`, a cohort's number. Then all persons that it finds
now are queued, however many, and deleted as soon as can be; `bulk_deletion` tells the `id` by which
`GET /persons/bulk_delete/:id` says how far that is. Filters that are incomplete, or that ask for
nothing, are refused. Count with `dry_run` first.

```sh
curl -X POST -H 'Authorization: Bearer phx_your_key' -H 'Content-Type: application/json' \\
  -d '{{"properties": [{{"key": "plan", "value": "trial", "type": "person"}}], "dry_run": true}}' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/bulk_delete'
```

Persons named by ids are gone when the answer is there: they are deleted, not queued. Their events
and recordings are queued where they were asked for; who stays (`keep_person`) while recordings go
counts as queued for that. Only what was captured before the request is deleted. `results`
tells of each id whether its person was `deleted`, only `found` (with `keep_person` or `dry_run`) or
`not_found`. `dry_run` counts what would go, under `would_delete`, and changes nothing.

Everything may stand in the query instead of the body. In the body a flag is on for every value but
`false`, `0`, `null` and what is empty, also as text.

Scope: `person:write`.
"""

IDS = QueryParameter(
    description=f"Uuids of persons, as a JSON list or one in each `ids`; {IDS_MAX:,} at most.",
    schema_extra={"type": "array", "items": {"type": "string"}},
)
DISTINCT_IDS = QueryParameter(
    description=(
        f"Distinct ids, as a JSON list or one in each `distinct_ids`; {IDS_MAX:,} at most."
    ),
    schema_extra={"type": "array", "items": {"type": "string"}},
)
FILTERS = SEARCH_BODY.properties or {}
BODY = Schema(
    type=OpenAPIType.OBJECT,
    properties={
        "ids": Schema(
            type=OpenAPIType.ARRAY,
            items=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.UUID),
            max_items=IDS_MAX,
            description="Uuids of persons.",
        ),
        "distinct_ids": Schema(
            type=OpenAPIType.ARRAY,
            items=Schema(type=OpenAPIType.STRING),
            max_items=IDS_MAX,
            description="Distinct ids of persons.",
        ),
        "properties": FILTERS["properties"],
        "search": FILTERS["search"],
        "email": FILTERS["email"],
        "cohort": Schema(type=OpenAPIType.INTEGER, description="Number of a cohort."),
        **FLAG_FIELDS,
    },
)
BODY_EXAMPLE = {"distinct_ids": [EMAIL_ADDRESS, "nobody"], "delete_events": True}
