"""posthog-js's own files, as the build fetched them, for the pages that load them from here.

`/static/<file>` and `/static/<version>/<file>` (contract: capture-and-identity, 1.11). There is one
version here, and it is handed out whichever is asked for: PostHog's extensions work with older and
newer cores, and a page without them would log errors.
"""

import gzip
import hashlib
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import msgspec
from litestar import MediaType, Request, Response, get
from litestar.params import FromPath
from msgspec import Struct

AnyRequest = Request[Any, Any, Any]

FOLDER = Path(__file__).parent / "static"
MANIFEST = "integrity.json"
JAVASCRIPT = "text/javascript"
# A page that is open for a day loads an extension of the same version as its core.
FOR_EVER = "public, max-age=31536000, immutable"
FOR_A_WHILE = "public, max-age=300"
CACHED_MAX = 64

ABSENT = (
    "posthog-js is not part of this installation: its files could not be fetched when personhood "
    "was built. Install personhood again where npm reaches its registry.\n"
)


class Manifest(Struct):
    """npm's list of the scripts of a version; `files` maps their names to hashes."""

    version: str
    files: dict[str, str]


class Script(Struct, frozen=True):
    """A script and its compressed form; `etag` is that of both."""

    content: bytes
    gzipped: bytes
    etag: str


@cache
def manifest() -> Manifest | None:
    """What the build put here; None when it could not."""
    try:
        return msgspec.json.decode((FOLDER / MANIFEST).read_bytes(), type=Manifest)
    except OSError:
        return None


@lru_cache(CACHED_MAX)
def script(name: str, *, before: bytes = b"") -> Script | None:
    """The file of that name with `before` before it; None when there is none."""
    known = manifest()
    if known is None or name not in known.files:
        return None
    try:
        return scripted(before + (FOLDER / name).read_bytes())
    except FileNotFoundError:
        return None  # one that only bundlers ask for


def scripted(content: bytes) -> Script:
    digest = hashlib.sha256(content).hexdigest()[:32]
    return Script(content, gzip.compress(content, mtime=0), f'W/"{digest}"')


def answer(request: AnyRequest, found: Script | None, *, caching: str) -> Response[Any]:
    """The script, compressed if the client takes that; 304 if it has it; 404 with what to do."""
    if found is None:
        return Response(missing(), status_code=404, media_type=MediaType.TEXT)
    headers = {
        "ETag": found.etag,
        "Cache-Control": caching,
        # The origin is echoed where one is sent: what a cache has for others is not for it.
        "Vary": "Accept-Encoding, Origin",
    }
    if is_known(found.etag, request.headers.get("if-none-match", "")):
        return Response(None, status_code=304, headers=headers)
    content = found.content
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        content = found.gzipped
    return Response(content, headers=headers, media_type=JAVASCRIPT)


def is_known(etag: str, if_none_match: str) -> bool:
    """Whether the client has what `etag` names, compared weakly (RFC 9110, 13.1.2)."""
    bare = etag.removeprefix("W/")
    return any(
        given.strip().removeprefix("W/") in (bare, "*") for given in if_none_match.split(",")
    )


def missing() -> str:
    known = manifest()
    return ABSENT if known is None else f"posthog-js {known.version} has no such file in npm.\n"


@get("/static/{name:str}", include_in_schema=False, sync_to_thread=True)
def newest(request: AnyRequest, name: FromPath[str]) -> Response[Any]:
    """The extension loader adds `?v=<version>`: such a URL never means another file."""
    return of_version(request, name, asked=request.query_params.get("v"))


@get("/static/{version:str}/{name:str}", include_in_schema=False, sync_to_thread=True)
def versioned(request: AnyRequest, version: FromPath[str], name: FromPath[str]) -> Response[Any]:
    return of_version(request, name, asked=version)


def of_version(request: AnyRequest, name: str, *, asked: str | None) -> Response[Any]:
    known = manifest()
    is_it = known is not None and asked == known.version
    return answer(request, script(name), caching=FOR_EVER if is_it else FOR_A_WHILE)


route_handlers = [newest, versioned]
