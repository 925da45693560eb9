"""What `/api/docs` says of session recordings: shapes, words and examples, no behaviour."""

from datetime import UTC, datetime
from uuid import UUID

from litestar.params import QueryParameter
from msgspec import Struct

from personhood.api.persons_docs import PERSON
from personhood.api.wire import PersonDetail
from personhood.http.envelope import Error
from personhood.model import JSON, Properties


class MissingPerson(Struct, frozen=True, kw_only=True):
    """Stands for the person of a distinct id that has none (contract: persons-api, 2.3)."""

    id: int | None
    name: str | None
    distinct_ids: list[str]
    properties: Properties
    created_at: datetime | None
    uuid: UUID
    last_seen_at: datetime | None


class SessionRecording(Struct, frozen=True, kw_only=True):
    """What is known of a recording; `id` is the session's. Lengths are in seconds."""

    id: str
    distinct_id: str
    viewed: bool
    viewers: list[str]
    recording_duration: int
    active_seconds: float
    inactive_seconds: float
    start_time: datetime
    end_time: datetime
    click_count: int
    keypress_count: int
    mouse_activity_count: int
    console_log_count: int
    console_warn_count: int
    console_error_count: int
    start_url: str | None
    person: JSON
    storage: str
    snapshot_source: str
    ongoing: bool
    activity_score: float
    expiry_time: datetime


class SessionRecordingList(Struct, frozen=True, kw_only=True):
    results: list[SessionRecording]
    has_next: bool
    version: int = 4


class SnapshotSource(Struct, frozen=True, kw_only=True):
    """A piece of a recording that can be asked for by its `blob_key`."""

    source: str
    start_timestamp: datetime
    end_timestamp: datetime
    blob_key: str


class SnapshotSources(Struct, frozen=True, kw_only=True):
    sources: list[SnapshotSource]


ID = "01926d3f-7e2b-7c3d-9a4e-5f6071829304"
BEGAN = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ENDED = datetime(2026, 5, 4, 12, 5, tzinfo=UTC)
ITEM = SessionRecording(
    id=ID,
    distinct_id="ada",
    viewed=False,
    viewers=[],
    recording_duration=300,
    active_seconds=74.5,
    inactive_seconds=225.5,
    start_time=BEGAN,
    end_time=ENDED,
    click_count=12,
    keypress_count=40,
    mouse_activity_count=310,
    console_log_count=2,
    console_warn_count=0,
    console_error_count=1,
    start_url="https://shop.example/",
    person=PERSON,
    storage="object_storage",
    snapshot_source="web",
    ongoing=False,
    activity_score=24.8,
    expiry_time=datetime(2026, 8, 2, 12, 0, tzinfo=UTC),
)
PAGE = SessionRecordingList(results=[ITEM], has_next=False)
SOURCES = SnapshotSources(
    sources=[
        SnapshotSource(source="blob_v2", start_timestamp=BEGAN, end_timestamp=ENDED, blob_key="0")
    ]
)
NOT_A_LIST = Error(
    "validation_error", "invalid_input", "Must be a list of texts, as JSON.", "distinct_ids"
)
NO_SOURCE = Error(
    "validation_error",
    "invalid_choice",
    '"x" is not a valid choice.',
    "source",
)

LIST = """
Recordings of sessions, the newest first, with whom they are of.

```sh
curl -G -H 'Authorization: Bearer phx_your_key' \\
  --data-urlencode 'distinct_ids=["ada"]' -d date_from=-7d \\
  'http://127.0.0.1:8000/api/projects/@current/session_recordings/'
```

`has_next` tells whether there are more behind `offset` + `limit`. Of a distinct id without a
person, `person` has only that and the `uuid` that the person would get. Scope:
`session_recording:read`.
"""
RETRIEVE = """
What is known of one recording.

```sh
curl -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/session_recordings/01926d3f-7e2b-7c3d-9a4e-5f6071829304'
```

Scope: `session_recording:read`.
"""
DELETE = """
Remove a recording: what is known of it, and all that was recorded.

```sh
curl -X DELETE -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/session_recordings/01926d3f-7e2b-7c3d-9a4e-5f6071829304'
```

A session that still goes on makes a new recording of what follows. Scope:
`session_recording:write`.
"""
SNAPSHOTS = """
What was recorded. Without `source` it is the list of pieces. With `source=blob_v2` and
`start_blob_key` and `end_blob_key` (or `blob_key`), at most 20 of them come as lines of JSON,
`["<window id>", {rrweb event}]`; with `source=blob` and `blob_key` as lines
`{"window_id": ..., "data": [{rrweb event}]}`. `source=realtime` is empty: what was sent is stored
already.

```sh
curl -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/session_recordings/01926d3f-7e2b-7c3d-9a4e-5f6071829304/snapshots?source=blob_v2&start_blob_key=0&end_blob_key=19'
```

Events are as rrweb made them: parts that posthog-js compressed (`"cv": "2024-10"`) still are.
Scope: `session_recording:read`.
"""
PERSON_UUID = QueryParameter(
    description="Only of this person, by its uuid, also by all that was merged into it.",
    schema_extra={"format": "uuid"},
)
PERSON_ID = QueryParameter(description="The same, also by the integer id.")
DISTINCT_ID = QueryParameter(description="Only of this distinct id.")
DISTINCT_IDS = QueryParameter(description='Only of these: a JSON list such as `["ada"]`.')
SESSION_IDS = QueryParameter(description="Only these sessions: a JSON list of their ids.")
DATE_FROM = QueryParameter(
    description="Only sessions that began then or later: ISO 8601, or as `-7d`."
)
DATE_TO = QueryParameter(
    description="Only sessions that began before; of a day without a time, until its end."
)
PROPERTIES = QueryParameter(description="Not served: anything but an empty list is refused.")
SOURCE = QueryParameter(description="`blob_v2`, `blob` or `realtime`; without it, what there is.")
BLOB_KEY = QueryParameter(description="The piece, as the list names it.")
START_BLOB_KEY = QueryParameter(description="The first piece.")
END_BLOB_KEY = QueryParameter(description="The last piece, at most 19 behind the first.")
BLOB_V2 = QueryParameter(
    description="`false`: list the pieces as `blob`, for players that know no other.",
    schema_extra={"type": "boolean", "default": True},
)


def missing(distinct_id: str, uuid: UUID) -> MissingPerson:
    return MissingPerson(
        id=None,
        name=None,
        distinct_ids=[distinct_id],
        properties={},
        created_at=None,
        uuid=uuid,
        last_seen_at=None,
    )


Shown = PersonDetail | MissingPerson
