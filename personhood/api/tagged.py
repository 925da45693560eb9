"""Entity tags of persons: what a client has seen, and whether it is still so.

A tag stands for all that `present.detail` shows. Properties, distinct ids and `created_at` change
with the person's version, `last_seen_at` without one, and the name also by the project's settings.
How many recordings there are stands at the end of a tag: who sees another number is told so, but
`If-Match` speaks of the person alone, to whom nothing is done by being recorded.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from litestar import Response
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import OpenAPIHeader, OpenAPIResponse, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import HeaderParameter
from litestar.status_codes import HTTP_200_OK, HTTP_304_NOT_MODIFIED

from personhood import __version__
from personhood.api.asked import Asked
from personhood.api.schema import Described
from personhood.http import etag
from personhood.model import Person, Project
from personhood.store.person_lookup import Owner

IfMatch: TypeAlias = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match",
        description=(
            "The `ETag` of the person as it was read, or several, or `*`. If the person is another "
            "by now, nothing is changed and the answer is 412."
        ),
    ),
]
IfNoneMatch: TypeAlias = Annotated[
    str | None,
    HeaderParameter(
        name="If-None-Match",
        description="The `ETag` of an earlier answer. If it is still the same, the answer is 304.",
    ),
]
ETAG = OpenAPIHeader(
    description="Changes whenever the person shown changes. For `If-Match`, `If-None-Match`.",
    required=True,
    schema=Schema(type=OpenAPIType.STRING),
)
NOT_MODIFIED = ResponseSpec(None, description="The person is what `If-None-Match` says.")


def answered(operation: type[Described]) -> type[Described]:
    """An operation whose successful answers carry an `ETag`."""

    @dataclass
    class Answered(operation):
        def __post_init__(self) -> None:
            super().__post_init__()
            for status in ("200", "304"):
                found = (self.responses or {}).get(status)
                if isinstance(found, OpenAPIResponse):
                    found.headers = {**(found.headers or {}), "ETag": ETAG}

    return Answered


COUNT = re.compile(r'\.\d+(?=")')


def tag(owner: Owner, project: Project) -> str:
    return f'{tag_of(owner.person, project)[:-1]}.{owner.recordings or 0}"'


def tag_of(person: Person, project: Project) -> str:
    """The tag without its end. That has no point in it."""
    # The program's version too: another one may show the same person in another form.
    return etag.tag(
        person.id,
        person.version,
        person.last_seen_at,
        project.display_name_properties,
        __version__,
    )


def respond(body: Any, owner: Owner, project: Project) -> Response[Any]:
    return Response(body, status_code=HTTP_200_OK, headers={"ETag": tag(owner, project)})


def is_known(request: Asked, owner: Owner) -> bool:
    """Whether the client has the person already, by its `If-None-Match`."""
    header = given(request, "if-none-match")
    return header is not None and etag.matches_weakly(header, tag(owner, request.auth.project))


def not_modified(owner: Owner, project: Project) -> Response[None]:
    return Response(None, status_code=HTTP_304_NOT_MODIFIED, headers={"ETag": tag(owner, project)})


def expected(request: Asked) -> Callable[[Person], bool] | None:
    """Whether a person is what the request's `If-Match` says; None without one."""
    header = given(request, "if-match")
    if header is None:
        return None
    project, header = request.auth.project, COUNT.sub("", header)
    return lambda person: etag.matches_strongly(header, tag_of(person, project))


def given(request: Asked, name: str) -> str | None:
    """All values of a header, as one list; None when it is not there."""
    values = request.headers.getall(name, [])
    return ", ".join(values) if values else None
