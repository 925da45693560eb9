"""The API, described: OpenAPI 3.1 at `/api/schema/`.

Each handler says what it does where it is declared; here is what all of them share.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from litestar import MediaType
from litestar.enums import HttpMethod
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import (
    Components,
    Example,
    OpenAPIHeader,
    OpenAPIMediaType,
    OpenAPIResponse,
    Operation,
    Parameter,
    Reference,
    RequestBody,
    Schema,
    SecurityScheme,
    Tag,
)
from litestar.openapi.spec.enums import OpenAPIType

from personhood import __version__, access
from personhood.http.accept import Form
from personhood.http.envelope import Error

BEARER = "personal_api_key"
ENVIRONMENTS = "environments"
USUAL = ("GET", "POST", "PATCH", "DELETE")

INTRODUCTION = """
A self-hosted person store that official PostHog SDKs talk to.

**Authentication.** Every request under `/api/` needs a personal API key (`phx_…`), best as a
header. In a JSON body or the query string it goes by the name `personal_api_key`.

```sh
curl -H 'Authorization: Bearer phx_your_key' \\
  'http://127.0.0.1:8000/api/projects/@current/persons/?limit=10'
```

**Projects.** `:project_id` is a number, or `@current` for the key's own project. The paths under
`/api/environments/` are the same resources by their older name, and `/api/person` is
`/api/projects/@current/persons`. A trailing slash is optional.

**CSV.** `?format=csv`, a path that ends in `.csv`, or `Accept: text/csv` gives the rows of
`results` as CSV. What nests is spread over columns such as `properties.plan`, `distinct_ids.0`.
Text that a spreadsheet would run as a formula begins with an apostrophe. Where there is a next
page, the header `Link` has its URL. An answer without `results`, a refusal too, is its status and
an empty body.

**Sending again.** A POST with a header `Idempotency-Key` is done once, however often it is sent:
the answer comes again, with `Idempotent-Replayed: true`. While the first still runs the answer is
409, and for another request with the same key 422. Only successes are kept, for 24 hours.

**Rate limits** are off unless this server sets them. Who asks too often is answered 429, with the
seconds to wait in `Retry-After`.

**Errors** are JSON objects of one shape: `type`, `code`, `detail`, and `attr`, the field at fault.

