"""``python -m tests.bench.gate``: are vehicles lost by looking only where something moves, and only so often?

Drawn vehicles of all sizes and speeds pass one at a time, with seconds of empty, rustling road between them. One
pipeline looks at every frame that has a vehicle, another one where attention sends it. Counted is what each has read
exactly when the vehicle is gone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

import numpy as np

from edge_anpr.datatypes import Frame
from edge_anpr.plates.text import reveal
from edge_anpr.tools.bench import Bench
from edge_anpr.tools.terminal import progress
from edge_anpr.unit.attention import Attention, Glance
from edge_anpr.unit.pipeline import Pipeline, is_plate
from tests.bench.roads import Road, Vehicle

FPS = 25.0
# A plate in shares of the picture's width; how long it is in view, and how long nobody is, in seconds.
WIDTHS, IN_VIEW_S, EMPTY_S = (0.07, 0.22), (0.25, 3.0), (2.0, 4.0)


def way(rng: np.random.Generator, plate: tuple[np.ndarray, str]) -> Iterator[Vehicle]:
    """A vehicle's places, frame by frame: towards the camera, away from it, or across."""
    flat, text = plate
    frames = max(round(FPS * float(np.exp(rng.uniform(*np.log(IN_VIEW_S))))), 4)
    near = float(rng.uniform(*WIDTHS))
    kind, x, y = int(rng.integers(3)), float(rng.uniform(0.25, 0.75)), float(rng.uniform(0.3, 0.7))
    for index in range(frames):
        share = index / (frames - 1)
        if kind == 2:
            yield Vehicle(0.12 + 0.76 * share, y, near, flat, text)
        else:
            share = share if kind == 0 else 1 - share
            yield Vehicle(x, 0.2 + 0.65 * share, near * (0.55 + 0.45 * share), flat, text)


def read(pipeline: Pipeline, text: str) -> bool:
    """Whether one of the passages that end here says just this."""
    found = False
    for track in pipeline.tracker.finish():
        said = pipeline.fuse(track)
        found |= said is not None and is_plate(said, track) and reveal(said.classes) == text
        pipeline.forget(track)
    return found


def main() -> int:
    """Drive, count, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gate", description=__doc__)
    parser.add_argument("--vehicles", type=int, default=300)
    said = parser.parse_args()
    rng, bench = np.random.default_rng(11), Bench(threads=1)
    road = Road(640, 480, FPS)
    every, gated, attention = bench.pipeline(), bench.pipeline(), Attention()
    right, looks, index = np.zeros((2, 2), int), [0, 0], 0

    def gate(frame: Frame) -> None:
        glance = attention.glance(frame, gated.tracker.under_way)
        if glance is Glance.ASLEEP:
            gated.tracker.hold(frame.captured_ns)
        elif glance is Glance.LOOK:
            gated.see(frame, attention.moving)
            looks[1] += 1

    with progress(said.vehicles, "vehicles") as step:
        for plate in road.plates(said.vehicles):
            for _ in range(round(FPS * float(rng.uniform(*EMPTY_S)))):
                gate(road.frame(index, []))
                index += 1
            for vehicle in way(rng, plate):
                frame = road.frame(index, [vehicle])
                every.see(frame)
                looks[0] += 1
                gate(frame)
                index += 1
            right[int(read(every, plate[1])), int(read(gated, plate[1]))] += 1
            step(1)
    sys.stdout.write(
        f"of {said.vehicles} vehicles {right[1].sum()} are read exactly with every frame looked at ({looks[0]} looks), "
        f"{right[:, 1].sum()} with the gate ({looks[1]} looks): {right[1, 0]} that every frame gives are lost, "
        f"{right[0, 1]} are won\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
