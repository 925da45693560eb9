"""Recordings in object storage: a folder, or whatever `PERSONHOOD_BLOB_URL` names.

A blob is there for good when `put` returns, and is never changed. What a blob is called tells
nothing of anybody: names are random.
"""

import asyncio
import os
import re
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote
from uuid import uuid4

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, from_url

from personhood.errors import InvalidSetting

if TYPE_CHECKING:
    from obstore.store import ObjectStore, RetryConfig

FOLDER = "recordings"
CHUNK_BYTES = 256 * 1024
DELETED_AT_ONCE = 1000  # as many as S3 takes in one request
LISTED_AT_ONCE = 1000
NAME = re.compile(r"\d+/\d{4}-\d\d-\d\d/[0-9a-f]{32}\.jsonl\.zst", re.ASCII)
FILE = "file://"
UNFINISHED = "#1"  # what obstore calls a file until all of it is written; names are used once
# Clients send again what is answered 503; they do not wait for minutes. How long a request may take
# is left to the storage's own variables (AWS_TIMEOUT …): to name one here would undo all of them.
RETRIES: "RetryConfig" = {"max_retries": 3, "retry_timeout": timedelta(seconds=10)}
REASON_CHARACTERS_MAX = 200
NOT_THERE = (FileNotFoundError, NotFoundError)


class BlobsAway(Exception):
    """The storage of recordings does not answer, or does not do as it is told."""


class Missing(Exception):
    """There is no such blob (any more)."""


class Blobs:
    """A store of blobs. `settle` does what is left to do until one outlives a power failure, and
    `clear` until some that were removed do not. A folder is there once it has been needed.

    Every method raises BlobsAway.
    """

    def __init__(
        self,
        open: "Callable[[], ObjectStore]",
        *,
        settle: Callable[[str], None] | None = None,
        clear: Callable[[Sequence[str]], None] | None = None,
        is_there: Callable[[], bool] = lambda: True,
    ) -> None:
        self.open, self.settle, self.clear, self.is_there = open, settle, clear, is_there

    @cached_property
    def store(self) -> "ObjectStore":
        return self.open()

    async def put(self, path: str, content: bytes) -> None:
        try:
            await obstore.put_async(self.store, path, content, use_multipart=False)
            if self.settle is not None:
                await asyncio.to_thread(self.settle, path)
        except (BaseError, OSError) as error:
            raise BlobsAway(reason_of(error)) from error

    async def chunks(self, path: str) -> AsyncGenerator[bytes, None]:
        """The content of a blob, a piece at a time. Raises Missing."""
        try:
            found = await obstore.get_async(self.store, path)
            async for chunk in found.stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(chunk)
        except NOT_THERE:
            raise Missing(path) from None
        except (BaseError, OSError) as error:
            raise BlobsAway(reason_of(error)) from error

    async def names(self) -> AsyncGenerator[list[str], None]:
        """Those of all blobs that are ours, some at a time: others may share a bucket with us."""
        try:
            async for some in obstore.list(self.store, chunk_size=LISTED_AT_ONCE):
                yield [each["path"] for each in some if NAME.fullmatch(each["path"])]
        except (BaseError, OSError) as error:
            raise BlobsAway(reason_of(error)) from error

    async def has(self, path: str) -> bool:
        try:
            await obstore.head_async(self.store, path)
        except NOT_THERE:
            return False
        except (BaseError, OSError) as error:
            raise BlobsAway(reason_of(error)) from error
        return True

    async def delete_all(self, paths: Iterable[str]) -> None:
        """Remove blobs; it is no mistake if one is not there."""
        wanted = list(paths)
        for start in range(0, len(wanted), DELETED_AT_ONCE):
            some = wanted[start : start + DELETED_AT_ONCE]
            try:
                await obstore.delete_async(self.store, some)
            except NOT_THERE:
                await self.delete_each(some)
            except (BaseError, OSError) as error:
                raise BlobsAway(reason_of(error)) from error
            await self.cleared(some)

    async def cleared(self, paths: Sequence[str]) -> None:
        if self.clear is not None:
            try:
                await asyncio.to_thread(self.clear, paths)
            except OSError as error:
                raise BlobsAway(reason_of(error)) from error

    async def delete_each(self, paths: Sequence[str]) -> None:
        """The same where the store minds that one is not there, and stops at it."""
        for path in paths:
            try:
                await obstore.delete_async(self.store, path)
            except NOT_THERE:
                continue
            except (BaseError, OSError) as error:
                raise BlobsAway(reason_of(error)) from error


def opened(url: str | None, data_dir: Path) -> Blobs:
    """The store that `url` names, or else a folder of `data_dir`. A folder is made when it is first
    needed. Raises InvalidSetting.
    """
    if url is None:
        return in_folder(data_dir.expanduser().resolve() / FOLDER)
    if url.startswith(FILE):
        return in_folder(Path(unquote(url.removeprefix(FILE))).resolve())
    try:
        store = from_url(url, retry_config=RETRIES)
    except (BaseError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InvalidSetting(f"The blob URL {url!r} cannot be used: {reason}.") from None
    return Blobs(lambda: store)


def in_folder(folder: Path) -> Blobs:

    def settle(path: str) -> None:
        """Sync the file, and each folder that it may be the first of."""
        parts = Path(path).parts
        for depth in range(len(parts), -1, -1):
            sync(folder.joinpath(*parts[:depth]))

    def clear(paths: Sequence[str]) -> None:
        """Remove what a killed server left of unfinished ones too, and sync the folders."""
        for path in paths:
            (folder / f"{path}{UNFINISHED}").unlink(missing_ok=True)
        for parent in {(folder / path).parent for path in paths}:
            if parent.is_dir():
                sync(parent)

    return Blobs(
        lambda: LocalStore(folder, mkdir=True), settle=settle, clear=clear, is_there=folder.is_dir
    )


def reason_of(error: Exception) -> str:
    """For the log: what a storage says can be long."""
    told = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {told}"[:REASON_CHARACTERS_MAX]


def sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def new_path(project_id: int, at: datetime) -> str:
    """A name for a blob that is to be made."""
    return f"{project_id}/{at:%Y-%m-%d}/{uuid4().hex}.jsonl.zst"
