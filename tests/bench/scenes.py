"""What is measured: the demo's clip, and drawn roads with one vehicle, with many far ones, and with none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import edge_anpr
from edge_anpr.datatypes import Frame
from edge_anpr.tools.bench import frames
from tests.bench.roads import Road, Vehicle

Frames = list[Frame]
FPS = 12.0
CLIP_ENDINGS = {".mp4", ".avi", ".mkv", ".mov"}


def demo() -> Frames:
    """The clip that the package carries: ten vehicles, one after the other."""
    return frames(Path(edge_anpr.__file__).parent / "demo" / "clip.mp4", None)


def one_vehicle() -> Frames:
    """1080p, and 640×360 to detect on: a vehicle comes nearer for two seconds, and the road is empty for two."""
    road = Road(1920, 1080, FPS)
    ((flat, text),) = road.plates(1)
    coming = [
        [Vehicle(0.5, 0.2 + 0.7 * share, 0.05 + 0.07 * share, flat, text)] for share in (k / 24 for k in range(24))
    ]
    return [road.frame(index, vehicles) for index, vehicles in enumerate([*coming, *[[]] * 24])]


def far_road() -> Frames:
    """1080p, and 640×360 to detect on: six vehicles under way all the time, their plates 40 to 80 px wide."""
    road = Road(1920, 1080, FPS)
    plates = road.plates(12)
    found = []
    for index in range(48):
        here = []
        for lane in range(6):
            # One after the other in each lane, in four seconds from far to near.
            at = index / 48 + lane / 6
            flat, text = plates[lane + 6 * (int(at) % 2)]
            way = at % 1
            here.append(Vehicle(0.1 + 0.16 * lane, 0.12 + 0.7 * way, (40 + 40 * way) / 1920, flat, text))
        found.append(road.frame(index, here))
    return found


def empty_road() -> Frames:
    """1080p, and 640×360 to detect on: twelve seconds in which nothing comes, 25 frames a second."""
    road = Road(1920, 1080, 25.0)
    return [road.frame(index, []) for index in range(300)]


SCENES: Mapping[str, Callable[[], Frames]] = {
    "demo clip, 640x480": demo,
    "1080p, one vehicle": one_vehicle,
    "1080p, far busy road": far_road,
    "1080p, empty road": empty_road,
}


def clips(folder: Path) -> Mapping[str, Callable[[], Frames]]:
    """Recordings of one's own, by name."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in CLIP_ENDINGS)
    return {f"clip {path.name}": lambda path=path: frames(path, None) for path in paths}  # type: ignore[misc]
