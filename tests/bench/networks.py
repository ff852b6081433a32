"""The two networks by themselves: rows as one batch or one by one, and outputs that are bound beforehand."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from statistics import median

import numpy as np
from numpy.typing import NDArray

from edge_anpr.vision.session import Network, shipped
from tests.bench.curves import Curve, Points

ROWS = (1, 2, 4, 8, 16)
BOUND_ROWS = (1, 4, 8)
TIMES = 200
Step = Callable[[int], None]


def batches(step: Step) -> Curve:
    """So many rows of characters in one pass, beside as many passes of one row, in turns."""
    ocr = Network(shipped("ocr"), "ocr", "ctc")
    lines: dict[str, Points] = {"one pass, ms": [], "one by one, ms": [], "one pass / one by one": []}
    for count in ROWS:
        rows = _noise(count, ocr.card.height, ocr.card.width)
        together, single = _in_turns(partial(ocr.run, rows), partial(_each, ocr, rows))
        for values, value in zip(lines.values(), (together, single, together / single), strict=True):
            values.append((count, value))
        step(1)
    return Curve("batches", "rows of characters", lines)


def bindings(step: Step) -> Curve:
    """``run`` beside a bound pass, whose outputs stand ready, in turns; the detector at 512×384."""
    detector, ocr = Network(shipped("detector"), "detector", "quad13-s8"), Network(shipped("ocr"), "ocr", "ctc")
    lines: dict[str, Points] = {}
    for name, network, size, counts in (
        ("detector", detector, (384, 512), (1,)),
        ("OCR", ocr, (ocr.card.height, ocr.card.width), BOUND_ROWS),
    ):
        for count in counts:
            plain, bound = _beside_bound(network, _noise(count, *size))
            for words, value in (("run, ms", plain), ("bound, ms", bound), ("bound / run", bound / plain)):
                lines.setdefault(f"{name}: {words}", []).append((count, value))
            step(1)
    return Curve("bindings", "pictures in a pass", dict(reversed(lines.items())))


def _beside_bound(network: Network, array: NDArray[np.uint8]) -> tuple[float, float]:
    held = network.bind(array)
    assert all(map(np.array_equal, held.run(), network.run(array)))
    return _in_turns(partial(network.run, array), held.run)


def _each(network: Network, rows: NDArray[np.uint8]) -> None:
    for row in range(len(rows)):
        network.run(rows[row : row + 1])


def _in_turns(one: Callable[[], object], other: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds of this thread for each, medians."""
    took: tuple[list[float], list[float]] = ([], [])
    for _ in range(TIMES + 10):
        for work, times in zip((one, other), took, strict=True):
            begin = time.thread_time()
            work()
            times.append(1e3 * (time.thread_time() - begin))
    return median(took[0][10:]), median(took[1][10:])


def _noise(count: int, height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (count, 1, height, width)).astype(np.uint8)
