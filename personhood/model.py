"""The nouns that cross packages: what capture reads, identity decides on and store keeps.

All times are aware datetimes in UTC. A person is a *root* while its `merged_into_id` is None; only
roots are seen outside. `JSON` is whatever a JSON text decodes to.
"""

from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any, TypeAlias
from uuid import UUID

from msgspec import Struct, field

JSON: TypeAlias = Any
Properties: TypeAlias = dict[str, JSON]

DISPLAY_NAME_PROPERTIES = ("email", "name", "username")
BIGINT_MAX = 2**63 - 1  # what an integer id can be in PostgreSQL


class Project(Struct, frozen=True, kw_only=True):
    """A tenant. `token` is the public `phc_…` that SDKs send; it names, it does not protect."""

    id: int
    name: str
    token: str
    created_at: datetime
    timezone: str = "UTC"
    display_name_properties: list[str] | None = None
    anonymize_ips: bool = False
    person_processing: bool = True
    personless_flag_calls: bool = False


class Limit(Struct, frozen=True):
    """At most so many requests in any period of so many seconds."""

    most: int
    period_s: int


class ApiKey(Struct, frozen=True, kw_only=True):
    """A personal API key (`phx_…`); only its SHA-256 is kept. No `project_id` means every one.

    `owner` is whose it is, an e-mail address: what the activity log tells beside the label.
    """

    id: int
    label: str
    owner: str | None = None
    scopes: list[str]
    project_id: int | None
    created_at: datetime
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


class Person(Struct, kw_only=True):
    """One human in one project: `uuid` outside, `id` inside."""

    id: int
    project_id: int
    uuid: UUID
    created_at: datetime
    properties: Properties = field(default_factory=dict)
    is_identified: bool = False
    last_seen_at: datetime | None = None
    version: int = 0
    merged_into_id: int | None = None


class DistinctId(Struct, kw_only=True):
    """A name an SDK uses for a person. `person_id` is its leaf; None while it is personless."""

    id: int
    project_id: int
    distinct_id: str
    person_id: int | None = None
    generation: int = 1


class ClaimKind(StrEnum):
    """Which event made the claim (contract: capture-and-identity, 3.3)."""

    IDENTIFY = "$identify"
    ALIAS = "$create_alias"
    MERGE_DANGEROUSLY = "$merge_dangerously"


class Claim(Struct, frozen=True):
    """What an event says about identity: `source` and `target` name one person."""

    kind: ClaimKind
    source: str
    target: str


class GroupClaim(Struct, frozen=True):
    """What a `$groupidentify` says of a group: `set` goes over its properties."""

    type: str
    key: str
    set: Properties


class Group(Struct):
    """A company, a team …: what events are counted by beside persons."""

    created_at: datetime
    properties: Properties


class Profile(StrEnum):
    """What an event may do to persons (contract: 3.8, 4.4)."""

    FULL = "full"
    READ_ONLY = "read_only"
    PERSONLESS = "personless"


class PersonMode(IntEnum):
    """How an event stood to its person when it was stored (contract: section 5)."""

    FULL = 0
    PROPERTYLESS = 1
    FORCE_UPGRADE = 2


class Event(Struct, kw_only=True):
    """An event ready for identity. `properties` is the JSON object that will be stored.

    With `personless_properties` the event makes no person: while its id has none, it is
    personless, and those are stored.
    """

    uuid: UUID
    name: str
    distinct_id: str
    timestamp: datetime
    received_at: datetime
    properties: bytes
    personless_properties: bytes | None = None
    elements_chain: str | None = None
    profile: Profile = Profile.FULL
    claim: Claim | None = None
    set: Properties = field(default_factory=dict)
    set_once: Properties = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    groups: dict[str, str] = field(default_factory=dict)
    group: GroupClaim | None = None
    updates_last_seen_at: bool = True
    historical: bool = False


class Warning(Struct, kw_only=True):
    """An ingestion warning (contract: 3.10); `details` is what its type documents."""

    type: str
    at: datetime
    event_uuid: UUID | None = None
    details: Properties = field(default_factory=dict)


class Merge(Struct, frozen=True, kw_only=True):
    """Two persons that became one: `source` was absorbed, `target` survived.

    The leaves are those of the two names that were claimed to be one; the versions are those of the
    two persons when it happened.
    """

    id: int
    project_id: int
    source_id: int
    target_id: int
    source_leaf_id: int
    target_leaf_id: int
    source_version: int
    target_version: int
    at: datetime
    recorded_at: datetime
    event_uuid: UUID | None = None
    distinct_id_id: int | None = None
    api_key_id: int | None = None
    undone_at: datetime | None = None


class EntryKind(StrEnum):
    """What a ledger entry did to its person."""

    CREATED = "created"
    SET = "set"
    ATTACHED = "attached"
    IDENTIFIED = "identified"
    MERGED = "merged"
    UNDONE = "undone"
    SPLIT = "split"


