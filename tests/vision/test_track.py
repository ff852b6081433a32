import numpy as np
import pytest

from edge_anpr.datatypes import Box, PlateDetection
from edge_anpr.vision import track
from edge_anpr.vision.track import Tracker

FRAME_NS = 83_000_000


def at(x: float, y: float, width: float = 100.0) -> PlateDetection:
    height = width / 4.7
    quad = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]], np.float32)
    return PlateDetection(Box(x, y, width, height), quad, 0.9)


def follow(*frames: list[PlateDetection], gap_ns: int = 1_000_000_000) -> list[list[int]]:
    tracker = Tracker(gap_ns)
    return [
        [track.number for track in tracker.update(detections, index, index * FRAME_NS)[0]]
        for index, detections in enumerate(frames)
    ]


def test_a_plate_that_moves_stays_one_track() -> None:
    assert follow(*([at(50 + 40 * step, 200)] for step in range(10))) == [[1]] * 10


def test_a_fast_plate_is_followed_by_its_velocity() -> None:
    # It moves further than its own width between frames, which only the expected place can explain.
    assert follow(*([at(10 + 130 * step, 200)] for step in range(6))) == [[1]] * 6


def test_its_velocity_is_told_across_and_down_and_half_of_it_is_remembered() -> None:
    tracker = Tracker(1_000_000_000)
    for second, (x, y) in enumerate([(100, 100), (150, 80), (160, 20)]):
        ((here,), _) = tracker.update([at(x, y)], second, second * 500_000_000)
    assert here.velocity_px_s == pytest.approx((0.5 * 100 + 0.5 * 20, 0.5 * -40 + 0.5 * -120))


def test_two_plates_side_by_side_keep_their_numbers_whatever_the_order() -> None:
    assert follow([at(100, 100), at(400, 100)], [at(410, 105), at(110, 105)], [at(120, 110), at(420, 110)]) == [
        [1, 2],
        [2, 1],
        [1, 2],
    ]


def test_a_missed_frame_or_two_does_not_end_a_passage() -> None:
    assert follow([at(100, 100)], [at(120, 100)], [], [], [at(180, 100)])[-1] == [1]


def test_another_plate_elsewhere_or_of_another_size_is_another_passage() -> None:
    assert follow([at(100, 100)], [at(500, 300)])[-1] == [2]
    assert follow([at(100, 100, 60)], [at(100, 100, 160)])[-1] == [2]


def test_a_plate_unseen_for_too_long_has_left() -> None:
    tracker = Tracker(1_000_000_000)
    tracker.update([at(100, 100)], 0, 0)
    assert tracker.update([], 1, 1_000_000_000)[1] == []
    (ended,) = tracker.update([], 2, 1_000_000_001)[1]
    assert (ended.number, ended.frames, ended.last_frame) == (1, 1, 0)
    assert tracker.update([at(100, 100)], 3, 1_100_000_000)[0][0].number == 2


def test_a_plate_that_stands_beyond_the_gap_between_two_pictures_does_not_go_on() -> None:
    minute = 60_000_000_000
    tracker = Tracker(1_000_000_000)
    first = tracker.update([at(100, 100)], 0, 0)[0]
    here, ended = tracker.update([at(100, 100)], 1, minute)
    assert [track.number for track in ended] == [first[0].number]
    assert here[0].number != first[0].number


def test_while_nothing_moves_what_was_seen_last_is_there_still_and_what_was_missed_is_not() -> None:
    second = 1_000_000_000
    tracker = Tracker(second)
    tracker.update([at(100, 100), at(400, 100)], 0, 0)
    tracker.update([at(100, 100)], 1, second // 2)
    assert tracker.hold(second) == []
    (ended,) = tracker.hold(second + 1)
    assert (ended.number, ended.last_ns) == (2, 0)
    for tick in range(2, 20):
        assert tracker.hold(tick * second) == []
    here, none = tracker.update([at(100, 100)], 40, 20 * second)
    assert ([track.number for track in here], none) == ([1], [])


def test_only_near_plates_are_compared_and_none_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    frames = [
        [at(float(x), float(y), float(wide)) for x, y, wide in rng.uniform((0, 0, 30), (600, 400, 160), (30, 3))]
        for _ in range(20)
    ]
    found = follow(*frames)
    monkeypatch.setattr(
        track, "_neighbours", lambda plates, tracks, _: ((i, n) for n in range(len(tracks)) for i in range(len(plates)))
    )
    assert found == follow(*frames)


def test_comparing_grows_with_the_plates_and_not_with_their_square(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0
    distance = track._distance

    def counted(*pair: object) -> float | None:
        nonlocal compared
        compared += 1
        return distance(*pair)  # type: ignore[arg-type]

    monkeypatch.setattr(track, "_distance", counted)
    row = [at(400.0 * place, 100) for place in range(100)]
    assert follow(row, row)[-1] == [*range(1, 101)]
    assert compared == len(row)
