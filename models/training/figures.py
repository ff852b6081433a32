"""Measured figures: shares with their 95 % intervals, single numbers, curves to draw."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(slots=True)
class Figures:
    """Rows of (what, right, of), single numbers, and curves by name: points (x, share, of).

    ``failures``: rendered crops that were misread, what stands there and what was read; never a real plate.
    """

    counts: list[tuple[str, int, int]] = field(default_factory=list)
    numbers: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[tuple[float, float, int]]] = field(default_factory=dict)
    failures: list[tuple[npt.NDArray[np.uint8], str, str]] = field(default_factory=list)

    def shares(self) -> list[tuple[str, int, int, float, float]]:
        """The counts with their intervals."""
        return [(what, right, of, *wilson(right, of)) for what, right, of in self.counts]

    def as_json(self) -> dict[str, Any]:
        """All of it, for a file."""
        return {"counts": self.shares(), "numbers": self.numbers, "curves": self.curves}

    def markdown(self, only: tuple[str, ...] = ("",)) -> str:
        """The tables as Markdown; of the rows, those that begin with one of ``only``."""
        rows = ["| measured | right of all | share, 95 % interval |", "|---|---|---|"]
        for what, right, of, low, high in self.shares():
            if what.startswith(only):
                rows.append(f"| {what} | {right} of {of} | {right / max(of, 1):.1%}, {low:.1%} to {high:.1%} |")
        rows += ["", "| measured | value |", "|---|---|"]
        rows += [f"| {what} | {value:g} |" for what, value in self.numbers.items() if what.startswith(only)]
        return "\n".join(rows)


def wilson(right: int, of: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson score)."""
    if not of:
        return 0.0, 1.0
    z, share = 1.96, right / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def calibration_error(
    sure: npt.NDArray[np.float64], right: npt.NDArray[np.bool_], bins: int = 15
) -> tuple[float, list[tuple[float, float, int]]]:
    """Expected calibration error over bins of equal width, and each bin's (mean confidence, share right, count)."""
    which = np.minimum((sure * bins).astype(int), bins - 1)
    points = [
        (float(sure[which == b].mean()), float(right[which == b].mean()), int((which == b).sum()))
        for b in range(bins)
        if (which == b).any()
    ]
    return sum(abs(mean - share) * count for mean, share, count in points) / max(len(sure), 1), points


def fold(text: str) -> str:
    """O as 0 and I as 1."""
    return text.replace("O", "0").replace("I", "1")
