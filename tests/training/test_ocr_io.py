"""What goes into the OCR and comes out of it, and the shipped model on plates that were never issued."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

MODELS = Path(__file__).parents[2] / "models"
sys.path.insert(0, str(MODELS / "training"))

from ocr_io import ALPHABET, decode, fold, standardise  # noqa: E402
from plates import PlateRenderer  # noqa: E402

from edge_anpr.plates.syntax import decide  # noqa: E402
from edge_anpr.plates.text import reveal  # noqa: E402
from edge_anpr.vision.ocr import Reader  # noqa: E402
from edge_anpr.vision.rectify import scale_rows  # noqa: E402
from edge_anpr.vision.session import Network, shipped  # noqa: E402


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
    reader = Reader(Network(shipped("ocr"), "ocr", "ctc"))
    drawing = PlateRenderer(np.random.default_rng(77), faces="drawn")
    right: dict[int, list[bool]] = {1: [], 2: []}
    for plate in (drawing.flat() for _ in range(160)):
        rows = np.empty((plate.rows, 32, 128), np.uint8)
        scale_rows(plate.gray, rows)
        text = reveal(decide(reader.read_rows(list(rows)).posteriors)[0])
        right[plate.rows].append(fold(text) == fold(plate.text))
    for count, least in ((1, 0.95), (2, 0.9)):
        assert np.mean(right[count]) >= least, count
