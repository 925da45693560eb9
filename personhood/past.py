"""Persons as they were known at a moment, from their ledgers.

Whose a distinct id was is told by the moves of ids alone: a person gains ids by an entry that names
them, or all that another had when it was absorbed, and loses those that an undone merge or a split
gave to somebody else. Versions say what came before what: those of persons that became one go on
from the highest of them.
"""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from msgspec import Struct, field
from psycopg import AsyncConnection

from personhood.ledger import book
from personhood.model import BIGINT_MAX, EntryKind
from personhood.store import past as store
from personhood.store import past_state
from personhood.store.past import At, Move, Parting, PartingKind

Node: TypeAlias = tuple[int, int]  # a person, and the version below which its steps count
Step: TypeAlias = Move | Parting


class Known(Struct):
    """The steps of persons, and of all that they absorbed: each at a lower version than its own.

    `freed` are ids that left with somebody when a merge was undone; `rejoined` the entries by which
    ids came back to a person that had been split.
    """

    nodes: set[Node] = field(default_factory=set)
    steps: dict[int, list[Step]] = field(default_factory=dict)
    freed: dict[Node, list[int]] = field(default_factory=dict)
    rejoined: set[Node] = field(default_factory=set)


async def states(
    conn: AsyncConnection, project_id: int, person_ids: Sequence[int], *, at: At
) -> dict[int, book.State]:
    """What persons were; of who was not there yet nothing is told."""
    ends, until = dict.fromkeys(person_ids, BIGINT_MAX), at.moment if at.by_event else None
    starts: dict[int, int] = {}
    if not at.by_event:
        places = await past_state.places(conn, project_id, person_ids, moment=at.moment)
        ends = {each.person_id: each.version for each in places}
        starts = {each.person_id: each.version for each in places if each.is_near_the_end}
    facts = await past_state.facts(conn, project_id, ends, until=until)
    told = await past_state.backwards(conn, project_id, starts) if starts else {}
    if early := {id: version for id, version in ends.items() if id not in starts}:
        told |= await past_state.forwards(conn, project_id, early, until=until)
    return {
        each.person_id: book.State(
            properties=told.get(each.person_id, {}),
            is_identified=bool(each.is_identified),
            created_at=each.created_at,
            version=each.version,
        )
        for each in facts
    }


async def owned(
    conn: AsyncConnection, project_id: int, person_ids: Sequence[int], *, at: At
) -> dict[int, list[int]]:
    """The surrogate ids of the distinct ids that persons had, in stored order.

    Who was not there, or was merged into somebody, had none and is missing.
    """
    known = await gather(conn, project_id, person_ids, at=at)
    absorbed = await store.absorbed(conn, project_id, person_ids, at=at)
    found = fold(known)
    return {
        id: sorted(ids)
        for id in person_ids
        if (ids := found[id, BIGINT_MAX]) and absorbed.get(id, -1) < last_gain(known.steps[id])
    }


async def gather(
    conn: AsyncConnection, project_id: int, person_ids: Iterable[int], *, at: At
) -> Known:
    known = Known()
    fresh: set[Node] = {(id, BIGINT_MAX) for id in person_ids}
    while fresh:
        known.nodes |= fresh
        unread = sorted({id for id, _ in fresh} - known.steps.keys())
        await read(conn, project_id, known, person_ids=unread, at=at)
        fresh = {
            (step.source_id, step.version)
            for id, below in fresh
            for step in known.steps[id]
            if isinstance(step, Move) and step.kind == EntryKind.MERGED
            if step.source_id is not None and step.version < below
        } - known.nodes
    return known


async def read(
    conn: AsyncConnection, project_id: int, known: Known, *, person_ids: Sequence[int], at: At
) -> None:
    known.steps |= {id: [] for id in person_ids}
    moves = await store.moves(conn, project_id, person_ids, at=at)
    for parting in await store.partings(conn, project_id, person_ids, at=at):
        if parting.kind is PartingKind.REJOINED:
            known.rejoined.add((parting.person_id, parting.version))
        else:
            known.steps[parting.person_id].append(parting)
    for move in moves:
        known.steps[move.person_id].append(move)
    for id in person_ids:
        known.steps[id].sort(key=lambda step: step.version)
    undone = {
        (move.source_id, move.version)
        for move in moves
        if move.kind == EntryKind.UNDONE and move.source_id is not None
    }
    known.freed |= await store.gained(conn, project_id, undone)


def last_gain(steps: Sequence[Step]) -> int:
    return max((step.version for step in steps if isinstance(step, Move) and step.ids), default=-1)


def fold(known: Known) -> dict[Node, set[int]]:
    """What each of the persons that were asked for had. Whom they absorbed goes before them."""
    found: dict[Node, set[int]] = {}
    for node in sorted(known.nodes, key=lambda node: node[1]):
        id, below = node
        owned: set[int] = set()
        for step in known.steps[id]:
            if step.version < below:
                owned = after(step, owned, known=known, found=found)
        found[node] = owned
    return found


def after(step: Step, owned: set[int], *, known: Known, found: dict[Node, set[int]]) -> set[int]:
    match step:
        case Parting(kind=PartingKind.EMPTIED):
            return set()
        case Parting():
            return owned.difference(step.ids)
        case Move(kind=EntryKind.MERGED, source_id=int(source)):
            return owned | found.get((source, step.version), set())
        case Move(kind=EntryKind.UNDONE, source_id=int(freed)):
            return owned.difference(known.freed.get((freed, step.version), ()))
        case Move(kind=EntryKind.UNDONE | EntryKind.SPLIT, ids=list(ids)) if ids:
            # Whoever became a person of its own has these, whatever it had before.
            is_back = (step.person_id, step.version) in known.rejoined
            return owned.union(ids) if is_back else set(ids)
        case _:
            return owned.union(step.ids or ())
