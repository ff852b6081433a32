import itertools

import numpy as np
import pytest

from edge_anpr.datatypes import Box, PlateDetection, Track
from edge_anpr.vision.views import ENLARGED, MOST_ENLARGED, WORTH_IT, Gaze, View, parts, whole


def views(width: int, height: int, *, deep: bool = False) -> list[View]:
    return parts(whole(width, height, 640, 384), deep=deep)


@pytest.mark.parametrize(("width", "height"), [(640, 384), (640, 480), (320, 240), (720, 480)])
def test_a_small_picture_is_looked_at_once(width: int, height: int) -> None:
    assert views(width, height) == []


@pytest.mark.parametrize(("width", "height"), [(640, 480), (1920, 1080)])
def test_a_part_of_the_road_is_work_in_proportion(width: int, height: int) -> None:
    all_of_it = whole(width, height, 640, 384)
    part = whole(width // 2, height // 2, 640, 384, (0.5, 0.5))
    assert part.scale == pytest.approx(all_of_it.scale)
    assert part.columns * part.rows <= 0.3 * all_of_it.columns * all_of_it.rows
    far, all_far = parts(part), parts(all_of_it)
    assert {view.scale for view in far} == {view.scale for view in all_far}
    assert sum(view.columns * view.rows for view in far) <= 0.4 * sum(view.columns * view.rows for view in all_far)


def test_a_small_still_is_enlarged() -> None:
    assert {view.scale for view in views(640, 480, deep=True)} == {WORTH_IT, ENLARGED}


@pytest.mark.parametrize(
    ("width", "height", "scale"), [(400, 120, 1.6), (200, 50, MOST_ENLARGED), (70, 50, MOST_ENLARGED)]
)
def test_a_picture_of_little_more_than_a_plate_is_not_blown_up(width: int, height: int, scale: float) -> None:
    assert whole(width, height, 640, 384).scale == pytest.approx(scale)


@pytest.mark.parametrize(("width", "height"), [(640, 8), (3, 600), (1, 1), (30_000, 20)])
def test_a_strip_of_a_picture_has_views_too(width: int, height: int) -> None:
    for view in (whole(width, height, 640, 384), *views(width, height, deep=True)):
        assert min(view.columns, view.rows) >= 32
        assert min(view.width, view.height) >= 1


def test_a_road_in_full_hd_is_looked_at_twice_as_large_in_four_parts() -> None:
    far = views(1920, 1080)
    assert len(far) == 4
    assert far[0].scale == pytest.approx(2 * whole(1920, 1080, 640, 384).scale)
    assert all(view.columns <= 704 and view.rows <= 416 for view in far)


@pytest.mark.parametrize(
    ("width", "height"), [(1280, 720), (1920, 1080), (800, 600), (4056, 3040), (1080, 1920), (3840, 600)]
)
@pytest.mark.parametrize("deep", [False, True])
def test_parts_cover_the_picture_and_overlap_by_more_than_a_far_plate(width: int, height: int, deep: bool) -> None:
    for scale in {view.scale for view in views(width, height, deep=deep)}:
        far = [view for view in views(width, height, deep=deep) if view.scale == scale]
        seen = np.zeros((height, width), np.uint8)
        for view in far:
            assert view.columns % 32 == view.rows % 32 == 0
            assert view.width * scale <= view.columns
            assert view.height * scale <= view.rows
            assert view.left >= 0
            assert view.top >= 0
            seen[view.top : view.top + view.height, view.left : view.left + view.width] += 1
        assert seen.min() >= 1
        columns = sorted({view.left for view in far})
        for left, right in itertools.pairwise(columns):
            assert left + far[0].width - right >= 96 / scale - 2  # wider ones the whole view finds


@pytest.mark.parametrize(
    ("width", "height", "deepest"), [(1920, 1080, 4 / 3), (1000, 600, ENLARGED), (4056, 3040, 0.5)]
)
def test_a_still_is_looked_at_beyond_its_own_pixels_where_two_steps_lead_there(
    width: int, height: int, deepest: float
) -> None:
    assert max(view.scale for view in views(width, height, deep=True)) == pytest.approx(deepest, rel=0.02)


def track(x: float, y: float, last_ns: int) -> Track:
    box = Box(x, y, 40, 10)
    return Track(1, 0, 0, last_ns, 3, PlateDetection(box, np.zeros((4, 2), np.float32), 0.9), 0.9)


def test_an_empty_road_is_seen_whole_every_eight_frames_or_sooner() -> None:
    far, gaze = views(1920, 1080), Gaze()
    seen = [gaze.choose(far, [])[0] for _ in range(8)]
    assert set(seen) == set(far)


def test_every_other_glance_follows_the_plate_that_was_unseen_longest() -> None:
    far, gaze = views(1920, 1080), Gaze()
    tracks = [track(300, 200, 900), track(1500, 900, 100)]
    seen = [gaze.choose(far, tracks)[0] for _ in range(8)]
    assert seen[1::2] == [far[3]] * 4
    assert set(seen[0::2]) == set(far[:3])  # the fourth is looked at anyway


def test_the_far_road_is_looked_at_where_something_moves_and_all_of_it_now_and_then() -> None:
    far, gaze = views(1920, 1080), Gaze()
    moving = np.zeros((45, 80), np.uint8)
    moving[2:5, 70:76] = 1  # at the upper right, and in no other part
    seen = [gaze.choose(far, [], moving)[0] for _ in range(16)]
    assert seen.count(far[1]) >= 12
    assert set(seen) == set(far)
    everywhere = np.ones_like(moving)
    assert {gaze.choose(far, [], everywhere)[0] for _ in range(8)} == set(far)


def test_where_there_is_nothing_to_choose_nothing_is_chosen() -> None:
    assert Gaze().choose([], [track(0, 0, 0)]) == []
