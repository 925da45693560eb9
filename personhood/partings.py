"""A split as it is planned, and how it is written."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import uuid4

from msgspec import Struct, field
from psycopg import AsyncConnection

from personhood.histories import same, take, told
from personhood.identity.replay import Link, State
from personhood.identity.split import Grafts, regrafted
from personhood.model import (
    Cause,
    DistinctId,
    Entry,
    EntryKind,
    Person,
    SplitPerson,
    SplitRole,
)
from personhood.origins import Ground
from personhood.persons import Stale
from personhood.store import distinct_id, entry, merge, person, split
from personhood.store.pool import encode

MOVED_MAX = 10_000  # ids that one split moves, and that its line of the activity log names
VERSIONS_APART = 101  # of a new person from the one that it left (contract: persons-api, 5.2)
BATCH_BYTES = 16 * 1024 * 1024
T = TypeVar("T")


class Part(Struct, kw_only=True):
    """The person of an id that leaves. A new one has no row before, and maybe a uuid by chance."""

    moved: DistinctId
    person: Person
    leaf_id: int
    state: State
    is_new: bool
    has_fresh_uuid: bool

    @property
    def is_leaf(self) -> bool:
        """Whether the leaf itself goes."""
        return self.person.id == self.leaf_id


class Plan(Struct, kw_only=True):
    """All that is written. `left` are the chain's persons without those who leave; `around` are the
    merges that rest on leaves that go."""

    ground: Ground
    parts: list[Part]
    left: dict[int, State]
    seen_at: datetime | None
    around: list[Link]
    grafts: Grafts

    @property
    def root(self) -> Person:
        return self.ground.rows[self.ground.root.id]


class Sheet(Struct, kw_only=True):
    """The rows of a split, and what is told of each."""

    by: Cause
    changed: list[Person] = field(default_factory=list)
    made: list[Person] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    persons: list[SplitPerson] = field(default_factory=list)

    def turn(
        self,
        row: Person,
        state: State,
        *,
        version: int,
        role: SplitRole,
        of: DistinctId | None = None,
        leaf_id: int | None = None,
        source_id: int | None = None,
        is_new: bool = False,
    ) -> Entry:
        """Let a person be what `state` says, from `version` on."""
        self.persons.append(
            SplitPerson(
                person_id=row.id,
                role=role,
                distinct_id_id=None if of is None else of.id,
                leaf_id=leaf_id,
                version=None if is_new else row.version,
                is_identified=None if is_new else row.is_identified,
                created_at=None if is_new else row.created_at,
            )
        )
        row.version = version
        line = told(row, state, kind=EntryKind.SPLIT, by=self.by, source_id=source_id)
        if is_new:
            line.is_identified, line.created_at = state.is_identified, state.created_at
        take(row, state)
        self.entries.append(line)
        (self.made if is_new else self.changed).append(row)
        return line


def show(plan: Plan) -> None:
    """Let the persons in memory be what they would become."""
    for part in plan.parts:
        take(part.person, part.state)
    take(plan.root, plan.left[plan.root.id])
    plan.root.last_seen_at = plan.seen_at


async def write(conn: AsyncConnection, plan: Plan, *, by: Cause) -> int:
    """Write the split; tells its id. The persons in memory become what they are then."""
    project_id, root = plan.ground.project.id, plan.root
    version = root.version
    sheet = Sheet(by=by)
    stand_ins = await stand_in(conn, plan, sheet)
    sheet.turn(root, plan.left[root.id], version=version + 1, role=SplitRole.KEPT)
    root.last_seen_at = plan.seen_at
    freeze(plan, sheet)
    for part in plan.parts:
        leave(part, sheet, version=version + VERSIONS_APART, source_id=root.id)
    if not await person.lock_idle(conn, [row.id for row in sheet.changed]):
        raise Stale
    await write_persons(conn, sheet)
    await person.see_exactly(conn, [root, *(part.person for part in plan.parts)])
    await move(conn, plan, stand_ins)
    relinked = regrafted(plan.around, plan.grafts, stand_ins=stand_ins)
    ended = [link.merge_id for link in plan.grafts.ended.values()]
    await merge.turn(conn, project_id, ended=ended, relinked=relinked)
    for lines in batches(sheet.entries, [weight(each) for each in sheet.entries]):
        await entry.insert_all(conn, project_id, lines)
    split_id = await split.insert(conn, project_id, person_id=root.id, version=version + 1, by=by)
    await split.insert_persons(conn, split_id, sheet.persons)
    concerned = {*ended, *(link.merge_id for link in relinked)}
    before = [link for link in plan.around if link.merge_id in concerned]
    await split.insert_merges(conn, split_id, before)
    return split_id


async def stand_in(conn: AsyncConnection, plan: Plan, sheet: Sheet) -> dict[int, int]:
    """Persons in the place of leaves that go while something rests on them, by leaf."""
    leaves = sorted(plan.grafts.stand_ins)
    found = dict(zip(leaves, await person.reserve(conn, len(leaves)), strict=True))
    for leaf_id, id in found.items():
        leaf = plan.ground.rows[leaf_id]
        row = Person(
            id=id,
            project_id=leaf.project_id,
            uuid=uuid4(),
            created_at=leaf.created_at,
            last_seen_at=leaf.last_seen_at,
            merged_into_id=plan.root.id,
        )
        state = plan.left.get(leaf_id) or State({}, False, leaf.created_at)
        sheet.turn(
            row,
            state,
            version=leaf.version + 1,
            role=SplitRole.STAND_IN,
            leaf_id=leaf_id,
            is_new=True,
        )
    return found


def freeze(plan: Plan, sheet: Sheet) -> None:
    """Merged persons of the chain that lose something: they are kept as they were absorbed."""
    gone = {part.person.id for part in plan.parts}
    for id, row in plan.ground.rows.items():
        state = plan.left.get(id)
        if row is plan.root or id in gone or state is None or same(row, state):
            continue
        sheet.turn(row, state, version=row.version + 1, role=SplitRole.FROZEN)


def leave(part: Part, sheet: Sheet, *, version: int, source_id: int) -> None:
    part.person.merged_into_id = None
    line = sheet.turn(
        part.person,
        part.state,
        version=version,
        role=SplitRole.MOVED,
        of=part.moved,
        leaf_id=part.leaf_id,
        source_id=source_id,
        is_new=part.is_new,
    )
    line.ids = [part.moved.id]


async def write_persons(conn: AsyncConnection, sheet: Sheet) -> None:
    # By uuid, as ingestion does: who makes the same persons waits in one order only.
    made = sorted(sheet.made, key=lambda row: row.uuid)
    for rows, write in ((made, person.insert_all), (sheet.changed, person.update_all)):
        texts = {row.id: encode(row.properties) for row in rows}
        for batch in batches(rows, [len(texts[row.id]) for row in rows]):
            await write(conn, batch, texts)


async def move(conn: AsyncConnection, plan: Plan, stand_ins: dict[int, int]) -> None:
    """Let ids have the leaves, and pointers the persons, that they lead to now."""
    moved = plan.ground.moved_ids
    if stand_ins:
        await distinct_id.move_leaves(conn, stand_ins, without=moved)
    rows = [bound(part) for part in plan.parts if not part.is_leaf]
    if rows:
        await distinct_id.attach_all(conn, rows)
    if gone := [part.leaf_id for part in plan.parts if part.is_leaf]:
        await person.point_away(conn, gone, target_id=plan.root.id)


def bound(part: Part) -> DistinctId:
    return DistinctId(
        id=part.moved.id,
        project_id=part.moved.project_id,
        distinct_id=part.moved.distinct_id,
        person_id=part.person.id,
        generation=part.moved.generation,
    )


def weight(line: Entry) -> int:
    return len(encode(line.before)) + len(encode(line.after))


def batches(items: Sequence[T], weights: Sequence[int]) -> Iterator[Sequence[T]]:
    """Items that can go into one statement each: ten thousand persons may weigh gigabytes."""
    start = size = 0
    for number, weight in enumerate(weights):
        if size and size + weight > BATCH_BYTES:
            yield items[start:number]
            start, size = number, 0
        size += weight
    if items[start:]:
        yield items[start:]
