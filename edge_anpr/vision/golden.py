"""Pictures and rows whose right reading is known: what the networks have to read before a unit believes them.

A model's hash says that the file is whole. Whether this build of ONNX Runtime, on this processor, computes what it
should, only a reading says. The plates were drawn and never issued (models/training/golden.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_anpr.datatypes import Gray, PlateReading
from edge_anpr.plates.syntax import decide
from edge_anpr.plates.text import reveal
from edge_anpr.vision.detect import Detector
from edge_anpr.vision.ocr import Reader
from edge_anpr.vision.views import parts

FILE = Path(__file__).with_name("golden.npz")
# A corner may be this far off, in widths of the plate. The shipped detector's are off by 0.02 at most.
CORNERS = 0.06


@dataclass(frozen=True, slots=True)
class Golden:
    """``pictures`` with the quads (n, 4, 2) and texts of the plates in them; ``rows`` of characters with theirs."""

    pictures: list[tuple[Gray, NDArray[np.float32], list[str]]]
    rows: list[tuple[Gray, str]]

    @property
    def plates(self) -> int:
        """How many stand in the pictures."""
        return sum(len(texts) for _, _, texts in self.pictures)


def load(file: Path = FILE) -> Golden:
    """Those that come with the package."""
    with np.load(file) as held:
        pictures = [
            (held[f"picture{index}"], held[f"quads{index}"], held[f"texts{index}"].tolist())
            for index in range(sum(name.startswith("picture") for name in held.files))
        ]
        rows = list(zip(held["rows"], held["row_texts"].tolist(), strict=True))
    return Golden(pictures, rows)


def complaints(golden: Golden, detector: Detector, reader: Reader) -> list[str]:
    """What is not found, misplaced or misread, in words that show no text; empty when all is right."""
    wrong: list[str] = []
    for number, (picture, quads, texts) in enumerate(golden.pictures, 1):
        far = parts(detector.whole_view(picture.shape[1], picture.shape[0]))
        found = detector.find(picture, picture, far)
        if len(found) != len(quads):
            wrong.append(f"picture {number}: {len(found)} plates found of {len(quads)}")
            continue
        off = [[_off(plate.quad, quad) for plate in found] for quad in quads]
        nearest = np.argmin(off, axis=1).tolist()
        if not max(row[index] for row, index in zip(off, nearest, strict=True)) <= CORNERS:
            wrong.append(f"picture {number}: corners are off by more than {CORNERS:.0%} of a plate's width")
            continue
        said = [text(reading) for reading in reader.read(picture, found)]
        if [said[index] for index in nearest] != texts:
            wrong.append(f"picture {number}: a plate is misread")
    misread = [number for number, (row, right) in enumerate(golden.rows, 1) if text(reader.read_rows([row])) != right]
    return wrong + [f"row {number} is misread" for number in misread]


def _off(quad: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    """How far the worst corner is from where it belongs, in widths of the plate; what is no number is far."""
    off = float(np.linalg.norm(quad - right, axis=1).max() / np.linalg.norm(right[1] - right[0]))
    return off if math.isfinite(off) else math.inf


def text(reading: PlateReading) -> str:
    """What it says. Of drawn plates only."""
    return reveal(decide(reading.posteriors)[0]) if len(reading.posteriors) else ""
