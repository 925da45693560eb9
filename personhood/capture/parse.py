"""A decoded capture body → the events it holds, as sent (contract: capture-and-identity, 1.5-2.5).

Pure: no clock, no I/O. What the events mean for persons is read by `capture.claims`.
"""

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from personhood.model import Properties


class Sent(Struct, kw_only=True):
    """One event as an SDK sent it: checked, its time computed, its meaning not yet read.

    `properties` is the raw JSON object text (UTF-8, no NUL, no lone surrogate). `set` and
    `set_once` are the top-level `$set` and `$set_once` when they are objects. `size` is that of
    the raw event in bytes.
    """

    name: str
    distinct_id: str
    uuid: UUID
    timestamp: datetime
    properties: bytes
    sent_at: datetime | None = None
    set: Properties | None = None
    set_once: Properties | None = None
    historical: bool = False
    invalid_timestamp: str | None = None
    size: int = 0
