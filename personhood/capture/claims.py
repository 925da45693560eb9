"""What a sent event says about its person, and what of it is stored (contract: sections 2.5 to 4).

Pure. One `Sent` becomes one `Event`, or none when it is dropped; whatever is odd about it becomes
an ingestion warning.
"""

from datetime import datetime
from typing import Any, cast

import msgspec
from msgspec import Struct

from personhood.capture import elements
from personhood.capture.parse import Sent
from personhood.errors import BadCapture
from personhood.identity import group
from personhood.identity.distinct_id import whole_text_of
from personhood.identity.initial import copied
from personhood.identity.merge import claim_of, truthy
from personhood.identity.properties import READ_ONLY_EVENTS, equal, unset_keys
from personhood.model import (
    JSON,
    Event,
    GroupClaim,
    Profile,
    Project,
    Properties,
    Warning,
)
from personhood.raw_json import encode, spliced

CLIENT_WARNING = "$$client_ingestion_warning"

NEVER_PERSONLESS = frozenset({"$identify", "$create_alias", "$merge_dangerously", "$groupidentify"})
# Keys that SDKs send for themselves and that would only weigh on the store.
BLOAT = {"ph_product_tours", "$product_tours_activated", "$override_feature_flag_payloads"}
UNWANTED = frozenset(BLOAT | {"$elements", "$elements_chain"})
OF_THE_PERSON = frozenset({"$set", "$set_once", "$unset"})
UUID_DIVERGENCE_S = 3 * 24 * 3600

decoder = msgspec.json.Decoder(dict[str, Any])


class Reading(Struct):
    """What one sent event came to."""

    event: Event | None
    warnings: list[Warning]


def read(sent: Sent, project: Project, *, received_at: datetime, ip: str | None) -> Reading:
    """Read `sent`, which came from `ip`, by the settings of its `project`.

    Raises BadCapture for what no parser before this one has looked at: numbers out of range, and
    nesting a little less deep than the limit.
    """
    properties = decoded(sent)
    odd = Oddities(sent, received_at)
    if is_no_event(sent, properties, odd=odd):
        return Reading(None, odd.warnings)
    profile = profile_of(sent, properties, project=project, odd=odd)
    if profile is Profile.PERSONLESS and sent.name in NEVER_PERSONLESS and not sent.personless:
        odd.warn(
            "invalid_event_when_process_person_profile_is_false"
            if project.person_processing
            else "event_dropped_person_processing_disabled",
            eventName=sent.name,
            distinctId=sent.distinct_id,
        )
        return Reading(None, odd.warnings)

    event = Event(
        uuid=sent.uuid,
        name=sent.name,
        distinct_id=sent.distinct_id,
        timestamp=sent.timestamp,
        received_at=received_at,
        properties=b"",
        elements_chain=elements.chain(properties),
        profile=profile,
        updates_last_seen_at=properties.get("$update_person_last_seen_at") is not False,
        historical=sent.historical,
    )
    if not is_bare(event):
        describe_person(event, sent, properties, odd=odd)
    if "$groups" in properties and profile is not Profile.PERSONLESS:
        event.groups = groups_of(properties)
    if sent.name == "$groupidentify":
        event.group = group_of(properties)
        if event.group is not None and len(event.group.key) > group.KEY_LENGTH_MAX:
            odd.warn("group_key_too_long", groupType=event.group.type, distinctId=sent.distinct_id)
            return Reading(None, odd.warnings)
    stores = Stored(sent, properties, anonymous=project.anonymize_ips, ip=ip)
    event.properties = stores.of(event)
    if project.personless_flag_calls and is_plain_flag_call(sent, properties):
        lean = msgspec.structs.replace(event, profile=Profile.PERSONLESS)
        event.personless_properties = stores.of(lean)
    return Reading(event, odd.warnings)


def decoded(sent: Sent) -> Properties:
    try:
        return decoder.decode(sent.properties)
    except msgspec.DecodeError as error:
        raise BadCapture(f"failed to parse request: {error}") from None
    except RecursionError:
        raise BadCapture("failed to parse request: recursion limit exceeded") from None


def is_no_event(sent: Sent, properties: Properties, *, odd: "Oddities") -> bool:
    """Whether `sent` only has the form of an event (1.10): it becomes a warning, nothing else."""
    if sent.name == CLIENT_WARNING:
        message = properties.get("$$client_ingestion_warning_message")
        odd.warn("client_ingestion_warning", message=message)
    elif sent.name == "$snapshot":
        odd.warn("schema_validation_failed", message="$snapshot is taken at /s/ only")
    else:
        return False
    return True


def is_bare(event: Event) -> bool:
    """Whether the event says nothing of its person; what it carries of that is taken off it."""
    return event.profile is Profile.PERSONLESS or event.name == "$groupidentify"


def describe_person(event: Event, sent: Sent, properties: Properties, *, odd: "Oddities") -> None:
    if sent.set or "$set" in properties:
        event.set = merged(properties, "$set", over=sent.set, odd=odd)
    if sent.set_once or "$set_once" in properties:
        event.set_once = merged(properties, "$set_once", over=sent.set_once, odd=odd)
    copied(properties, into=event.set, once=event.set_once)
    if "$unset" in properties:
        event.unset = unset_of(properties, odd)
    event.claim = claim_of(sent.name, properties, distinct_id=sent.distinct_id)


