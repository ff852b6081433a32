"""A hit as it leaves the unit: schema ``anpr.hit/1`` (hit.schema.json beside this file is its contract)."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import cv2
import numpy as np

from edge_anpr.datatypes import Frame, Match, Phase, PlateDetection, PlateRead
from edge_anpr.plates.syntax import likely_layout
from edge_anpr.plates.text import reveal
from edge_anpr.privacy.wipe import wipe
from edge_anpr.unit.clock import ClockQuality, iso
from edge_anpr.watch.watchlist import Header

SCHEMA = "anpr.hit/1"
# A mobile link is paid by the byte. The demo's plates take 1.7 to 4.1 kB at the first of these; only noise needs the
# others. The contract allows 6000 bytes; with 5000 a sealed hit is of the smallest class of sizes (8254 bytes, not
# 16446) even with 1.5 kB of other things in it.
MOST_EVIDENCE_BYTES = 5000
EVIDENCE_STEPS = ((240, 80), (240, 60), (240, 40), (180, 40), (120, 40), (80, 40), (40, 20))
"""Width in pixels and JPEG quality, until one is small enough."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What is the same in every hit of one start of the recogniser; ``unit`` is ``org/site/unit``."""

    unit: str
    boot_id: str
    camera: str
    direction: str
    detector_sha256: str
    ocr_sha256: str


@dataclass(slots=True)
class OpenHit:
    """A hit whose passage goes on, and the list it rests on, which may be replaced meanwhile.

    ``expires``: when the entry ends, UTC. ``best_width_px`` is the widest plate its evidence was cut from.
    """

    hit_id: str
    match: Match
    header: Header
    captured_at: datetime
    expires: datetime
    evidence: bytes | None = field(default=None, repr=False)
    best_width_px: float = 0.0


def evidence(frame: Frame, detection: PlateDetection) -> bytes:
    """The plate that was read and a little around it, as JPEG of at most ``MOST_EVIDENCE_BYTES``."""
    picture = frame.luma if frame.colour is None else frame.colour
    box = detection.box
    left, top = max(int(box.left - box.width * 0.15), 0), max(int(box.top - box.height * 0.3), 0)
    right, bottom = int(box.left + box.width * 1.15) + 1, int(box.top + box.height * 1.3) + 1
    crop = picture[top:bottom, left:right]
    for width_px, quality in EVIDENCE_STEPS:
        encoded = _encoded(crop, width_px, quality)
        if encoded.size <= MOST_EVIDENCE_BYTES:
            break
        wipe(encoded)
    jpeg = encoded.tobytes()
    wipe(encoded)
    return jpeg


def _encoded(crop: np.ndarray, width_px: int, quality: int) -> np.ndarray:
    scale = min(width_px / crop.shape[1], width_px / crop.shape[0], 1.0)
    if scale < 1.0:
        size = max(round(crop.shape[1] * scale), 1), max(round(crop.shape[0] * scale), 1)
        crop = np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), np.uint8)
    return cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]


def payload(
    hit: OpenHit,
    read: PlateRead,
    phase: Phase,
    *,
    seq: int,
    origin: Origin,
    clock: ClockQuality,
) -> bytes:
    """The hit as JSON, UTF-8.

    A withdrawn one says nothing of what was read in the end: that is the plate of somebody who is not listed.
    """
    shown = phase is not Phase.WITHDRAWN
    layout = likely_layout(read.classes) if shown else None
    body: dict[str, Any] = {
        "schema": SCHEMA,
        "hit_id": hit.hit_id,
        "phase": phase.value,
        "seq": seq,
        "unit": origin.unit,
        "boot_id": origin.boot_id,
        "captured_at": iso(hit.captured_at),
        "clock": {"sync": clock.sync, "error_ms": clock.error_ms},
        "camera": origin.camera,
        "direction": origin.direction,
        "read": reveal(read.classes) if shown else None,
        "country": layout.country if layout else None,
        "layout": f"{layout.country} {layout.name}" if layout else None,
        "char_confidence": [round(float(value), 3) for value in read.char_confidence] if shown else [],
        "frames": read.frames,
        "agree": read.agree,
        "match": {
            "class": hit.match.match_class.value,
            "probability": round(hit.match.probability, 4),
            "listed": hit.match.listed,
            "list_id": hit.header.list_id,
            "list_version": hit.header.version,
            "entry": hit.match.entry,
            "reason": hit.match.reason,
            "basis": hit.header.mandate.reference,
            "expires": iso(hit.expires),
        },
        "verify": "visual",
        "evidence": None
        if hit.evidence is None or not shown
        else {
            "jpeg": base64.b64encode(hit.evidence).decode(),
            "sha256": hashlib.sha256(hit.evidence).hexdigest(),
        },
        "model": {"detector": origin.detector_sha256, "ocr": origin.ocr_sha256},
    }
    return json.dumps(body, separators=(",", ":")).encode()
