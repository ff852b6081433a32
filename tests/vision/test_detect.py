from dataclasses import astuple
from types import SimpleNamespace

import numpy as np
import pytest

from edge_anpr.datatypes import PlateDetection
from edge_anpr.vision.detect import MOST_CELLS, MOST_LOG, Detector, Grid, decode
from edge_anpr.vision.session import Card
from edge_anpr.vision.views import View, parts

STRIDE = 8
GRID = Grid(48, 80, STRIDE)
NOTHING = -20.0


def heads(
    *plates: tuple[float, float, float, float, float], cells: int = 2, shape: tuple[int, int] = (48, 80)
) -> np.ndarray:
    """Output of a perfect network for plates (left, top, right, bottom, score): each cell knows its plate."""
    told = np.zeros((13, *shape), np.float32)
    told[0] = NOTHING
    for left, top, right, bottom, value in plates:
        middle_row, middle_column = int((top + bottom) / 2 / STRIDE), int((left + right) / 2 / STRIDE)
        for row in range(max(middle_row - cells // 2, 0), min(middle_row + cells // 2 + 1, shape[0])):
            for column in range(max(middle_column - cells, 0), min(middle_column + cells + 1, shape[1])):
                x, y = (column + 0.5) * STRIDE, (row + 0.5) * STRIDE
                told[0, row, column] = np.log(value / (1 - value))
                told[1:5, row, column] = np.log(np.maximum([x - left, y - top, right - x, bottom - y], 1) / STRIDE)
                offset = (
                    np.array([left - x, top - y, right - x, top - y, right - x, bottom - y, left - x, bottom - y])
                ) / STRIDE
                told[5:, row, column] = np.sign(offset) * np.log1p(np.abs(offset))
    return told


def test_one_plate_is_found_once_where_it_is() -> None:
    found = decode(heads((100, 200, 220, 226, 0.9)), 0.3, GRID)
    assert len(found) == 1
    box, quad, score = found[0]
    assert astuple(box) == pytest.approx((100, 200, 120, 26), abs=0.5)
    assert quad == pytest.approx(np.array([[100, 200], [220, 200], [220, 226], [100, 226]]), abs=0.5)
    assert score == pytest.approx(0.9)


def test_plates_come_best_first_and_neighbours_stay_two() -> None:
    found = decode(heads((100, 200, 160, 215, 0.6), (300, 200, 360, 215, 0.9)), 0.3, GRID)
    assert [round(box.left) for box, _, _ in found] == [300, 100]


def test_what_is_below_the_threshold_is_not_found() -> None:
    assert decode(heads((100, 200, 160, 215, 0.29)), 0.3, GRID) == []


def test_a_weaker_part_of_a_plate_is_not_a_second_plate() -> None:
    told = heads((100, 200, 300, 244, 0.9))
    row, column = int(222 / STRIDE), int(245 / STRIDE)
    told[:, row, column] = heads((190, 200, 300, 244, 0.5), cells=0)[:, row, column]
    assert len(decode(told, 0.3, GRID)) == 1


def test_a_cell_that_belongs_to_no_plate_moves_none() -> None:
    """Half on one plate and most of it on the next: it is a part of the surer one, and no witness of the other."""
    one, two, astray = (100, 200, 200, 240, 0.9), (165, 200, 265, 240, 0.8), (150, 200, 250, 240, 0.6)
    found = decode(heads(one, two, astray, cells=0), 0.3, GRID)
    assert [astuple(box) for box, _, _ in found] == [
        pytest.approx((100, 200, 100, 40), abs=0.5),
        pytest.approx((165, 200, 100, 40), abs=0.5),
    ]


def test_a_picture_full_of_plates_costs_no_more_than_four_hundred() -> None:
    told = np.zeros((13, 48, 80), np.float32)
    told[0] = np.linspace(-0.4, 2.2, 48 * 80, dtype=np.float32).reshape(48, 80)
    told[1:5] = np.log(3 / STRIDE)
    found = decode(told, 0.3, GRID)
    surest = np.sort(1 / (1 + np.exp(-told[0].ravel())))[: -MOST_CELLS - 1 : -1]
    assert [sure for _, _, sure in found] == pytest.approx(surest)


def test_absurd_outputs_give_boxes_no_wider_than_any_picture() -> None:
    told = heads((100, 200, 220, 226, 0.9))
    told[1:5], told[5:] = 1e6, -1e6
    widest = 2 * STRIDE * np.exp(MOST_LOG) + 1
    for plate, corners, _ in decode(told, 0.3, GRID):
        assert 0 < plate.width < widest
        assert np.abs(corners).max() < widest + 80 * STRIDE


class Scripted:
    """A network that sees, in each input size, the plates it is told: (left, top, right, bottom, score)."""

    def __init__(self, **plates: list[tuple[float, float, float, float, float]]) -> None:
        fields = {"stride": STRIDE, "input": {"pad": 114}}
        self.card = Card("detector", "quad13-s8", 384, 640, "", fields)
        self._plates = plates
        self.sizes: list[tuple[int, int]] = []

    def bind(self, array: np.ndarray) -> SimpleNamespace:
        return SimpleNamespace(run=lambda: self.run(array))

    def run(self, array: np.ndarray) -> list[np.ndarray]:
        height, width = array.shape[2:]
        self.sizes.append((width, height))
        found = self._plates.get(f"w{width}", [])
        return [heads(*found, cells=0, shape=(height // STRIDE, width // STRIDE))[None]]


def find(network: Scripted, *parts: View, size: tuple[int, int] = (1280, 768)) -> list[PlateDetection]:
    picture = np.zeros((size[1], size[0]), np.uint8)
    return Detector(network, 0.3).find(picture, picture, parts)  # type: ignore[arg-type]


PART = View(576, 0, 704, 416, 1.0, 704, 416)


def test_a_part_answers_in_pixels_of_the_whole_picture() -> None:
    (plate,) = find(Scripted(w704=[(200, 100, 260, 114, 0.8)]), PART)
    assert plate.score == pytest.approx(0.8)  # the whole view, where it is 30 px wide, need not have found it
    assert (plate.box.left, plate.box.top, plate.box.width) == pytest.approx((776, 100, 60), abs=1)
    assert plate.quad[0] == pytest.approx([776, 100], abs=1)


def test_views_of_one_size_and_two_scales_each_answer_in_their_own() -> None:
    part = View(640, 384, 640, 384, 1.0, 640, 384)  # the whole is seen half as large
    found = find(Scripted(w640=[(100, 100, 160, 114, 0.8)]), part)
    assert sorted((round(plate.box.left), round(plate.box.width)) for plate in found) == [(200, 120), (740, 60)]


def test_what_both_views_see_is_one_plate_and_the_surer_view_says_where() -> None:
    (plate,) = find(Scripted(w640=[(388, 50, 418, 57, 0.5)], w704=[(202, 100, 262, 114, 0.8)]), PART)
    assert plate.box.left == pytest.approx(778, abs=1)
    # Odds of 1 and of 4: the mean of their logarithms, and as much of the larger.
    assert plate.score == pytest.approx(1 / (1 + 4**-0.75))


def test_a_view_that_shows_a_plate_large_and_does_not_find_it_lowers_its_score() -> None:
    (plate,) = find(Scripted(w704=[(200, 100, 280, 118, 0.8)]), PART)  # 40 px wide in the whole view
    odds = 0.15 / 0.85  # half of the threshold
    assert plate.score == pytest.approx(1 / (1 + 1 / (4**0.75 * odds**0.25)))


def test_what_is_as_sure_as_single_precision_goes_is_found_in_several_views_too() -> None:
    all_but_one = 1 - 1e-12
    near, far = (388, 50, 418, 57, all_but_one), (202, 100, 262, 114, all_but_one)
    (plate,) = find(Scripted(w640=[near], w704=[far]), PART)
    assert plate.score == pytest.approx(1, abs=1e-3)


def test_the_plate_that_all_views_agree_on_comes_first() -> None:
    agreed, surer = (124, 300, 204, 320, 0.7), (400, 100, 480, 120, 0.8)
    found = find(Scripted(w640=[(350, 150, 390, 160, 0.7)], w704=[agreed, surer]), PART)
    assert [round(plate.box.left) for plate in found] == [700, 976]


def test_cells_too_unsure_for_a_plate_move_one_and_are_none() -> None:
    sure, heard = (100, 200, 200, 240, 0.6), (110, 200, 210, 240, 0.2)
    ((box, _, score),) = decode(heads(sure, heard, cells=0), 0.3, GRID)
    assert score == pytest.approx(0.6)
    assert box.left == pytest.approx(101, abs=0.3)  # (100 · .36 + 110 · .04) / .4
    assert decode(heads(heard, cells=0), 0.3, GRID) == []


@pytest.mark.parametrize("place", [(0.5, 100, 60, 114), (200, 402, 260, 415.5), (100, 100, 400, 170)])
def test_a_part_is_silent_about_what_its_own_border_cuts_and_about_wide_plates(
    place: tuple[float, float, float, float],
) -> None:
    assert find(Scripted(w704=[(*place, 0.8)]), PART) == []


def test_a_piece_of_a_near_plate_is_no_plate_however_sure() -> None:
    (plate,) = find(Scripted(w640=[(300, 50, 480, 92, 0.7)], w704=[(60, 110, 220, 170, 0.95)]), PART)
    assert plate.box.width == pytest.approx(360, abs=2)


def test_a_sure_plate_inside_something_wide_that_is_hardly_one_stays() -> None:
    (plate,) = find(Scripted(w640=[(300, 50, 480, 92, 0.4)], w704=[(60, 110, 220, 170, 0.95)]), PART)
    assert plate.box.width == pytest.approx(160, abs=2)


def test_a_plate_that_the_border_cuts_is_told_as_cut() -> None:
    whole_one, cut = find(Scripted(w640=[(100, 100, 180, 118, 0.9), (-30, 200, 50, 218, 0.8)]), size=(640, 384))
    assert (whole_one.is_cut, cut.is_cut) == (False, True)


def test_forgetting_overwrites_every_input_and_runs_an_empty_pass_through_each() -> None:
    network = Scripted()
    detector = Detector(network, 0.3)  # type: ignore[arg-type]
    picture = np.full((768, 1280), 200, np.uint8)
    detector.find(picture, picture, [PART])
    network.sizes.clear()
    detector.forget()
    assert sorted(network.sizes) == [(640, 384), (704, 416)]
    assert not any(held.array.any() for held in detector._inputs.values())


def test_grays_of_a_dull_picture_are_stretched_for_the_network_and_others_left() -> None:
    network = Scripted()
    detector = Detector(network, 0.3)  # type: ignore[arg-type]
    rng = np.random.default_rng(2)
    for least, most, shown in ((20, 60, (10, 120)), (0, 255, (0, 255)), (60, 130, (60, 130)), (100, 102, (10, 28))):
        picture = rng.integers(least, most, (384, 640), np.uint8, endpoint=True)
        before = picture.copy()
        detector.find(picture, picture)
        (held,) = detector._inputs.values()
        assert (held.array.min(), held.array.max()) == pytest.approx(shown, abs=8)
        assert (picture == before).all()


def test_what_is_brighter_than_all_the_rest_is_not_burnt_out_by_that() -> None:
    """A far plate's ground and its letters are told apart, though a lamp shines beside it."""
    detector = Detector(Scripted(), 0.3)  # type: ignore[arg-type]
    picture = np.random.default_rng(2).integers(20, 60, (384, 640), np.uint8, endpoint=True)
    picture[200:210, 300:340] = 200
    picture[202:208, 310:330] = 150
    picture[100:160, 500:640] = 255
    detector.find(picture, picture)
    (held,) = detector._inputs.values()
    letters, ground, lamp = held.array[0, 0, [205, 201, 130], [320, 320, 570]].tolist()
    assert 120 < letters < ground - 30 < lamp - 60


def test_pictures_of_many_sizes_leave_inputs_for_the_last_one_only() -> None:
    network = Scripted()
    detector = Detector(network, 0.3)  # type: ignore[arg-type]
    arrays = []
    for width, height in ((1280, 768), (1920, 1080), (640, 480)):
        picture = np.full((height, width), 200, np.uint8)
        detector.find(picture, picture, parts(detector.whole_view(width, height), deep=True))
        arrays += [held.array for held in detector._inputs.values()]
    assert len(detector._inputs) == 3
    assert sum(bool(array.any()) for array in arrays) == 3