def groups_of(properties: Properties) -> dict[str, str]:
    """Which group of each type the event belongs to (3.9)."""
    given = properties.get("$groups")
    if not isinstance(given, dict):
        return {}
    pairs = cast(Properties, given).items()
    return {
        type: whole_text_of(key)
        for type, key in pairs
        if 0 < len(type) <= group.TYPE_LENGTH_MAX and truthy(key)
    }


def group_of(properties: Properties) -> GroupClaim | None:
    """The group that a `$groupidentify` describes; without type or key it is a plain event."""
    type, key = properties.get("$group_type"), properties.get("$group_key")
    if not (truthy(type) and truthy(key)) or len(whole_text_of(type)) > group.TYPE_LENGTH_MAX:
        return None
    described = properties.get("$group_set")
    return GroupClaim(
        whole_text_of(type),
        whole_text_of(key),
        cast(Properties, described) if isinstance(described, dict) else {},
    )


def profile_of(sent: Sent, properties: Properties, *, project: Project, odd: "Oddities") -> Profile:
    if sent.personless or not project.person_processing:
        return Profile.PERSONLESS
    wanted = properties.get("$process_person_profile", True)
    if wanted is False:
        return Profile.PERSONLESS
    if wanted is not True:
        odd.warn("invalid_process_person_profile", value=wanted, distinctId=sent.distinct_id)
    return Profile.READ_ONLY if sent.name in READ_ONLY_EVENTS else Profile.FULL


def is_plain_flag_call(sent: Sent, properties: Properties) -> bool:
    """Whether the event only tells that a flag was looked at, by nobody in particular (3.8)."""
    return (
        sent.name == "$feature_flag_called"
        and not properties.get("$groups")
        and properties.get("$process_person_profile") is not True
    )


def merged(
    properties: Properties, key: str, *, over: Properties | None, odd: "Oddities"
) -> Properties:
    """`properties[key]` with the top level's own value laid over it."""
    given = properties.get(key)
    if given is not None and not isinstance(given, dict):
        odd.warn("malformed_event_properties", key=key, message="not an object")
    below = cast(Properties, given) if isinstance(given, dict) else {}
    return {**below, **(over or {})}


def unset_of(properties: Properties, odd: "Oddities") -> tuple[str, ...]:
    given = properties.get("$unset")
    if given is not None and not isinstance(given, list | dict):
        odd.warn("malformed_event_properties", key="$unset", message="no list and no object")
    return unset_keys(given)


class Stored(Struct):
    """What of a sent event's properties is stored: the client's own bytes wherever possible.

    Keys that are added go behind them; of two equal keys jsonb keeps the last.
    """

    sent: Sent
    properties: Properties
    anonymous: bool
    ip: str | None

    def of(self, event: Event) -> bytes:
        unwanted, added = self.unwanted(event), self.added(event)
        if unwanted or not self.properties:
            kept = {key: value for key, value in self.properties.items() if key not in unwanted}
            return encode({**kept, **added})
        if added:
            return spliced(self.sent.properties, added)
        return self.sent.properties

    def unwanted(self, event: Event) -> set[str]:
        keys = UNWANTED.intersection(self.properties)
        if self.properties.get("$process_person_profile") is True:
            keys |= {"$process_person_profile"}
        if is_bare(event):
            keys |= OF_THE_PERSON.intersection(self.properties)
        if self.anonymous and "$ip" in self.properties:
            keys |= {"$ip"}
        return {*keys}

    def added(self, event: Event) -> Properties:
        added: Properties = {}
        if not is_bare(event):
            for key, value in (("$set", event.set), ("$set_once", event.set_once)):
                if value and not equal(value, self.properties.get(key)):
                    added[key] = value
        if self.ip is not None and not self.anonymous and "$ip" not in self.properties:
            added["$ip"] = self.ip
        if self.sent.sent_at is not None:
            added["$sent_at"] = self.sent.sent_at.isoformat()
        return added


class Oddities:
    """Gathers the warnings about one event."""

    __slots__ = ("at", "sent", "warnings")

    def __init__(self, sent: Sent, at: datetime) -> None:
        self.warnings: list[Warning] = []
        self.sent = sent
        self.at = at
        if sent.invalid_timestamp is not None:
            self.warn("ignored_invalid_timestamp", value=sent.invalid_timestamp[:200])
        number = sent.uuid.int
        if (number >> 76) & 0xF == 7:
            made = number >> 80  # milliseconds since 1970 (RFC 9562, 5.7)
            if abs(made / 1000 - sent.timestamp.timestamp()) > UUID_DIVERGENCE_S:
                self.warn("event_uuid_timestamp_divergent", timestamp=sent.timestamp.isoformat())

    def warn(self, type: str, **details: JSON) -> None:
        self.warnings.append(
            Warning(type=type, at=self.at, event_uuid=self.sent.uuid, details=details)
        )
