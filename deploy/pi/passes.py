"""Milliseconds of a pass of each network and of a frame on this board, as Markdown, beside what is expected.

passes.py docs/speed/expected.json           # deploy/pi/bench.sh finds the Python for it
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np

from edge_anpr.tools import bench, machine
from edge_anpr.vision.session import Network, shipped

PASSES, WARM, LONGEST_S = 100, 5, 15.0
ROUNDS = 2
THREADS = (1, 2)
DECODERS = {"detector": "quad13-s8", "ocr": "ctc"}
# What ``vcgencmd get_throttled`` tells by its bits; those of the time since boot are 16 higher.
TROUBLE = {0: "supply too weak", 1: "clock capped", 2: "throttled", 3: "soft temperature limit"}


def spread(kind: str, size: tuple[int, int], rows: int, threads: int) -> tuple[float, float]:
    """Median and 95th percentile of a pass over noise, in milliseconds."""
    width, height = size
    network = Network(shipped(kind), kind, DECODERS[kind], threads=threads)
    given = np.random.default_rng(0).integers(0, 256, (rows, 1, height, width), np.uint8)
    took: list[float] = []
    ends = time.monotonic() + LONGEST_S
    while len(took) < WARM + PASSES and (len(took) <= WARM or time.monotonic() < ends):
        begin = time.perf_counter()
        network.run(given)
        took.append((time.perf_counter() - begin) * 1e3)
    middle, high = np.percentile(took[WARM:], [50, 95])
    return float(middle), float(high)


def table(expected: dict[str, dict[str, dict[str, float]]]) -> Iterator[str]:
    """A row for each network and size, those of one row of characters also for four."""
    heads = [f"{threads} thread{'s' * (threads > 1)}: ms (95 %)" for threads in THREADS]
    yield f"| a pass | {' | '.join(heads)} | {' | '.join(f'expected, {board}' for board in expected)} |"
    yield "|---" * (1 + len(THREADS) + len(expected)) + "|"
    for name in next(iter(expected.values())):
        kind, _, size = name.partition(" ")
        width, height = map(int, size.split("x"))
        for rows in (1, 4) if kind == "ocr" else (1,):
            took = [spread(kind, (width, height), rows, threads) for threads in THREADS]
            cells = [f"{middle:.1f} ({high:.1f})" for middle, high in took]
            cells += [f"{rows * of[name]['least']:.0f} to {rows * of[name]['most']:.0f}" for of in expected.values()]
            what = f"{kind}, {rows} row{'s' * (rows > 1)}" if kind == "ocr" else f"{kind} {width}×{height}"
            yield f"| {what} | {' | '.join(cells)} |"


def state() -> str:
    """Clock, temperature and what the board says of its supply, as far as it tells."""
    found = []
    for name, path, unit in (
        ("clock", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "MHz"),
        ("temperature", "/sys/class/thermal/thermal_zone0/temp", "°C"),
    ):
        try:
            found.append(f"{name} {int(Path(path).read_text('ascii')) / 1e3:.0f} {unit}")
        except (OSError, ValueError):
            found.append(f"{name} unknown")
    if program := shutil.which("vcgencmd"):
        said = subprocess.run([program, "get_throttled"], check=False, capture_output=True, text=True).stdout
        found.append(troubles(said))
    return ", ".join(found)


def troubles(said: str) -> str:
    """``throttled=0x50000`` in words."""
    try:
        bits = int(said.strip().removeprefix("throttled="), 16)
    except ValueError:
        return f"vcgencmd: {said.strip() or 'says nothing'}"
    now = [what for bit, what in TROUBLE.items() if bits >> bit & 1]
    since = [what for bit, what in TROUBLE.items() if bits >> (bit + 16) & 1]
    return f"now {' and '.join(now) or 'no complaint'}, since boot {' and '.join(since) or 'none'}"


def main() -> None:
    """Measure and print."""
    cv2.setNumThreads(1)
    expected = json.loads(Path(sys.argv[1]).read_bytes())
    versions = f"Python {platform.python_version()}, ONNX Runtime {version('onnxruntime')}, OpenCV {cv2.__version__}"
    print(f"**{machine.name()}**, {platform.machine()}, Linux {platform.release()}, {versions}\n\nbefore: {state()}\n")
    for line in table(expected):
        print(line, flush=True)
    clip = Path(bench.__file__).parents[1] / "demo" / "clip.mp4"
    ready = bench.Bench(1)
    told = bench.measure(ready, bench.frames(clip, None), rounds=ROUNDS, step=lambda _: None)
    print(f"\nafter: {state()}\n\n{bench.line(told)}")


if __name__ == "__main__":
    main()
