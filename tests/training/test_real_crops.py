"""Rows of real plates for the OCR, shown here on a drawn picture: labels, cuts, and what is thrown away."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from labeller import Labelled, flat, label, load_labels, nothing, plausible, rows_of
from real_crops import RealCrops
from splits import Photo, shrink

from edge_anpr.datatypes import Box, PlateDetection
from edge_anpr.vision.views import View, whole

QUAD = np.array([[60, 80], [250, 40], [255, 85], [65, 125]], np.float32)


@pytest.fixture
def picture() -> np.ndarray:
    """A tilted plate whose left half is bright and whose right half is dark, on black."""
    gray = np.zeros((200, 320), np.uint8)
    cv2.fillConvexPoly(gray, QUAD.astype(np.int32), 100)
    left = np.array([QUAD[0], (QUAD[0] + QUAD[1]) / 2, (QUAD[2] + QUAD[3]) / 2, QUAD[3]])
    cv2.fillConvexPoly(gray, left.astype(np.int32), 200)
    return gray


class Says:
    """A recogniser that reads what it is told, one answer a call."""

    def __init__(self, *answers: tuple[str, float]) -> None:
        self._answers = list(answers)

    def read(self, _gray: np.ndarray) -> tuple[str, float]:
        return self._answers.pop(0)


class Sees:
    """A detector that finds one plate, with these corners."""

    def __init__(self, quad: np.ndarray) -> None:
        low, high = quad.min(0), quad.max(0)
        self._plate = PlateDetection(Box(*map(float, (*low, *(high - low)))), quad, 0.9)

    def whole_view(self, width: int, height: int) -> View:
        return whole(width, height, 640, 384)

    def find(self, _lores: np.ndarray, _luma: np.ndarray, _parts: list[View]) -> list[PlateDetection]:
        return [self._plate]


def photo(gray: np.ndarray) -> Photo:
    box = np.concatenate([QUAD.min(0), QUAD.max(0)])[None]
    return Photo("openimages_plates", "p", "p", shrink(gray), box.astype(np.float32))


def test_both_cuts_must_say_the_same_and_surely(picture: np.ndarray) -> None:
    def texts(*answers: tuple[str, float]) -> list[str]:
        return [row["text"] for row in label(photo(picture), Sees(QUAD), Says(*answers))]  # type: ignore[arg-type]

    assert texts(("DB37DB", 0.95), ("DB37DB", 0.93)) == ["DB37DB"]
    assert texts(("DB37DB", 0.95), ("DB37D8", 0.95)) == []
    assert texts(("DB37DB", 0.95), ("DB37DB", 0.60)) == []
    assert texts(("TAXI", 0.99), ("TAXI", 0.99)) == []


def test_of_a_labelled_plate_nothing_is_never_said(picture: np.ndarray) -> None:
    shown = photo(picture)
    shown.hard = np.concatenate([shown.boxes, [[10.0, 150.0, 90.0, 170.0]]]).astype(np.float32)
    kept = nothing(shown, Says(*[("", 0.0)] * 9), np.random.default_rng(0))  # type: ignore[arg-type]
    assert [10.0, 150.0] in [row["quad"][0] for row in kept]
    boxes = [np.array(row["quad"], np.float32) for row in kept]
    for quad in boxes:
        low, high = quad.min(0), quad.max(0)
        assert (np.minimum(high, QUAD.max(0)) - np.maximum(low, QUAD.min(0))).min() < 8


@pytest.mark.parametrize(
    ("text", "expected"),
    [("DB37DB", True), ("K4X4J4", True), ("POLICE", False), ("5550199", False), ("A1", False), ("B-37", False)],
)
def test_what_plates_are_written_like(text: str, expected: bool) -> None:
    assert plausible(text) is expected


def test_a_quad_is_laid_flat_and_cut_into_its_rows(picture: np.ndarray) -> None:
    plate = flat(picture, QUAD, 0.0)
    assert plate[10:38, 10 : plate.shape[1] // 2 - 10].mean() == pytest.approx(200, abs=3)
    assert plate[10:38, plate.shape[1] // 2 + 10 : -10].mean() == pytest.approx(100, abs=3)
    upper, lower = rows_of(QUAD)
    assert upper[3] == pytest.approx(lower[0])
    assert upper[0] == pytest.approx(QUAD[0])
    assert lower[2] == pytest.approx(QUAD[2])


def test_crops_show_the_row_whole_and_upright(picture: np.ndarray) -> None:
    crops = RealCrops([Labelled(picture, QUAD, "DB37DB")], np.random.default_rng(3))
    brighter = 0
    for _ in range(40):
        crop, text = crops.crop()
        assert text == "DB37DB"
        assert crop.shape == (32, 128)
        assert crop.dtype == np.uint8
        brighter += crop[8:24, 20:56].mean() > crop[8:24, 72:108].mean()
    assert brighter == 40


def test_a_share_of_the_crops_says_nothing(picture: np.ndarray) -> None:
    rows = [Labelled(picture, QUAD, "DB37DB"), Labelled(picture, QUAD, "")]
    texts = [RealCrops(rows, np.random.default_rng(seed)).crop()[1] for seed in range(200)]
    assert 20 <= texts.count("") <= 60


def test_labels_of_photos_that_are_gone_are_passed_over(tmp_path: Path, picture: np.ndarray) -> None:
    path = tmp_path / "labels.jsonl"
    row = {"quad": QUAD.tolist(), "text": "DB37DB", "of": 1}
    path.write_text("\n".join(json.dumps({"photo": name, **row}) for name in ("openimages_plates/p", "other/gone")))
    assert [item.text for item in load_labels(path, [photo(picture)])] == ["DB37DB"]
    with pytest.raises(FileNotFoundError, match=r"run labeller\.py first"):
        RealCrops.of(tmp_path, tmp_path / "none.jsonl", np.random.default_rng(0))
