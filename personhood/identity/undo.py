"""Undoing a merge: the persons as they would be, had it not happened.

The merges of a family (a root and all that was ever merged into it) are a tree: each rests on two
leaves. Without one of them the tree falls into two, whichever way the roots were absorbed. `undone`
goes through what happened since that merge again, without it: every write goes to the side whose
leaf wrote it, every later merge joins the two sides that its leaves are on.
"""

from uuid import UUID

from msgspec import Struct, field

from personhood.identity.replay import Bend, Link, Replay, State, Step, Write, copied, key


class Family(Struct, kw_only=True):
    """What `undone` is told of a root and all that was ever merged into it.

    `leaves` is every person of it; `names` are their distinct ids, each with its leaf. `states` are
    those of roots at version `since` or, of persons that joined later, just before they did;
    `writes` are what was written since. `revoked` are events whose claims were taken back before,
    `imports` those of historical imports.
    """

    root_id: int
    since: int
    leaves: set[int]
    names: dict[str, int]
    links: list[Link]
    writes: list[Write]
    states: dict[int, State]
    bends: list[Bend] = field(default_factory=list)
    revoked: set[UUID] = field(default_factory=set)
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


def undone(family: Family, link: Link) -> Undone:
    """The family without `link`. Pure; the family's own states are left as they are."""
    kept = [each for each in family.links if each.merge_id != link.merge_id]
    earlier = [each for each in kept if each.version < family.since]
    later = [each for each in kept if each.version >= family.since]
    replay = Replay(
        states={id: copied(state) for id, state in family.states.items()},
        parents={each.source_id: each.target_id for each in earlier},
        imports=family.imports,
    )
    root = replay.root
    revoked = family.revoked
    if link.event_uuid is not None:
        revoked = revoked | {link.event_uuid}
    links = list(earlier)
    steps: list[Step] = [*later, *family.writes]
    for step in sorted(steps, key=lambda step: key(step, family.bends)):
        match step:
            case Write():
                other = family.names.get(step.claims) if step.claims is not None else None
                apart = other is not None and root(other) != root(step.leaf_id)
                replay.write(step, identifies=not (apart or step.event.uuid in revoked))
            case Link():
                source_id, target_id = root(step.source_leaf_id), root(step.target_leaf_id)
                replay.merge(source_id, target_id, by=step.event_uuid)
                links.append(relinked(step, source_id=source_id, target_id=target_id))

    ends = {root(link.source_leaf_id), root(link.target_leaf_id)}
    assert len(ends) == 2, "a tree without one of its links is two trees"
    kept_id = root(family.root_id)
    [freed_id] = ends - {kept_id}
    return Undone(
        root_id=kept_id,
        freed_id=freed_id,
        freed_leaves={leaf for leaf in family.leaves if root(leaf) == freed_id},
        states={id: replay.states[id] for id in ends},
        frozen=replay.frozen,
        links=links,
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
