"""What SDKs ask for beside events: the smallest answers, on every path, for pages from anywhere."""

import base64
import gzip
import hashlib
import json
import re
from typing import Any
from uuid import UUID

import httpx
import pytest

from personhood.capture import scripts
from tests.capture.conftest import Front
from tests.server import KEY, TOKEN

ORIGIN = "https://shop.example"
VERSION = "1.449.2"
LISTS = {
    "/api/surveys": {"surveys": []},
    "/api/early_access_features": {"earlyAccessFeatures": []},
    "/api/web_experiments": {"experiments": []},
    "/api/product_tours": {"product_tours": []},
}
DEFINITIONS = ["/flags/definitions", "/api/feature_flag/local_evaluation"]
NO_FLAGS = {
    "flags": {},
    "featureFlags": {},
    "featureFlagPayloads": {},
    "errorsWhileComputingFlags": False,
}

needs_scripts = pytest.mark.skipif(
    scripts.manifest() is None, reason="posthog-js could not be fetched when this was installed"
)


def get(front: Front, path: str, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return front.http.get(path, headers={"origin": ORIGIN, **named})


def assert_open(answer: httpx.Response) -> None:
    """posthog-js's script tags say crossorigin="anonymous": without this they do not run."""
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "origin" in answer.headers["vary"].lower()


# Remote configuration


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_configuration(front: Front, slash: str) -> None:
    answer = get(front, f"/array/{TOKEN}/config{slash}")
    assert answer.status_code == 200
    assert_open(answer)
    config = answer.json()
    assert config["token"] == TOKEN
    assert config["sessionRecording"]["endpoint"] == "/s/"
    assert config["analytics"] == {"endpoint": "/i/v0/e/"}
    assert config["supportedCompression"] == ["gzip", "gzip-js"]
    assert config["autocapture_opt_out"] is False
    assert config["surveys"] is False


def test_the_configuration_as_a_script(front: Front) -> None:
    answer = get(front, f"/array/{TOKEN}/config.js")
    assert answer.status_code == 200
    assert_open(answer)
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    found = re.fullmatch(
        rf'.*_POSTHOG_REMOTE_CONFIG\|\|{{}};c\["{TOKEN}"\]={{config:(.*),siteApps:\[\]}}}}\)\(\);\n',
        answer.text,
    )
    assert found is not None, answer.text
    assert json.loads(found[1]) == get(front, f"/array/{TOKEN}/config").json()


@pytest.mark.parametrize("token", ["phc_nobody", "phx_personal", "%00", "x" * 100, "é"])
@pytest.mark.parametrize("file", ["config", "config.js", "array.js"])
def test_a_wrong_token_shows_in_the_console(front: Front, token: str, file: str) -> None:
    answer = get(front, f"/array/{token}/{file}")
    assert (answer.status_code, answer.text) == (404, "No project has this token.\n")
    assert_open(answer)


# Scripts


@needs_scripts
@pytest.mark.parametrize(
    "path, caching",
    [
        ("/static/array.js", "public, max-age=300"),
        ("/static/recorder.js?v=1.0.0", "public, max-age=300"),
        ("/static/1.0.0/recorder.js", "public, max-age=300"),
        (f"/static/surveys.js?v={VERSION}", "public, max-age=31536000, immutable"),
        (f"/static/{VERSION}/posthog-recorder.js", "public, max-age=31536000, immutable"),
        (f"/static/{VERSION}/array.full.es5.js", "public, max-age=31536000, immutable"),
    ],
)
def test_scripts_are_posthogs_own(front: Front, path: str, caching: str) -> None:
    answer = get(front, path)
    assert answer.status_code == 200
    assert_open(answer)
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["cache-control"] == caching
    name = path.partition("?")[0].rpartition("/")[2]
    assert answer.content == (scripts.FOLDER / name).read_bytes()


@needs_scripts
@pytest.mark.parametrize(
    "kind",
    "lazy-recorder posthog-recorder recorder recorder-v2 surveys exception-autocapture web-vitals "
    "dead-clicks-autocapture tracing-headers logs conversations product-tours array.full "
    "web-vitals-with-attribution element-inference crisp-chat-integration".split(),
)
def test_every_extension_is_there(front: Front, kind: str) -> None:
    assert get(front, f"/static/{kind}.js?v={VERSION}").status_code == 200


@needs_scripts
def test_scripts_travel_compressed_to_those_who_take_that(front: Front) -> None:
    path = f"/static/{VERSION}/array.js"
    with front.http.stream("GET", path, headers={"accept-encoding": "gzip, br"}) as answer:
        packed = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    plain = get(front, path, accept_encoding="identity")
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(packed) == plain.content
    assert len(packed) < len(plain.content) / 2


@needs_scripts
@pytest.mark.parametrize("path", ["/static/array.js", f"/array/{TOKEN}/array.js",
                                  f"/array/{TOKEN}/config.js"])  # fmt: skip
def test_a_script_that_is_known_is_not_sent_again(front: Front, path: str) -> None:
    etag = get(front, path).headers["etag"]
    for known in (etag, etag.removeprefix("W/"), f'"x", {etag}', "*"):
        answer = get(front, path, if_none_match=known)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag
        assert_open(answer)
    assert get(front, path, if_none_match='W/"other"').status_code == 200


@needs_scripts
def test_the_scripts_are_those_that_were_pinned() -> None:
    known = scripts.manifest()
    assert known is not None
    assert known.version == VERSION
    assert "Apache License" in (scripts.FOLDER / "LICENSE").read_text()
    digest = hashlib.sha384((scripts.FOLDER / "array.js").read_bytes()).digest()
    assert known.files["array.js"] == f"sha384-{base64.b64encode(digest).decode()}"


@needs_scripts
def test_a_projects_own_script_has_its_configuration_before_it(front: Front) -> None:
    whole = get(front, f"/array/{TOKEN}/array.js").text
    config = get(front, f"/array/{TOKEN}/config.js").text
    assert whole == config + get(front, "/static/array.js").text


@pytest.mark.parametrize(
    "path",
    [
        "/static/toolbar.js",
        "/static/module.js",
        "/static/integrity.json",
        "/static/LICENSE",
        "/static/..%2froutes.py",
        "/static/%2e%2e/routes.py",
        f"/static/{VERSION}/array.js.map",
    ],
)
def test_no_other_file_is_given(front: Front, path: str) -> None:
    answer = get(front, path)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/plain")
    assert_open(answer)


def test_without_the_scripts_the_answer_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    scripts.manifest.cache_clear()
    monkeypatch.setattr(scripts, "FOLDER", scripts.FOLDER / "nowhere")
    try:
        assert scripts.script("no-such.js") is None
        assert "Install personhood again" in scripts.missing()
    finally:
        scripts.manifest.cache_clear()
        scripts.script.cache_clear()


# Flags


@pytest.mark.parametrize("path", ["/flags", "/flags/", "/flags/?v=2", "/flags/?v=4"])
@pytest.mark.parametrize("body", [b"", b'{"token":"phc_test","distinct_id":"u"}', b"\x1f\x8b\x08"])
def test_there_are_no_flags(front: Front, path: str, body: bytes) -> None:
    answer = front.http.post(path, content=body, headers={"origin": ORIGIN})
    assert answer.status_code == 200
    assert_open(answer)
    found = answer.json()
    assert UUID(found.pop("requestId"))
    assert found == NO_FLAGS


def test_react_native_asks_for_the_configuration_too(front: Front) -> None:
    found = front.http.post("/flags/?v=2&config=true").json()
    config = get(front, f"/array/{TOKEN}/config").json()
    del config["token"]
    assert found.items() >= (config | NO_FLAGS).items()


@pytest.mark.parametrize("version, flags", [("", []), ("?v=1", []), ("?v=2", {}), ("?v=3", {})])
def test_old_sdks_ask_for_decide(front: Front, version: str, flags: Any) -> None:
    answer = front.http.post(f"/decide/{version}", content=b"{}")
    assert answer.status_code == 200
    found = answer.json()
    assert found["featureFlags"] == flags
    assert found["supportedCompression"] == ["gzip", "gzip-js"]
    assert found["sessionRecording"]["endpoint"] == "/s/"


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("slash", ["", "/"])
def test_lists_are_empty(front: Front, path: str, slash: str) -> None:
    answer = get(front, f"{path}{slash}?token={TOKEN}")
    assert (answer.status_code, answer.json()) == (200, LISTS[path])
    assert_open(answer)


@pytest.mark.parametrize("path", DEFINITIONS)
@pytest.mark.parametrize("slash", ["", "/"])
def test_definitions_for_sdks_that_evaluate(front: Front, path: str, slash: str) -> None:
    url = f"{path}{slash}?token={TOKEN}&send_cohorts"
    answer = front.http.get(url, headers=front.server.headers)
    assert answer.status_code == 200
    assert answer.json() == {"flags": [], "group_type_mapping": {}, "cohorts": {}}
    known = {**front.server.headers, "if-none-match": answer.headers["etag"]}
    again = front.http.get(url, headers=known)
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path", [*DEFINITIONS, "/api/projects/@current/feature_flags/x/remote_config"]
)
@pytest.mark.parametrize(
    "authorization, token, status",
    [
        ("Bearer phx_nobody", TOKEN, 401),
        (None, TOKEN, 401),
        (f"Bearer {TOKEN}", TOKEN, 401),
        (f"Bearer {KEY}", "phc_nobody", 401),
    ],
)
def test_definitions_need_a_key(
    front: Front, path: str, authorization: str | None, token: str, status: int
) -> None:
    headers = {"authorization": authorization} if authorization else {}
    answer = front.http.get(path, params={"token": token}, headers=headers)
    assert answer.status_code == status
    assert answer.json()["type"] == "authentication_error"


