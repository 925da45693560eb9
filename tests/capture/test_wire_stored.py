"""What a captured event leaves behind, through a real server: once, at once, in one project."""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.capture.conftest import OK, Front
from tests.server import TOKEN

EV = {"event": "e", "distinct_id": "u", "properties": {}}


def event(**properties: Any) -> dict[str, Any]:
    return {**EV, "properties": properties}


# Properties (2.5)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, {"$ip": "127.0.0.1"}),
        ({"a": 1}, {"a": 1, "$ip": "127.0.0.1"}),
        ({"$ip": "10.0.0.1"}, {"$ip": "10.0.0.1"}),
        ({"$ip": None}, {"$ip": None}),
        ({"$process_person_profile": True, "$ip": ""}, {"$ip": ""}),
        ({"$process_person_profile": False, "$ip": "", "$set": {"a": 1}, "$set_once": {},
          "$unset": ["b"]}, {"$process_person_profile": False, "$ip": ""}),
        ({"ph_product_tours": [1], "$product_tours_activated": {}, "$ip": "",
          "$override_feature_flag_payloads": {"a": "x" * 9999}}, {"$ip": ""}),
        ({"$elements_chain": 'a:href="/"', "$elements": [], "$ip": ""}, {"$ip": ""}),
        ({"$browser": "Firefox", "$ip": ""},
         {"$browser": "Firefox", "$ip": "", "$set": {"$browser": "Firefox"},
          "$set_once": {"$initial_browser": "Firefox"}}),
        ({"a": "\0b\ud800", "c\0": {"d\udc00": ["\0"]}, "$ip": ""},
         {"a": "\ufffdb\ufffd", "c\ufffd": {"d\ufffd": ["\ufffd"]}, "$ip": ""}),
        ({"a": 1.0, "b": 12345678901234567890123, "c": 1e-300, "$ip": ""},
         {"a": 1.0, "b": 12345678901234567890123, "c": 1e-300, "$ip": ""}),
    ],
)  # fmt: skip
def test_the_properties_that_are_stored(
    front: Front, given: dict[str, Any], kept: dict[str, Any]
) -> None:
    assert front.capture(event(**given)) == OK
    assert front.only().properties == kept


def test_a_heatmap_becomes_an_event_of_its_own(front: Front) -> None:
    clicks = {"https://a.example/": [{"x": 1.0, "y": 12345678901234567890123}]}
    ride = event(**{"$heatmap_data": clicks, "$session_id": "s", "$ip": "", "b": 2})
    sent = {**ride, "uuid": str(uuid4()), "$set": {"a": 1}}
    for _ in range(2):  # what is sent again is known again
        assert front.capture(sent) == OK
    original, made = sorted(front.stored(), key=lambda each: each.name, reverse=True)
    assert original.properties == {"$session_id": "s", "$ip": "", "b": 2, "$set": {"a": 1}}
    assert (made.name, made.distinct_id, made.timestamp) == ("$$heatmap", "u", original.timestamp)
    assert made.properties == {"$heatmap_data": clicks, "$session_id": "s", "$ip": ""}
    assert front.properties("u") == {"a": 1}


def test_a_heatmap_makes_no_person(front: Front) -> None:
    clicks = {"$heatmap_data": {"/": []}, "$ip": ""}
    alone = {**event(**clicks), "event": "$$heatmap"}
    nobody = event(**clicks, **{"$process_person_profile": False})
    assert front.capture(alone, nobody) == OK
    assert sorted(each.name for each in front.stored()) == ["$$heatmap", "$$heatmap", "e"]
    assert clicks in [each.properties for each in front.stored()]
    assert front.persons() == []


def test_what_stands_beside_the_properties_is_dropped(front: Front) -> None:
    odd = {"ip": "10.0.0.1", "type": "track", "library": "x", "messageId": "m", "context": {}}
    assert front.capture({**event(**{"$ip": ""}), **odd, "sent_at": "2024-05-06T07:08:09Z"}) == OK
    assert front.only().properties == {"$ip": ""}


