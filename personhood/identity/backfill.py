"""What a historical import changes on a person's properties (docs/decisions, 15).

A property's value has the time of the event that gave it. An older event that comes in later does
not overwrite it: the outcome is as if the import had come in the order of time. To tell that, a
person's *clock* keeps of each property when it was set, unset and set once. Of two events of one
moment that with the larger uuid is the later. Clocks are joined as sets are: in any order.
"""

from collections.abc import Collection
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from msgspec import Struct

from personhood.identity import properties as rules
from personhood.identity.properties import Change
from personhood.model import JSON, Event, Properties

CREATOR = "$creator_event_uuid"

Moment: TypeAlias = tuple[datetime, UUID]


class Once(Struct, frozen=True, omit_defaults=True):
    """A `$set_once`, with its value: that may come to light when a `$set` is found to be unset."""

    moment: Moment
    value: JSON


class Times(Struct, frozen=True, omit_defaults=True):
    """When a property was last set and last unset, and the first and the last `$set_once` of it.

    The value of the last `$set` is the property's own, so it is not kept here.
    """

    set: Moment | None = None
    unset: Moment | None = None
    first: Once | None = None
    last: Once | None = None

    @property
    def is_set(self) -> bool:
        return self.set is not None and not self.is_gone(self.set)

    @property
    def once(self) -> Once | None:
        """The `$set_once` that holds where no `$set` does.

        The first; if that was unset, the last, if there was one after that.
        """
        for each in (self.first, self.last):
            if each is not None and not self.is_gone(each.moment):
                return each
        return None

    def is_gone(self, moment: Moment) -> bool:
        return self.unset is not None and self.unset >= moment


Clock: TypeAlias = dict[str, Times]
NEVER = Times()


def change(current: Properties, event: Event, clock: Clock) -> Change:
    """What a historical event changes on `current`; moves the clock on.

    Whatever is written is, also what live events alone would not be worth a write for (4.3): else
    the outcome hung on what came with it.
    """
    moment = (event.timestamp, event.uuid)
    once = {**event.set_once, CREATOR: str(event.uuid)}
    before, after = Properties(), Properties()
    for key in dict.fromkeys((*event.set, *once, *event.unset)):
        offered = Once(moment, once[key]) if key in once else None
        times = joined(
            clock.get(key, NEVER),
            Times(
                set=moment if key in event.set else None,
                unset=moment if key in event.unset else None,
                first=offered,
                last=offered,
            ),
        )
        clock[key] = times
        value = Properties()
        if times.is_set:
            value = event.set if times.set == moment else current
        elif (held := times.once) is not None:
            value = {key: held.value}
        note(key, current=current, value=value, before=before, after=after)
    return Change(before, after)


def absorbed(
    *, source: Properties, target: Properties, clocks: tuple[Clock, Clock]
) -> tuple[Change, Clock]:
    """What a merge by a historical event changes on the target, and the clock of both.

    The newer value wins, whoever's it is. `clocks` are the source's and the target's.
    """
    of_source, of_target = clocks
    gained = rules.absorbed(source=source, target=target)
    before, after = Properties(), dict(gained.after)
    clock = {**of_source, **of_target}
    for key in of_source.keys() & of_target.keys():
        times = clock[key] = joined(of_source[key], of_target[key])
        after.pop(key, None)
        value = Properties()
        if times.is_set:
            value = target if times.set == of_target[key].set else source
        elif (held := times.once) is not None:
            value = {key: held.value}
        note(key, current=target, value=value, before=before, after=after)
    return Change(before, after), clock


def note(
    key: str, *, current: Properties, value: Properties, before: Properties, after: Properties
) -> None:
    """Write down that a key becomes what it is in `value`, if it is not that already."""
    if key in current and key in value and rules.equal(current[key], value[key]):
        return
    if key in current:
        before[key] = current[key]
    if key in value:
        after[key] = value[key]


def joined(one: Times, other: Times) -> Times:
    return Times(
        set=latest(one.set, other.set),
        unset=latest(one.unset, other.unset),
        first=min(offers(one.first, other.first), key=moment_of, default=None),
        last=max(offers(one.last, other.last), key=moment_of, default=None),
    )


def latest(one: Moment | None, other: Moment | None) -> Moment | None:
    return max((each for each in (one, other) if each is not None), default=None)


def offers(*given: Once | None) -> list[Once]:
    return [each for each in given if each is not None]


def moment_of(once: Once) -> Moment:
    return once.moment


def stamp(clock: Clock, moment: Moment, changed: Change, *, once: Collection[str] = ()) -> None:
    """Move the clock on by a change that was made as it came in: by a live event, or by a key.

    It holds whatever was before it. `once` are the keys that only a `$set_once` gave.
    """
    for key in changed.before.keys() - changed.after.keys():
        clock[key] = Times(unset=moment)
    for key, value in changed.after.items():
        if key in once:
            offered = Once(moment, value)
            clock[key] = Times(first=offered, last=offered)
        else:
            clock[key] = Times(set=moment)


def set_once_by(event: Event) -> set[str]:
    return {CREATOR, *event.set_once} - event.set.keys()


def settle(clock: Clock) -> None:
    """Leave of a clock what tells the times of values that are there.

    For when a person was parted: what else it knows may be another's.
    """
    for key, times in list(clock.items()):
        if times.is_set:
            clock[key] = Times(set=times.set)
        elif (held := times.once) is not None:
            clock[key] = Times(first=held, last=held)
        else:
            del clock[key]
