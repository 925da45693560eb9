"""How far the deletion of events is (contract: persons-api, 2.8)."""

from typing import Annotated
from uuid import UUID

from litestar import get

from personhood.api import deletion_status_docs as docs
from personhood.api import persons_docs
from personhood.api.asked import Asked, pool_of, url_of
from personhood.api.deletion_status_docs import DeletionStatus, DeletionStatusList, Status
from personhood.api.schema import READ_ERRORS, Described, responses
from personhood.errors import InvalidInput
from personhood.http import page as pages
from personhood.model import Deletion
from personhood.store import deletion

CHOICES = {"": None, "all": None, "pending": False, "completed": True}


@get(
    "/deletion_status",
    opt={"scope": "person:read"},
    summary="Tell how far deletions of events are",
    description=docs.LIST,
    operation_class=Described,
    responses=responses(
        DeletionStatusList, "A page.", docs.PAGE, errors=READ_ERRORS, bad=docs.NO_CHOICE
    ),
)
async def persons_deletion_status(
    request: Asked,
    *,
    status: Annotated[str | None, docs.STATUS] = None,
    person_uuid: Annotated[str | None, docs.PERSON_UUID] = None,
    limit: Annotated[str | None, persons_docs.LIMIT] = None,
    offset: Annotated[str | None, persons_docs.OFFSET] = None,
) -> DeletionStatusList:
    if (choice := status or "") not in CHOICES:
        raise InvalidInput(
            f'"{status}" is not a valid choice.', code="invalid_choice", attr="status"
        )
    page, project = pages.page(limit, offset), request.auth.project
    verified, uuid = CHOICES[choice], uuid_in(person_uuid)
    async with pool_of(request).connection() as conn:
        found = await deletion.event_page(
            conn,
            project.id,
            verified=verified,
            person_uuid=uuid,
            limit=page.limit + 1,
            offset=page.offset,
        )
        count = await deletion.event_count(conn, project.id, verified=verified, person_uuid=uuid)
    url = url_of(request)
    return DeletionStatusList(
        count=count,
        next=pages.next_url(url, page, more=len(found) > page.limit),
        previous=pages.previous_url(url, page),
        results=[row(each) for each in found[: page.limit]],
    )


def uuid_in(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        raise InvalidInput("Must be a valid UUID.", attr="person_uuid") from None


def row(receipt: Deletion) -> DeletionStatus:
    done = receipt.verified_at is not None
    return DeletionStatus(
        person_uuid=receipt.person_uuid,
        created_at=receipt.requested_at,
        status=Status.COMPLETED if done else Status.PENDING,
        delete_verified_at=receipt.verified_at,
    )
