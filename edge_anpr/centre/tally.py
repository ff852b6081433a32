"""Counts hits for a report: how many there were, how many were right, how long they took. It names no plate."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from edge_anpr.centre.records import Counted

DIMENSIONS = ("unit", "list", "class", "month")
_Z = 1.959964  # of a two-sided interval of 95 %


@dataclass(slots=True)
class Tally:
    """The counts of a group of hits. ``right`` of those that the operator judged are ``confirmed``."""

    hits: int = 0
    confirmed: int = 0
    misread: int = 0
    stale: int = 0
    withdrawn: int = 0
    late: int = 0
    delivery_s: list[float] = field(default_factory=list)

    def add(self, hit: Counted) -> None:
        """One more."""
        self.hits += 1
        self.withdrawn += hit.phase == "withdrawn"
        self.late += hit.late
        self.confirmed += hit.verdict == "confirmed"
        self.misread += hit.verdict == "misread"
        self.stale += hit.verdict == "stale"
        if hit.delivery_s is not None:
            self.delivery_s.append(hit.delivery_s)

    @property
    def judged(self) -> int:
        """How many hits the operator said something about."""
        return self.confirmed + self.misread + self.stale

    @property
    def median_s(self) -> float | None:
        """Half of the hits whose time is known arrived within so many seconds."""
        return median(self.delivery_s) if self.delivery_s else None

    def told(self) -> dict[str, Any]:
        """As JSON; ``right`` with its 95 % interval, None where nobody judged."""
        return {
            "hits": self.hits,
            "confirmed": self.confirmed,
            "misread": self.misread,
            "stale": self.stale,
            "not_judged": self.hits - self.judged,
            "withdrawn": self.withdrawn,
            "late": self.late,
            "right": self.confirmed / self.judged if self.judged else None,
            "right_95": list(interval(self.confirmed, self.judged)) if self.judged else None,
            "median_delivery_s": None if self.median_s is None else round(self.median_s, 3),
        }


def tallied(hits: Iterable[Counted]) -> tuple[Tally, dict[str, dict[str, Tally]]]:
    """All of them, and by each dimension and value."""
    total = Tally()
    groups: dict[str, dict[str, Tally]] = {name: {} for name in DIMENSIONS}
    for hit in hits:
        total.add(hit)
        for name, value in zip(DIMENSIONS, (hit.unit, hit.list_id, hit.match_class, hit.month), strict=True):
            groups[name].setdefault(value, Tally()).add(hit)
    return total, {name: dict(sorted(of_name.items())) for name, of_name in groups.items()}


def interval(good: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    share, z2 = good / total, _Z * _Z
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    return max(middle - half, 0.0), min(middle + half, 1.0)
