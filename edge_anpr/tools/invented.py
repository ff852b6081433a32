"""Hits of vehicles that do not exist, for trying the way of a hit without a camera: plates of twelve characters.

No country issues those. Everything else is as in a hit of a unit (``unit/hit.schema.json``).
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from edge_anpr.unit import clock

LIST_ID = "invented"
# Those of a unit have 5 kB at most; some of these have more, so that both usual sizes of sealed hits occur.
PICTURE_BYTES = (2000, 5900)


@dataclass(frozen=True, slots=True)
class Invented:
    """One message of a hit: what ``Outbox.append`` takes."""

    hit_id: str
    phase: str
    payload: bytes


class Inventor:
    """A camera of ``unit`` (``org/site/unit``) that saw nothing; one of these is one start of its recogniser."""

    def __init__(self, unit: str, camera: str, chance: random.Random) -> None:
        self._unit, self._camera, self._chance = unit, camera, chance
        self._quality = clock.quality()
        self.boot_id = secrets.token_hex(8)
        self.seq = 0

    def passage(self) -> Iterator[Invented]:
        """The messages of one passage, one or two; each gets its ``seq`` when it is asked for."""
        hit_id, plate = secrets.token_hex(16), f"TEST{self._chance.randrange(10**8):08d}"
        captured = datetime.now(UTC)
        # A passage that is short comes as final alone; one of twenty is withdrawn.
        (phases,) = self._chance.choices((("first", "final"), ("first", "withdrawn"), ("final",)), weights=(80, 5, 15))
        for phase in phases:
            self.seq += 1
            yield Invented(hit_id, phase, self._payload(hit_id, phase, plate, captured))

    def _payload(self, hit_id: str, phase: str, plate: str, captured: datetime) -> bytes:
        shown = phase != "withdrawn"
        jpeg = b"\xff\xd8\xff\xe0" + self._chance.randbytes(self._chance.randint(*PICTURE_BYTES)) + b"\xff\xd9"
        body: dict[str, Any] = {
            "schema": "anpr.hit/1",
            "unit": self._unit,
            "hit_id": hit_id,
            "phase": phase,
            "seq": self.seq,
            "boot_id": self.boot_id,
            "captured_at": clock.iso(captured),
            "clock": {"sync": self._quality.sync, "error_ms": self._quality.error_ms},
            "camera": self._camera,
            "direction": "unknown",
            "read": plate if shown else None,
            "country": None,
            "layout": None,
            "char_confidence": [0.99] * len(plate) if shown else [],
            "frames": 12,
            "agree": 10,
            "match": {
                "class": "exact",
                "probability": 0.99,
                "listed": plate,
                "list_id": LIST_ID,
                "list_version": 1,
                "entry": self._chance.randrange(1000),
                "reason": "load test",
                "basis": "no mandate: nothing was read",
                "expires": clock.iso(captured + timedelta(days=1)),
            },
            "verify": "visual",
            "evidence": {"jpeg": base64.b64encode(jpeg).decode(), "sha256": hashlib.sha256(jpeg).hexdigest()}
            if shown
            else None,
            "model": {"detector": "0" * 64, "ocr": "0" * 64},
        }
        return json.dumps(body, separators=(",", ":")).encode()
