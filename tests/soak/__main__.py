"""``python -m tests.soak``: a day's frames through a real unit, and whether it is afterwards what it was before.

Writes soak.json and soak.png; returns 1 when memory, descriptors or threads grew, or the watchdog was not fed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from edge_anpr.tools.terminal import progress, table
from tests.soak import judge, picture, running
from tests.soak.judge import Soak

DAY = 24 * 3600 * 12  # frames of a day at 12 a second


def main() -> int:
    """Soak, write, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--frames", type=int, default=DAY)
    parser.add_argument("--out", type=Path, default=Path("docs/soak"))
    said = parser.parse_args()
    said.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="edge-anpr-soak-") as folder, progress(said.frames, "soaking") as step:
        done = 0

        def tell(soak: Soak) -> None:
            nonlocal done
            frames = soak.health.get("frames", 0)
            step(frames - done)
            done = frames
            last = soak.samples[-1]
            sys.stdout.write(f"{last.at_s / 60:5.0f} min {frames:8} frames {last.rss_mb:6.1f} MB {last.fds} fds\n")
            sys.stdout.flush()
            _write(soak, said.out)  # what came of a soak that is broken off

        soak = running.run(Path(folder), said.frames, tell=tell)
    _write(soak, said.out)
    wrong = judge.complaints(soak)
    table("Soak", ("what", "value"), [(name, str(value)) for name, value in soak.figures().items()])
    for words in wrong:
        sys.stderr.write(f"soak: {words}\n")
    return 1 if wrong else 0


def _write(soak: Soak, folder: Path) -> None:
    told = {"figures": soak.figures(), "complaints": judge.complaints(soak), "samples": [*map(asdict, soak.samples)]}
    (folder / "soak.json").write_text(json.dumps(told, indent=1) + "\n")
    picture.draw(soak, folder / "soak.png")


if __name__ == "__main__":
    sys.exit(main())
