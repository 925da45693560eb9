"""Clicks and scrolls that ride on another event become an event of their own (contract: 1.10).

Only `$heatmap_data` makes one. `$prev_pageview_pathname` does not, although PostHog derives a row
of a heatmap from it: there it goes to a table apart, here every page view would be stored twice,
and the page view keeps all that the second one could say.
"""

from uuid import uuid5

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from personhood.capture.parse import Sent
from personhood.raw_json import encode

NAME = "$$heatmap"
DATA = "$heatmap_data"
# Where, on what, and whether a person may be touched; `$$heatmap` changes none anyway.
KEPT = frozenset(
    f"""
    {DATA} $current_url $session_id $window_id $device_id $viewport_height $viewport_width
    $lib $lib_version $ip $cookieless_mode $process_person_profile
    """.split()
)

_MEMBERS = msgspec.json.Decoder(dict[str, Raw])


def parted(sent: Sent) -> list[Sent]:
    """`sent`, without its heatmap; and that behind it, if there is one.

    The uuid is made of that of `sent`, so that what is sent again is known again.
    """
    if b"heatmap_data" not in sent.properties or sent.name == NAME:
        return [sent]
    members = _MEMBERS.decode(sent.properties)
    if DATA not in members:
        return [sent]
    clicks = Sent(
        name=NAME,
        distinct_id=sent.distinct_id,
        uuid=uuid5(sent.uuid, NAME),
        timestamp=sent.timestamp,
        properties=encode({key: value for key, value in members.items() if key in KEPT}),
        sent_at=sent.sent_at,
        historical=sent.historical,
        personless=sent.personless,
    )
    del members[DATA]
    return [replace(sent, properties=encode(members)), clicks]
