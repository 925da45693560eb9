"""What an event changes on a person's properties (contract: capture-and-identity section 4)."""

from typing import cast

from msgspec import Struct

from personhood.model import JSON, Event, Profile, Properties

# A change of these alone is not worth a write; it shows in the event's snapshot only (4.3).
FILTERED = frozenset(
    """
    $current_url $pathname $referring_domain $referrer $screen_height $screen_width
    $viewport_height $viewport_width $browser $browser_version $device_type $raw_user_agent
    $os $os_name $os_version $geoip_postal_code $geoip_time_zone $geoip_latitude
    $geoip_longitude $geoip_accuracy_radius $geoip_subdivision_1_code
    $geoip_subdivision_1_name $geoip_subdivision_2_code $geoip_subdivision_2_name
    $geoip_subdivision_3_code $geoip_subdivision_3_name $geoip_city_confidence
    $geoip_country_confidence $geoip_postal_code_confidence
    $geoip_subdivision_1_confidence $geoip_subdivision_2_confidence
    """.split()
)
# Events about the person itself: whatever they change is written.
PERSON_EVENTS = frozenset({"$identify", "$create_alias", "$merge_dangerously", "$set"})
# Events that are attached to a person and never change it (4.4).
READ_ONLY_EVENTS = frozenset({"$exception", "$$heatmap"})


class Change(Struct, frozen=True):
    """Keys as they were and as they become: only in `before` = removed, only in `after` = new."""

    before: Properties
    after: Properties

    def __bool__(self) -> bool:
        return bool(self.before or self.after)


NO_CHANGE = Change({}, {})


def initial(event: Event) -> Properties:
    """The properties of a person that the event makes (3.2): `$set` beats `$set_once`."""
    return {**event.set_once, **event.set, "$creator_event_uuid": str(event.uuid)}


def change(current: Properties, event: Event) -> Change:
    """What `event` changes on `current`, in the order of 4.1, unless the filter of 4.3 holds.

    `$set_once` fills what is absent (a null is present), `$set` overwrites what differs, `$unset`
    removes what was there before the event.
    """
    if not (event.set or event.set_once or event.unset):
        return NO_CHANGE
    added = {
        key: value
        for key, value in event.set_once.items()
        if key not in current and key not in event.set
    }
    changed = {
        key: value
        for key, value in event.set.items()
        if key not in current or differs(current[key], value)
    }
    removed = {key for key in event.unset if key in current}
    if not (added or removed or warrants_write(current, changed, event)):
        return NO_CHANGE
    after = {
        key: value
        for key, value in {**added, **changed}.items()
        if key not in removed and not (key in current and equal(current[key], value))
    }
    before = {key: current[key] for key in (*after, *sorted(removed)) if key in current}
    return Change(before, after)


def warrants_write(current: Properties, changed: Properties, event: Event) -> bool:
    if event.name in PERSON_EVENTS:
        return bool(changed)
    return any(key not in current or key not in FILTERED for key in changed)


def apply(current: Properties, changed: Change) -> Properties:
    """`current` after the change; `current` itself stays as it is."""
    kept = {
        key: value
        for key, value in current.items()
        if key not in changed.before or key in changed.after
    }
    return {**kept, **changed.after}


def difference(before: Properties, after: Properties) -> Change:
    """The change that makes `after` of `before`."""
    same = {key for key in before.keys() & after.keys() if equal(before[key], after[key])}
    return Change(
        {key: value for key, value in before.items() if key not in same},
        {key: value for key, value in after.items() if key not in same},
    )


def absorbed(*, source: Properties, target: Properties) -> Change:
    """What a merge adds to the target: the source's keys that it lacks (3.6)."""
    return Change({}, {key: value for key, value in source.items() if key not in target})


def snapshot(before: Properties, after: Properties, event: Event) -> Properties:
    """What the event itself shows of its person (section 5).

    The person after the event, its own `$set` laid over, also where the filter kept that off the
    person, and without the keys that it unset.
    """
    if event.profile is Profile.READ_ONLY:
        return after
    removed = {key for key in event.unset if key in before}
    return {key: value for key, value in {**after, **event.set}.items() if key not in removed}


def unset_keys(given: JSON) -> tuple[str, ...]:
    """The keys that a `$unset` names: those of a list, or of an object; of anything else none."""
    if not isinstance(given, list | dict):
        return ()
    keys = list(cast(list[JSON], given))
    return tuple(key for key in keys if isinstance(key, str))


def differs(old: JSON, new: JSON) -> bool:
    """JavaScript's `!==` on JSON values (4.2): an object or a list always counts as changed."""
    if isinstance(new, dict | list) or isinstance(old, dict | list):
        return True
    return not equal(old, new)


def equal(old: JSON, new: JSON) -> bool:
    """Whether two JSON values are the same, with 1 = 1.0 and true ≠ 1."""
    kinds: set[type] = {type(old), type(new)}
    if kinds == {dict}:
        return old.keys() == new.keys() and all(equal(old[key], new[key]) for key in old)
    if kinds == {list}:
        return len(old) == len(new) and all(map(equal, old, new))
    if kinds == {int, float}:
        # jsonb keeps 1e23 as the integer 10**23, which Python holds for another number.
        return bool(old == new) or nearest_float(old) == nearest_float(new)
    return (bool not in kinds or kinds == {bool}) and bool(old == new)


def nearest_float(number: float) -> float | None:
    try:
        return float(number)
    except OverflowError:
        return None
