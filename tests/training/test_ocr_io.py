"""What goes into the OCR and comes out of it, and the shipped model on plates that were never issued."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
import pytest

MODELS = Path(__file__).parents[2] / "models"
sys.path.insert(0, str(MODELS / "training"))

from ocr_io import ALPHABET, decode, fold, standardise, to_input  # noqa: E402
from plates import PlateRenderer  # noqa: E402


def test_standardise_brings_every_crop_to_one_mean_and_contrast() -> None:
    rng = np.random.default_rng(0)
    dim = (20 + 8 * rng.standard_normal((32, 128))).clip(0, 255)
    bright = (180 + 20 * rng.standard_normal((32, 128))).clip(0, 255)
    out = standardise(np.stack([dim, bright]).astype(np.uint8)).astype(np.float64)
    assert out.mean((1, 2)) == pytest.approx([128, 128], abs=2)
    assert out.std((1, 2)) == pytest.approx([52, 52], abs=3)


def test_standardise_does_not_blow_up_an_empty_crop() -> None:
    noise = np.random.default_rng(0).integers(99, 102, (1, 32, 128), dtype=np.uint8)
    assert standardise(noise).std() < 10


def test_the_upper_row_goes_left_and_the_lower_row_right() -> None:
    square = np.zeros((100, 140), np.uint8)
    square[50:] = 200
    crop = to_input(square, 2)
    assert crop.shape == (32, 128)
    assert crop[:, :64].max() < 120
    assert crop[:, 64:].min() > 80
    assert to_input(square, 1).shape == (32, 128)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ([0, 0, 0], ""),
        ([11, 11, 0, 11], "AA"),
        ([0, 11, 12, 12, 0, 1], "AB0"),
        ([36, 0, 10], "Z9"),
    ],
)
def test_decode_merges_repeats_and_drops_blanks(path: list[int], text: str) -> None:
    logits = np.full((1, len(path), 1 + len(ALPHABET)), -5.0, np.float32)
    logits[0, np.arange(len(path)), path] = 5.0
    assert decode(logits) == [text]


def test_the_card_names_the_file_that_lies_beside_it() -> None:
    card = json.loads((MODELS / "ocr.json").read_text())
    assert card["sha256"] == hashlib.sha256((MODELS / "ocr.onnx").read_bytes()).hexdigest()
    assert card["alphabet"] == ALPHABET


def test_the_shipped_model_reads_clean_plates_of_one_and_two_rows() -> None:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    model = ort.InferenceSession(str(MODELS / "ocr.onnx"), options, providers=["CPUExecutionProvider"])
    drawing = PlateRenderer(np.random.default_rng(77), faces="drawn")
    plates = [drawing.flat() for _ in range(120)]
    crops = [to_input(np.asarray(cv2.blur(plate.gray, (3, 3)), np.uint8), plate.rows) for plate in plates]
    texts = decode(model.run(["logits"], {"plate": standardise(np.stack(crops))[:, None]})[0])
    for rows, least in ((1, 0.93), (2, 0.8)):
        right = [fold(t) == fold(p.text) for t, p in zip(texts, plates, strict=True) if p.rows == rows]
        assert np.mean(right) >= least, rows
