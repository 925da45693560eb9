"""Lines of the activity log → what the API shows of them (contract: persons-api, 5.3, 7.2, 7.3).

Pure. A line holds nothing but numbers; `Facts` are what could still be found of what they name.
"""

from collections.abc import Sequence

from personhood.api.activity_docs import (
    SYSTEM,
    ActivityChange,
    ActivityDetail,
    ActivityEntry,
    ActivityTrigger,
    ActivityUser,
)
from personhood.identity.properties import NO_CHANGE, Change
from personhood.model import ActivityKind, Properties
from personhood.store.activity import Line
from personhood.store.activity_facts import Facts


def entry(line: Line, facts: Facts) -> ActivityEntry:
    kind = ActivityKind(line.kind)
    return ActivityEntry(
        id=line.uuid,
        user=user(line),
        activity=line.kind,
        item_id=str(line.person_id),
        detail=ActivityDetail(
            changes=changes(kind, line, facts),
            trigger=trigger(line, facts),
            name=None if kind is ActivityKind.UPDATED else str(line.person_uuid),
        ),
        created_at=line.created_at,
    )


def user(line: Line) -> ActivityUser:
    if line.api_key_id is None:
        return SYSTEM
    return ActivityUser(first_name=line.label or "", email=line.owner)


def trigger(line: Line, facts: Facts) -> ActivityTrigger | None:
    """What made the system do it; a key needs no other reason."""
    if line.api_key_id is not None:
        return None
    if line.event_uuid is not None:
        said: Properties = {
            "event": facts.events.get(line.event_uuid),
            "distinct_id": facts.texts.get(line.distinct_id_id or 0),
        }
        return ActivityTrigger(job_type="event", job_id=str(line.event_uuid), payload=said)
    if line.request_id is not None:
        return ActivityTrigger(job_type="job", job_id=str(line.request_id), payload={})
    return None


def changes(kind: ActivityKind, line: Line, facts: Facts) -> list[ActivityChange] | None:
    match kind:
        case ActivityKind.DELETED:
            return None
        case ActivityKind.UPDATED:
            return [changed(line, facts, field="properties")]
        case ActivityKind.PROPERTY_DELETED:
            return [changed(line, facts, field=None)]
        case ActivityKind.SPLIT:
            return [split(line, facts, action="split")]
        case ActivityKind.SPLIT_UNDONE:
            return [split(line, facts, action="split_undone")]
        case ActivityKind.SPLIT_OFF:
            told = {"source": person(line, facts), "distinct_ids": texts(line.ids, facts)}
            joined = ActivityChange(action="split_off", field=None, before=None, after=told)
        case ActivityKind.MERGED:
            other = {"source": person(line, facts)}
            joined = ActivityChange(action="merged", field=None, before=None, after=other)
        case ActivityKind.MERGE_UNDONE:
            other = {"person": person(line, facts)}
            joined = ActivityChange(action="merge_undone", field=None, before=other, after=None)
    values = changed(line, facts, field="properties")
    return [joined, values] if values.before or values.after else [joined]


def changed(line: Line, facts: Facts, *, field: str | None) -> ActivityChange:
    """The keys that changed. Null on both sides is: forgotten; no keys on both: no change."""
    found: Change | None = NO_CHANGE
    if line.version is not None:
        found = facts.changes.get((line.person_id, line.version))
    return ActivityChange(
        action="changed",
        field=field,
        before=None if found is None else found.before,
        after=None if found is None else found.after,
    )


def split(line: Line, facts: Facts, *, action: str) -> ActivityChange:
    """All distinct ids before it, in stored order; how many there were if some cannot be shown."""
    after: Properties = {"distinct_ids": texts(line.ids, facts)}
    if line.ids_count > len(after["distinct_ids"]):
        after["distinct_ids_count"] = line.ids_count
    if line.moved_ids_count:
        after["distinct_ids_to_split"] = texts(line.moved_ids, facts)
        if line.moved_ids_count > len(after["distinct_ids_to_split"]):
            after["distinct_ids_to_split_count"] = line.moved_ids_count
    return ActivityChange(action=action, field=None, before=None, after=after)


def texts(ids: Sequence[int] | None, facts: Facts) -> list[str]:
    return [facts.texts[id] for id in ids or () if id in facts.texts]


def person(line: Line, facts: Facts) -> Properties | None:
    """The other one; it may be gone."""
    if line.other_id is None:
        return None
    uuid = facts.uuids.get(line.other_id)
    return {"id": str(line.other_id), "uuid": None if uuid is None else str(uuid)}
