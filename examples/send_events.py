"""Send a few events to a personhood server by PostHog's own SDK (pip install posthog).

    python examples/send_events.py phc_… http://127.0.0.1:8000

The token is what `personhood serve` printed.
"""

import sys

from posthog import Posthog


def main(token: str, host: str = "http://127.0.0.1:8000") -> None:
    posthog = Posthog(token, host=host)

    # A visitor, whom nobody knows yet …
    posthog.capture("landing page", distinct_id="visitor-1")

    # … signs up: from now on both ids are one person, with these properties.
    posthog.capture(
        "$identify",
        distinct_id="ada",
        properties={
            "$anon_distinct_id": "visitor-1",
            "$set": {"email": "ada@example.com", "plan": "free"},
        },
    )
    posthog.capture("upgraded", distinct_id="ada", properties={"$set": {"plan": "pro"}})

    posthog.shutdown()  # sends what is waiting


if __name__ == "__main__":
    main(*sys.argv[1:])
