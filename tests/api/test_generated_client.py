"""A client that `openapi-python-client` makes of our description, used on a real server."""

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.server import Server

PROJECT = "@current"


@pytest.fixture(scope="module")
def generated(shared_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of the package that was generated. A warning would mean an endpoint left out."""
    folder = tmp_path_factory.mktemp("generated")
    document = folder / "openapi.json"
    document.write_text(httpx.get(f"{shared_server.url}/api/schema/").text)
    config = folder / "config.json"
    config.write_text(json.dumps({"post_hooks": [], "package_name_override": "made_client"}))
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning"]
    command += ["--path", str(document), "--config", str(config), "--meta", "none"]
    run = subprocess.run(
        [*command, "--output-path", str(folder / "made_client")], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
    sys.path.insert(0, str(folder))
    yield "made_client"
    sys.path.remove(str(folder))


class Api:
    """Each operation by its id, called with the key of the server's project."""

    def __init__(self, package: str, server: Server) -> None:
        self.package = package
        made = import_module(package).AuthenticatedClient
        self.client = made(base_url=server.url, token=server.key)

    def __call__(self, operation: str, *path: Any, tag: str = "persons", **more: Any) -> Any:
        module = import_module(f"{self.package}.api.{tag}.{operation}")
        return module.sync(PROJECT, *path, client=self.client, **more)

    def model(self, name: str, fields: dict[str, Any]) -> Any:
        return getattr(import_module(f"{self.package}.models"), name).from_dict(fields)


@pytest.fixture
def api(generated: str, shared_server: Server) -> Iterator[Api]:
    events = [
        {
            "event": "visit",
            "distinct_id": id,
            "properties": {"$set": {"plan": plan, "email": f"{id}@x.org"}},
        }
        for id, plan in (("ada", "free"), ("bob", "scale"), ("eve", "free"))
    ]
    sent = httpx.post(
        f"{shared_server.url}/batch/", json={"api_key": shared_server.token, "batch": events}
    )
    assert sent.status_code == 200
    made = Api(generated, shared_server)
    with made.client:
        yield made


def test_persons_are_listed_read_and_changed(api: Api) -> None:
    page = api("persons_list", search="ada@x", include_total=True)
    assert [person.distinct_ids for person in page.results] == [["ada"]]
    assert page.count == 1
    [ada] = page.results
    assert isinstance(ada.uuid, UUID)

    body = api.model("PersonsUpdateBody", {"properties": {"plan": "paid"}})
    changed = api("persons_update", str(ada.uuid), body=body)
    assert changed.properties["plan"] == "paid"
    assert changed.created_at == ada.created_at
    read = api("persons_retrieve", "distinct_id:ada")
    assert (read.uuid, read.properties) == (ada.uuid, changed.properties)


def test_persons_are_split_and_joined_again(api: Api, shared_server: Server) -> None:
    merge = {
        "event": "$create_alias",
        "distinct_id": "bob",
        "properties": {"alias": "bob-2", "distinct_id": "bob"},
    }
    httpx.post(
        f"{shared_server.url}/batch/", json={"api_key": shared_server.token, "batch": [merge]}
    ).raise_for_status()
    assert api("persons_retrieve", "distinct_id:bob-2").distinct_ids == ["bob", "bob-2"]
    body = api.model("PersonsSplitBody", {"distinct_ids_to_split": ["bob-2"]})
    done = api("persons_split", "distinct_id:bob", body=body)
    assert done.success is True
    assert api("persons_retrieve", "distinct_id:bob").distinct_ids == ["bob"]


def test_a_refusal_is_an_object_too(api: Api) -> None:
    refused = api("persons_retrieve", "distinct_id:nobody")
    assert (refused.type_, refused.code) == ("invalid_request", "not_found")


def test_a_person_is_deleted_and_the_receipt_read(api: Api) -> None:
    api("persons_delete", "distinct_id:eve")
    assert api("persons_retrieve", "distinct_id:eve").code == "not_found"
    receipts = api("deletions_list", tag="deletions")
    receipt = api("deletions_retrieve", receipts.results[0].id, tag="deletions")
    assert receipt.id == receipts.results[0].id
