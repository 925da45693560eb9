"""How often a key may ask (contract: persons-api, 8.5). Unlimited unless a setting says so.

Requests to delete persons have limits of their own. A minute is any sixty seconds; who is refused
does not count. All workers and servers count together: one statement a request.
"""

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from personhood.errors import Throttled
from personhood.model import Limit
from personhood.settings import Settings
from personhood.store import rate
from personhood.store.rate import Counted

PERIODS_S = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}

# Where a handler says of itself, in its `opt`, which limits are its own.
KIND = "throttle"


class Kind(StrEnum):
    """What is counted apart."""

    USUAL = "usual"
    DELETION = "deletion"


Limits = Mapping[Kind, Sequence[Limit]]


def limits_of(settings: Settings) -> Limits:
    return {
        Kind.USUAL: parsed(settings.rate_limit),
        Kind.DELETION: parsed(settings.rate_limit_deletion),
    }


def parsed(text: str) -> list[Limit]:
    """`240/minute,1200/hour`, as the setting allows it. The last of two for one period counts."""
    found: dict[int, int] = {}
    for each in filter(None, text.split(",")):
        most, _, period = each.partition("/")
        found[PERIODS_S[period]] = int(most)
    return [Limit(most, period_s) for period_s, most in sorted(found.items())]


async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Let a key that is within its limits pass. After `access.guard`. Raises Throttled."""
    kind = handler.opt.get(KIND, Kind.USUAL)
    state = connection.app.state
    limits: Sequence[Limit] = state.limits[kind]
    if not limits:
        return
    async with state.pool.connection() as conn:
        counted = await rate.count(conn, connection.auth.key.id, kind, limits=limits)
    if not all(each.admitted for each in counted):
        raise refusal(counted)


def refusal(counted: Sequence[Counted]) -> Throttled:
    """The longest wait counts, in whole seconds and at least one."""
    longest = max(rate.wait_s(each) for each in counted if not each.admitted)
    seconds = max(math.ceil(longest), 1)
    unit = "second" if seconds == 1 else "seconds"
    return Throttled(
        f"Request was throttled. Expected available in {seconds} {unit}.", retry_after_s=seconds
    )