class ActivityKind(StrEnum):
    """What somebody did to a person, in the words of the activity log (persons-api, 7.3)."""

    UPDATED = "updated"
    PROPERTY_DELETED = "delete_property"
    SPLIT = "split_person"
    SPLIT_OFF = "split_off"
    SPLIT_UNDONE = "split_undone"
    MERGED = "merged"
    MERGE_UNDONE = "merge_undone"
    DELETED = "deleted"


class Split(Struct, frozen=True, kw_only=True):
    """Distinct ids that left a person, which was at `version` after it."""

    id: int
    project_id: int
    person_id: int
    version: int
    at: datetime
    api_key_id: int | None = None
    undone_at: datetime | None = None
    undone_version: int | None = None


class SplitRole(StrEnum):
    """What a split did to a person: it kept its name, became one (again), is merged and lost
    something, or stands in for a merged one that went."""

    KEPT = "kept"
    MOVED = "moved"
    FROZEN = "frozen"
    STAND_IN = "stand_in"


class SplitPerson(Struct, frozen=True, kw_only=True):
    """A person that a split concerned, as it was before it if it was there: then with a version.

    `leaf_id` is where `distinct_id_id` came from, or for whom it stands in.
    """

    person_id: int
    role: SplitRole
    distinct_id_id: int | None = None
    leaf_id: int | None = None
    version: int | None = None
    is_identified: bool | None = None
    created_at: datetime | None = None


class Cause(Struct, frozen=True, kw_only=True):
    """Why an entry is there: an event of a distinct id, or a key's request, or both."""

    event_uuid: UUID | None = None
    distinct_id_id: int | None = None
    api_key_id: int | None = None
    request_id: UUID | None = None


class Entry(Struct, kw_only=True):
    """One change of one person: what the keys were `before` and are `after`.

    A key that is only in `before` went; one only in `after` came. `is_identified` and `created_at`
    are the values after the change, None where it left them alone. `ids` are the surrogate ids of
    distinct ids that the person gained. `at` is the event's time; the store adds when it was
    recorded. (person_id, version) is unique.
    """

    person_id: int
    version: int
    kind: EntryKind
    at: datetime
    cause: Cause
    before: Properties = field(default_factory=dict)
    after: Properties = field(default_factory=dict)
    is_identified: bool | None = None
    created_at: datetime | None = None
    ids: list[int] = field(default_factory=list)
    source_id: int | None = None


class Activity(Struct, frozen=True, kw_only=True):
    """One line of the activity log: who (`cause`) did what to whom.

    It holds no text of the person's: `version` names the ledger entry that tells what was before
    and after, `ids` are the surrogate ids of all distinct ids that the person had, `moved_ids`
    those that a split took from it. So what is forgotten there is gone here too.
    """

    kind: ActivityKind
    person_id: int
    person_uuid: UUID
    cause: Cause
    version: int | None = None
    other_id: int | None = None
    ids: list[int] = field(default_factory=list)
    moved_ids: list[int] = field(default_factory=list)


class Wish(Struct, frozen=True, kw_only=True):
    """What of persons is to be deleted."""

    profile: bool = False
    events: bool = False
    recordings: bool = False


class DeletionState(StrEnum):
    """How far a deletion is. The first three are open, the others are final."""

    QUEUED = "queued"
    WAITING = "waiting"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Deletion(Struct, frozen=True, kw_only=True):
    """The receipt of a request to forget: what of one person, and what came of it.

    Of the person's events those go that were received up to `cutoff`: the time of the request, or
    of the last one with the same wish before it came to run. With its profile go all that its
    distinct ids have. Such a deletion is settled when nothing is left of the profile but names that
    events still carry. `verified_at` is when it was last looked for what should be gone;
    `retry_at` when what failed (`failure`) is tried again.
    """

    id: int
    uuid: UUID
    project_id: int
    person_id: int
    person_uuid: UUID
    profile: bool
    events: bool
    recordings: bool
    requested_at: datetime
    cutoff: datetime
    state: DeletionState
    api_key_id: int | None = None
    request_id: UUID | None = None
    failure: str | None = None
    started_at: datetime | None = None
    settled_at: datetime | None = None
    completed_at: datetime | None = None
    verified_at: datetime | None = None
    attempts: int = 0
    retry_at: datetime | None = None


class Recorded(Struct, frozen=True, kw_only=True):
    """What a piece of a session's recording amounts to; `bytes` as it is stored."""

    started_at: datetime
    ended_at: datetime
    urls: list[str]
    events: int
    bytes: int
    clicks: int
    keypresses: int
    mouse_activity: int
    console_logs: int
    console_warnings: int
    console_errors: int
    active_ms: int


class SessionBlock(Struct, kw_only=True):
    """What a request adds to the recording of a session: a line `[window id, rrweb event]` each."""

    session_id: str
    distinct_id: str
    source: str
    library: str
    lines: bytes
    recorded: Recorded
