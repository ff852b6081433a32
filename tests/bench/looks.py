"""What a look costs over the picture's size, and over the plates in it."""

from __future__ import annotations

from collections.abc import Callable

from edge_anpr.tools import bench
from tests.bench.curves import Curve, medians
from tests.bench.roads import Road, Vehicle
from tests.bench.scenes import FPS, Frames

SIZES = ((640, 480), (1280, 720), (1920, 1080), (2560, 1440), (3840, 2160))
COUNTS = (0, 1, 2, 5, 10, 20, 40)
ROUNDS = 7
Step = Callable[[int], None]


def picture_size(step: Step) -> Curve:
    """One vehicle comes nearer, its plate a twentieth to a tenth of the picture wide; the second stream is 640 wide."""
    ready = bench.Bench(threads=1)
    roads = {width * height / 1e6: _one(width, height) for width, height in SIZES}

    def measure(megapixels: float) -> dict[str, float]:
        told = bench.measure(ready, roads[megapixels], rounds=1, step=lambda _: None)
        return {
            **_costs(told),
            "attention, ms a frame": told["ms"]["attention"]["p50"],
        }

    return Curve("picture-size", "megapixels", medians(tuple(roads), measure, ROUNDS, step))


def plates(step: Step) -> Curve:
    """1080p with 640×360 to detect on; all plates are new, so that each look reads all it finds."""
    ready = bench.Bench(threads=1)
    roads = {float(count): _many(count) for count in COUNTS}

    def measure(count: float) -> dict[str, float]:
        told = bench.measure(ready, roads[count], rounds=1, step=lambda _: None)
        looks = told["looks"]
        return {"found, a look": told["plates"] / looks, "read, a look": told["readings"] / looks, **_costs(told)}

    return Curve("plates", "plates in the picture", medians(tuple(roads), measure, ROUNDS, step))


def _costs(told: bench.Told) -> dict[str, float]:
    """Processor time of a look; its stages are not used, as they are told by the wall's clock."""
    look, bare, ratio = told["ms"]["look"]["p50"], told["ms"]["bare"]["p50"], told["ratio_to_bare"]["p50"]
    return {
        "a look, ms": look,
        "of it the networks, ms": bare,
        "all else, ms": look * (1 - 1 / ratio),
        "a look / the networks": ratio,
    }


def _one(width: int, height: int) -> Frames:
    road = Road(width, height, FPS)
    ((flat, text),) = road.plates(1)
    ways = (index / 12 for index in range(12))
    return [
        road.frame(index, [Vehicle(0.5, 0.2 + 0.6 * way, 0.05 + 0.05 * way, flat, text)])
        for index, way in enumerate(ways)
    ]


def _many(count: int) -> Frames:
    """Eight across and five down, which go to the right: a passage that five readings agree on is not read again."""
    road = Road(1920, 1080, FPS)
    drawn = road.plates(count)
    return [
        road.frame(
            index,
            [
                Vehicle(0.06 + 0.12 * (spot % 8) + 0.006 * index, 0.15 + 0.18 * (spot // 8), 0.052, *plate)
                for spot, plate in enumerate(drawn)
            ],
        )
        for index in range(5)
    ]