def test_set_at_the_top_level_lies_over_that_of_the_properties(front: Front) -> None:
    below = {"$set": {"a": 1, "b": 1}, "$set_once": {"c": 1}, "$ip": ""}
    assert front.capture({**event(**below), "$set": {"b": 2}, "$set_once": {"c": 2, "d": 2}}) == OK
    assert front.properties("u") == {"a": 1, "b": 2, "c": 2, "d": 2}
    assert front.only().properties["$set"] == {"a": 1, "b": 2}
    assert front.only().properties["$set_once"] == {"c": 2, "d": 2}


@pytest.mark.parametrize("odd", [5, "x", None, ["a"], True])
def test_a_set_that_is_no_object_is_ignored(front: Front, odd: Any) -> None:
    beside = {**event(**{"$set": odd, "$set_once": odd}), "$set": odd, "$set_once": odd}
    assert front.capture(beside) == OK
    assert front.properties("u") == {}
    expected = [] if odd is None else ["malformed_event_properties"] * 2
    assert [type for type, _ in front.warnings()] == expected


def test_the_clicked_element_has_a_column_of_its_own(front: Front) -> None:
    assert front.capture(event(**{"$elements": [{"tag_name": "a", "attr__href": "/"}]})) == OK
    stored = front.only()
    assert stored.elements_chain == 'a:attr__href="/"href="/"nth-child="0"nth-of-type="0"'
    assert "$elements" not in stored.properties


def test_a_project_may_keep_no_addresses(front: Front) -> None:
    front.project("phc_anonymous", anonymize_ips=True)
    for properties in ({}, {"$ip": "10.0.0.1"}, {"$ip": "10.0.0.1", "a": 1}):
        assert front.capture(event(**properties), token="phc_anonymous") == OK
    assert [each.properties for each in front.stored()] == [{}, {}, {"a": 1}]


def test_a_forwarded_address_is_not_believed_unless_that_is_set(front: Front) -> None:
    headers = {"x-forwarded-for": "10.0.0.1", "forwarded": "for=10.0.0.1"}
    assert front.post({**EV, "api_key": TOKEN}, headers=headers) == OK
    assert front.only().properties == {"$ip": "127.0.0.1"}


def test_a_personless_event_makes_no_person(front: Front) -> None:
    properties = {"$process_person_profile": False, "$set": {"a": 1}}
    assert front.capture(event(**properties)) == OK
    assert front.only().distinct_id == "u"
    assert front.persons() == []


def test_an_id_is_cut_or_too_long_to_be_merged(front: Front) -> None:
    """It is cut as distinct ids are, but beyond 400 characters it is nobody's."""
    for length in (400, 401):
        claim = {"$anon_distinct_id": "x" * length, "$set": {"length": length}}
        sent = {**event(**claim), "event": "$identify", "distinct_id": str(length)}
        assert front.capture(sent) == OK
    assert front.read("400")["distinct_ids"] == ["400", "x" * 200]
    assert front.read("401")["distinct_ids"] == ["401"]
    assert front.properties("401") == {"length": 401}
    assert [type for type, _ in front.warnings()] == ["cannot_merge_with_illegal_distinct_id"]


def test_a_warning_of_the_client_is_a_warning_and_no_event(front: Front) -> None:
    sent = event(**{"$$client_ingestion_warning_message": "slow down"})
    assert front.capture({**sent, "event": "$$client_ingestion_warning"}) == OK
    assert front.stored() == []
    assert front.warnings() == [("client_ingestion_warning", {"message": "slow down"})]


# Once (2.3)


