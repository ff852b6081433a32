"""Figures and training curves as pictures; the only file that names matplotlib."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from figures import Figures

mpl.use("Agg")
from matplotlib import pyplot as plt


def draw_figures(figures: Figures, folder: Path) -> None:
    """One PNG for each curve: shares by width, or reliability against the diagonal of a true confidence."""
    for name, points in figures.curves.items():
        plot, axes = plt.subplots(figsize=(5, 3.6), layout="constrained")
        xs, ys = [x for x, _, _ in points], [y for _, y, _ in points]
        axes.plot(xs, ys, marker="o", color="#1f6f8b")
        for x, y, of in points:
            axes.annotate(str(of), (x, y), textcoords="offset points", xytext=(0, 6), fontsize=6, ha="center")
        if "confidence" in name or "probability" in name:
            axes.plot((0, 1), (0, 1), color="#999999", linestyle=":")
            axes.set(xlim=(0, 1.02), ylim=(0, 1.05), xlabel="said", ylabel="right")
        else:
            axes.set(ylim=(0, 1.05), xscale="log", xlabel="px", ylabel="share")
            axes.set_xticks(xs, [f"{x:g}" for x in xs], fontsize=7)
            axes.minorticks_off()
        axes.set_title(name, fontsize=8)
        axes.grid(alpha=0.3)
        plot.savefig(folder / (re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") + ".png"), dpi=110)
        plt.close(plot)


def draw_failures(figures: Figures, path: Path, count: int = 32) -> None:
    """A contact sheet of rendered rows that were misread: what stands there, and below it what was read."""
    chosen = figures.failures[:: max(1, len(figures.failures) // count)][:count]
    plot, places = plt.subplots(4, 8, figsize=(12, 4.2), layout="constrained")
    for axes in places.flat:
        axes.set_axis_off()
    for axes, (crop, text, said) in zip(places.flat, chosen, strict=False):
        axes.imshow(crop, cmap="gray", vmin=0, vmax=255, aspect=1.0)
        axes.set_title(f"{text or 'nothing'}\n{said or 'nothing'}", fontsize=7)
    plot.savefig(path, dpi=90)
    plt.close(plot)


def draw_curve(points: Sequence[Mapping[str, float]], path: Path, x: str, title: str) -> None:
    """A training run: each value of `points` over `x`, losses below and measured shares above."""
    names = sorted({name for point in points for name in point} - {x, "minutes", "lr"})
    losses = [name for name in names if any(word in name for word in ("loss", "score", "box", "corner"))]
    plot, (upper, lower) = plt.subplots(2, 1, figsize=(7, 6), sharex=True, layout="constrained")
    for axes, chosen in ((upper, [name for name in names if name not in losses]), (lower, losses)):
        for name in chosen:
            seen = [(point[x], point[name]) for point in points if name in point]
            axes.plot([a for a, _ in seen], [b for _, b in seen], label=name, linewidth=1)
        axes.grid(alpha=0.3)
        if chosen:
            axes.legend(fontsize=7)
    lower.set_xlabel(x)
    upper.set_title(title, fontsize=10)
    plot.savefig(path, dpi=110)
    plt.close(plot)
