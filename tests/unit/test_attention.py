from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_anpr.datatypes import Box, Frame, PlateDetection, Track
from edge_anpr.unit import attention as module
from edge_anpr.unit.attention import Attention, Glance


class Moved:
    """Stands for the motion: says what it is told, and remembers that it was to forget."""

    def __init__(self) -> None:
        self.moves, self.forgotten, self.compared = False, False, 0

    def look(self, lores: np.ndarray, now_ns: int) -> bool:
        self.compared += 1
        return self.moves

    def forget(self) -> None:
        self.forgotten = True


class Road:
    """A camera of so many frames a second, and what becomes of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fps: float) -> None:
        self.motion = Moved()
        monkeypatch.setattr(module, "Motion", lambda: self.motion)
        self.attention, self.fps, self.index = Attention(lambda: self.rate), fps, 0
        self.tracks: list[Track] = []
        self.rate = 1.0

    def passes(self, seconds: float) -> list[Glance]:
        glances = []
        for _ in range(round(seconds * self.fps)):
            plane = np.zeros((4, 4), np.uint8)
            frame = Frame(self.index, round(self.index * 1e9 / self.fps), plane, plane)
            glances.append(self.attention.glance(frame, self.tracks))
            self.index += 1
        return glances


def track(speed_px_s: float, frames: int = 10) -> Track:
    detection = PlateDetection(Box(0, 0, 100, 25), np.zeros((4, 2), np.float32), 0.9)
    return Track(1, 0, 0, 0, frames, detection, 0.9, (speed_px_s, 0.0))


def looks(glances: list[Glance]) -> int:
    return glances.count(Glance.LOOK)


def test_an_empty_road_is_looked_at_every_other_second(monkeypatch: pytest.MonkeyPatch) -> None:
    glances = Road(monkeypatch, 25).passes(20)
    assert looks(glances) == 10
    assert glances.count(Glance.ASLEEP) == len(glances) - 10


@pytest.mark.parametrize("fps", [10, 15, 25, 30, 60])
def test_of_what_moves_no_more_is_looked_at_than_helps(monkeypatch: pytest.MonkeyPatch, fps: float) -> None:
    road = Road(monkeypatch, fps)
    road.motion.moves = True
    glances = road.passes(20)
    assert looks(glances) == pytest.approx(20 * min(fps, module.FAST_HZ), abs=2)
    assert Glance.ASLEEP not in glances


def test_frames_are_compared_all_while_nothing_moves_and_now_and_then_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    road = Road(monkeypatch, 25)
    road.passes(4)
    assert road.motion.compared == 100
    road.motion.moves = True
    road.passes(4)
    assert road.motion.compared == pytest.approx(100 + 4 * module.MOVED_HZ, abs=2)


def test_whether_a_road_that_seems_still_is_so_is_asked_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    road = Road(monkeypatch, 25)
    road.motion.moves = True
    road.passes(4.2)
    road.motion.moves = False
    asked = road.motion.compared
    frames: list[int] = []
    for frame in range(35):
        road.passes(1 / 25)
        if road.motion.compared > asked + len(frames):
            frames.append(frame)
    assert frames[0] <= 25 / module.MOVED_HZ
    assert frames[1] - frames[0] <= 25 / module.COMPARED_HZ


def test_who_enters_is_looked_at_in_the_same_frame_and_until_a_plate_unseen_has_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    road = Road(monkeypatch, 25)
    road.passes(5.2)
    road.motion.moves = True
    assert road.passes(0.04) == [Glance.LOOK]
    road.motion.moves = False
    assert Glance.ASLEEP not in road.passes(1.48)
    assert set(road.passes(1)[2:]) == {Glance.ASLEEP}


@pytest.mark.parametrize(
    ("tracks", "hz"),
    [
        ([], 12.5),
        ([track(50)], 5),
        ([track(50), track(150)], 12.5),
        ([track(50), track(10, frames=2)], 12.5),  # too new to know
        ([track(10)], 12.5),  # it stands there, so what moves is not known yet
        ([track(50), track(10)], 5),
    ],
)
def test_slow_ones_are_looked_at_less_often(monkeypatch: pytest.MonkeyPatch, tracks: list[Track], hz: float) -> None:
    road = Road(monkeypatch, 25)
    road.motion.moves, road.tracks = True, tracks
    assert looks(road.passes(20)) == pytest.approx(20 * hz, abs=2)


def test_behind_a_slow_one_that_has_left_no_more_time_passes_than_between_fast_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    road = Road(monkeypatch, 25)
    road.motion.moves, road.tracks = True, [track(50)]
    road.passes(2)
    while road.passes(1 / 25) != [Glance.LOOK]:
        pass
    road.tracks = []  # as the look itself has shown
    assert road.passes(2 / 25) == [Glance.PASS, Glance.LOOK]


@pytest.mark.parametrize(("rate", "known", "most"), [(1.0, False, 5), (1.0, True, 3), (0.5, False, 2)])
def test_of_somebody_new_no_frame_is_missed_until_he_is_known(
    monkeypatch: pytest.MonkeyPatch, rate: float, known: bool, most: int
) -> None:
    road = Road(monkeypatch, 25)
    road.motion.moves, road.rate = True, rate
    seen = 0
    for index in range(5):
        if road.passes(1 / 25) == [Glance.LOOK]:
            seen += 1
            there = track(900.0, 10 if known else min(seen, module.KNOWN_LOOKS - 1))
            road.tracks = [replace(there, last_ns=round(index * 1e9 / 25))]
    assert seen == most
    road.tracks = [replace(road.tracks[0], frames=1, last_ns=-1)]  # and was not there in the last look
    assert looks(road.passes(1)) == pytest.approx(module.FAST_HZ * rate, abs=1)


@pytest.mark.parametrize(("sure", "rate", "most"), [(0.69, 1.0, 30), (0.71, 1.0, 16), (0.69, 0.5, 8)])
def test_no_frame_is_missed_of_what_is_not_surely_a_plate_for_a_while(
    monkeypatch: pytest.MonkeyPatch, sure: float, rate: float, most: int
) -> None:
    road = Road(monkeypatch, 25)
    road.motion.moves, road.rate = True, rate
    seen = []
    for index in range(30 + 25):
        if road.passes(1 / 25) == [Glance.LOOK]:
            seen.append(index)
            there = replace(track(900.0, len(seen)), best_score=sure)
            road.tracks = [replace(there, last_ns=round(index * 1e9 / 25))]
    assert sum(index < 30 for index in seen) == pytest.approx(most, abs=1)
    assert sum(index >= 30 for index in seen) == pytest.approx(module.FAST_HZ * rate, abs=1)  # and no longer


def test_heat_lowers_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    road = Road(monkeypatch, 25)
    road.motion.moves, road.rate = True, 0.4
    assert looks(road.passes(20)) == pytest.approx(100, abs=2)


def test_a_camera_that_was_away_is_not_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    road = Road(monkeypatch, 25)
    road.motion.moves = True
    road.passes(1)
    road.index += 25 * 60
    assert looks(road.passes(1)) <= 14


def test_forgets_what_the_motion_remembers(monkeypatch: pytest.MonkeyPatch) -> None:
    road = Road(monkeypatch, 25)
    road.attention.forget()
    assert road.motion.forgotten
