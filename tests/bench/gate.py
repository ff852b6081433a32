"""``python -m tests.bench.gate``: are vehicles lost by looking only where something moves, and only so often?

Drawn vehicles of all sizes and speeds pass one at a time, with seconds of empty, rustling road between them. One
pipeline looks at every frame that has a vehicle, another one where attention sends it, and a third as often as that,
but is told that something moves all the time: what it reads more than the second is what the gate loses. Counted is
what each has read exactly when the vehicle is gone, and what it then tells: texts that were never issued are not
written like plates, and must be found more surely.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

import numpy as np

from edge_anpr.datatypes import Frame, Gray
from edge_anpr.plates.text import reveal
from edge_anpr.tools.bench import Bench
from edge_anpr.tools.terminal import progress
from edge_anpr.unit.attention import Attention, Glance
from edge_anpr.unit.pipeline import Pipeline, is_plate
from edge_anpr.vision.motion import Motion
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


class Unrest(Motion):
    """Sees movement in every picture."""

    def look(self, lores: Gray, now_ns: int) -> bool:
        """True."""
        super().look(lores, now_ns)
        return True


class Watch:
    """A pipeline that sees what attention lets it see. ``looks`` are counted."""

    def __init__(self, bench: Bench, motion: Motion | None) -> None:
        self.pipeline, self.looks, self._attention = bench.pipeline(), 0, Attention()
        if motion is not None:
            self._attention._motion = motion

    def see(self, frame: Frame) -> None:
        """Take one frame."""
        glance = self._attention.glance(frame, self.pipeline.tracker.under_way)
        if glance is Glance.ASLEEP:
            self.pipeline.tracker.hold(frame.captured_ns)
        elif glance is Glance.LOOK:
            self.pipeline.see(frame, self._attention.moving)
            self.looks += 1


def main() -> int:
    """Drive, count, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gate", description=__doc__)
    parser.add_argument("--vehicles", type=int, default=300)
    said = parser.parse_args()
    rng, bench = np.random.default_rng(11), Bench(threads=1)
    road = Road(640, 480, FPS)
    every, gated, awake = bench.pipeline(), Watch(bench, None), Watch(bench, Unrest())
    told: list[tuple[tuple[bool, bool], ...]] = []
    looks, index = 0, 0

    def empty(frames: int) -> None:
        nonlocal index
        for _ in range(frames):
            frame = road.frame(index, [])
            gated.see(frame)
            awake.see(frame)
            index += 1

    with progress(said.vehicles, "vehicles") as step:
        for plate in road.plates(said.vehicles):
            empty(round(FPS * float(rng.uniform(*EMPTY_S))))
            for vehicle in way(rng, plate):
                frame = road.frame(index, [vehicle])
                every.see(frame)
                looks += 1
                gated.see(frame)
                awake.see(frame)
                index += 1
            told.append(tuple(read(pipeline, plate[1]) for pipeline in (every, awake.pipeline, gated.pipeline)))
            step(1)
    counts = np.array(told)  # vehicles, pipelines, read or told
    for kind, verb in enumerate(("read exactly", "told")):
        whole, unrest, some = counts[:, :, kind].T
        sys.stdout.write(
            f"of {said.vehicles} vehicles {whole.sum()} are {verb} with every frame looked at ({looks} looks), "
            f"{unrest.sum()} as often as attention looks while something moves ({awake.looks} looks), "
            f"{some.sum()} with the gate ({gated.looks} looks): by the gate {(unrest & ~some).sum()} are lost and "
            f"{(some & ~unrest).sum()} won, by it and the rate {(whole & ~some).sum()} are lost and "
            f"{(some & ~whole).sum()} won\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
