"""Splitting a person: which row each part gets, and what becomes of the merges it rests on. Pure.

A distinct id that leaves a person gets one of its own. The merges of a family are a tree of leaves;
a leaf that leaves it has its place taken by a stand-in if anything still rests on it, else by the
leaf that it was merged with.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from uuid import UUID

from msgspec import Struct, field

from personhood.identity.properties import FILTERED
from personhood.identity.replay import Link
from personhood.model import Properties

TAKEN_ALONG_MAX = 10_000  # rows that are rewritten so that a leaf can go; else it stays


class Moving(Struct, frozen=True, kw_only=True):
    """An id that is to leave. `founder` tells that its leaf was made for it."""

    id: int
    leaf_id: int
    uuid: UUID
    generation: int
    founder: bool


class Leaf(Struct, frozen=True, kw_only=True):
    """Where ids leave: how many `stay` there, and how many persons point at it (`below`)."""

    is_root: bool
    stays: int
    below: int


class Seat(Struct, frozen=True, kw_only=True):
    """The row that an id gets: one that is there, or a new one, with a fresh uuid if not this."""

    person_id: int | None = None
    uuid: UUID | None = None


def seats(
    moving: Iterable[Moving],
    leaves: Mapping[int, Leaf],
    *,
    earlier: Mapping[int, int],
    taken: Collection[UUID],
) -> dict[int, Seat]:
    """A row for each id. `earlier` are those that ids had by a split that was undone, and that
    have waited in the family since, without ids; `taken` are uuids that somebody has.

    A merged leaf that was made for the id is itself again, as before the merge; so is one that
    would be left with nothing. The root never goes: the person keeps its uuid.
    """
    moving = list(moving)
    back = returning(moving, leaves)
    found: dict[int, Seat] = {}
    for each in moving:
        if back.get(each.leaf_id) == each.id:
            found[each.id] = Seat(person_id=each.leaf_id)
        elif each.id in earlier:
            found[each.id] = Seat(person_id=earlier[each.id])
        elif each.uuid in taken or each.generation > 1:
            found[each.id] = Seat()
        else:
            found[each.id] = Seat(uuid=each.uuid)
    return found


def returning(moving: Iterable[Moving], leaves: Mapping[int, Leaf]) -> dict[int, int]:
    """The leaves that become persons again, each with the id that it is for."""
    back: dict[int, int] = {}
    for each in moving:
        leaf = leaves[each.leaf_id]
        if leaf.is_root or max(leaf.stays, leaf.below) > TAKEN_ALONG_MAX:
            continue
        if each.founder:
            back[each.leaf_id] = each.id
        elif not (leaf.stays or leaf.below):
            back.setdefault(each.leaf_id, each.id)
    return back


class Grafts(Struct, kw_only=True):
    """What becomes of the merges around leaves that go.

    `ended` are those that joined nothing else, by the leaf that went; `stand_ins` are the leaves
    that something still rests on.
    """

    ended: dict[int, Link] = field(default_factory=dict)
    stand_ins: set[int] = field(default_factory=set)

    def leaf(self, id: int) -> int:
        """The leaf that takes the place of one."""
        while (link := self.ended.get(id)) is not None:
            id = link.target_leaf_id
        return id


def grafts(links: Iterable[Link], *, stays: Mapping[int, bool]) -> Grafts:
    """`links` are all that name one of the leaves that go; `stays` tells of each whether any of its
    ids does."""
    links = list(links)
    upwards = {link.source_id: link for link in links if link.source_id in stays}
    below = Counter(link.target_id for link in links)
    result = Grafts()
    # Those that were absorbed first stand lowest.
    for leaf_id, link in sorted(upwards.items(), key=lambda pair: pair[1].version):
        if not (stays[leaf_id] or below[leaf_id]):
            result.ended[leaf_id] = link
            below[link.target_id] -= 1
    result.stand_ins = {id for id in stays if (stays[id] or below[id]) and id not in result.ended}
    return result


def regrafted(links: Iterable[Link], result: Grafts, *, stand_ins: Mapping[int, int]) -> list[Link]:
    """The links that stay in force and name others now; `stand_ins` are those persons' ids."""
    ended = {link.merge_id for link in result.ended.values()}

    def leaf(id: int) -> int:
        id = result.leaf(id)
        return stand_ins.get(id, id)

    changed: list[Link] = []
    for link in links:
        now = Link(
            merge_id=link.merge_id,
            version=link.version,
            source_id=stand_ins.get(link.source_id, link.source_id),
            target_id=stand_ins.get(link.target_id, link.target_id),
            source_leaf_id=leaf(link.source_leaf_id),
            target_leaf_id=leaf(link.target_leaf_id),
            event_uuid=link.event_uuid,
            at=link.at,
        )
        if link.merge_id not in ended and now != link:
            changed.append(now)
    return changed


def concerned(written: set[str]) -> set[str]:
    """The keys that can have another value without those who wrote `written`.

    Whether a filtered key is written depends on what else an event changes (contract: 4.3).
    """
    return written | FILTERED if written & FILTERED else written


def overlaid(current: Properties, told: Properties, *, keys: set[str]) -> Properties:
    """`current`, but for `keys`, which are what the history tells."""
    kept = {key: value for key, value in current.items() if key not in keys}
    return {**kept, **{key: value for key, value in told.items() if key in keys}}
