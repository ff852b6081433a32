"""Crops of real plates for the OCR: rows that `labeller.py` read, seen a little otherwise each time."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from degrade import F32, defocus, exposure, interlace, jpeg, lens, motion, noise
from labeller import Labelled, load_labels
from plates import cut
from splits import FloatArray, Gray, training_photos

#: A row this wide can still be read by most eyes; smaller views would teach guessing.
LEAST_PX = 34.0
#: Lamps, grilles, foliage: what is not to be read at all.
NOTHING_SHARE = 0.2


class RealCrops:
    """Draws from labelled rows, and from places where nothing is written; all chance comes from `rng`."""

    def __init__(self, rows: list[Labelled], rng: np.random.Generator) -> None:
        self._rng = rng
        self._rows = [row for row in rows if row.text]
        self._nothing = [row for row in rows if not row.text]

    @classmethod
    def of(cls, data: Path, labels: Path, rng: np.random.Generator) -> RealCrops:
        """Load photos and labels; FileNotFoundError says what to run first."""
        if not labels.exists():
            raise FileNotFoundError(f"{labels}: no labels of real plates; run labeller.py first, or leave out --data")
        return cls(load_labels(labels, training_photos(data)), rng)

    def __len__(self) -> int:
        return len(self._rows)

    def crop(self) -> tuple[Gray, str]:
        """One row as a rectifier cuts it, uint8 32×128 before standardisation, and its text."""
        rng = self._rng
        rows = self._nothing if self._nothing and rng.random() < NOTHING_SHARE else self._rows
        row = rows[int(rng.integers(len(rows)))]
        quad = row.quad
        wide = float(np.linalg.norm(quad[1] - quad[0]) + np.linalg.norm(quad[2] - quad[3])) / 2
        high = float(np.linalg.norm(quad[3] - quad[0]) + np.linalg.norm(quad[2] - quad[1])) / 2
        seen = min(wide, 200.0)
        pick = float(rng.random())
        if pick < 0.4:
            seen = min(wide, float(rng.uniform(LEAST_PX, 64)))
        elif pick < 0.7:
            seen = max(min(LEAST_PX, wide), seen * float(rng.uniform(0.35, 1.0)))
        size = np.array([max(12, round(seen)), max(6, round(high * seen / wide))])
        margin = float(rng.random()) ** 1.4 * 0.16
        rim = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * (1 - margin) + margin / 2
        rim = (rim + rng.normal(0, (0.012, 0.035), (4, 2))) * size - 0.5
        way = cv2.getPerspectiveTransform(np.asarray(quad - 0.5, np.float32), rim.astype(np.float32))
        matrix: FloatArray = np.asarray(way, np.float32)
        gray = row.gray
        if seen < 0.7 * wide:  # a smaller view of a larger plate: soften first, or strokes are lost
            gray, matrix = self._softer(row, matrix, wide / seen)
        flat = cv2.warpPerspective(gray, matrix, size.tolist(), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return cut(self._spoil(np.asarray(flat, np.float32), high * seen / wide), 1, [row.text], rng)[0]

    def _softer(self, row: Labelled, matrix: FloatArray, factor: float) -> tuple[Gray, FloatArray]:
        low = np.maximum(np.floor(row.quad.min(0) - 40).astype(int), 0)
        high = np.ceil(row.quad.max(0) + 40).astype(int)
        part = cv2.GaussianBlur(row.gray[low[1] : high[1], low[0] : high[0]], (0, 0), lens(self._rng) * factor)
        return np.asarray(part, np.uint8), matrix @ np.array([[1, 0, low[0]], [0, 1, low[1]], [0, 0, 1.0]])

    def _spoil(self, flat: F32, high: float) -> Gray:
        rng = self._rng
        if rng.random() < 0.5:
            flat = exposure(flat, rng)
        if rng.random() < 0.2:
            flat = motion(flat, rng, float(rng.uniform(1.2, 1.5 + high / 7)))
        if rng.random() < 0.3:
            flat = defocus(flat, float(rng.uniform(0.2, 0.3 + high / 50)))
        if rng.random() < 0.05:
            flat = interlace(flat, rng, 0.7 * high)
        if rng.random() < 0.5:
            flat = noise(flat, rng, min(float(rng.random()) ** 2 * 20, 0.4 * float(flat.std())))
        done = np.clip(flat, 0, 255).astype(np.uint8)
        return jpeg(done, int(rng.integers(15, 95))) if rng.random() < 0.3 else done