**Reading what was written.** A write is in force when it is answered: the next read shows it.
"""

TAGS = {
    "Persons": "Who your users are: read them, find them, correct them.",
    "Persons (environments)": "The same, under the older prefix `/api/environments/`.",
    "Cohorts": "Persons under a name.",
    "Cohorts (environments)": "The same, under the older prefix.",
    "Deletions": "What was asked to be forgotten, and how far that is.",
    "Deletions (environments)": "The same, under the older prefix.",
    "Session recordings": "What browsers and phones recorded of sessions, and by whom.",
    "Session recordings (environments)": "The same, under the older prefix.",
    "Events": "What was captured, by whom it is of now.",
    "Events (environments)": "The same, under the older prefix.",
    "Ingestion warnings": "What was odd about events, for whoever sends them.",
    "Ingestion warnings (environments)": "The same, under the older prefix.",
    "health": "Whether the server lives and can work. No key needed.",
}

PATH_PARAMETERS: dict[str, tuple[str, str]] = {
    "project_id": ("Number of the project, or `@current` for the key's own project.", "@current"),
    "person_id": (
        "The person's `uuid`, its integer `id`, or `distinct_id:<value>`, the value URL-encoded.",
        "b44cfe84-13e5-55bd-9d93-03bf32d61790",
    ),
    "merge_id": ("Number of the merge, as the list of merges tells it.", "3"),
    "split_id": ("Number of the split, as the list of splits tells it.", "5"),
    "event_uuid": ("The event's uuid.", "0190a1f2-7e2b-7c3d-9a4e-5f6071829304"),
    "cohort_id": ("Number of the cohort.", "4"),
    "session_id": (
        "The session's id, as its SDK made it.",
        "01926d3f-7e2b-7c3d-9a4e-5f6071829304",
    ),
    "deletion_id": (
        "The deletion's `id`, as its receipt tells it.",
        "5e0f5f0e-6c1e-4c53-9a35-5f0d2b3c7a11",
    ),
    "bulk_id": (
        "The deletion's `id`, as the answer that began it tells it.",
        "0b7c5c0e-5d0c-4a53-9d0e-6a7f0f7d1c11",
    ),
}

FORMAT = Parameter(
    name="format",
    param_in="query",
    description=(
        "The form of the answer; goes before `Accept`. CSV has the rows of `results`: any answer "
        "without them is empty."
    ),
    schema=Schema(type=OpenAPIType.STRING, enum=list(Form), default=Form.JSON),
)
IDEMPOTENCY_KEY = Parameter(
    name="Idempotency-Key",
    param_in="header",
    description=(
        "A text of your own, up to 255 characters, that is new for each thing to do: a random "
        "UUID, say. The same request with the same key is done once, however often it is sent; "
        "its answer comes again, for 24 hours."
    ),
    schema=Schema(type=OpenAPIType.STRING, min_length=1, max_length=255),
)
REPLAYED = OpenAPIHeader(
    description="`true`: the answer to an earlier request with this `Idempotency-Key`.",
    schema=Schema(type=OpenAPIType.STRING, enum=["true"]),
)
CSV_TEXT = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING))

# One example of each refusal (contract: persons-api, 8.4).
ERRORS: dict[int, tuple[str, Error]] = {
    400: (
        "A parameter or the body does not fit.",
        Error("validation_error", "invalid_input", "A valid integer is required.", "limit"),
    ),
    401: (
        "No key, or not one of ours.",
        Error(
            "authentication_error",
            "not_authenticated",
            "Authentication credentials were not provided.",
        ),
    ),
    403: (
        "The key lacks the scope, or the project.",
        Error(
            "authentication_error",
            "permission_denied",
            "API key missing required scope 'person:write'",
        ),
    ),
    404: (
        "No such project, or nothing of that id in it.",
        Error("invalid_request", "not_found", "Not found."),
    ),
    406: (
        "The answer cannot be had in the form that `Accept` asks for.",
        Error("invalid_request", "not_acceptable", "Could not satisfy the request Accept header."),
    ),
    409: (
        "Another request is at odds with this one, or the first one with its `Idempotency-Key` "
        "still runs, or was carried out and its answer lost (`answer_lost`).",
        Error("invalid_request", "conflict", "Another request is at odds with this one."),
    ),
    412: (
        "The person is no longer what `If-Match` says; nothing was changed.",
        Error(
            "invalid_request",
            "precondition_failed",
            "The person has changed since it was read. Read it again, and decide anew.",
        ),
    ),
    413: (
        "The body is over 20 MiB.",
        Error("invalid_request", "request_too_large", "The request body is too large."),
    ),
    415: (
        "The body is not `application/json`.",
        Error(
            "invalid_request",
            "unsupported_media_type",
            'Unsupported media type "text/plain" in request.',
        ),
    ),
    422: (
        "The `Idempotency-Key` was used for another request.",
        Error(
            "invalid_request",
            "unprocessable",
            "This Idempotency-Key was used for another request.",
        ),
    ),
    429: (
        "The key has asked too often; try again after `Retry-After` seconds.",
        Error(
            "throttled_error",
            "throttled",
            "Request was throttled. Expected available in 12 seconds.",
        ),
    ),
    503: (
        "The database is away, or others write the same for too long (`service_unavailable`), or "
        "the query took too long and was stopped (`query_timeout`; ask for less). Try again after "
        "`Retry-After` seconds.",
        Error(
            "server_error",
            "service_unavailable",
            "The database does not answer. Please try again.",
        ),
    ),
}
READ_ERRORS = (400, 401, 403, 404, 406, 429, 503)
WRITE_ERRORS = (400, 401, 403, 404, 406, 413, 415, 429, 503)


def responses(
    shape: type[Any],
    description: str,
    example: Any,
    *,
    errors: Iterable[int],
    bad: Error = ERRORS[400][1],
) -> dict[int, ResponseSpec]:
    """The answers of an endpoint: its success by example, and the ways it may refuse.

    `bad` is how it says that the request does not fit, if that is typical of it.
    """
    return {200: answer(shape, description, example), **refusals(errors, bad=bad)}


def refusals(errors: Iterable[int], *, bad: Error = ERRORS[400][1]) -> dict[int, ResponseSpec]:
    """The ways an endpoint may refuse."""
    told = {status: ERRORS[status] for status in errors}
    return {
        status: answer(Error, text, bad if status == 400 else usual)
        for status, (text, usual) in told.items()
    }


def answer(shape: Any, description: str, example: Any) -> ResponseSpec:
    return ResponseSpec(
        shape,
        generate_examples=False,
        description=description,
        examples=[Example(summary="Example", value=example)],
    )


@dataclass
class Described(Operation):
    """An operation whose path parameters are explained, and whose query can be left out."""

    def __post_init__(self) -> None:
        for parameter in self.parameters or []:
            assert isinstance(parameter, Parameter), "parameters are described where they stand"
            if parameter.name in PATH_PARAMETERS:
                parameter.description, parameter.example = PATH_PARAMETERS[parameter.name]
            else:
                parameter.schema = optional(parameter.schema)
        if isinstance(self.operation_id, OperationId):
            self.take_idempotency_key(self.operation_id)
            self.operation_id = str(self.operation_id)
        self.offer_csv()

    def take_idempotency_key(self, id: "OperationId") -> None:
        """What `once` does for every POST, told here once."""
        if id.method is not HttpMethod.POST:
            return
        self.parameters = [*(self.parameters or []), IDEMPOTENCY_KEY]
        told = self.responses or {}
        refused, done = told.get("400"), told.get("200")
        if not id.writes or refused is None or done is None:
            return
        assert isinstance(refused, OpenAPIResponse) and isinstance(done, OpenAPIResponse)
        done.headers = {**(done.headers or {}), "Idempotent-Replayed": REPLAYED}
        [error] = [each for name, each in (refused.content or {}).items() if "json" in name]
        for status in (409, 422):
            text, usual = ERRORS[status]
            content = OpenAPIMediaType(
                schema=error.schema, examples={"example": Example(summary="Example", value=usual)}
            )
            answer = OpenAPIResponse(description=text, content={"application/json": content})
            told.setdefault(str(status), answer)

    def offer_csv(self) -> None:
        """What `http.negotiated` does for every operation, told here once."""
        others = [p for p in self.parameters or [] if getattr(p, "name", None) != "format"]
        self.parameters = [*others, FORMAT]
        for answer in (self.responses or {}).values():
            if isinstance(answer, OpenAPIResponse) and answer.content:
                answer.content.setdefault("text/csv", CSV_TEXT)


def optional(schema: Schema | Reference | None) -> Schema | Reference | None:
    """`str | None` is how a handler sees a parameter; nobody can send None in a query."""
    if isinstance(schema, Schema) and schema.one_of:
        schema.type = schema.type or OpenAPIType.STRING
        schema.one_of = schema.description = schema.examples = None
    return schema


def with_body(schema: Schema, example: Any, *, required: bool = True) -> type[Described]:
    """An operation that takes a JSON body which its handler reads by itself.

    It is not `required` where its fields may be in the query instead.
    """

    @dataclass
    class Bodied(Described):
        def __post_init__(self) -> None:
            super().__post_init__()
            content = OpenAPIMediaType(
                schema=schema, examples={"example": Example(summary="Example", value=example)}
            )
            self.request_body = RequestBody(
                content={"application/json": content}, required=required
            )

    return Bodied


class OperationId(str):
    """The id of an operation, and what else `Described` has to know of its handler."""

    method: HttpMethod
    writes: bool


def operation_id(handler: HTTPRouteHandler, method: HttpMethod, path: list[Any]) -> OperationId:
    """`persons_list`; its twin under the older prefix is `environments_persons_list`."""
    parts = [handler.handler_name]
    if ENVIRONMENTS in path:
        parts.insert(0, ENVIRONMENTS)
    # Of several methods one is the usual: the others add their name.
    usual = next(each for each in USUAL if each in handler.http_methods)
    if method != usual:
        parts.append(method.lower())
    if len(handler.paths) > 1:
        parts.append(str(path[-1]).strip("_/"))
    id = OperationId("_".join(parts))
    id.method, id.writes = HttpMethod(method), access.writes(handler)
    return id


def openapi_config(more_tags: Mapping[str, str]) -> OpenAPIConfig:
    """The whole document's frame; `more_tags` are those of routes outside this package."""
    return OpenAPIConfig(
        title="personhood",
        version=__version__,
        description=INTRODUCTION.strip(),
        path="/api/schema",
        render_plugins=[
            JsonRenderPlugin(path=["/", "/openapi.json"], media_type=MediaType.JSON),
        ],
        tags=[Tag(name=name, description=text) for name, text in {**more_tags, **TAGS}.items()],
        components=Components(
            security_schemes={
                BEARER: SecurityScheme(
                    type="http",
                    scheme="bearer",
                    description="A personal API key, `phx_…`, as made by `personhood key create`.",
                )
            }
        ),
        operation_id_creator=cast("Any", operation_id),
        use_handler_docstrings=True,
    )
