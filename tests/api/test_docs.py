"""The description of the API, and its readable page."""

import re
from typing import Any

import pytest

from tests.api.conftest import Client


@pytest.fixture
async def document(client: Client) -> dict[str, Any]:
    answer = await client.get("/api/schema/", headers={"Authorization": ""})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


async def test_the_document_is_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"] == "personhood"


async def test_every_operation_is_told_in_words(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        assert operation.get("summary"), (path, method)
        assert operation.get("description"), (path, method)
        assert operation.get("operationId"), (path, method)


async def test_every_parameter_is_told_in_words(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), (path, method, parameter["name"])


async def test_operation_ids_read_well(document: dict[str, Any]) -> None:
    ids = {operation["operationId"] for _, _, operation in operations(document)}
    assert {"persons_list", "persons_retrieve", "persons_update", "persons_update_put"} <= ids
    assert "environments_persons_list" in ids
    assert all(re.fullmatch(r"[a-z0-9_]+", each) for each in ids)


async def test_persons_show_requests_examples_errors_and_the_key(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        if not path.endswith(("/persons", "/persons/{person_id}")):
            continue
        assert "curl" in operation["description"]
        assert operation["security"] == [{"personal_api_key": []}]
        for status in ("200", "400", "401", "403", "404", "406", "503"):
            answer = operation["responses"][status]
            assert answer["description"]
            assert answer["content"]["application/json"]["examples"], (path, method, status)
        for parameter in operation["parameters"]:
            assert parameter["description"], parameter
    assert document["components"]["securitySchemes"]["personal_api_key"]["scheme"] == "bearer"


async def test_examples_are_whole(document: dict[str, Any]) -> None:
    operation = document["paths"]["/api/projects/{project_id}/persons"]["get"]
    [example] = operation["responses"]["200"]["content"]["application/json"]["examples"].values()
    assert example["value"]["previous"] is None
    assert example["value"]["results"][0]["value_at_data_point"] is None


async def test_numbers_are_numbers_in_the_query(document: dict[str, Any]) -> None:
    operation = document["paths"]["/api/projects/{project_id}/persons"]["get"]
    schemas = {each["name"]: each["schema"] for each in operation["parameters"]}
    assert schemas["limit"] == {"type": "integer", "minimum": 0, "default": 100}
    assert schemas["search"] == {"type": "string"}


async def test_the_body_of_an_update_is_described(document: dict[str, Any]) -> None:
    for method in ("patch", "put"):
        operation = document["paths"]["/api/projects/{project_id}/persons/{person_id}"][method]
        content = operation["requestBody"]["content"]["application/json"]
        assert content["schema"]["required"] == ["properties"]
        assert content["examples"]["example"]["value"]["properties"]


@pytest.mark.parametrize("path", ["/api/docs", "/api/docs/"])
async def test_the_page_needs_no_other_server(client: Client, path: str) -> None:
    page = await client.get(path, headers={"Authorization": ""})
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    links = re.findall(r'(?:src|href|url)[=:]\s*"([^"]+)"', page.text)
    assert len(links) >= 4
    for link in links:
        if not link.startswith("data:"):
            assert link.startswith("/api/"), link
            assert (await client.get(link)).status_code == 200, link


async def test_assets_may_be_kept_by_the_browser(client: Client) -> None:
    answer = await client.get("/api/docs/assets/swagger-ui.css")
    assert "max-age" in answer.headers["cache-control"]
    assert (await client.get("/api/docs/assets/none.js")).status_code == 404


async def test_health_shows_what_it_answers(document: dict[str, Any]) -> None:
    expected = {"/_liveness": "200", "/_readiness": "503", "/metrics": "200"}
    for path, status in expected.items():
        answer = document["paths"][path]["get"]["responses"][status]
        assert answer["description"]
        assert answer["content"]["text/plain"]["examples"], path
