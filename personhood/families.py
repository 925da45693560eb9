"""A family, as the undo of a merge goes through its history again: a root, and all that was ever
merged into it. What happened comes as a stream, for there may be millions of events.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from uuid import UUID

from msgspec import Struct, field
from msgspec.structs import replace
from psycopg import AsyncConnection

from personhood import origins
from personhood.histories import (
    batched,
    in_order,
    keyed,
    link_of,
    listed,
    timed,
    write_of,
    write_told,
)
from personhood.identity.replay import Bend, Link, State, Write, copied, key, making
from personhood.identity.undo import Family, Undoing, Undone
from personhood.model import Entry, EntryKind, Merge, Person, Project
from personhood.origins import Ground
from personhood.store import distinct_id, entry, event_ends, history, past_state, person, split
from personhood.store.history import Sent

NOBODY = 0  # the leaf of a name that was split off
BATCH = 500
# What the ledger says of a time before one of these holds what those had brought in.
AGAIN = (EntryKind.UNDONE, EntryKind.SPLIT)


class Known(Struct, kw_only=True):
    """What is known of a family before its history is gone through from version `since` on.

    `leaves` is every person of it; `persons` are those that are roots at some time from then on,
    and `states` what they were at first. What happened to a person in `lowest` since a version
    counts, to others not; when that is None, everything. `makers` are events that made a person,
    `gone` names that were split off.
    """

    project: Project
    root_id: int
    leaves: set[int]
    links: list[Link]
    bends: list[Bend]
    gone: set[str]
    since: int
    lowest: dict[int, int] | None
    imported: bool
    persons: dict[int, Person] = field(default_factory=dict)
    states: dict[int, State] = field(default_factory=dict)
    makers: set[UUID] = field(default_factory=set)

    def counts(self, person_id: int, version: int) -> bool:
        """Whether what happened to a person at that version is gone through."""
        if self.lowest is None:
            return True
        lowest = self.lowest.get(person_id)
        return lowest is not None and version >= lowest


async def survey(
    conn: AsyncConnection, project: Project, root_id: int, *, merges: Sequence[Merge], wanted: Merge
) -> Known:
    """The history is gone through from the wanted merge on, unless another has been undone before,
    or ids were split off: then from the beginning. So also after a historical import: the times of
    values are known only from there."""
    leaves = {root_id} | {id for each in merges for id in (each.source_id, each.target_id)}
    bends = await split.bends(conn, project.id, leaves)
    gone = await split.names_gone(conn, project.id, leaves)
    links = [link_of(each) for each in reversed(merges)]
    links = await timed(conn, project.id, links, bends=bends)
    imported = await event_ends.any_imported(conn, [root_id])
    again = imported or bool(gone)
    again = again or await entry.any_of_kinds(conn, project.id, leaves, kinds=AGAIN)
    since = 0 if again else wanted.target_version
    known = Known(
        project=project,
        root_id=root_id,
        leaves=leaves,
        links=links,
        bends=bends,
        gone=gone,
        since=since,
        lowest=None if again else lowest_versions(links, wanted),
        imported=imported,
    )
    roots = {link.source_id for link in links if known.counts(link.target_id, link.version)}
    known.persons = await person.by_ids(conn, {root_id, wanted.source_id, *roots})
    if known.lowest is None:
        await read_beginnings(conn, known)
    else:
        known.states = await states_before(conn, known, known.lowest)
    return known


async def read_beginnings(conn: AsyncConnection, known: Known) -> None:
    firsts, homes = await origins.foundations(conn, known.project.id, known.leaves)
    ground = Ground(
        project=known.project,
        root=known.persons[known.root_id],
        moved=[],
        rows=known.persons,
        links=known.links,
        firsts=firsts,
        homes=homes,
        bends=known.bends,
        apart=known.gone,
        imported=known.imported,
    )
    known.states = await origins.beginnings(conn, ground)
    known.makers = ground.makers


def lowest_versions(links: Sequence[Link], wanted: Merge) -> dict[int, int]:
    """From which version on what happened to a person is gone through again.

    That is to the merge's target since then, and to whom it was absorbed by in turn.
    """
    by_source = {link.source_id: link for link in links}
    lowest = {wanted.target_id: wanted.target_version}
    above = by_source.get(wanted.target_id)
    while above is not None:
        lowest[above.target_id] = above.version
        above = by_source.get(above.target_id)
    return lowest


async def states_before(
    conn: AsyncConnection, known: Known, lowest: dict[int, int]
) -> dict[int, State]:
    """The roots before what is gone through again; who joined them later, just before that."""
    versions = {id: version - 1 for id, version in lowest.items()}
    late = {id: at for id, at in versions.items() if at > known.persons[id].version // 2}
    told = await past_state.backwards(conn, known.project.id, late)
    early = {id: at for id, at in versions.items() if id not in late}
    told |= await past_state.forwards(conn, known.project.id, early)
    states = {
        id: State(row.properties, row.is_identified, row.created_at)
        for id, row in known.persons.items()
    }
    for each in await past_state.facts(conn, known.project.id, versions):
        properties = told.get(each.person_id, {})
        states[each.person_id] = State(properties, bool(each.is_identified), each.created_at)
    return states


async def without(conn: AsyncConnection, known: Known, link: Link) -> Undone:
    """The family as it would be without a merge: see `identity.undo`."""
    kept = [each for each in known.links if each is not link]
    later = [each for each in kept if known.counts(each.target_id, each.version)]
    events = {each.event_uuid for each in kept if each.event_uuid is not None}
    family = Family(
        root_id=known.root_id,
        leaves=known.leaves,
        earlier=[each for each in kept if not known.counts(each.target_id, each.version)],
        states={id: copied(state) for id, state in known.states.items()},
        imports=await event_ends.imported(conn, known.project.id, events),
    )
    undoing = Undoing(family, link)
    project_id, bends = known.project.id, known.bends
    later.sort(key=lambda each: key(each, bends))
    people = list(known.leaves if known.lowest is None else known.lowest)
    rows = history.of_leaves(
        conn, project_id, leaves=list(known.leaves), since=known.since, bends=bends
    )
    lost = entry.orphans(conn, project_id, person_ids=people, since=known.since, bends=bends)
    async with AsyncExitStack() as stack:
        for stream in (rows, lost):
            stack.push_async_callback(stream.aclose)
        async for step in in_order(
            keyed(listed(later), bends),
            keyed(writes_of(conn, known, rows), bends),
            keyed(writes_told(conn, known, lost), bends),
        ):
            assert isinstance(step, Link | Write), "whom somebody absorbed is of the family"
            undoing.take(step)
    return undoing.end()


async def writes_of(
    conn: AsyncConnection, known: Known, rows: AsyncGenerator[Sent, None]
) -> AsyncGenerator[Write, None]:
    async for some in batched(rows, BATCH):
        counting = [row for row in some if known.counts(row.person_id, row.person_version)]
        writes = [
            making(write_of(row)) if row.uuid in known.makers else write_of(row) for row in counting
        ]
        claimed = sorted({each.claims for each in writes if each.claims is not None})
        leaf_of = await leaves_named(conn, known, claimed) if claimed else {}
        for each in writes:
            other_id = None if each.claims is None else leaf_of.get(each.claims)
            yield each if other_id is None else replace(each, other_id=other_id)


async def leaves_named(conn: AsyncConnection, known: Known, texts: Sequence[str]) -> dict[str, int]:
    """Who of the family the names are, of those that are or were of it."""
    found = (await distinct_id.leaves(conn, known.project.id, texts)).ids
    live = {
        text: each.person_id
        for text, each in found.items()
        if each.person_id is not None and each.person_id in known.leaves
    }
    return dict.fromkeys(known.gone.intersection(texts), NOBODY) | live


async def writes_told(
    conn: AsyncConnection, known: Known, lost: AsyncGenerator[Entry, None]
) -> AsyncGenerator[Write, None]:
    """The changes that a ledger tells of events which are no longer stored."""
    async for some in batched(lost, BATCH):
        counting = [
            each
            for each in some
            if each.kind is EntryKind.SET and known.counts(each.person_id, each.version)
        ]
        ids = {each.cause.distinct_id_id for each in counting} - {None}
        leaf_of = await distinct_id.leaves_of(conn, [id for id in ids if id is not None])
        for each in counting:
            leaf_id = leaf_of.get(each.cause.distinct_id_id or NOBODY)
            if leaf_id in known.leaves:
                yield write_told(each, leaf_id)
