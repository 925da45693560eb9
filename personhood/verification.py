"""Whether what is stored is true: each person against its ledger, each row against the others.

A batch is looked at in one snapshot, so that a server may work meanwhile; nothing is held but the
batch. A person whose row is not what its ledger tells can be rebuilt from there.
"""

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from enum import StrEnum
from functools import partial

from msgspec import Struct, field
from psycopg import AsyncConnection

from personhood import stored_blobs
from personhood.blobs import Blobs
from personhood.identity.properties import difference
from personhood.ledger import book
from personhood.model import Entry, EntryKind, Person
from personhood.store import person, person_lookup, trace
from personhood.store import verification as store
from personhood.store.blob_check import LostBlock
from personhood.store.pool import Pool, encode
from personhood.store.verification import Leap, MergeFacts, NameFacts, PersonFacts

PERSONS_AT_ONCE = 200
NAMES_AT_ONCE = 2_000
MERGES_AT_ONCE = 1_000
SHOWN_MAX = 1_000
TRACE_MEMORY = "256MB"  # of PostgreSQL: the ids of ten million rows

# These may leave versions out: they go on from the highest of several persons.
JUMPS = (EntryKind.MERGED, EntryKind.UNDONE, EntryKind.SPLIT)


class Check(StrEnum):
    """What was found not to hold."""

    DIFFERS = "row_differs_from_ledger"
    NO_LEDGER = "person_without_ledger"
    VERSIONS = "versions_not_in_order"
    NO_IDS = "root_without_distinct_ids"
    POINTER = "pointer_leads_nowhere"
    NO_MERGE = "merged_without_a_merge"
    ID_LOST = "distinct_id_without_person"
    ID_ENDED = "ended_distinct_id_has_person"
    MERGE = "merge_at_odds_with_pointers"
    EVENTS = "events_of_a_missing_person"
    TRACE = "refers_to_nobody"
    STRAY = "blob_that_nothing_refers_to"
    LOST = "recording_without_its_blob"


class Finding(Struct, kw_only=True):
    """A row that is not as it should be; `project_id` where it is known."""

    check: Check
    table: str
    row: int | None
    project_id: int | None
    detail: str
    repaired: str | None = None


class Report(Struct, kw_only=True):
    """What was looked at and found: of the findings the first SHOWN_MAX, and how many there are.
    `blobs` is None where these were not looked at.
    """

    persons: int = 0
    entries: int = 0
    distinct_ids: int = 0
    merges: int = 0
    blobs: int | None = None
    counts: dict[Check, int] = field(default_factory=dict)
    repaired: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def left(self) -> int:
        return sum(self.counts.values()) - self.repaired


Tell = Callable[[str, int], None]  # hears of a step, and how many rows of it were looked at


