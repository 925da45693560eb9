"""Groups, which events belong to beside a person (contract: capture-and-identity 3.9)."""

from collections.abc import Iterable, Mapping

from personhood.model import Event, Group

TYPES_MAX = 5
KEY_LENGTH_MAX = 400  # characters
TYPE_LENGTH_MAX = 400  # characters


def new_types(known: Mapping[str, int], events: Iterable[Event]) -> dict[str, int]:
    """The types that `events` name for the first time, with the indexes that are still free.

    A sixth type is ignored: its groups are nowhere counted.
    """
    names = (name for event in events for name in named_types(event))
    fresh = [name for name in dict.fromkeys(names) if name not in known]
    return dict(zip(fresh, range(len(known), TYPES_MAX), strict=False))


def named_types(event: Event) -> list[str]:
    return [*event.groups, *([event.group.type] if event.group else [])]


def indexed(event: Event, types: Mapping[str, int]) -> dict[str, str]:
    """What an event's groups add to its properties: `$group_0` … `$group_4`."""
    return {f"$group_{types[type]}": key for type, key in event.groups.items() if type in types}


def folded(events: Iterable[Event], types: Mapping[str, int]) -> dict[tuple[int, str], Group]:
    """Each group that `events` describe: later keys over earlier ones, none of them deep."""
    groups: dict[tuple[int, str], Group] = {}
    for event in events:
        if event.group is None or event.group.type not in types:
            continue
        group = groups.setdefault(
            (types[event.group.type], event.group.key),
            Group(created_at=event.timestamp, properties={}),
        )
        group.properties |= event.group.set
    return groups
