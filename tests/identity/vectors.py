"""The identity vectors of the contract (section 7.2), as values of our own."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from personhood.capture.parse import Capture, parse
from personhood.model import Project

VECTORS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("vectors.json").read_text())[
    "vectors"
]
EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
NOW = EPOCH + timedelta(days=1)

every_vector = pytest.mark.parametrize(
    "vector", [pytest.param(vector, id=vector["id"]) for vector in VECTORS]
)


def at(seconds: float) -> datetime:
    return EPOCH + timedelta(seconds=seconds)


def project(vector: dict[str, Any], id: int = 1) -> Project:
    return Project(
        id=id,
        name="Vectors",
        token="phc_vectors",
        created_at=EPOCH,
        person_processing=not vector["options"].get("opt_out", False),
        personless_flag_calls=vector["options"].get("ffc", False),
    )


def body(vector: dict[str, Any], token: str = "phc_vectors") -> dict[str, Any]:
    """The batch request that sends the vector's events."""
    return {
        "api_key": token,
        "batch": [
            {
                "uuid": str(UUID(int=(0x4 << 76) | (0x8 << 60) | number)),
                "timestamp": at(event["ts"]).isoformat(),
                **{
                    key: event[key]
                    for key in ("event", "distinct_id", "properties", "$set", "$set_once")
                    if key in event
                },
            }
            for number, event in enumerate(vector["events"], 1)
        ],
    }


def sent(vector: dict[str, Any]) -> Capture:
    return parse(json.dumps(body(vector)).encode(), now=NOW)
