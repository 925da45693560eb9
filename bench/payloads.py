"""Requests as SDKs send them, made before the clock starts.

Two kinds of properties, both of about 880 bytes. *plain*: what a server's own code sends, so the
share of events that touch their person is exactly what the mix says. *browser*: what posthog-js
adds to every event, of which 13 keys are also offered to the person each time.
"""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from bench import load
from tests.server import TOKEN

PROPERTIES_BYTES = 880
SET_SHARE = 0.10
IDENTIFY_SHARE = 0.02
EVENTS_PER_PERSON = 10  # a visit: only its first event in an hour moves `last_seen_at`

encode = msgspec.json.Encoder().encode

PLAIN = {
    "$lib": "posthog-python",
    "$lib_version": "7.91.0",
    "$geoip_disable": True,
    "order_id": "ord_01J9ZK3V7Q8M2N4P6R8T0W2Y4A",
    "currency": "EUR",
    "amount": 129.95,
    "discount": 0,
    "coupon": None,
    "items": [
        {"sku": "SKU-10442", "quantity": 2, "price": 39.95, "category": "accessories"},
        {"sku": "SKU-20991", "quantity": 1, "price": 50.05, "category": "cables"},
    ],
    "warehouse": "ams-3",
    "payment_method": "card",
    "is_gift": False,
    "experiment": "checkout-b",
    "duration_ms": 183.4,
    "service": "checkout",
    "release": "2026.11.3-4f1c2a9",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
}
BROWSER = {
    "$os": "Windows",
    "$os_version": "10.0",
    "$browser": "Chrome",
    "$browser_version": 142,
    "$device_type": "Desktop",
    "$current_url": "https://app.example.com/projects/17/boards?tab=open",
    "$host": "app.example.com",
    "$pathname": "/projects/17/boards",
    "$screen_height": 1080,
    "$screen_width": 1920,
    "$viewport_height": 937,
    "$viewport_width": 1903,
    "$referrer": "$direct",
    "$referring_domain": "$direct",
    "$lib": "web",
    "$lib_version": "1.298.0",
    "$insert_id": "q3r5t7y9u1i3o5p7",
    "$time": 1764000000.123,
    "$device_id": "019ab0c4-6b43-7f3a-9d31-0f6cd1a35e11",
    "$session_id": "019ab0c4-6b41-70b2-8f5e-3a1f57d9b1c2",
    "$window_id": "019ab0c4-6b42-7b0d-a7c1-c6a6d8b0e9f3",
    "$raw_user_agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/142.0.0.0 Safari/537.36",
}


def padded(properties: dict[str, object]) -> bytes:
    """The object as text without its closing brace, as long as it is said to be."""
    text = encode(properties)[:-1]
    missing = PROPERTIES_BYTES - len(text) - len(b',"note":""}')
    assert missing >= 0, "the properties are shorter than what is wanted"
    return text + b',"note":"' + b"x" * missing + b'"'


TEMPLATES = {"plain": padded(PLAIN), "browser": padded(BROWSER)}


def events(count: int, *, persons: Sequence[int], kind: str, rng: random.Random) -> list[bytes]:
    """Events of visits by `persons`, in the mix of the goals, in random order.

    A `$identify` follows an event of the anonymous id that it claims, so each makes and merges a
    person.
    """
    template = TEMPLATES[kind]
    now = datetime.now(UTC)
    made: list[bytes] = []
    while len(made) < count:
        person = f"user-{persons[len(made) % len(persons)]}"
        at = now - timedelta(milliseconds=rng.randrange(5000))
        chance = rng.random()
        if chance < IDENTIFY_SHARE and len(made) % 100 < 99:
            anonymous = str(uuid(rng))
            made.append(event("page opened", anonymous, template, at=at, rng=rng))
            more = b',"$anon_distinct_id":"%s"' % anonymous.encode()
            made.append(event("$identify", person, template + more, at=at, rng=rng))
        elif chance < IDENTIFY_SHARE + SET_SHARE:
            more = b',"$set":{"seats":%d,"plan":"scale"}' % rng.randrange(10**6)
            made.append(event("plan changed", person, template + more, at=at, rng=rng))
        else:
            made.append(event("order placed", person, template, at=at, rng=rng))
    return made[:count]


def event(
    name: str, distinct_id: str, properties: bytes, *, at: datetime, rng: random.Random
) -> bytes:
    """One element of a batch; `properties` lacks its closing brace."""
    return b'{"event":"%s","distinct_id":"%s","uuid":"%s","timestamp":"%s","properties":%s}}' % (
        name.encode(),
        distinct_id.encode(),
        str(uuid(rng)).encode(),
        at.isoformat().encode(),
        properties,
    )


def uuid(rng: random.Random) -> UUID:
    return UUID(int=rng.getrandbits(128), version=4)


def batches(events: Sequence[bytes], *, size: int) -> list[bytes]:
    return [
        load.request(
            "POST",
            "/batch/",
            body=b'{"api_key":"%s","batch":[%s]}'
            % (TOKEN.encode(), b",".join(events[start : start + size])),
        )
        for start in range(0, len(events), size)
    ]


def singles(events: Sequence[bytes]) -> list[bytes]:
    """Each event as a request of its own."""
    prefix = b'{"api_key":"%s",' % TOKEN.encode()
    return [load.request("POST", "/i/v0/e/", body=prefix + each[1:]) for each in events]


def some_persons(among: int, *, count: int, rng: random.Random) -> list[int]:
    """`count` different persons, evenly spread over all, others each time."""
    step = max(1, among // count)
    return [1 + number * step + rng.randrange(step) for number in range(min(count, among))]
