import numpy as np
import pytest

from edge_anpr.vision.detect import decode

STRIDE = 8


def heads(
    *plates: tuple[float, float, float, float, float], cells: int = 2
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outputs of a perfect network for plates (left, top, right, bottom, score): each cell knows its plate."""
    score = np.zeros((48, 80), np.float32)
    box, quad = np.zeros((4, 48, 80), np.float32), np.zeros((8, 48, 80), np.float32)
    for left, top, right, bottom, value in plates:
        middle_row, middle_column = int((top + bottom) / 2 / STRIDE), int((left + right) / 2 / STRIDE)
        for row in range(middle_row - cells // 2, middle_row + cells // 2 + 1):
            for column in range(middle_column - cells, middle_column + cells + 1):
                x, y = (column + 0.5) * STRIDE, (row + 0.5) * STRIDE
                score[row, column] = value
                box[:, row, column] = np.log(np.maximum([x - left, y - top, right - x, bottom - y], 1) / STRIDE)
                offset = (
                    np.array([left - x, top - y, right - x, top - y, right - x, bottom - y, left - x, bottom - y])
                ) / STRIDE
                quad[:, row, column] = np.sign(offset) * np.log1p(np.abs(offset))
    return score, box, quad


def test_one_plate_is_found_once_where_it_is() -> None:
    found = decode(*heads((100, 200, 220, 226, 0.9)), 0.3, STRIDE)
    assert len(found) == 1
    box, quad, score = found[0]
    assert box == pytest.approx([100, 200, 120, 26], abs=0.5)
    assert quad == pytest.approx(np.array([[100, 200], [220, 200], [220, 226], [100, 226]]), abs=0.5)
    assert score == pytest.approx(0.9)


def test_plates_come_best_first_and_neighbours_stay_two() -> None:
    found = decode(*heads((100, 200, 160, 215, 0.6), (300, 200, 360, 215, 0.9)), 0.3, STRIDE)
    assert [round(float(box[0])) for box, _, _ in found] == [300, 100]


def test_what_is_below_the_threshold_is_not_found() -> None:
    assert decode(*heads((100, 200, 160, 215, 0.29)), 0.3, STRIDE) == []


def test_a_weaker_part_of_a_plate_is_not_a_second_plate() -> None:
    score, box, quad = heads((100, 200, 300, 244, 0.9))
    part = heads((190, 200, 300, 244, 0.5), cells=0)
    row, column = int(222 / STRIDE), int(245 / STRIDE)
    score[row, column], box[:, row, column], quad[:, row, column] = (
        0.5,
        part[1][:, row, column],
        part[2][:, row, column],
    )
    assert len(decode(score, box, quad, 0.3, STRIDE)) == 1


def test_absurd_outputs_give_finite_boxes() -> None:
    score, box, quad = heads((100, 200, 220, 226, 0.9))
    box[:], quad[:] = 1e6, -1e6
    assert all(
        np.isfinite(plate).all() and np.isfinite(corners).all()
        for plate, corners, _ in decode(score, box, quad, 0.3, STRIDE)
    )
