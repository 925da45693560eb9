"""What SDKs are told to do when they start (contract: capture-and-identity, 1.11).

A token that no project has is answered 404, as PostHog does: capture itself says nothing of it, so
this is where a page's console shows that a token is wrong.
"""

import asyncio
from typing import Any

import msgspec
from litestar import MediaType, Request, Response, get
from litestar.params import FromPath

from personhood.capture import scripts
from personhood.capture.parse import checked_token
from personhood.errors import TokenRefused
from personhood.model import JSON

# How browsers record sessions, where they are to. What is typed is masked by posthog-js itself.
RECORDING: JSON = {
    "endpoint": "/s/",
    "consoleLogRecordingEnabled": True,
    "recorderVersion": "v2",
    "sampleRate": None,
    "minimumDurationMilliseconds": None,
    "linkedFlag": None,
    "networkPayloadCapture": None,
    "masking": None,
    "urlTriggers": [],
    "urlBlocklist": [],
    "eventTriggers": [],
    "triggerMatchType": None,
    "scriptConfig": {"script": "posthog-recorder"},
    "recordCanvas": False,
    "canvasFps": None,
    "canvasQuality": None,
    "version": 1,
}

# A changed setting reaches the pages that are opened this long after it.
CACHING = "public, max-age=60"
UNKNOWN = "No project has this token.\n"

AnyRequest = Request[Any, Any, Any]


def recording(request: AnyRequest) -> JSON:
    """False tells browsers not to record."""
    return RECORDING if request.app.state.settings.session_recording else False


def remote_config(token: str, *, recording: JSON) -> dict[str, JSON]:
    """Capture, autocapture and the flags request are on; whatever has no server side here is off.

    Flags are said to be there although none is: without an answer about them, a page that waits for
    `onFeatureFlags` waits for ever.
    """
    return {
        "token": token,
        "supportedCompression": ["gzip", "gzip-js"],
        "hasFeatureFlags": True,
        "captureDeadClicks": False,
        "capturePerformance": {
            "network_timing": True,
            "web_vitals": False,
            "web_vitals_allowed_metrics": None,
        },
        "autocapture_opt_out": False,
        "autocaptureExceptions": False,
        "analytics": {"endpoint": "/i/v0/e/"},
        "elementsChainAsString": True,
        "errorTracking": {"autocaptureExceptions": False, "suppressionRules": []},
        "logs": {"captureConsoleLogs": False},
        "sessionRecording": recording,
        "heatmaps": False,
        "conversations": False,
        "surveys": False,
        "productTours": False,
        "defaultIdentifiedOnly": True,
        "siteApps": [],
    }


def as_script(token: str, *, recording: JSON) -> bytes:
    """A script that leaves the configuration where posthog-js looks for it."""
    told = remote_config(token, recording=recording)
    config, name = (msgspec.json.encode(each) for each in (told, token))
    return (
        b"(function(){var c=window._POSTHOG_REMOTE_CONFIG=window._POSTHOG_REMOTE_CONFIG||{};"
        b"c[" + name + b"]={config:" + config + b",siteApps:[]}})();\n"
    )


async def known_token(request: AnyRequest, token: str) -> str | None:
    """The token as its project has it; None when no project does."""
    try:
        project = await request.app.state.projects.by_token(checked_token(token))
    except TokenRefused:
        return None
    return None if project is None else project.token


def unknown() -> Response[Any]:
    return Response(UNKNOWN, status_code=404, media_type=MediaType.TEXT)


@get("/array/{token:str}/config", include_in_schema=False)
async def as_json(request: AnyRequest, token: FromPath[str]) -> Response[Any]:
    """For mobile SDKs, and for posthog-js where scripts from elsewhere are forbidden."""
    known = await known_token(request, token)
    if known is None:
        return unknown()
    return Response(
        remote_config(known, recording=recording(request)),
        headers={"Cache-Control": CACHING, "Vary": "Origin"},
    )


@get("/array/{token:str}/config.js", include_in_schema=False)
async def as_javascript(request: AnyRequest, token: FromPath[str]) -> Response[Any]:
    known = await known_token(request, token)
    if known is None:
        return unknown()
    found = scripts.scripted(as_script(known, recording=recording(request)))
    return scripts.answer(request, found, caching=CACHING)


@get("/array/{token:str}/array.js", include_in_schema=False)
async def with_array(request: AnyRequest, token: FromPath[str]) -> Response[Any]:
    """posthog-js itself, with its configuration before it: one request less at a page's start."""
    known = await known_token(request, token)
    if known is None:
        return unknown()
    found = await asyncio.to_thread(
        scripts.script, "array.js", before=as_script(known, recording=recording(request))
    )
    return scripts.answer(request, found, caching=CACHING)


route_handlers = [as_json, as_javascript, with_array]
