"""Int8 against float on rendered plates: what quantization costs, and that both files come from the same weights."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
import reference
from evaluate_detector import put_plate
from figures import fold
from ocr_io import decode, standardise
from plates import PlateRenderer

from edge_anpr.datatypes import Box
from edge_anpr.vision import detect
from edge_anpr.vision.session import Network, shipped

CROPS, PICTURES = 1200, 60
# Half a point of the share that is right.
MOST_LOST = 0.005


@pytest.fixture(scope="module")
def crops() -> tuple[np.ndarray, list[str]]:
    renderer = PlateRenderer(np.random.default_rng(990_010), faces="drawn")
    pairs: list[tuple[np.ndarray, str]] = []
    while len(pairs) < CROPS:
        pairs += renderer.crops()
    return standardise(np.stack([crop for crop, _ in pairs])), [text for _, text in pairs]


def test_int8_reads_as_many_rendered_plates_as_float(crops: tuple[np.ndarray, list[str]]) -> None:
    pictures, texts = crops
    network, weights = Network(shipped("ocr"), "ocr", "ctc"), reference.load("ocr")
    right = {"float": 0, "int8": 0}
    alike = 0
    for start in range(0, CROPS, 60):
        part = pictures[start : start + 60]
        exact, rounded = decode(reference.ocr(weights, part)), decode(network.run(part[:, None])[0])
        for truth, one, other in zip(texts[start : start + 60], exact, rounded, strict=True):
            right["float"] += fold(one) == fold(truth)
            right["int8"] += fold(other) == fold(truth)
            alike += one == other
    assert right["int8"] >= right["float"] - MOST_LOST * CROPS, right
    assert alike >= 0.93 * CROPS  # the rest are smears that nobody reads
    assert right["int8"] >= 0.6 * CROPS


def test_int8_finds_as_many_rendered_plates_as_float() -> None:
    rng = np.random.default_rng(990_011)
    renderer = PlateRenderer(rng, faces="drawn")
    network, weights = Network(shipped("detector"), "detector", "quad13-s8"), reference.load("detector")
    found = {"float": 0, "int8": 0}
    plates = 0
    moved: list[float] = []
    for _ in range(PICTURES):
        picture, truths = _road(renderer, rng)
        plates += len(truths)
        (heads,) = network.run(picture[None, None])
        grid = detect.Grid(heads.shape[2], heads.shape[3], 8)
        both = {
            "float": detect.decode(reference.detector(weights, picture), 0.3, grid),
            "int8": detect.decode(heads[0], 0.3, grid),
        }
        for truth in truths:
            boxes = {}
            for name, plates_seen in both.items():
                near = [np.array(astuple(place)) for place, _, _ in plates_seen if truth.overlap(place) >= 0.5]
                found[name] += len(near) == 1
                boxes[name] = near[0] if near else None
            if boxes["float"] is not None and boxes["int8"] is not None:
                moved.append(float(np.abs(boxes["float"] - boxes["int8"]).max() / truth.width))
    assert found["int8"] >= found["float"] - max(MOST_LOST * plates, 1), found
    assert found["int8"] >= 0.9 * plates, found
    assert np.median(moved) < 0.02


def _road(renderer: PlateRenderer, rng: np.random.Generator) -> tuple[np.ndarray, list[Box]]:
    """A gray road 640 px wide with a plate in each of its quarters, 36 to 200 px wide."""
    ramp = np.linspace(float(rng.uniform(40, 120)), float(rng.uniform(90, 190)), 384, dtype=np.float32)
    picture = np.clip(ramp[:, None] + rng.normal(0, 5, (384, 640)), 0, 255).astype(np.uint8)
    truths = []
    for top in (0, 192):
        for left in (0, 320):
            # put_plate works in a picture of 640 × 480: each quarter is one, shrunk by half.
            quarter = np.full((480, 640), int(picture[top : top + 192, left : left + 320].mean()), np.uint8)
            truth = put_plate(quarter, renderer, rng, int(rng.uniform(72, 400)))
            part = quarter[48:432].reshape(192, 2, 320, 2).mean(axis=(1, 3))
            grain = rng.normal(0, 4, part.shape)
            picture[top : top + 192, left : left + 320] = np.clip(part + grain, 0, 255).astype(np.uint8)
            truths.append(Box(left + truth.left / 2, top + (truth.top - 48) / 2, truth.width / 2, truth.height / 2))
    return picture, [truth for truth in truths if truth.top > 0 and truth.top + truth.height < 383]
