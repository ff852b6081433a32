"""Runs and curves of growth as pictures; the only file of the suite that names matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

from tests.bench.curves import Curve
from tests.bench.history import Run

mpl.use("Agg")
import matplotlib.pyplot as plt

COLOURS = ("#1f6f8b", "#a33", "#3a3", "#888", "#c80", "#639", "#063")
UNITS = {"ms", "µs", "seconds", "MB"}


def draw_history(runs: Sequence[Run], picture: Path) -> None:
    """By scene, over the runs that were kept: a look beside the bare networks, and the share of one core."""
    figure, (ratio, core) = plt.subplots(2, 1, figsize=(8, 6), sharex=True, layout="constrained")
    for colour, scene in zip(COLOURS, dict.fromkeys(name for run in runs for name in run.scenes), strict=False):
        for axes, name in ((ratio, "ratio_to_bare"), (core, "core_percent")):
            seen = [(at, run.scenes.get(scene, {}).get(name)) for at, run in enumerate(runs)]
            points = [(at, value) for at, value in seen if value is not None]
            axes.plot([at for at, _ in points], [value for _, value in points], "o-", color=colour, lw=1, label=scene)
    ratio.set(ylim=(1, None), ylabel="a look, times the bare networks")
    core.set(ylim=(0, None), ylabel="% of one core")
    core.set_xticks(range(len(runs)), [f"{run.committed[:10]}\n{run.version}" for run in runs], fontsize=8)
    core.set_xlim(-0.5, len(runs) - 0.5)
    core.legend(fontsize=8)
    machines = dict.fromkeys(run.machine for run in runs)
    ratio.set_title("; ".join(machines), loc="left", fontsize=8)
    for axes in (ratio, core):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    figure.savefig(picture, dpi=110)
    plt.close(figure)


def draw_curve(curve: Curve, picture: Path) -> None:
    """Each cost that has a unit, over what grows; both axes in decades where that spans more than two of them."""
    figure, axes = plt.subplots(figsize=(9, 4), layout="constrained")
    lines = {name: points for name, points in curve.lines.items() if UNITS & set(name.replace(",", "").split())}
    across = [x for points in lines.values() for x, _ in points]
    least = min((x for x in across if x), default=1)
    for colour, (name, points) in zip(COLOURS, lines.items(), strict=False):
        axes.plot([x for x, _ in points], [y for _, y in points], "o-", color=colour, lw=1, ms=4, label=name)
    if max(across) / least > 100:
        axes.set(xscale="log", yscale="log")
    else:
        axes.set_ylim(0, None)
    axes.set_xlabel(curve.x)
    figure.legend(loc="outside right upper", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    figure.savefig(picture, dpi=110)
    plt.close(figure)
