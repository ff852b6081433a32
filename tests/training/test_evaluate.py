import cv2
import numpy as np
import pytest
from evaluate_corners import Labelled, way_between
from evaluate_detector import detection
from evaluate_far import shrunk
from evaluate_turned import rolled, sheared
from figures import Figures, calibration_error, fold, wilson
from pasting import lay
from plates import PlateRenderer
from splits import Photo

from edge_anpr.datatypes import Box, PlateDetection
from edge_anpr.vision.views import View, whole


@pytest.mark.parametrize(
    ("right", "of", "low", "high"), [(8, 8, 0.676, 1.0), (0, 10, 0.0, 0.278), (95, 100, 0.888, 0.978), (0, 0, 0.0, 1.0)]
)
def test_the_interval_is_wilsons(right: int, of: int, low: float, high: float) -> None:
    assert wilson(right, of) == pytest.approx((low, high), abs=0.001)


def test_folding_takes_o_for_0_and_i_for_1() -> None:
    assert fold("OI01AB") == "0101AB"


class Scripted:
    """A detector that finds what it is told, one list a picture."""

    def __init__(self, *found: list[tuple[float, float, float, float, float]]) -> None:
        self._found = list(found)

    def whole_view(self, width: int, height: int) -> View:
        return whole(width, height, 640, 384)

    def find(self, _lores: np.ndarray, _luma: np.ndarray, _parts: list[View]) -> list[PlateDetection]:
        return [
            PlateDetection(Box(*values[:4]), np.zeros((4, 2), np.float32), values[4]) for values in self._found.pop(0)
        ]


def average_precision(*pictures: tuple[list[list[float]], list[tuple[float, float, float, float, float]]]) -> float:
    """AP50 of pictures, each (true boxes left top right bottom, found boxes left top width height score)."""
    gray = np.zeros((100, 100), np.uint8)
    photos = [Photo("s", "n", "g", [gray], np.array(truth, np.float32).reshape(-1, 4)) for truth, _ in pictures]
    figures = Figures()
    detection("set", photos, Scripted(*[found for _, found in pictures]), figures)  # type: ignore[arg-type]
    (value,) = figures.numbers.values()
    return value


def test_average_precision_of_known_cases() -> None:
    plate = [10.0, 10.0, 50.0, 20.0]
    right, wrong = (10.0, 10.0, 40.0, 10.0, 0.9), (60.0, 60.0, 30.0, 10.0, 0.95)
    assert average_precision(([plate], [right])) == 1.0
    assert average_precision(([plate], [])) == 0.0
    assert average_precision(([plate], [right, wrong])) == 0.5  # the surer one is wrong
    assert average_precision(([plate], [right, (*right[:4], 0.5)])) == 1.0  # a double comes after all right ones
    assert average_precision(([plate], [right]), ([plate], [])) == 0.5


def test_a_plate_too_small_to_be_asked_for_is_neither_missed_nor_false() -> None:
    plate, tiny = [10.0, 10.0, 50.0, 20.0], [70.0, 70.0, 78.0, 73.0]
    right, at_tiny = (10.0, 10.0, 40.0, 10.0, 0.5), (70.0, 70.0, 8.0, 3.0, 0.9)
    assert average_precision(([plate, tiny], [at_tiny, right])) == 1.0
    assert average_precision(([plate, tiny], [right])) == 1.0


@pytest.mark.parametrize("left", [10, 700, 1100])
def test_a_ride_shrunk_for_a_far_plate_shows_it_where_it_is_said_to_be(left: int) -> None:
    picture = np.full((720, 1280), 60, np.uint8)
    picture[600:630, left : left + 130] = 250
    small, truth = shrunk(picture, Box(left, 600, 130, 30), 80 / 130)
    assert small.shape == (384, 640)
    rows, columns = np.nonzero(small > 200)
    found = Box(float(columns.min()), float(rows.min()), float(np.ptp(columns)) + 1, float(np.ptp(rows)) + 1)
    assert truth.width == pytest.approx(80)
    assert found.overlap(truth) > 0.9


def test_the_calibration_error_of_known_cases() -> None:
    sure = np.array([0.9] * 10 + [0.5] * 10)
    right = np.array([True] * 9 + [False] + [True] * 5 + [False] * 5)
    assert calibration_error(sure, right)[0] == pytest.approx(0.0, abs=1e-9)
    error, points = calibration_error(sure, np.ones(20, np.bool_))
    assert error == pytest.approx((0.1 + 0.5) / 2)
    assert sum(count for _, _, count in points) == 20


def test_one_frames_corners_are_known_in_another_by_the_picture() -> None:
    rng = np.random.default_rng(5)
    flat = PlateRenderer(rng, faces="drawn").flat().gray
    first = np.array([[200, 200], [380, 206], [378, 246], [199, 240]], np.float32)
    then = first * np.float32(1.1) + np.array([15, -20], np.float32)
    frames = []
    for quad, off in ((first, 1.5), (then, -1.5)):
        gray = np.asarray(cv2.GaussianBlur(rng.integers(60, 120, (480, 640), np.uint8), (0, 0), 3), np.uint8)
        lay(gray, flat, quad)
        wrong = rng.normal(0, 1.5, (4, 2)).astype(np.float32)
        frames.append(Labelled(gray, quad + wrong, quad + np.float32(off)))
    way = way_between(*frames)
    assert way is not None
    seen = cv2.perspectiveTransform(first[None], way)[0]
    assert np.linalg.norm(seen - then, axis=1).max() < 0.6
    noise = np.asarray(rng.integers(0, 255, (480, 640)), np.uint8)
    assert way_between(frames[0], Labelled(noise, then, then)) is None


@pytest.mark.parametrize("turn", [-25, 0, 12])
def test_a_turned_plate_is_rolled_and_one_whose_sides_stay_upright_is_sheared(turn: float) -> None:
    flat = np.array([[-2, -0.5], [2, -0.5], [2, 0.5], [-2, 0.5]], np.float32)
    angle = np.radians(turn)
    way = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], np.float32)
    assert (rolled(flat @ way), sheared(flat @ way)) == pytest.approx((abs(turn), 0), abs=0.01)
    downhill = flat @ np.array([[1, np.tan(angle)], [0, 1]], np.float32)
    assert (rolled(downhill), sheared(downhill)) == pytest.approx((abs(turn), abs(turn)), abs=0.01)
