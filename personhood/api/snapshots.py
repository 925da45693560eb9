"""What was recorded of a session, as PostHog's player asks for it (contract: persons-api, 10.2)."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Annotated

import msgspec
import structlog
import zstandard
from litestar import Response, get
from litestar.params import FromPath
from msgspec import Raw

from personhood.api import session_recordings_docs as docs
from personhood.api.asked import Asked, flag, pool_of
from personhood.api.schema import READ_ERRORS, Described, responses
from personhood.api.session_recordings import of_session
from personhood.api.session_recordings_docs import SnapshotSource, SnapshotSources
from personhood.blobs import Blobs, BlobsAway, Missing
from personhood.errors import InvalidInput, StorageAway
from personhood.http.page import number
from personhood.http.streamed import Streamed, unless_left
from personhood.store import recording_page

BLOB_V2, BLOB, REALTIME = "blob_v2", "blob", "realtime"
SOURCES = (BLOB_V2, BLOB, REALTIME)
KEYS_MAX = 20
READ_BYTES = 256 * 1024
KEY_MAX = 2**31 - 1
MEDIA_TYPE = "application/jsonl"
HEADERS = {"cache-control": "private, no-store"}

log = structlog.get_logger(__name__)

LINE = msgspec.json.Decoder(tuple[str, Raw])


@get(
    "/{session_id:str}/snapshots",
    opt={"scope": "session_recording:read"},
    summary="Play a session recording",
    description=docs.SNAPSHOTS,
    operation_class=Described,
    responses=responses(
        SnapshotSources, "What there is.", docs.SOURCES, errors=READ_ERRORS, bad=docs.NO_SOURCE
    ),
)
async def session_recordings_snapshots(
    request: Asked,
    session_id: FromPath[str],
    *,
    source: Annotated[str | None, docs.SOURCE] = None,
    blob_key: Annotated[str | None, docs.BLOB_KEY] = None,
    start_blob_key: Annotated[str | None, docs.START_BLOB_KEY] = None,
    end_blob_key: Annotated[str | None, docs.END_BLOB_KEY] = None,
    blob_v2: Annotated[str | None, docs.BLOB_V2] = None,
) -> Response[SnapshotSources] | Streamed | Response[bytes]:
    newest = blob_v2 is None or flag(blob_v2, attr="blob_v2")
    first, last = 0, KEY_MAX
    if source in (BLOB_V2, BLOB):
        first, last = keys(blob_key, start_blob_key, end_blob_key)
    elif source and source != REALTIME:
        raise InvalidInput(
            f'"{source}" is not a valid choice.', code="invalid_choice", attr="source"
        )
    recording = await of_session(request, session_id)
    if source == REALTIME:
        return Response(b"", media_type=MEDIA_TYPE, headers=HEADERS)
    async with pool_of(request).connection() as conn:
        found = await recording_page.blocks(conn, recording.id, first=first, last=last)
    if source:
        store: Blobs = request.app.state.blobs
        return await played(request, lines(store, [each.path for each in found], form=source))
    kind = BLOB_V2 if newest else BLOB
    return Response(
        SnapshotSources(
            sources=[
                SnapshotSource(
                    source=kind,
                    start_timestamp=each.started_at,
                    end_timestamp=each.ended_at,
                    blob_key=str(each.number),
                )
                for each in found
            ]
        )
    )


def keys(one: str | None, start: str | None, end: str | None) -> tuple[int, int]:
    """The first and the last piece. Raises InvalidInput."""
    if one:
        start = end = one
    for text, attr in ((start, "start_blob_key"), (end, "end_blob_key")):
        if not text:
            raise InvalidInput("Must provide a snapshot file blob key.", attr=attr)
    first = number(start, attr="blob_key" if one else "start_blob_key")
    last = number(end, attr="blob_key" if one else "end_blob_key")
    if last - first >= KEYS_MAX:
        raise InvalidInput(
            f"Cannot request more than {KEYS_MAX} blob keys at once.", attr="end_blob_key"
        )
    return min(first, KEY_MAX), min(last, KEY_MAX)


async def played(request: Asked, chunks: AsyncGenerator[bytes, None]) -> Streamed:
    """Raises StorageAway."""

    async def begin() -> bytes:
        return await anext(chunks, b"")

    try:
        first = await unless_left(request.receive, begin())
    except BlobsAway as error:
        log.warning("playing without a storage", reason=str(error))
        raise StorageAway from None
    return Streamed(chunks, first=first, headers=HEADERS, media_type=MEDIA_TYPE)


async def lines(store: Blobs, paths: Sequence[str], *, form: str) -> AsyncGenerator[bytes, None]:
    """The blobs, one after another; one that is being removed is left out. Raises BlobsAway."""
    for path in paths:
        pieces = unpacked(store, path) if form == BLOB_V2 else older(unpacked(store, path))
        try:
            async with aclosing(pieces) as opened:
                async for piece in opened:
                    yield piece
        except Missing:
            continue


async def unpacked(store: Blobs, path: str) -> AsyncGenerator[bytes, None]:
    """A blob's lines, in pieces of a bounded size."""
    packed = b"".join([chunk async for chunk in store.chunks(path)])
    with zstandard.ZstdDecompressor().stream_reader(packed) as stream:
        while piece := await asyncio.to_thread(stream.read, READ_BYTES):
            yield piece


async def older(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Each line as the first version of the blobs had it."""
    rest: list[bytes] = []
    async for piece in pieces:
        *whole, left = piece.split(b"\n")
        if whole:
            whole[0] = b"".join(rest) + whole[0]
            rest = []
            yield b"".join(renewed(line) for line in whole)
        rest.append(left)


def renewed(line: bytes) -> bytes:
    window, event = LINE.decode(line)
    return msgspec.json.encode({"window_id": window, "data": [event]}) + b"\n"
