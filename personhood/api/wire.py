"""The shapes of the API's answers, in PostHog's words and order of fields."""

from datetime import datetime
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType

from personhood.model import JSON, Properties


class PersonDetail(Struct, frozen=True, kw_only=True):
    """One person, read by itself (contract: persons-api, 2.3). What it was at another time is told
    without its recordings.
    """

    id: int
    name: JSON
    distinct_ids: list[str]
    properties: Properties
    created_at: datetime
    uuid: UUID
    last_seen_at: datetime | None
    recordings_count: int | UnsetType = UNSET


class PersonRow(Struct, frozen=True, kw_only=True):
    """A person in a list (2.1). Unlike in `PersonDetail`, `id` is the uuid."""

    type: str = "person"
    id: UUID
    uuid: UUID
    created_at: datetime
    last_seen_at: datetime | None
    properties: Properties
    is_identified: bool
    name: JSON
    distinct_ids: list[str]
    matched_recordings: list[JSON] = []
    value_at_data_point: JSON = None
    recordings_count: int | UnsetType = UNSET


class PersonList(Struct, frozen=True, kw_only=True):
    """A page of persons, and where its neighbours are; `count` only when it was asked for."""

    results: list[PersonRow]
    next: str | None
    previous: str | None
    count: int | UnsetType = UNSET


class PersonsFound(Struct, frozen=True, kw_only=True):
    """A page of persons that a body asked for, and what to put into it for the next one."""

    results: list[PersonRow]
    next_cursor: str | None
    next_offset: int | None
    count: int | UnsetType = UNSET