class Verifier(Struct, kw_only=True):
    """Looks through the projects' rows, or those of one."""

    pool: Pool
    storage: Blobs | None = None
    project_id: int | None = None
    repair: bool = False
    tell: Tell = lambda step, rows: None
    report: Report = field(default_factory=Report)

    async def run(self) -> Report:
        await self.persons()
        await self.names()
        await self.merges()
        if self.project_id is None:
            await self.traces()
            if self.storage is not None and self.storage.is_there():
                await self.blobs(self.storage)
        return self.report

    def moment(self) -> AbstractAsyncContextManager[AsyncConnection]:
        return snapshot(self.pool)

    async def persons(self) -> None:
        after = 0
        while True:
            async with self.moment() as conn:
                batch = await store.persons_behind(
                    conn, self.project_id, after=after, most=PERSONS_AT_ONCE
                )
                if not batch:
                    return
                after = batch[-1].id
                found = [each async for each in of_ledgers(conn, batch, self.report)]
                found += await of_pointers(conn, batch)
            for each in found:
                await self.note(each)
            self.report.persons += len(batch)
            self.tell("persons", len(batch))

    async def names(self) -> None:
        after = 0
        while True:
            async with self.moment() as conn:
                last, batch = await store.names_behind(
                    conn, self.project_id, after=after, most=NAMES_AT_ONCE
                )
            if last is None:
                return
            after = last
            for name in batch:
                for each in of_name(name):
                    await self.note(each)
            self.report.distinct_ids += len(batch)
            self.tell("distinct ids", len(batch))

    async def merges(self) -> None:
        after = 0
        while True:
            async with self.moment() as conn:
                batch = await store.merges_behind(
                    conn, self.project_id, after=after, most=MERGES_AT_ONCE
                )
                if not batch:
                    return
                after = batch[-1].id
                named = {id for merge in batch for id in persons_of(merge)}
                roots = await store.roots(conn, named)
            for merge in batch:
                for each in of_merge(merge, roots):
                    await self.note(each)
            self.report.merges += len(batch)
            self.tell("merges", len(batch))

    async def traces(self) -> None:
        """What completed deletions left behind, by the registry of tables."""
        async with self.pool.connection() as conn, store.memory(conn, TRACE_MEMORY):
            found = await trace.of_nobody(conn)
        for each in found:
            told = f"{each.rows:,} rows refer by {each.column} to what is no more"
            await self.note(
                Finding(check=Check.TRACE, table=each.table, row=None, project_id=None, detail=told)
            )

    async def blobs(self, storage: Blobs) -> None:
        """What lies in the storage of recordings, beside what refers to it. Raises BlobsAway."""
        found = await stored_blobs.compare(self.pool, storage, tell=partial(self.tell, "blobs"))
        self.report.blobs = found.looked_at
        for path in found.strays:
            await self.note(
                Finding(check=Check.STRAY, table="", row=None, project_id=None, detail=path)
            )
        for each in found.lost:
            await self.note(of_block(each))

    async def note(self, finding: Finding) -> None:
        report = self.report
        if self.repair and finding.check is Check.DIFFERS and finding.row is not None:
            finding.repaired = await rebuild(self.pool, finding.row)
            report.repaired += finding.repaired is not None
        report.counts[finding.check] = report.counts.get(finding.check, 0) + 1
        if len(report.findings) < SHOWN_MAX:
            report.findings.append(finding)


@asynccontextmanager
async def snapshot(pool: Pool) -> AsyncGenerator[AsyncConnection, None]:
    async with pool.connection() as conn, conn.transaction():
        await store.begin(conn)
        yield conn


# Persons and their ledgers


class Told(Struct, kw_only=True):
    """What a ledger tells of its person; the first version that is out of order, and those that
    others have to account for."""

    state: book.State = field(default_factory=book.State)
    broken: int | None = None
    leaps: list[Leap] = field(default_factory=list)

    def turn(self, line: Entry) -> None:
        before = -1 if self.state.version is None else self.state.version
        if line.version != before + 1:
            if line.kind is EntryKind.SPLIT or (line.kind in JUMPS and before >= 0):
                self.leaps.append(
                    Leap(
                        person_id=line.person_id,
                        version=line.version,
                        kind=line.kind,
                        source_id=line.source_id,
                    )
                )
            elif self.broken is None:
                self.broken = line.version
        book.turn(self.state, line)


async def of_ledgers(
    conn: AsyncConnection, batch: Iterable[PersonFacts], report: Report
) -> AsyncGenerator[Finding, None]:
    ids = [each.id for each in batch]
    leaps: list[Leap] = []
    projects = {each.id: each.project_id for each in batch}
    async with (
        aclosing(store.persons(conn, ids)) as rows,
        aclosing(store.entries(conn, ids)) as lines,
    ):
        line = await anext(lines, None)
        async for row in rows:
            told = Told()
            while line is not None and line.person_id == row.id:
                told.turn(line)
                report.entries += 1
                line = await anext(lines, None)
            if (finding := of_person(row, told)) is not None:
                yield finding
            else:
                leaps += told.leaps
    for person_id, version in await store.unexplained(conn, leaps) if leaps else []:
        detail = f"nothing accounts for the versions that are left out before {version}"
        yield Finding(
            check=Check.VERSIONS,
            table="person",
            row=person_id,
            project_id=projects[person_id],
            detail=detail,
        )


def of_person(row: Person, told: Told) -> Finding | None:
    if told.state.version is None:
        return of_row(row, Check.NO_LEDGER, "there is no entry of it")
    if told.broken is not None:
        return of_row(row, Check.VERSIONS, f"version {told.broken} does not follow the one before")
    if differing := differences(row, told.state):
        return of_row(row, Check.DIFFERS, f"{', '.join(differing)}")
    return None


def of_row(row: Person, check: Check, detail: str) -> Finding:
    return Finding(
        check=check, table="person", row=row.id, project_id=row.project_id, detail=detail
    )


