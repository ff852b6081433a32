"""A vehicle that has left is forgotten within two seconds, however few frames are looked at."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from edge_anpr.camera.box import LatestFrame
from edge_anpr.datatypes import Box, Frame, PlateDetection, PlateReading, Track
from edge_anpr.plates.text import encode
from edge_anpr.privacy.tokens import PassCounter
from edge_anpr.unit import attention
from edge_anpr.unit.health import Counters
from edge_anpr.unit.pipeline import Pipeline, Seen
from edge_anpr.unit.vision import Vision
from edge_anpr.vision.views import View, whole

FORGOTTEN_S = 2.0


class Road:
    """One vehicle from second 3 to ``leaves_s``, moving until ``stands_s``. Stands for motion and networks."""

    def __init__(self, stands_s: float, leaves_s: float, speed_px_s: float) -> None:
        self.stands_s, self.leaves_s, self.speed_px_s = stands_s, leaves_s, speed_px_s
        self.now_s = 0.0
        self.changed = np.zeros((45, 80), np.uint8)

    @property
    def is_there(self) -> bool:
        return 3.0 <= self.now_s < self.leaves_s

    def look(self, lores: np.ndarray, now_ns: int) -> bool:
        return (self.is_there and self.now_s < self.stands_s) or 0 <= self.now_s - self.leaves_s < 0.2

    def whole_view(self, width: int, height: int) -> View:
        return whole(width, height, 640, 384)

    def find(self, lores: np.ndarray, luma: np.ndarray, far: list[View]) -> list[PlateDetection]:
        if not self.is_there:
            return []
        x = self.speed_px_s * (min(self.now_s, self.stands_s) - 3.0)
        quad = np.array([[x, 20], [x + 100, 20], [x + 100, 42], [x, 42]], np.float32)
        return [PlateDetection(Box(x, 20, 100, 22), quad, 0.9)]

    def read(self, luma: np.ndarray, detections: list[PlateDetection], margin: float) -> list[PlateReading]:
        posteriors = np.full((6, 36), 0.001, np.float32)
        posteriors[np.arange(6), encode("DB37DB")] = 0.96
        return [PlateReading(posteriors, 1, 1.0)]

    def forget(self) -> None:
        pass


@pytest.mark.parametrize("rate", [1.0, 0.25])
@pytest.mark.parametrize("fps", [5, 12, 15, 30])
@pytest.mark.parametrize(
    ("stands_s", "leaves_s", "speed_px_s"),
    [(4.0, 4.0, 150.0), (6.3, 6.3, 20.0), (6.0, 60.7, 20.0), (4.5, 4.5, 60.0), (4.9, 4.9, 60.0), (5.1, 5.1, 60.0)],
    ids=["passes", "crawls", "parks and leaves", "leaves at .5", "leaves at .9", "leaves at .1"],
)
def test_forgotten_in_time(
    monkeypatch: pytest.MonkeyPatch, rate: float, fps: int, stands_s: float, leaves_s: float, speed_px_s: float
) -> None:
    road, counters = Road(stands_s, leaves_s, speed_px_s), Counters()
    monkeypatch.setattr(attention, "Motion", lambda: road)
    pipeline = Pipeline(road, road)  # type: ignore[arg-type]
    ended: list[Track] = []

    def end(track: Track, _now_ns: int) -> None:
        ended.append(track)
        pipeline.forget(track)

    def take(frame: Frame, seen: Seen) -> None:
        for track in seen.ended:
            end(track, frame.captured_ns)

    decider = SimpleNamespace(take=take, end=end)
    vision = Vision(
        pipeline, decider, SimpleNamespace(), PassCounter(10**18), LatestFrame(), counters,  # type: ignore[arg-type]
        attention.Attention(lambda: rate),
    )  # fmt: skip
    plane = np.zeros((60, 160), np.uint8)
    for index in range(round((leaves_s + 4) * fps)):
        road.now_s = index / fps
        vision._look(Frame(index, round(road.now_s * 1e9), plane, plane), round(road.now_s * 1e9))
        if 4.0 <= road.now_s < leaves_s:
            assert len(pipeline.passages) == 1, road.now_s  # it stays the passage that it is
        if road.now_s >= leaves_s + FORGOTTEN_S:
            assert not pipeline.passages, road.now_s
    assert [track.number for track in ended] == [1]
    assert not pipeline.tracker.under_way
    assert counters.looks < counters.frames or fps == 5
