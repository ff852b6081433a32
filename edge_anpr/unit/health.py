"""What the recogniser counts, and how it is told."""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge_anpr.unit.pipeline import Seen

RECENT_FRAMES = 300
STALLED_NS = 5_000_000_000


@dataclass(slots=True)
class Counters:
    """Stage counters since the start. One thread writes each of them; the main thread reads."""

    state: str = "starting"
    frames: int = 0
    detections: int = 0
    readings: int = 0
    passages: int = 0
    hits: int = 0
    hits_refused: int = 0
    hits_withheld: int = 0
    source_losses: int = 0
    source_frozen: int = 0
    last_frame_ns: int = 0  # when one came, looked at or not
    _recent: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=RECENT_FRAMES))

    def frame(self, seen: Seen, now_ns: int) -> None:
        """Count one frame that was looked at, at ``now_ns`` (monotonic)."""
        self.frames += 1
        self.detections += len(seen.sightings)
        self.readings += sum(len(sighting.reading.posteriors) > 0 for sighting in seen.sightings)
        self.last_frame_ns = now_ns
        self._recent.append((now_ns, seen.total_ms))

    def tell(self, drops: int, *, armed: bool) -> bytes:
        """The recogniser's part of the heartbeat, as JSON."""
        recent = self._lately()
        # Counts of work, so that somebody can see whether plates are being read: like a loop in the road they say that
        # vehicles passed in the last half minute, and nothing that tells one from another. How many different ones
        # there were takes tokens, and is told by the hour, rounded, or not at all (anpr.stats/1).
        body: dict[str, Any] = {
            "state": self.how(armed=armed),
            "fps": round(self.fps, 1),
            "frames": self.frames,
            "drops": drops,
            "detections": self.detections,
            "readings": self.readings,
            "passages": self.passages,
            "hits": self.hits,
            "hits_refused": self.hits_refused,
            "hits_withheld": self.hits_withheld,
            "source_losses": self.source_losses,
            "source_frozen": self.source_frozen,
            "latency_ms": _percentiles([ms for _, ms in recent]),
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
        """Frames a second that were looked at, of the last ten seconds."""
        recent = self._lately()
        span_s = (recent[-1][0] - recent[0][0]) / 1e9 if len(recent) > 1 else 0.0
        return (len(recent) - 1) / span_s if span_s else 0.0

    def _lately(self) -> list[tuple[int, float]]:
        now_ns = time.monotonic_ns()
        return [(at, ms) for at, ms in list(self._recent) if now_ns - at < 10_000_000_000]


def _percentiles(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    middle, high = np.percentile(values, [50, 95])
    return {"p50": round(float(middle), 2), "p95": round(float(high), 2)}
