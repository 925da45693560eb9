"""The API held against its own description: requests made up from `/api/schema/`, good and bad.

Whatever is sent, no answer is a 5xx, and each is one that the description tells of.
"""

import json
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from litestar.serialization import default_serializer, encode_json
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from personhood.app import create_app
from personhood.settings import read
from tests.server import Server

EXAMPLES = 12
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# Where a made-up id would seldom be anybody's: what there is to find.
IDS = {
    "person_id": ["1", "2", "3", "4", "distinct_id:ada", "distinct_id:nobody"],
    "merge_id": ["1", "2"],
    "split_id": ["1"],
    "cohort_id": ["1"],
    "deletion_id": ["1"],
}


def described() -> dict[str, Any]:
    """What `/api/schema/` tells of the API. The other prefix leads to the same handlers."""
    told = create_app(read({}), "postgresql://").openapi_schema.to_schema()
    document = json.loads(encode_json(told, default_serializer))
    paths = document["paths"]
    document["paths"] = {path: paths[path] for path in paths if path.startswith("/api/projects/")}
    return document


@pytest.fixture(scope="module")
def filled_server(shared_server: Server) -> Server:
    """A server whose project has some persons, a merge, a split, a cohort and a deletion."""
    fill(shared_server)
    return shared_server


def fill(server: Server) -> None:
    events = [
        {"event": "$set", "distinct_id": "ada", "properties": {"$set": {"email": "a@x.org"}}},
        {"event": "visit", "distinct_id": "anon-1-2-3-4", "properties": {}},
        {
            "event": "$identify",
            "distinct_id": "ada",
            "properties": {"$anon_distinct_id": "anon-1-2-3-4"},
        },
        *({"event": "visit", "distinct_id": f"user-{n}", "properties": {}} for n in range(8)),
    ]
    answer = httpx.post(f"{server.url}/batch/", json={"api_key": server.token, "batch": events})
    assert answer.status_code == 200
    persons = f"{server.url}/api/projects/@current/persons"
    made = [
        httpx.post(f"{persons}/1/split/", headers=server.headers, json={}),
        httpx.post(
            f"{server.url}/api/projects/@current/cohorts/",
            headers=server.headers,
            json={"name": "Few", "is_static": True, "distinct_ids": ["ada"]},
        ),
        httpx.post(f"{persons}/2/delete_events/", headers=server.headers),
    ]
    assert all(answer.is_success for answer in made), [answer.text for answer in made]


schema = schemathesis.openapi.from_dict(described())


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_described(case: Case, filled_server: Server) -> None:
    assert case.path_parameters is not None
    case.path_parameters["project_id"] = "@current"
    for name, known in IDS.items():
        if name in case.path_parameters:
            text = str(case.path_parameters[name])
            # About half of them are left as they were made up.
            if len(text) % 2:
                case.path_parameters[name] = known[len(text) // 2 % len(known)]
    case.call_and_validate(base_url=filled_server.url, headers=filled_server.headers, checks=CHECKS)
