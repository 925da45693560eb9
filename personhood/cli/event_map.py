"""What the cells of an imported row mean: the event as an SDK would have sent it.

Pure. Without a `Mapping` a row is one of PostHog's own: of a batch export, of the events API, or of
a table saved as CSV. With one, a few columns are the event's and all others its properties.
"""

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID, uuid5

import msgspec
from msgspec import Struct

from personhood.capture import clock
from personhood.cli.event_csv import Row
from personhood.errors import InvalidSetting
from personhood.model import JSON, Properties

NAMESPACE = UUID("f3b7a0c4-52f5-5b1c-9d2e-6a1f0c9e7d41")
NEEDED = ("distinct_id", "event", "timestamp")
FIELDS = (*NEEDED, "uuid")
# A double holds any integer of so many digits; longer ones are mostly names of something.
DIGITS_MAX = 15

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode


class BadCell(Exception):
    """A row cannot be an event; the message says why."""


class Source(Struct, frozen=True):
    """Where a field of the event is taken from: a column, or the same text for all rows.

    `format` is how a timestamp is written, in the words of strptime.
    """

    column: str | None = None
    constant: str | None = None
    format: str | None = None


Mapping = dict[str, Source]


# --map

ASSIGNMENT = re.compile(rf"({'|'.join(FIELDS)})=(.+)", re.DOTALL)
NEXT_ASSIGNMENT = re.compile(rf",(?=(?:{'|'.join(FIELDS)})=)")
QUOTED = re.compile(r"(['\"])(.*)\1", re.DOTALL)
WITH_FORMAT = re.compile(r"(.+?):(.*%.*)", re.DOTALL)


def mapping(texts: Iterable[str]) -> Mapping:
    """Read `field=column,field='constant',timestamp=column:format`, in one text or in several.

    A needed field that is not named is the column of its own name. Raises InvalidSetting.
    """
    found: Mapping = {field: Source(column=field) for field in NEEDED}
    for part in (part for text in texts for part in NEXT_ASSIGNMENT.split(text)):
        match = ASSIGNMENT.fullmatch(part.strip())
        if match is None:
            raise InvalidSetting(
                f"--map does not understand {part!r}: it takes FIELD=COLUMN or FIELD='constant', "
                f"where FIELD is one of {', '.join(FIELDS)}."
            )
        found[match[1]] = source(match[1], match[2])
    return found


def source(field: str, text: str) -> Source:
    if constant := QUOTED.fullmatch(text):
        return Source(constant=constant[2])
    if field == "timestamp" and (match := WITH_FORMAT.fullmatch(text)):
        return Source(column=match[1], format=match[2])
    return Source(column=text)


def lacking(columns: list[str], mapped: Mapping | None) -> list[str]:
    """The columns that are needed and not there."""
    if mapped is None:
        there = {*columns, *(["distinct_id"] if "properties.distinct_id" in columns else [])}
        return [field for field in NEEDED if field not in there]
    needed = dict.fromkeys(each.column for each in mapped.values() if each.column is not None)
    return [column for column in needed if column not in columns]


# Rows


class Reader(Struct, frozen=True):
    """Turns rows of one file into events of the project with `token`."""

    token: str
    mapped: Mapping | None
    text_cells: bool
    now: datetime

    def event(self, row: Row) -> bytes:
        """The event as JSON, as it would stand in a request's `batch`. Raises BadCell."""
        event = mapped_event(row.cells, self) if self.mapped else exported_event(row.cells, self)
        if event["uuid"] is None:
            event["uuid"] = str(self.derived_uuid(row))
        return encode(event)

    def derived_uuid(self, row: Row) -> UUID:
        """The same for the same row at the same place read in the same way."""
        how = encode(sorted((self.mapped or {}).items(), key=lambda item: item[0])).decode()
        name = f"{self.token}\n{row.line}\n{how}\n{row.raw.decode().rstrip()}"
        return uuid5(NAMESPACE, name)

    def instant(self, value: JSON, format: str | None = None) -> str:
        """The time that a cell names, as ISO 8601."""
        if value is None or value == "":
            raise BadCell("no timestamp")
        text = str(value)
        try:
            at = clock.read(text) if format is None else strptime(text, format)
        except (ValueError, OverflowError):
            wanted = "" if format is None else f" by {format}"
            raise BadCell(f"timestamp not understood{wanted}: {text[:100]!r}") from None
        # Capture would take the time of the import for it.
        if at - self.now > clock.AHEAD_MAX:
            raise BadCell(f"timestamp in the future: {text[:100]!r}")
        return at.isoformat()


