"""The sample data of `examples/` as events, in the order in which they happened.

Each has a uuid of its own that depends on its place in the data only, so that sending them again
changes nothing.
"""

import csv
import gzip
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter, itemgetter
from pathlib import Path
from uuid import UUID, uuid5

from msgspec import Struct

from personhood.errors import PersonhoodError
from personhood.model import Properties

EXAMPLES = Path(__file__).parents[2] / "examples"
SHOP = EXAMPLES / "shop" / "ecom.csv.gz"
CDNOW = EXAMPLES / "cdnow" / "cdnow.txt.gz"

NAMESPACE = UUID("6d6f9f0e-5d0a-5a52-8c41-0f6f3f0c1b77")
# Where a visitor of the shop has to say who they are.
SIGNED_IN = frozenset({"account_page", "payment_details", "purchase"})

Click = dict[str, str]


class SampleEvent(Struct, frozen=True, kw_only=True):
    name: str
    distinct_id: str
    timestamp: datetime
    uuid: UUID
    properties: Properties


class Sample(Struct, frozen=True):
    """Events in order, and how many persons come of them."""

    events: list[SampleEvent]
    persons: int


def shop(persons_max: int | None = None) -> Sample:
    """The clicks of a shop's visitors, their sessions beside one another."""
    clicks = list(csv.DictReader(io.StringIO(read(SHOP))))
    users = list(dict.fromkeys(click["user_id"] for click in clicks))[:persons_max]
    wanted = set(users)
    sessions = groupby(
        (click for click in clicks if click["user_id"] in wanted), itemgetter("session_id")
    )
    events = [event for id, group in sessions for event in session_events(id, list(group))]
    return Sample(sorted(events, key=attrgetter("timestamp")), len(users))


def session_events(session: str, clicks: list[Click]) -> Iterator[SampleEvent]:
    """A session's clicks, anonymous until the visitor signs in.

    109 of the 600 users never do, in any session. Such sessions are identified at their end, or
    those users would never show up as persons.
    """
    places = (index for index, click in enumerate(clicks) if click["event"] in SIGNED_IN)
    signed_in = next(places, len(clicks))
    for index, click in enumerate(clicks):
        if index == signed_in:
            yield identified(session, click)
        yield clicked(session, click, place=index, anonymous=index < signed_in)
    if signed_in == len(clicks):
        yield identified(session, clicks[-1])


def clicked(session: str, click: Click, *, place: int, anonymous: bool) -> SampleEvent:
    # What posthog-js does unless told otherwise: no person before somebody is identified.
    personless: Properties = {"$process_person_profile": False} if anonymous else {}
    return SampleEvent(
        name=click["event"],
        distinct_id=session if anonymous else click["user_id"],
        timestamp=datetime.fromisoformat(click["timestamp"]).replace(tzinfo=UTC),
        uuid=uuid5(NAMESPACE, f"shop {session} {place}"),
        properties={
            "platform": click["platform"],
            "acquisition_channel": click["acquisition_channel"],
            **personless,
        },
    )


def identified(session: str, click: Click) -> SampleEvent:
    return SampleEvent(
        name="$identify",
        distinct_id=click["user_id"],
        timestamp=datetime.fromisoformat(click["timestamp"]).replace(tzinfo=UTC),
        uuid=uuid5(NAMESPACE, f"shop {session} identified"),
        properties={
            "$anon_distinct_id": session,
            "$set": {
                "name": click["user_id"],
                "user_cohort": click["user_cohort"],
                "user_lifecycle": click["user_lifecycle"],
                "platform": click["platform"],
            },
            "$set_once": {"acquisition_channel": click["acquisition_channel"]},
        },
    )


def customers(persons_max: int | None = None) -> Sample:
    """The purchases of CDNOW's customers, one customer after another as in the file."""
    rows = [line.split() for line in read(CDNOW).splitlines()[1:]]
    ids = list(dict.fromkeys(row[0] for row in rows))[:persons_max]
    wanted = set(ids)
    events = [purchased(row, place) for place, row in enumerate(rows) if row[0] in wanted]
    return Sample(events, len(ids))


def purchased(row: list[str], place: int) -> SampleEvent:
    customer, day, cds, dollars = row
    at = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
    return SampleEvent(
        name="purchase",
        distinct_id=f"customer_{customer}",
        timestamp=at,
        uuid=uuid5(NAMESPACE, f"cdnow {place}"),
        properties={
            "number_of_cds": int(cds),
            "dollar_value": float(dollars),
            "$set_once": {"first_purchase": f"{at:%Y-%m-%d}"},
        },
    )


def read(path: Path) -> str:
    if not path.exists():
        raise PersonhoodError(
            f"The sample data is not at {path.parent}; it comes with a checkout of personhood."
        )
    with gzip.open(path, "rt") as file:
        return file.read()
