"""What a soak measured, and what of it is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

WARM_UP = 0.05  # of all frames
MOST_GROWTH_MB = 5.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at recogniser and publisher; ``at_s`` from the first, ``waiting``: hits in the outbox."""

    at_s: float
    frames: int
    rss_mb: float
    fds: int
    threads: int
    publisher_mb: float
    waiting: int


@dataclass(slots=True)
class Soak:
    """``beats_s``: when systemd heard WATCHDOG=1, from READY=1 to the end, in seconds since the first sample."""

    asked: int
    watchdog_s: float
    samples: list[Sample] = field(default_factory=list)
    beats_s: list[float] = field(default_factory=list)
    health: dict[str, Any] = field(default_factory=dict)
    delivered: int = 0
    code: int | None = None

    @property
    def longest_silence_s(self) -> float:
        """Between two beats of the watchdog."""
        return max((late - early for early, late in zip(self.beats_s, self.beats_s[1:], strict=False)), default=1e9)

    def growth(self, what: str) -> float:
        """By how much more there is in the last tenth of the samples than in the first, after warm-up (medians)."""
        warm = [float(getattr(one, what)) for one in self.samples if one.frames >= WARM_UP * self.asked]
        tenth = max(len(warm) // 10, 1)
        return median(warm[-tenth:]) - median(warm[:tenth]) if warm else 0.0

    def figures(self) -> dict[str, Any]:
        """What is told of it."""
        warm = [one for one in self.samples if one.frames >= WARM_UP * self.asked] or self.samples[-1:]
        return {
            "frames": self.health.get("frames", 0),
            "hours_at_12_fps": round(self.health.get("frames", 0) / 12 / 3600, 2),
            "minutes": round(self.samples[-1].at_s / 60, 1),
            "rss_growth_mb": round(self.growth("rss_mb"), 2),
            "rss_mb": [round(min(one.rss_mb for one in warm), 1), round(max(one.rss_mb for one in warm), 1)],
            "publisher_growth_mb": round(self.growth("publisher_mb"), 2),
            "fds": [min(one.fds for one in warm), max(one.fds for one in warm)],
            "threads": [min(one.threads for one in warm), max(one.threads for one in warm)],
            "hits_waiting_most": max(one.waiting for one in self.samples),
            "watchdog_s": self.watchdog_s,
            "watchdog_longest_silence_s": round(self.longest_silence_s, 2),
            "watchdog_beats": len(self.beats_s),
            "hits_delivered": self.delivered,
            "health": self.health,
            "exit_code": self.code,
        }


def complaints(soak: Soak) -> Sequence[str]:
    """What is wrong, in words; empty when it went well."""
    grown = {what: soak.growth(what) for what in ("rss_mb", "publisher_mb", "fds", "threads")}
    checks = (
        (soak.health.get("frames", 0) < soak.asked, f"{soak.health.get('frames', 0)} of {soak.asked} frames"),
        (grown["rss_mb"] > MOST_GROWTH_MB, f"the recogniser grew by {grown['rss_mb']:.1f} MB"),
        (grown["publisher_mb"] > MOST_GROWTH_MB, f"the publisher grew by {grown['publisher_mb']:.1f} MB"),
        (grown["fds"] > 0, f"{grown['fds']:g} more descriptors are open"),
        (grown["threads"] > 0, f"{grown['threads']:g} more threads run"),
        (
            soak.longest_silence_s >= soak.watchdog_s,
            f"the watchdog heard nothing for {soak.longest_silence_s:.1f} s of {soak.watchdog_s:g}",
        ),
        (not soak.health.get("hits") or not soak.delivered, "no hit came out"),
        (soak.code != 0, f"the recogniser ended with {soak.code}"),
    )
    return [words for wrong, words in checks if wrong]
