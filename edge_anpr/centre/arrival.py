"""What the receiver hands to the store: messages as they arrived, and what a hit's message is as rows."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

RANK = {"first": 0, "final": 1, "withdrawn": 2}
"""Of a hit's messages the one that ranks highest is what counts, in whatever order they come."""


class Taken(StrEnum):
    """What became of a message; whichever it is, the store holds it on disk.

    New; here already; a second message for the same place with other content; one that no record can be made of. The
    last two are kept aside as poison.
    """

    STORED = "stored"
    REPEAT = "repeat"
    DIFFERS = "differs"
    UNFIT = "unfit"


class Unfit(Exception):
    """No record can be made of this message; the text quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A hit's message that has been opened and found to be what its schema says.

    ``unit`` is ``org/site/unit`` of its topic, ``raw`` the message as it was sent (sealed or not), ``digest`` the
    SHA-256 of that as hex. ``age_s``: how long it waited on the unit, None when the unit does not know.
    """

    unit: str
    camera: str
    payload: Mapping[str, Any] = field(repr=False)
    raw: bytes = field(repr=False)
    digest: str
    late: bool = False
    age_s: int | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """A unit's birth, status, health, alarm or stats; ``retained`` when the broker had kept it."""

    unit: str
    kind: str
    payload: Mapping[str, Any] = field(repr=False)
    retained: bool = False

    @property
    def shows_life(self) -> bool:
        """That the unit itself sent this just now: not the broker, which keeps states and speaks the Last Will."""
        return not self.retained and not (self.kind == "status" and self.payload.get("status") == "lost")


@dataclass(frozen=True, slots=True)
class Laid:
    """A message as columns: of ``hit``, of ``report``, and its picture."""

    hit: dict[str, Any] = field(repr=False)
    sha256: str
    jpeg: bytes | None = field(repr=False)
    jpeg_sha256: str | None = None

    @property
    def place(self) -> tuple[str, str, str]:
        """A place that one message alone can take: unit, hit_id, phase."""
        return self.hit["unit"], self.hit["hit_id"], self.hit["phase"]


def laid(arrived: Arrived, now: datetime) -> Laid:
    """The columns of a message that arrived ``now``. Raises Unfit."""
    try:
        jpeg = _jpeg(arrived.payload["evidence"])
        hit = _hit(arrived, now)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
        raise Unfit("no record can be made of it: a value is missing or out of range") from None
    return Laid(hit, arrived.digest, jpeg, None if jpeg is None else hashlib.sha256(jpeg).hexdigest())


def _hit(arrived: Arrived, now: datetime) -> dict[str, Any]:
    body, match, clock = arrived.payload, arrived.payload["match"], arrived.payload["clock"]
    if body["phase"] not in RANK:
        raise ValueError
    evidence = body["evidence"]
    kept = {**body, "evidence": None if evidence is None else {"sha256": evidence["sha256"]}}
    return {
        "unit": arrived.unit,
        "hit_id": storable(body["hit_id"]),
        "camera": arrived.camera,
        "captured_at": _moment(body["captured_at"]),
        "received_at": now,
        "phase": body["phase"],
        "boot_id": storable(body["boot_id"]),
        "seq": _whole(body["seq"]),
        "read": None if body["phase"] == "withdrawn" else _text_or_none(body["read"]),
        "listed": storable(match["listed"]),
        "class": storable(match["class"]),
        "probability": None if match["probability"] is None else float(match["probability"]),
        "list_id": storable(match["list_id"]),
        "list_version": _whole(match["list_version"]),
        "entry": _whole(match["entry"]),
        "reason": storable(match["reason"]),
        "basis": storable(match["basis"]),
        "country": _text_or_none(body["country"]),
        "late": arrived.late,
        "age_s": None if arrived.age_s is None else _whole(arrived.age_s),
        "clock_sync": bool(clock["sync"]),
        "clock_error_ms": None if clock["error_ms"] is None else _whole(clock["error_ms"]),
        "payload": json.dumps(kept, separators=(",", ":")),  # ASCII: a database may not take every character
    }


def _jpeg(evidence: Mapping[str, Any] | None) -> bytes | None:
    if evidence is None:
        return None
    jpeg = base64.b64decode(evidence["jpeg"], validate=True)
    if hashlib.sha256(jpeg).hexdigest() != evidence["sha256"]:
        raise ValueError
    return jpeg


def storable(value: str) -> str:
    """The text as both databases take it: JSON can hold half a surrogate pair, and NUL, which PostgreSQL cannot."""
    return value.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def _text_or_none(value: str | None) -> str | None:
    return None if value is None else storable(value)


def _whole(value: float) -> int:
    whole = int(value)  # JSON Schema takes 3.0 for an integer
    if not -(2**63) <= whole < 2**63:
        raise OverflowError
    return whole


def _moment(value: str) -> datetime:
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError
    return moment.astimezone(UTC)
