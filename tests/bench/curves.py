"""A cost over what may grow, and whether it grows faster than that."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

Points = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Curve:
    """Costs by name, each as points (how much there is, cost), over ``x``, which has a name and a unit."""

    name: str
    x: str
    lines: Mapping[str, Points]

    def markdown(self) -> str:
        """A table: how much there is across, each cost with how it grows below."""
        across = [x for x, _ in next(iter(self.lines.values()))]
        rows = [
            f"| {self.x} | " + " | ".join(f"{x:,.6g}" for x in across) + " | grows |",
            "|---" * len(across) + "|---|---|",
        ]
        for name, points in self.lines.items():
            values = dict(points)
            cells = (f"{values[x]:,.4g}" if x in values else "-" for x in across)
            rows.append(f"| {name} | {' | '.join(cells)} | {growth(points)} |")
        return "\n".join(rows)


def growth(points: Points) -> str:
    """How a cost grows in the last part of its points: from a quarter of the most on."""
    if len(points) < 2:
        return "-"
    most, last = points[-1]
    first, cost = next(point for point in points if point[0] >= most / 4 or point == points[-2])
    if min(first, cost, last) <= 0:
        return "-"
    power = math.log(last / cost) / math.log(most / first)
    words = ((0.2, "not"), (0.85, "slower than linear"), (1.2, "linear"), (math.inf, "faster than linear"))
    return next(word for limit, word in words if power <= limit)


def medians(
    across: Sequence[float], measure: Callable[[float], Mapping[str, float]], rounds: int, step: Callable[[int], None]
) -> dict[str, Points]:
    """Measure at each place, round by round, so that what else the machine does meets all of them alike."""
    seen: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for _ in range(rounds):
        for x in across:
            for name, value in measure(x).items():
                seen[name][x].append(value)
            step(1)
    return {name: [(x, median(values)) for x, values in by.items()] for name, by in seen.items()}