def strptime(text: str, format: str) -> datetime:
    at = datetime.strptime(text.strip(), format)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def mapped_event(cells: Properties, reader: Reader) -> Properties:
    assert reader.mapped is not None, "exported_event is for rows without a mapping"
    used = {each.column for each in reader.mapped.values()}
    properties = {name: value for name, value in cells.items() if name not in used}
    uuid = cell(cells, reader.mapped["uuid"]) if "uuid" in reader.mapped else None
    return {
        "uuid": own_uuid(uuid),
        "event": name_of(cell(cells, reader.mapped["event"])),
        "distinct_id": cell(cells, reader.mapped["distinct_id"]),
        "timestamp": reader.instant(
            cell(cells, reader.mapped["timestamp"]), reader.mapped["timestamp"].format
        ),
        "properties": nested(properties) if reader.text_cells else properties,
    }


def cell(cells: Properties, source: Source) -> JSON:
    return source.constant if source.column is None else cells.get(source.column)


def exported_event(cells: Properties, reader: Reader) -> Properties:
    """What PostHog knows of an event besides is dropped: its person will be made anew."""
    properties = {**(an_object(cells, "properties") or {}), **flattened(cells)}
    chain = cells.get("elements_chain") or cells.get("elements")
    if isinstance(chain, str) and chain:
        properties.setdefault("$elements_chain", chain)
    if cells.get("ip"):
        properties.setdefault("$ip", cells["ip"])
    event = {
        "uuid": own_uuid(cells.get("uuid")) or uuid_in(cells.get("id")),
        "event": name_of(cells.get("event")),
        # An empty cell is no id; `properties` may hold one.
        "distinct_id": None if cells.get("distinct_id") == "" else cells.get("distinct_id"),
        "timestamp": reader.instant(cells.get("timestamp")),
        "properties": properties,
    }
    for key in ("set", "set_once"):
        if given := an_object(cells, key) or an_object(cells, f"${key}"):
            event[f"${key}"] = given
    return event


def an_object(cells: Properties, key: str) -> Properties | None:
    """A cell that holds an object, or the JSON text of one."""
    value = cells.get(key)
    if isinstance(value, str) and value:
        try:
            value = decode(value)
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
            raise BadCell(f"{key} is not JSON") from None
    if value is None or value == "":
        return None
    if not isinstance(value, dict):
        raise BadCell(f"{key} is not a JSON object")
    return value


def name_of(value: JSON) -> str:
    if value is None or value == "":
        raise BadCell("no event name")
    name = value if isinstance(value, str) else encode(value).decode()
    if name == "$performance_event":
        raise BadCell("$performance_event is not kept")
    return name


def own_uuid(value: JSON) -> str | None:
    if value is None or value == "":
        return None
    if (found := uuid_in(value)) is None:
        raise BadCell(f"uuid is not one: {str(value)[:100]!r}")
    return found


def uuid_in(value: JSON) -> str | None:
    try:
        return str(UUID(value)) if isinstance(value, str) else None
    except ValueError:
        return None


# Cells of text

INTEGER = re.compile(r"-?(?:0|[1-9]\d*)", re.ASCII)
NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
NESTED = ("$set", "$set_once", "$groups")
UNSET = re.compile(r"\$unset\.\d+", re.ASCII)


def flattened(cells: Properties) -> Properties:
    """The properties that have a column each, as in `properties.$browser`."""
    start = "properties."
    return nested(
        {name.removeprefix(start): value for name, value in cells.items() if name.startswith(start)}
    )


def nested(flat: Properties) -> Properties:
    """Properties from cells of text: empty ones left out, `$set.plan` put into `$set`."""
    properties: Properties = {}
    for name, text in flat.items():
        if text == "":
            continue
        outer, dot, inner = name.partition(".")
        if name in NESTED:
            properties.setdefault(name, {}).update(an_object(flat, name) or {})
        elif dot and outer in NESTED:
            properties.setdefault(outer, {})[inner] = typed(text)
        elif UNSET.fullmatch(name):
            properties.setdefault("$unset", []).append(text)
        else:
            properties[name] = typed(text)
    return properties


def typed(text: JSON) -> JSON:
    """`true`, `false` and what is written as JSON writes numbers become those; `007` does not."""
    if not isinstance(text, str):
        return text
    if text in ("true", "false"):
        return text == "true"
    if INTEGER.fullmatch(text):
        return text if len(text.lstrip("-")) > DIGITS_MAX else int(text)
    if NUMBER.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text
