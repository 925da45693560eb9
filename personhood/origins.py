"""What persons were when they were made, before their history is gone through again."""

from collections.abc import Collection
from uuid import UUID

from msgspec import Struct, field
from psycopg import AsyncConnection

from personhood.identity.replay import CREATOR, Bend, Link, State
from personhood.model import DistinctId, Entry, EntryKind, Person, Project
from personhood.store import distinct_id, entry, event_ends, past_state


class Ground(Struct, kw_only=True):
    """What the store knows of a root and of the ids that are to leave it.

    `rows` are the chain's persons, `firsts` their first entries, `homes` the leaves that the ids
    which those name have now. `apart` are names that may not count as the same person: those that
    leave, and that left before. `makers` are the events that made a person, `imports` those that
    joined persons by a historical import; if the root has any, it is `imported`.
    """

    project: Project
    root: Person
    moved: list[DistinctId]
    rows: dict[int, Person]
    links: list[Link]
    firsts: dict[int, Entry]
    homes: dict[int, int]
    bends: list[Bend]
    apart: set[str]
    imported: bool = False
    imports: set[UUID] = field(default_factory=set)
    makers: set[UUID] = field(default_factory=set)
    moved_ids: dict[int, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.moved_ids = dict.fromkeys(each.id for each in self.moved)

    def leaf(self, moved: DistinctId) -> int:
        assert moved.person_id is not None, "an id of a person has a leaf"
        return moved.person_id


async def foundations(
    conn: AsyncConnection, project_id: int, person_ids: Collection[int]
) -> tuple[dict[int, Entry], dict[int, int]]:
    """The persons' first entries, and the leaves that the ids have now which those name."""
    firsts = await entry.firsts(conn, project_id, person_ids)
    named = {id for each in firsts.values() for id in each.ids}
    named |= {id for each in firsts.values() if (id := founder(each)) is not None}
    return firsts, await distinct_id.leaves_of(conn, named)


def founder(first: Entry) -> int | None:
    """The id that a person was made for."""
    return first.cause.distinct_id_id or next(iter(first.ids), None)


async def beginnings(conn: AsyncConnection, ground: Ground) -> dict[int, State]:
    """What the persons were when they were made; if that was by an id that is no longer there, then
    by the first event of those who are.

    Of a person whose making no entry tells, what it had before its entries is its own.
    """
    orphaned = [id for id in ground.rows if not is_founded(ground, id)]
    firsts = await event_ends.first_of_leaves(conn, orphaned, without=ground.moved_ids)
    untold = [id for id in ground.rows if not is_told(ground, id)]
    before = await past_state.backwards(conn, ground.project.id, dict.fromkeys(untold, -1))
    states: dict[int, State] = {}
    for id, row in ground.rows.items():
        if id in untold:
            states[id] = State(before[id], row.is_identified, row.created_at)
        elif id in orphaned:
            first = firsts.get(id)
            states[id] = (
                State({}) if first is None else State({CREATOR: str(first.uuid)}, False, first.at)
            )
        else:
            made = ground.firsts[id]
            stay = {each for each in made.ids if ground.homes.get(each) == id}
            named = len(stay - ground.moved_ids.keys()) > 1
            states[id] = State(dict(made.after), named, made.created_at)
        states[id].clock = {} if ground.imported else None
    makers = {each.uuid for each in firsts.values()}
    makers |= {each.cause.event_uuid for each in ground.firsts.values()}
    ground.makers = {uuid for uuid in makers if uuid is not None}
    return states


def is_told(ground: Ground, id: int) -> bool:
    """Whether the ledger begins with the person's making."""
    first = ground.firsts.get(id)
    return first is not None and first.kind in (EntryKind.CREATED, EntryKind.SPLIT)


def is_founded(ground: Ground, id: int) -> bool:
    """Whether whom a person was made for is still there."""
    first = ground.firsts.get(id)
    if first is None or not is_told(ground, id):
        return True
    by = founder(first)
    stays = by is not None and by not in ground.moved_ids and ground.homes.get(by) == id
    return first.kind is EntryKind.CREATED and stays
