"""``python -m tests.bench.gate``: are vehicles lost by looking only where something moves, and only so often?

Drawn vehicles of all sizes and speeds pass one at a time, with seconds of empty, rustling road between them. One
pipeline looks at every frame that has a vehicle, another one where attention sends it. Counted is what each has read
exactly when the vehicle is gone, and what it then tells: texts that were never issued are not written like plates, and
must be found more surely.
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


def read(pipeline: Pipeline, text: str) -> tuple[bool, bool]:
    """Whether one of the passages that end here says just this, and whether it is taken for a plate, too."""
    is_read = is_told = False
    for track in pipeline.tracker.finish():
        said = pipeline.fuse(track)
        if said is not None and reveal(said.classes) == text:
            is_read, is_told = True, is_told or is_plate(said, track)
        pipeline.forget(track)
    return is_read, is_told


def main() -> int:
    """Drive, count, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gate", description=__doc__)
    parser.add_argument("--vehicles", type=int, default=300)
    said = parser.parse_args()
    rng, bench = np.random.default_rng(11), Bench(threads=1)
    road = Road(640, 480, FPS)
    every, gated, attention = bench.pipeline(), bench.pipeline(), Attention()
    right, looks, index = np.zeros((2, 2, 2), int), [0, 0], 0  # read or told, with every frame, with the gate

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
            for count, whole, some in zip(right, read(every, plate[1]), read(gated, plate[1]), strict=True):
                count[int(whole), int(some)] += 1
            step(1)
    for count, verb in zip(right, ("read exactly", "told"), strict=True):
        sys.stdout.write(
            f"of {said.vehicles} vehicles {count[1].sum()} are {verb} with every frame looked at ({looks[0]} looks), "
            f"{count[:, 1].sum()} with the gate ({looks[1]} looks): {count[1, 0]} are lost, {count[0, 1]} are won\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