def differences(row: Person, told: book.State) -> list[str]:
    """What of a row is not as its ledger tells; of properties the keys, never values."""
    found: list[str] = []
    change = difference(row.properties, told.properties)
    if keys := sorted(change.before.keys() | change.after.keys()):
        shown = ", ".join(keys[:5]) + (", …" if len(keys) > 5 else "")
        found.append(f"properties ({shown})")
    if row.is_identified != told.is_identified:
        found.append("is_identified")
    if row.created_at != told.created_at:
        found.append("created_at")
    if row.version != told.version:
        found.append(f"version ({row.version}, in the ledger {told.version})")
    return found


async def of_pointers(conn: AsyncConnection, batch: Iterable[PersonFacts]) -> list[Finding]:
    found: list[Finding] = []
    roots = await store.roots(conn, [each.id for each in batch if each.merged_into_id is not None])
    for each in batch:
        told: tuple[Check, str] | None = None
        if each.merged_into_id is None:
            if not each.has_id and not await store.with_ids_below(conn, each.id):
                told = Check.NO_IDS, "no distinct id leads to it"
        elif each.id not in roots:
            told = Check.POINTER, f"merged_into_id {each.merged_into_id} leads to no root"
        elif not (each.was_absorbed or each.was_split):
            told = Check.NO_MERGE, f"merged into {each.merged_into_id} without a merge in force"
        if told is not None:
            found.append(
                Finding(
                    check=told[0],
                    table="person",
                    row=each.id,
                    project_id=each.project_id,
                    detail=told[1],
                )
            )
    return found


# Distinct ids and merges


def of_name(name: NameFacts) -> Iterable[Finding]:
    told: list[tuple[Check, str]] = []
    if name.is_ended:
        told.append((Check.ID_ENDED, f"ended, yet bound to person {name.person_id}"))
    elif name.person_project_id != name.project_id:
        told.append((Check.ID_LOST, f"person {name.person_id} is not in its project"))
    if name.lost_events:
        told.append((Check.EVENTS, f"{name.lost_events:,} of its events name a missing person"))
    for check, detail in told:
        yield Finding(
            check=check,
            table="distinct_id",
            row=name.id,
            project_id=name.project_id,
            detail=detail,
        )


def persons_of(merge: MergeFacts) -> tuple[int, int, int, int]:
    return merge.source_id, merge.target_id, merge.source_leaf_id, merge.target_leaf_id


def of_merge(merge: MergeFacts, roots: dict[int, int]) -> Iterable[Finding]:
    """A merge in force: its source is no root, and all that it names have the same one."""
    ends = {roots.get(id) for id in persons_of(merge)}
    detail = None
    if None in ends:
        detail = "it names a person that leads to no root"
    elif len(ends) > 1:
        detail = f"its persons lead to several roots: {sorted(end for end in ends if end)}"
    elif roots[merge.source_id] == merge.source_id:
        detail = f"its source {merge.source_id} is a root"
    if detail is not None:
        yield Finding(
            check=Check.MERGE,
            table="merge",
            row=merge.id,
            project_id=merge.project_id,
            detail=detail,
        )


def of_block(block: LostBlock) -> Finding:
    return Finding(
        check=Check.LOST,
        table="recording",
        row=block.recording_id,
        project_id=block.project_id,
        detail=f"block {block.number}: {block.path}",
    )


# Repair


async def rebuild(pool: Pool, person_id: int) -> str | None:
    """Let a person be what its ledger tells; says what was done. Under the lock of its root.

    None when it is gone, or is meanwhile as it should be.
    """
    async with pool.connection() as conn, conn.transaction():
        roots = await person_lookup.roots_of(conn, [person_id])
        await person.lock(conn, {person_id, *(root.id for root in roots.values())})
        row = (await person.by_ids(conn, [person_id])).get(person_id)
        if row is None:
            return None
        told = Told()
        async with aclosing(store.entries(conn, [person_id])) as lines:
            async for line in lines:
                told.turn(line)
        if told.broken is not None or told.state.created_at is None or told.state.version is None:
            return None
        differing = differences(row, told.state)
        if not differing:
            return None
        row.properties = told.state.properties
        row.is_identified = told.state.is_identified
        row.created_at = told.state.created_at
        row.version = told.state.version
        await person.update_all(conn, [row], {row.id: encode(row.properties)})
        return f"rebuilt from its ledger: {', '.join(differing)}"