def test_no_flag_has_a_payload(front: Front) -> None:
    answer = front.http.get(
        f"/api/projects/@current/feature_flags/a%20flag/remote_config?token={TOKEN}",
        headers=front.server.headers,
    )
    assert answer.status_code == 404
    assert answer.json()["detail"] == "Not found."


# What takes events and keeps nothing


@pytest.mark.parametrize("body", [b"", b"rubbish", {"event": "e", "distinct_id": "u"}])
def test_the_black_hole_keeps_nothing(front: Front, body: Any) -> None:
    assert front.post(body, "/test/black_hole") == (200, '{"status":"Ok"}')
    assert front.stored() == []


@pytest.mark.parametrize("slash", ["", "/"])
def test_ai_events_have_an_endpoint_of_their_own(front: Front, slash: str) -> None:
    path = f"/i/v0/ai/batch{slash}"
    ai = {"event": "$ai_generation", "distinct_id": "u", "properties": {"$ai_model": "m"}}
    other = {"event": "e", "distinct_id": "u"}
    assert front.post({"api_key": TOKEN, "batch": [ai]}, path) == (200, '{"status":"Ok"}')
    assert front.only().properties["$ai_model"] == "m"
    status, text = front.post({"api_key": TOKEN, "batch": [ai, other]}, path)
    assert (status, text) == (400, "this endpoint takes AI events only")
    assert len(front.stored()) == 1
