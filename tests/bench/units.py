"""What several cameras cost: a unit has one, so that they are as many units on one board."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.bench.curves import Curve, Points

CAMERAS = (1, 2, 3, 4)
# All that the recogniser imports, both networks loaded and run, and a 1080p picture looked at.
_UNIT = """
import sys
import cv2
cv2.setNumThreads(1)
import edge_anpr.unit.recogniser
from edge_anpr.tools.bench import Bench
from tests.bench.scenes import one_vehicle
pipeline = Bench(threads=1).pipeline()
for frame in one_vehicle()[:6]:
    pipeline.see(frame)
print("ready", flush=True)
sys.stdin.read()
"""
Step = Callable[[int], None]


def cameras(step: Step) -> Curve:
    """Memory of as many recognisers, with what they share (libraries, their code) counted once."""
    lines: dict[str, Points] = {"all of them, MB": [], "the share of each, MB": []}
    running: list[subprocess.Popen[str]] = []
    try:
        for count in CAMERAS:
            running.append(
                subprocess.Popen(
                    [sys.executable, "-c", _UNIT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
            assert running[-1].stdout is not None
            assert running[-1].stdout.readline() == "ready\n"
            total = sum(_pss_mb(one.pid) for one in running)
            for values, value in zip(lines.values(), (total, total / count), strict=True):
                values.append((count, value))
            step(1)
    finally:
        for one in running:
            one.communicate("")
    return Curve("cameras", "cameras", lines)


def _pss_mb(pid: int) -> float:
    found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text("ascii"), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1e3
