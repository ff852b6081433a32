import cv2
import numpy as np
import pytest

from edge_anpr.datatypes import Box, PlateDetection
from edge_anpr.vision.rectify import MARGINS, rectify, row_counts


def plate(quad: list[list[float]]) -> PlateDetection:
    corners = np.array(quad, np.float32)
    return PlateDetection(Box(*map(float, cv2.boundingRect(corners))), corners, 1.0)


def flat_of(picture: np.ndarray, quad: np.ndarray, rows: int = 1) -> np.ndarray:
    out = np.zeros((rows, 32, 128), np.uint8)
    rectify(picture, quad, out)
    return out


def test_a_tilted_plate_lies_flat_and_fills_the_crop_but_for_the_margin() -> None:
    quad = np.array([[60, 80], [250, 40], [255, 85], [65, 125]], np.float32)
    picture = np.zeros((200, 320), np.uint8)
    halves = np.array([[quad[0], (quad[0] + quad[1]) / 2, (quad[2] + quad[3]) / 2, quad[3]]])
    cv2.fillConvexPoly(picture, quad.astype(np.int32), 100)
    cv2.fillConvexPoly(picture, halves[0].astype(np.int32), 200)
    out = flat_of(picture, quad)[0]
    assert out[8:24, 10:58].mean() == pytest.approx(200, abs=4)
    assert out[8:24, 70:118].mean() == pytest.approx(100, abs=4)
    rim = round(128 * MARGINS[0] / (1 + 2 * MARGINS[0]))
    assert out[:, : rim - 2].mean() < 20
    assert out[16, rim + 2] > 150


def test_a_small_plate_lies_in_the_middle_of_the_crop() -> None:
    picture = np.zeros((40, 60), np.uint8)
    picture[15:21, 20:44] = 200  # half a pixel is a twelfth of its height
    out = flat_of(picture, np.array([[20, 15], [44, 15], [44, 21], [20, 21]], np.float32))[0].astype(int)
    assert out.max() == 200
    assert abs(out - out[:, ::-1]).max() <= 4
    assert abs(out - out[::-1]).max() <= 4


def test_each_row_of_characters_is_a_crop_by_itself() -> None:
    picture = np.zeros((200, 200), np.uint8)
    picture[50:90, 50:150], picture[90:130, 50:150] = 200, 90
    upper, lower = flat_of(picture, np.array([[50, 50], [150, 50], [150, 130], [50, 130]], np.float32), 2)
    assert upper[10:28, 10:118].mean() == pytest.approx(200, abs=5)
    assert lower[4:22, 10:118].mean() == pytest.approx(90, abs=5)


def test_a_large_plate_keeps_its_thin_strokes() -> None:
    picture = np.full((400, 1200), 255, np.uint8)
    picture[:, 5::10] = 0  # one dark column in ten: skipping pixels would lose most of them or show them all
    out = flat_of(picture, np.array([[50, 50], [1150, 50], [1150, 350], [50, 350]], np.float32))[0]
    assert 215 < out.mean() < 240
    assert out.std() < 25


def test_nothing_of_a_large_plate_is_left_in_its_halves(resized: list[np.ndarray]) -> None:
    picture = np.full((400, 1000), 120, np.uint8)
    flat_of(picture, np.array([[50, 50], [550, 50], [550, 160], [50, 160]], np.float32))
    assert [len(half) for half in resized] == sorted((len(half) for half in resized), reverse=True)
    assert len(resized) >= 2
    assert not any(half.any() for half in resized)
    assert (picture == 120).all()


@pytest.mark.parametrize(("height", "rows"), [(40, (1,)), (100, (1, 2)), (220, (1, 2))])
def test_the_shape_says_how_many_rows(height: float, rows: tuple[int, ...]) -> None:
    assert row_counts(plate([[0, 0], [200, 0], [200, height], [0, height]])) == rows


@pytest.mark.parametrize("width", [100, 170, 300, 500, 1100])
def test_a_plate_of_any_size_lies_as_a_small_one_does(width: int) -> None:
    """Where its strokes are does not depend on how often the picture was halved."""
    picture = np.full((600, 1300), 60, np.uint8)
    quad = np.array([[0, 0], [width, 0.02 * width], [width, 0.24 * width], [0, 0.22 * width]], np.float32)
    quad += np.array([83, 51], np.float32)
    for share in np.linspace(0.05, 0.95, 10):
        foot = quad[3] + share * (quad[2] - quad[3])
        head = quad[0] + share * (quad[1] - quad[0])
        # OpenCV counts from pixels' middles.
        (x1, y1), (x2, y2) = (((end - 0.5) * 16).round().astype(int).tolist() for end in (head, foot))
        cv2.line(picture, (x1, y1), (x2, y2), 220, max(round(width / 30), 1), cv2.LINE_AA, 4)
    middles = flat_of(picture, quad)[0].astype(float).mean(axis=0)
    rim = 128 * MARGINS[0] / (1 + 2 * MARGINS[0])
    for share in np.linspace(0.05, 0.95, 10):
        at = rim + share * (128 - 2 * rim)
        near = np.arange(round(at) - 5, round(at) + 6)
        lit = middles[near] - middles[near].min()
        assert (lit * (near + 0.5)).sum() / lit.sum() == pytest.approx(at, abs=0.5)


@pytest.mark.parametrize("corner", [(-200, -30), (900, 300), (500, -80), (-2000, 3000)])
def test_a_large_plate_beyond_the_pictures_border_goes_on_as_the_border_is(corner: tuple[int, int]) -> None:
    picture = np.full((400, 1000), 120, np.uint8)
    quad = np.array([[0, 0], [700, 0], [700, 150], [0, 150]], np.float32) + np.array(corner, np.float32)
    assert (flat_of(picture, quad) == 120).all()
