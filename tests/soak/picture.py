"""A soak as a picture."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

from tests.soak.judge import WARM_UP, Soak

mpl.use("Agg")
import matplotlib.pyplot as plt


def draw(soak: Soak, picture: Path) -> None:
    """Memory, descriptors and threads over the frames, and the watchdog's silences over the minutes."""
    figure, (memory, held, silence) = plt.subplots(3, 1, figsize=(8, 7), height_ratios=(3, 1.5, 1.5))
    frames = [one.frames / 1000 for one in soak.samples]
    memory.plot(frames, [one.rss_mb for one in soak.samples], color="#1f6f8b", lw=1, label="recogniser")
    memory.plot(frames, [one.publisher_mb for one in soak.samples], color="#888", lw=1, label="publisher")
    memory.axvline(WARM_UP * soak.asked / 1000, color="#999", ls=":", label="end of warm-up")
    memory.set(ylim=(0, None), ylabel="resident MB")
    memory.legend(loc="lower right", fontsize=8)
    grown = f"{soak.growth('rss_mb'):+.1f} MB"
    memory.set_title(f"{soak.health.get('frames', 0):,} frames; the recogniser after warm-up: {grown}", loc="left")
    held.plot(frames, [one.fds for one in soak.samples], color="#a33", lw=1, label="descriptors")
    held.plot(frames, [one.threads for one in soak.samples], color="#3a3", lw=1, label="threads")
    held.set(ylim=(0, None), xlabel="thousand frames")
    held.legend(loc="lower right", fontsize=8)
    gaps = [late - early for early, late in zip(soak.beats_s, soak.beats_s[1:], strict=False)]
    silence.plot([at / 60 for at in soak.beats_s[1:]], gaps, color="#1f6f8b", lw=1)
    silence.axhline(soak.watchdog_s, color="#a33", ls=":")
    silence.set(ylim=(0, None), xlabel="minutes", ylabel="s between beats")
    for axes in (memory, held, silence):
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(picture, dpi=110)
    plt.close(figure)