def test_one_uuid_is_one_event(front: Front) -> None:
    """Its first: in one batch, in another request, at another time in another month."""
    uuid = str(uuid4())

    def sent(day: str, number: int, distinct_id: str = "u") -> dict[str, Any]:
        at = f"{day}T12:00:00Z"
        return {**EV, "uuid": uuid, "timestamp": at, "$set": {"n": number},
                "distinct_id": distinct_id}  # fmt: skip

    assert front.capture(sent("2024-05-06", 1), sent("2024-05-06", 2), sent("2023-01-01", 3)) == OK
    for again in (sent("2024-05-06", 4), sent("2024-07-06", 5), sent("2024-05-06", 6, "other")):
        assert front.capture(again) == OK
    assert front.only().timestamp.isoformat() == "2024-05-06T12:00:00+00:00"
    assert front.properties("u") == {"n": 1}
    assert [each["version"] for each in front.persons()] == [0]

    front.project("phc_once")
    assert front.capture(sent("2024-05-06", 7), token="phc_once") == OK
    assert len(front.stored()) == 2


def test_one_uuid_at_the_same_time_from_many_connections_is_one_event(front: Front) -> None:
    """Beside them events that only one of them sends, all of which count."""
    connections, rounds = 8, 20

    def send(number: int) -> list[int]:
        statuses: list[int] = []
        with httpx.Client(base_url=front.server.url, timeout=60) as http:
            for each in range(rounds):
                shared = {
                    **EV,
                    "uuid": f"01890a5d-ac96-774b-bcce-b302099a{each:04}",
                    "distinct_id": f"shared {each}",
                    "timestamp": f"2024-{1 + number:02}-01T00:00:00Z",
                    "$set": {"by": number},
                    "$set_once": {"first": number},
                }
                own = {**EV, "distinct_id": "own", "$set": {f"{number} {each}": 1}}
                body = {"api_key": TOKEN, "batch": [shared, own]}
                statuses.append(http.post("/batch/", json=body).status_code)
        return statuses

    with ThreadPoolExecutor(connections) as pool:
        statuses = [status for many in pool.map(send, range(connections)) for status in many]
    assert set(statuses) == {200}
    stored = front.stored()
    assert len(stored) == rounds + connections * rounds
    assert len({each.uuid for each in stored}) == len(stored)
    for each in range(rounds):
        properties = front.properties(f"shared {each}")
        [event] = [one for one in stored if one.distinct_id == f"shared {each}"]
        assert properties == {"by": event.timestamp.month - 1, "first": event.timestamp.month - 1}
    assert len(front.properties("own")) == connections * rounds


# At once (design, 1)


def test_what_is_answered_can_be_read(front: Front) -> None:
    """On other connections than the one that sent it, and right away."""
    for number in range(50):
        assert front.capture({**EV, "$set": {"n": number}}) == OK
        answer = httpx.get(
            f"{front.server.url}/api/projects/{front.server.project_id}/persons/",
            params={"distinct_id": "u"},
            headers=front.server.headers,
        )
        assert answer.json()["results"][0]["properties"]["n"] == number
        assert len(front.stored()) == number + 1


def test_a_batch_happens_in_its_order(front: Front) -> None:
    sent = [{**EV, "$set": {"n": number}} for number in range(1000)]
    assert front.capture(*sent) == OK
    assert front.properties("u") == {"n": 999}
    assert [each["version"] for each in front.persons()] == [999]


def test_a_batch_of_ten_thousand_events_is_stored_whole(front: Front) -> None:
    sent = [{**EV, "distinct_id": f"u{number % 100}"} for number in range(10_000)]
    assert front.capture(*sent) == OK
    assert len(front.stored()) == 10_000
    assert len(front.persons()) == 100


def test_events_of_no_project_are_counted(front: Front) -> None:
    def counted() -> float:
        [figure] = re.findall(
            r"^personhood_events_of_no_project_total (\S+)",
            httpx.get(f"{front.server.url}/metrics").text,
            re.MULTILINE,
        )
        return float(figure)

    before = counted()
    body = {"api_key": "phc_nobody", "batch": [{"event": "e", "distinct_id": "d"}] * 3}
    assert httpx.post(f"{front.server.url}/batch/", json=body).status_code == 200
    assert counted() == before + 3
