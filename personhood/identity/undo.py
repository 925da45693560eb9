"""Undoing a merge: the persons as they would be, had it not happened.

The merges of a family (a root and all that was ever merged into it) are a tree: each rests on two
leaves. Without one of them the tree falls into two, whichever way the roots were absorbed. An
`Undoing` goes through what happened since that merge again, without it: every write goes to the
side whose leaf wrote it, every later merge joins the two sides that its leaves are on.
"""

from uuid import UUID

from msgspec import Struct, field

from personhood.identity.replay import Link, Replay, State, Step, Write


class Family(Struct, kw_only=True):
    """What an undo is told of a root and all that was ever merged into it, but for the steps.

    `leaves` is every person of it. `earlier` are the merges before what is gone through again, and
    `states` the roots that these left; those are changed. `imports` are events of historical
    imports that joined persons.
    """

    root_id: int
    leaves: set[int]
    earlier: list[Link]
    states: dict[int, State]
    imports: set[UUID] = field(default_factory=set)


class Undone(Struct, kw_only=True):
    """The two persons, and all that differs from before.

    `frozen` are the states of persons as they are absorbed in the new order of things; `links` are
    the merges that stay, with whom they joined now.
    """

    root_id: int
    freed_id: int
    freed_leaves: set[int]
    states: dict[int, State]
    frozen: dict[int, State] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)


class Undoing:
    """A family on its way to being without `link`. Pure.

    It is to `take` all else that was written and merged since then, in order, and to `end` then.
    """

    def __init__(self, family: Family, link: Link) -> None:
        self.family = family
        self.link = link
        self.links = list(family.earlier)
        self.replay = Replay(
            states=family.states,
            parents={each.source_id: each.target_id for each in family.earlier},
            imports=family.imports,
        )

    def take(self, step: Step) -> None:
        root = self.replay.root
        match step:
            case Write():
                apart = step.other_id is not None and root(step.other_id) != root(step.leaf_id)
                revoked = step.event.uuid == self.link.event_uuid
                self.replay.write(step, identifies=not (apart or revoked))
            case Link():
                source_id, target_id = root(step.source_leaf_id), root(step.target_leaf_id)
                self.replay.merge(source_id, target_id, by=step.event_uuid)
                self.links.append(relinked(step, source_id=source_id, target_id=target_id))

    def end(self) -> Undone:
        root = self.replay.root
        ends = {root(self.link.source_leaf_id), root(self.link.target_leaf_id)}
        assert len(ends) == 2, "a tree without one of its links is two trees"
        kept_id = root(self.family.root_id)
        [freed_id] = ends - {kept_id}
        return Undone(
            root_id=kept_id,
            freed_id=freed_id,
            freed_leaves={leaf for leaf in self.family.leaves if root(leaf) == freed_id},
            states={id: self.replay.states[id] for id in ends},
            frozen=self.replay.frozen,
            links=self.links,
        )


def relinked(link: Link, *, source_id: int, target_id: int) -> Link:
    return Link(
        merge_id=link.merge_id,
        version=link.version,
        source_id=source_id,
        target_id=target_id,
        source_leaf_id=link.source_leaf_id,
        target_leaf_id=link.target_leaf_id,
        event_uuid=link.event_uuid,
        at=link.at,
    )
