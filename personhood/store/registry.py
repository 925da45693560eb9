"""Every table of the database, and what of a person it may hold: what a deletion has to think of.

A test holds this against the catalogue, so a new table, or a new column that could refer to a
person, has to be told of here, and with it what becomes of it when the person is forgotten.
"""

from collections.abc import Mapping
from enum import Enum, auto

from msgspec import Struct, field


class Holds(Enum):
    """What a column may hold of a person. `PERSONS` and `NAMES` are lists, `TEXT` is anything."""

    PERSON = auto()
    PERSON_UUID = auto()
    PERSONS = auto()
    NAME = auto()  # the surrogate id of a distinct id
    NAMES = auto()
    TEXT = auto()
    EVENT_UUID = auto()


class Fate(Enum):
    """What becomes of rows that hold something of a person whose profile is deleted."""

    AT_ONCE = auto()  # gone in the same transaction
    SETTLED = auto()  # gone a moment later, when the deletion is settled
    WITH_EVENTS = auto()  # they stay while the person's events or recordings do, and go with them
    WHEN_COMPLETED = auto()  # the deletion itself needs them until it is completed
    RECORD = auto()  # they tell that something was done: by numbers and uuids, without any text


class Table(Struct, frozen=True):
    """Columns that hold something of a person, and others that only look as if they could."""

    fate: Fate
    columns: Mapping[str, Holds]
    others: tuple[str, ...] = field(default=())


TABLES: Mapping[str, Table] = {
    "person": Table(
        Fate.AT_ONCE,
        {
            "id": Holds.PERSON,
            "uuid": Holds.PERSON_UUID,
            "properties": Holds.TEXT,
            "merged_into_id": Holds.PERSON,
        },
    ),
    "ledger": Table(
        Fate.AT_ONCE,
        {
            "person_id": Holds.PERSON,
            "source_id": Holds.PERSON,
            "distinct_id_id": Holds.NAME,
            "ids": Holds.NAMES,
            "event_uuid": Holds.EVENT_UUID,
            "before": Holds.TEXT,
            "after": Holds.TEXT,
        },
    ),
    "property_clock": Table(Fate.AT_ONCE, {"person_id": Holds.PERSON, "times": Holds.TEXT}),
    "merge": Table(
        Fate.AT_ONCE,
        {
            "source_id": Holds.PERSON,
            "target_id": Holds.PERSON,
            "source_leaf_id": Holds.PERSON,
            "target_leaf_id": Holds.PERSON,
            "distinct_id_id": Holds.NAME,
            "event_uuid": Holds.EVENT_UUID,
        },
        others=("id",),
    ),
    "split": Table(Fate.AT_ONCE, {"person_id": Holds.PERSON}, others=("id",)),
    "split_person": Table(
        Fate.AT_ONCE,
        {
            "person_id": Holds.PERSON,
            "leaf_id": Holds.PERSON,
            "distinct_id_id": Holds.NAME,
        },
        others=("split_id",),
    ),
    "split_merge": Table(
        Fate.AT_ONCE,
        {
            "source_id": Holds.PERSON,
            "target_id": Holds.PERSON,
            "source_leaf_id": Holds.PERSON,
            "target_leaf_id": Holds.PERSON,
        },
        others=("split_id", "merge_id"),
    ),
    "cohort_person": Table(Fate.AT_ONCE, {"person_id": Holds.PERSON}, others=("cohort_id",)),
    "ingestion_warning": Table(
        Fate.SETTLED,
        {"details": Holds.TEXT, "event_uuid": Holds.EVENT_UUID},
        others=("id",),
    ),
    "distinct_id": Table(
        Fate.WITH_EVENTS,
        {"id": Holds.NAME, "distinct_id": Holds.TEXT, "person_id": Holds.PERSON},
    ),
    "event": Table(
        Fate.WITH_EVENTS,
        {
            "distinct_id_id": Holds.NAME,
            "uuid": Holds.EVENT_UUID,
            "person_id": Holds.PERSON,
            "name": Holds.TEXT,
            "elements_chain": Holds.TEXT,
            "properties": Holds.TEXT,
        },
    ),
    "event_key": Table(Fate.WITH_EVENTS, {"distinct_id_id": Holds.NAME, "uuid": Holds.EVENT_UUID}),
    "recording": Table(
        Fate.WITH_EVENTS,
        {
            "distinct_id_id": Holds.NAME,
            "session_id": Holds.TEXT,
            "library": Holds.TEXT,
            "urls": Holds.TEXT,
        },
        others=("id",),
    ),
    "recording_block": Table(
        Fate.WITH_EVENTS,
        {"distinct_id_id": Holds.NAME, "urls": Holds.TEXT},
        others=("recording_id", "digest"),
    ),
    "deletion_person": Table(
        Fate.WHEN_COMPLETED,
        {"person_id": Holds.PERSON, "person_uuid": Holds.PERSON_UUID},
        others=("deletion_id",),
    ),
    "deletion_target": Table(
        Fate.WHEN_COMPLETED, {"distinct_id_id": Holds.NAME}, others=("deletion_id",)
    ),
    "deletion_neighbour": Table(
        Fate.WHEN_COMPLETED, {"person_id": Holds.PERSON}, others=("deletion_id",)
    ),
    "bulk_deletion_batch": Table(
        Fate.WHEN_COMPLETED, {"person_ids": Holds.PERSONS}, others=("bulk_deletion_id",)
    ),
    "deletion": Table(
        Fate.RECORD,
        {"person_id": Holds.PERSON, "person_uuid": Holds.PERSON_UUID},
        others=("id", "uuid"),
    ),
    "activity": Table(
        Fate.RECORD,
        {
            "person_id": Holds.PERSON,
            "person_uuid": Holds.PERSON_UUID,
            "other_id": Holds.PERSON,
            "ids": Holds.NAMES,
            "moved_ids": Holds.NAMES,
            "distinct_id_id": Holds.NAME,
            "event_uuid": Holds.EVENT_UUID,
        },
        others=("id", "uuid"),
    ),
}

# Tables that hold nothing of any person, and why not.
NOTHING: Mapping[str, str] = {
    "project": "settings of a tenant",
    "api_key": "who may ask",
    "group_type": "names of kinds of groups",
    "group": "groups are companies, teams …; what they are called and have is not a person's",
    "cohort": "names and filters that somebody wrote",
    "bulk_deletion": "numbers; what the filter asked for is not kept",
    "deletion_count": "numbers",
    "deletion_unsettled": "numbers of deletions",
    "doomed_blob": "random names of blobs that are to be removed",
    "idempotency": "hashes, and answers that only the client who was given them can read",
    "rate": "how often keys ask",
    "schema_revision": "names of migrations",
    "procrastinate_events": "what happened to jobs",
    "procrastinate_jobs": "jobs are told what to do by the ids of rows that say more",
    "procrastinate_periodic_defers": "when jobs came up",
    "procrastinate_workers": "when workers were heard of last",
}
