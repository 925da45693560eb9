"""Deletions of all persons that a filter found, as `personhood deletions` shows them."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from psycopg import AsyncConnection

from personhood.api.bulk_deletions import detail
from personhood.cli.tables import moment
from personhood.errors import Conflict
from personhood.model import DeletionState, Project
from personhood.store import api_key, bulk_deletion
from personhood.store import project as projects
from personhood.store.bulk_deletion import BulkDeletion


async def page(
    conn: AsyncConnection, tenant: Project, *, state: DeletionState | None, limit: int
) -> list[tuple[BulkDeletion, str | None]]:
    """The newest of a project, and what the keys that asked are called."""
    found = await bulk_deletion.page(conn, tenant.id, state=state, limit=limit)
    keys = {each.api_key_id for each in found if each.api_key_id is not None}
    labels = await api_key.labels(conn, sorted(keys))
    return [(each, labels.get(each.api_key_id or 0)) for each in found]


async def by_uuid(conn: AsyncConnection, uuid: UUID) -> tuple[Project, BulkDeletion] | None:
    """Whichever project's it is."""
    project_id = await bulk_deletion.project_of(conn, uuid)
    if project_id is None:
        return None
    tenant = await projects.by_id(conn, project_id)
    found = await bulk_deletion.by_uuid(conn, project_id, uuid)
    return None if tenant is None or found is None else (tenant, found)


async def cancel(conn: AsyncConnection, bulk: BulkDeletion) -> None:
    """Raises Conflict."""
    if not await bulk_deletion.cancel(conn, bulk.id) and bulk.state != DeletionState.CANCELLED:
        raise Conflict("The deletion is done, so it cannot be cancelled any more.")
    await bulk_deletion.drop_cancelled(conn)


def plain(tenant: Project, bulk: BulkDeletion) -> dict[str, Any]:
    """As the API tells it, and whose it is."""
    return {"project": tenant.id} | msgspec.to_builtins(detail(bulk))


def row(tenant: Project, bulk: BulkDeletion, label: str | None) -> list[object]:
    return [
        bulk.uuid,
        tenant.id,
        f"{bulk.persons:,} persons",
        ", ".join(wished(bulk)),
        moment(bulk.requested_at),
        label,
        standing(bulk),
    ]


def wished(bulk: BulkDeletion) -> Sequence[str]:
    return [name for name in ("profile", "events", "recordings") if getattr(bulk, name)]


def standing(bulk: BulkDeletion) -> str:
    """The state in words: with how far it is, and what went wrong."""
    told = str(bulk.state)
    if bulk.state != DeletionState.COMPLETED:
        told += f", {bulk.done + bulk.missing:,} of {bulk.persons:,} persons"
    return told if bulk.failure is None else f"{told}: {bulk.failure}"


def print_one(tenant: Project, bulk: BulkDeletion) -> None:
    facts: list[tuple[str, object]] = [
        ("Deletion", bulk.uuid),
        ("Project", f"{tenant.id} ({tenant.name})"),
        ("Persons", f"{bulk.persons:,}"),
        ("Deleted", f"{bulk.done:,}"),
        ("Missing", f"{bulk.missing:,}"),
        ("Of them", ", ".join(wished(bulk))),
        ("State", standing(bulk)),
        ("Requested", moment(bulk.requested_at)),
        ("Started", moment(bulk.started_at)),
        ("Completed", moment(bulk.completed_at)),
    ]
    for name, value in facts:
        print(f"{name:<11}{value}".rstrip())
