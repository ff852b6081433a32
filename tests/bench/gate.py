"""``python -m tests.bench.gate``: are vehicles lost by looking only where something moves, and only so often?

Drawn vehicles of all sizes and speeds pass one at a time, in and out at the picture's border, with seconds of empty,
rustling road between them. One pipeline looks at every frame that has a vehicle, another one where attention sends it,
and a third as often as that, but is told that something moves all the time: what it reads more than the second is what
the gate loses. Counted is what each has read exactly when the vehicle is gone, what it then tells, and what else it
tells: texts that were never issued are not written like plates, and must be found more surely.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

import numpy as np

from edge_anpr.datatypes import Frame, Gray, Track
from edge_anpr.plates.text import reveal
from edge_anpr.tools.bench import Bench
from edge_anpr.tools.terminal import progress
from edge_anpr.unit.attention import Attention, Glance
from edge_anpr.unit.pipeline import is_plate
from edge_anpr.vision.motion import Motion
from tests.bench.roads import Road, Vehicle

FPS = 25.0
# A plate in shares of the picture's width; how long it takes to cross most of the picture, and how long nobody is in
# view, in seconds; where its middle begins and ends, in shares of the picture.
WIDTHS, IN_VIEW_S, EMPTY_S, ENDS = (0.07, 0.22), (0.25, 3.0), (2.0, 4.0), (-0.15, 1.15)


def way(rng: np.random.Generator, plate: tuple[np.ndarray, str]) -> Iterator[Vehicle]:
    """A vehicle's places, frame by frame: towards the camera, away from it, or across."""
    flat, text = plate
    step = 0.7 / max(FPS * float(np.exp(rng.uniform(*np.log(IN_VIEW_S)))) - 1, 3)
    near = float(rng.uniform(*WIDTHS))
    kind, x, y = int(rng.integers(3)), float(rng.uniform(0.25, 0.75)), float(rng.uniform(0.3, 0.7))
    for share in np.arange(*ENDS, step):
        if kind == 2:
            yield Vehicle(float(share), y, near, flat, text)
        else:
            down = float(share if kind == 0 else 1 - share)
            yield Vehicle(x, down, near * (0.4 + 0.6 * max(down, 0.0)), flat, text)


class Unrest(Motion):
    """Sees movement in every picture."""

    def look(self, lores: Gray, now_ns: int) -> bool:
        """True."""
        super().look(lores, now_ns)
        return True


class Watch:
    """A pipeline that sees what ``attention`` lets it see, or without one all. ``looks`` are counted."""

    def __init__(self, bench: Bench, attention: Attention | None) -> None:
        self._pipeline, self._attention, self.looks = bench.pipeline(), attention, 0
        self._passages: list[tuple[str, bool]] = []

    def see(self, frame: Frame) -> None:
        """Take one frame."""
        under_way = self._pipeline.tracker.under_way
        glance = self._attention.glance(frame, under_way) if self._attention else Glance.LOOK
        if glance is Glance.ASLEEP:
            self._end(self._pipeline.tracker.hold(frame.captured_ns))
        elif glance is Glance.LOOK:
            self._end(self._pipeline.see(frame, self._attention.moving if self._attention else None).ended)
            self.looks += 1

    def gone(self, text: str) -> tuple[bool, bool, bool]:
        """Of the vehicle that has left: whether its text was read, whether it was told, and whether another one was."""
        self._end(self._pipeline.tracker.finish())
        said, self._passages = self._passages, []
        told = {one for one, is_told in said if is_told}
        return text in {one for one, _ in said}, text in told, bool(told - {text})

    def _end(self, tracks: list[Track]) -> None:
        for track in tracks:
            read = self._pipeline.fuse(track)
            if read is not None:
                self._passages.append((reveal(read.classes), is_plate(read, track)))
            self._pipeline.forget(track)


def unresting() -> Attention:
    """Attention to which something moves all the time."""
    attention = Attention()
    attention._motion = Unrest()
    return attention


def main() -> int:
    """Drive, count, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gate", description=__doc__)
    parser.add_argument("--vehicles", type=int, default=300)
    said = parser.parse_args()
    rng, bench = np.random.default_rng(11), Bench(threads=1)
    road = Road(640, 480, FPS)
    every, awake, gated = watches = Watch(bench, None), Watch(bench, unresting()), Watch(bench, Attention())
    counts = []
    index = 0
    with progress(said.vehicles, "vehicles") as step:
        for plate in road.plates(said.vehicles):
            for _ in range(round(FPS * float(rng.uniform(*EMPTY_S)))):
                frame = road.frame(index, [])
                gated.see(frame)
                awake.see(frame)
                index += 1
            for vehicle in way(rng, plate):
                frame = road.frame(index, [vehicle])
                for watch in watches:
                    watch.see(frame)
                index += 1
            counts.append([watch.gone(plate[1]) for watch in watches])
            step(1)
    for kind, verb in enumerate(("read exactly", "told", "told as another")):
        whole, unrest, some = np.array(counts)[:, :, kind].T
        sys.stdout.write(
            f"of {said.vehicles} vehicles {whole.sum()} are {verb} with every frame looked at ({every.looks} looks), "
            f"{unrest.sum()} as often as attention looks while something moves ({awake.looks} looks), "
            f"{some.sum()} with the gate ({gated.looks} looks): by the gate {(unrest & ~some).sum()} are lost and "
            f"{(some & ~unrest).sum()} won, by it and the rate {(whole & ~some).sum()} are lost and "
            f"{(some & ~whole).sum()} won\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
