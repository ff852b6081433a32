import threading
import time
from functools import partial

import numpy as np
import pytest

from edge_anpr.camera.box import LatestFrame
from edge_anpr.datatypes import Box, Frame, PlateDetection, PlateReading, Track
from edge_anpr.privacy.tokens import PassCounter
from edge_anpr.unit import vision as module
from edge_anpr.unit.attention import Glance
from edge_anpr.unit.health import Counters
from edge_anpr.unit.pipeline import Seen, Sighting
from edge_anpr.unit.vision import Vision
from tests.conftest import until


class Told(list[str]):
    """Stands for pipeline, tracker and decider: writes down the whole conversation."""

    def __init__(self) -> None:
        self.tracker = self
        self.under_way: list[Track] = []
        self.missed: list[Track] = []
        self.armed: object | None = self

    def prove(self) -> None:
        self.append("prove")

    def see(self, frame: Frame, moving: object = None) -> Seen:
        self.append(f"see {frame.index}")
        self.shown = moving
        quad = np.zeros((4, 2), np.float32)
        detection = PlateDetection(Box(0, 0, 1, 1), quad, 1.0)
        track = Track(1, 0, 0, 0, 1, detection, 1.0)
        self.under_way = [track]
        return Seen([Sighting(track, detection, PlateReading(np.zeros((0, 36), np.float32), 1, 1.0))], [], 1, 1, 2)

    def take(self, frame: Frame, seen: Seen) -> None:
        self.append("decide")

    def finish(self) -> list[Track]:
        ended, self.under_way = self.under_way, []
        return ended

    def end(self, track: Track, now_ns: int) -> None:
        self.append(f"end {track.number}")

    def clean(self) -> None:
        self.append("clean")

    def tidy(self) -> None:
        self.append("tidy")

    def hold(self, now_ns: int) -> list[Track]:
        self.append(f"hold {now_ns}")
        ended, self.missed = self.missed, []
        return ended

    moving = np.ones((2, 2), np.uint8)

    def glance(self, frame: Frame, tracks: list[Track]) -> Glance:
        self.asleep = frame.index > 8
        return {8: Glance.PASS, 9: Glance.ASLEEP}.get(frame.index, Glance.LOOK)

    def forget(self) -> None:
        self.append("forget")


def test_without_frames_passages_are_settled_and_buffers_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_NS", 1_000_000)
    monkeypatch.setattr(module, "MAX_GAP_NS", 1_000_000)
    monkeypatch.setattr(module, "WAIT_S", 0.01)
    told, box, stop = Told(), LatestFrame(), threading.Event()
    monkeypatch.setattr(module, "release", lambda: told.append("heap"))
    plane = np.zeros((4, 4), np.uint8)
    vision = Vision(told, told, told, PassCounter(10**18), box, Counters())  # type: ignore[arg-type]
    box.put(Frame(7, time.monotonic_ns(), plane, plane))
    thread = threading.Thread(target=vision.run, args=(stop, lambda frame: told.append(f"recycle {frame.index}")))
    thread.start()
    try:
        until(lambda: len(told) >= 9)
    finally:
        stop.set()
        thread.join(5)
    assert told[:9] == ["prove", "clean", "heap", "see 7", "decide", "recycle 7", "end 1", "tidy", "clean"]


def test_when_the_recording_ends_the_last_passage_is_settled() -> None:
    told, box, counters = Told(), LatestFrame(), Counters()
    plane = np.zeros((4, 4), np.uint8)
    box.put(Frame(7, 0, plane, plane))
    box.close()
    Vision(told, told, told, PassCounter(10**18), box, counters).run(threading.Event(), lambda _: None)  # type: ignore[arg-type]
    assert list(told) == ["prove", "clean", "see 7", "decide", "end 1", "tidy", "clean"]
    assert counters.state == "ended"


def test_frames_that_are_not_looked_at_are_counted_and_handed_back_and_tracks_are_held_while_nothing_moves() -> None:
    told, box, counters, stop = Told(), LatestFrame(), Counters(), threading.Event()
    plane = np.zeros((4, 4), np.uint8)
    vision = Vision(told, told, told, PassCounter(10**18), box, counters, told)  # type: ignore[arg-type]
    thread = threading.Thread(target=vision.run, args=(stop, lambda frame: told.append(f"recycle {frame.index}")))
    thread.start()
    for index in (7, 8, 9, 10):  # the last one is a look at a road on which nothing moves
        box.put(Frame(index, index, plane, plane))
        until(partial(told.__contains__, f"recycle {index}"))
    stop.set()
    thread.join(5)
    begin = told.index("see 7")
    assert told[begin : begin + 6] == ["see 7", "decide", "recycle 7", "recycle 8", "hold 9", "recycle 9"]
    assert told[begin - 2 : begin] == told[-2:] == ["clean", "forget"]
    assert (counters.frames, counters.frames_moving, counters.looks) == (4, 2, 2)
    assert told.shown is told.moving  # for the far road to be looked at there


def test_who_left_before_the_road_fell_asleep_is_settled_and_forgotten_without_a_look() -> None:
    told = Told()
    plane = np.zeros((4, 4), np.uint8)
    vision = Vision(told, told, told, PassCounter(10**18), LatestFrame(), Counters(), told)  # type: ignore[arg-type]
    detection = PlateDetection(Box(0, 0, 1, 1), np.zeros((4, 2), np.float32), 1.0)
    told.missed = [Track(3, 0, 0, 0, 1, detection, 1.0)]
    told.prove()
    for _ in range(2):
        vision._look(Frame(9, 9, plane, plane), 10**9)
    assert list(told) == ["prove", "hold 9", "end 3", "tidy", "hold 9"]


def test_of_a_region_only_its_part_is_looked_at_and_the_whole_frame_is_handed_back() -> None:
    class Shown(Told):
        def see(self, frame: Frame, moving: object = None) -> Seen:
            self.planes = frame.luma.copy(), frame.lores.copy(), frame.colour.copy() if frame.colour is not None else 0
            return super().see(frame, moving)

    told, box = Shown(), LatestFrame()
    luma = np.arange(96, dtype=np.uint8).reshape(8, 12)
    frame, handed_back = Frame(7, 0, luma, luma[::2, ::2].copy(), np.dstack([luma] * 3)), list[Frame]()
    box.put(frame)
    box.close()
    region = (0.5, 0.25, 0.5, 0.5)
    Vision(told, told, told, PassCounter(10**18), box, Counters(), region=region).run(  # type: ignore[arg-type]
        threading.Event(), handed_back.append
    )
    seen, small, colour = told.planes
    assert np.array_equal(seen, luma[2:6, 6:])
    assert np.array_equal(small, luma[::2, ::2][1:3, 3:])
    assert np.array_equal(colour, np.dstack([luma[2:6, 6:]] * 3))
    assert handed_back == [frame]


def test_what_a_passage_left_is_overwritten_where_traffic_never_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told()
    plane = np.zeros((4, 4), np.uint8)
    vision = Vision(told, told, told, PassCounter(10**18), LatestFrame(), Counters())  # type: ignore[arg-type]
    passing = Seen(
        [], [Track(1, 0, 0, 0, 1, PlateDetection(Box(0, 0, 1, 1), np.zeros((4, 2), np.float32), 1.0), 1.0)], 1, 1, 2
    )
    monkeypatch.setattr(told, "see", lambda frame, moving=None: passing)
    for second in range(10, 22):
        vision._look(Frame(1, 0, plane, plane), second * 10**9)
    assert told.count("tidy") == 12
