"""What the recogniser counts, and how it is told."""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge_anpr.unit.governor import Governor
from edge_anpr.unit.pipeline import Seen

RECENT_FRAMES = 300
STALLED_NS = 5_000_000_000


@dataclass(slots=True)
class Counters:
    """Stage counters since the start. One thread writes each of them; the main thread reads."""

    state: str = "starting"
    frames: int = 0
    frames_moving: int = 0
    looks: int = 0
    detections: int = 0
    readings: int = 0
    passages: int = 0
    hits: int = 0
    hits_refused: int = 0
    hits_withheld: int = 0
    source_losses: int = 0
    source_frozen: int = 0
    last_frame_ns: int = 0  # when one came, looked at or not
    _recent: deque[int] = field(default_factory=lambda: deque(maxlen=RECENT_FRAMES))
    _latency_ms: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=RECENT_FRAMES))

    def came(self, now_ns: int, *, moves: bool) -> None:
        """Count one frame, at ``now_ns`` (monotonic), and whether anything moved about then."""
        self.frames += 1
        self.frames_moving += moves
        self.last_frame_ns = now_ns
        self._recent.append(now_ns)

    def looked(self, seen: Seen) -> None:
        """Count what was seen in a frame that the networks looked at."""
        self.looks += 1
        self.detections += len(seen.sightings)
        readings = (sighting.reading for sighting in seen.sightings)
        self.readings += sum(reading is not None and len(reading.posteriors) > 0 for reading in readings)
        self._latency_ms.append((self.last_frame_ns, seen.total_ms))

    def tell(self, drops: int, governor: Governor, *, armed: bool) -> bytes:
        """The recogniser's part of the heartbeat, as JSON."""
        # Counts of work, so that somebody can see whether plates are being read: like a loop in the road they say that
        # vehicles passed in the last half minute, and nothing that tells one from another. How many different ones
        # there were takes tokens, and is told by the hour, rounded, or not at all (anpr.stats/1).
        body: dict[str, Any] = {
            "state": self.how(armed=armed),
            "fps": round(self.fps, 1),
            "frames": self.frames,
            "frames_moving": self.frames_moving,
            "looks": self.looks,
            "drops": drops,
            "detections": self.detections,
            "readings": self.readings,
            "passages": self.passages,
            "hits": self.hits,
            "hits_refused": self.hits_refused,
            "hits_withheld": self.hits_withheld,
            "source_losses": self.source_losses,
            "source_frozen": self.source_frozen,
            "temperature_c": governor.temperature_c,
            "rate": round(governor.rate, 2),
            "latency_ms": _percentiles([ms for at, ms in list(self._latency_ms) if _is_recent(at)]),
        }
        return json.dumps(body, separators=(",", ":")).encode()

    def how(self, *, armed: bool) -> str:
        """In a word or two."""
        if self.state == "running" and not armed:
            return "disarmed"
        if self.state == "running" and time.monotonic_ns() - self.last_frame_ns > STALLED_NS:
            return "stalled"
        return self.state

    @property
    def fps(self) -> float:
        """Frames a second that came while a list was in force, of the last ten seconds."""
        recent = [at for at in list(self._recent) if _is_recent(at)]
        span_s = (recent[-1] - recent[0]) / 1e9 if len(recent) > 1 else 0.0
        return (len(recent) - 1) / span_s if span_s else 0.0


def _is_recent(at_ns: int) -> bool:
    return time.monotonic_ns() - at_ns < 10_000_000_000


def _percentiles(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    middle, high = np.percentile(values, [50, 95])
    return {"p50": round(float(middle), 2), "p95": round(float(high), 2)}
