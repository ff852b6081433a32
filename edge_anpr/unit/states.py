"""What the unit says beside its hits, kind by kind: which topic, whether retained, in which form."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from edge_anpr.unit.clock import iso

LOST = b'{"status":"lost"}'  # said by the broker, later: a time of ours would mislead
MAX_REASON = 200


@dataclass(frozen=True, slots=True)
class State:
    """How a kind of the recogniser's state is said, under the topic of its name; ``form`` None or empty: not at all."""

    retain: bool
    form: Callable[[bytes | None], bytes | None] = lambda state: state


def standing(state: bytes | None) -> bytes:
    """Online; or disarmed, and why, if the recogniser says so."""
    said = json_object(state)
    if said.get("status") != "disarmed":
        return status("online")
    return status("disarmed", reason=str(said.get("reason", ""))[:MAX_REASON])


# Each is said when it changes, and again on every new connection; so receivers of ``stats`` tell repeats by its times.
STATES = {
    "status": State(retain=True, form=standing),
    "birth": State(retain=True),
    "arm": State(retain=False),  # what was asked before a reboot must not be answered after it
    "stats": State(retain=False),
}


def alarms(recogniser: bytes | None, publisher: bytes) -> bytes:
    """All alarms that stand, of both processes."""
    ours, theirs = json_object(publisher), json_object(recogniser).get("active")
    return as_json({**ours, "active": [*(theirs if isinstance(theirs, list) else []), *ours.get("active", [])]})


def status(word: str, **more: str) -> bytes:
    """The retained word on how the unit is."""
    return as_json({"status": word, "at": now(), **more})


def json_object(raw: bytes | None) -> dict[str, Any]:
    """The object in these bytes, empty for anything else: what a killed process left is no reason to stop."""
    try:
        value = json.loads(raw or b"null")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def as_json(value: dict[str, Any]) -> bytes:
    """Compact JSON, UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def now() -> str:
    """UTC, by this unit's clock."""
    return iso(datetime.now(UTC))
