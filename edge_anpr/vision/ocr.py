"""Characters of a rectified plate: a small network, and its CTC output as one distribution per character."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_anpr.datatypes import Gray, PlateDetection, PlateReading, Posteriors
from edge_anpr.privacy.wipe import wipe
from edge_anpr.vision.rectify import MARGINS, rectify, row_counts
from edge_anpr.vision.session import MOST_CROPS, Network, Pass

# A plate narrower than this is read worse (90 % at 43 px, 97 % at 57 px), so that its voice counts less.
FULL_CLARITY_PX = 80.0
# Mean step between neighbouring pixels of a standardised crop that shows its strokes as they are.
FULL_SHARPNESS = 20.0


class Reader:
    """Reads plates; crops, model inputs and outputs live in buffers of its own that ``forget`` overwrites."""

    def __init__(self, network: Network) -> None:
        self._network = network
        card = network.card
        standard = card.fields["input"]["standardise"]
        self._std, self._min_std, self._mean = (float(standard[key]) for key in ("target_std", "min_std", "mean"))
        self._blank = int(card.fields["blank"])
        self._crops: NDArray[np.uint8] = np.zeros((MOST_CROPS, 1, card.height, card.width), np.uint8)
        self._passes: dict[int, Pass] = {}
        self._most = 1  # crops in the largest pass since the last ``forget``

    def read(self, luma: Gray, detections: list[PlateDetection], margin: float = MARGINS[0]) -> list[PlateReading]:
        """One reading per detection, from the full picture (height, width), cut with so much room around it."""
        # Where the shape allows one row and two, both are tried. Each row of characters is a crop by itself.
        work = [(index, rows) for index, detection in enumerate(detections) for rows in row_counts(detection)]
        best: dict[int, PlateReading] = {}
        while work:
            batch, count = [], 0
            while work and count + work[0][1] <= MOST_CROPS:
                index, rows = work.pop(0)
                rectify(luma, detections[index].quad, self._crops[count : count + rows, 0], margin)
                batch.append((index, rows, count))
                count += rows
            sharpness = [self._standardise(crop[0]) for crop in self._crops[:count]]
            self._most = max(self._most, count)
            (logits,) = self._pass(count).run()
            for index, rows, first in batch:
                found = [decode(logits[row], self._blank) for row in range(first, first + rows)]
                clarity = _clarity(detections[index], rows, sum(sharpness[first : first + rows]) / rows)
                reading = PlateReading(_joined(found), rows, clarity)
                if index not in best:
                    best[index] = reading
                else:
                    worse, best[index] = sorted((best[index], reading), key=lambda item: item.confidence)
                    wipe(worse.posteriors)
            wipe(logits)
        return [best[index] for index in range(len(detections))]

    def read_rows(self, rows: Sequence[Gray]) -> PlateReading:
        """The reading of a plate that is already cut into its rows, each flat and of the network's size."""
        for slot, row in enumerate(rows):
            self._crops[slot, 0] = row
            self._standardise(self._crops[slot, 0])
        (logits,) = self._pass(len(rows)).run()
        found = [decode(row, self._blank) for row in logits]
        wipe(logits)
        return PlateReading(_joined(found), len(rows), 1.0)

    def forget(self) -> None:
        """Overwrite the crops, and what the runtime may keep of the last pass by a pass over nothing."""
        wipe(self._crops)
        wipe(*self._pass(self._most).run())
        self._most = 1

    def _pass(self, count: int) -> Pass:
        """Over the first so many crops."""
        if count not in self._passes:
            self._passes[count] = self._network.bind(self._crops[:count])
        return self._passes[count]

    def _standardise(self, crop: Gray) -> float:
        """Bring a crop to one mean and contrast, in place; its sharpness, the mean step from pixel to pixel."""
        # The same as in training: (x − mean)·52/max(6, std) + 128, rounded and cut off at 0 and 255.
        # OpenCV's statistics leave no copy of the crop behind, as numpy's do in the heap.
        mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(crop))
        scale = self._std / max(self._min_std, deviation)
        cv2.addWeighted(crop, scale, crop, 0, self._mean - scale * mean, dst=crop)
        return cv2.norm(crop[:, 1:], crop[:, :-1], cv2.NORM_L1) / crop[:, 1:].size


def _clarity(detection: PlateDetection, rows: int, sharpness: float) -> float:
    """How well the picture shows a plate, 0 to 1: its size, its sharpness, and how far it is turned away."""
    a, b, c, d = detection.quad.tolist()
    # The sine between its edges: 1 seen straight on or just rolled, less when it leans.
    lean = _sine(a, b, d) * _sine(c, d, b)
    size = min(detection.width_px * rows / FULL_CLARITY_PX, 1.0)
    return size * size * lean * min(sharpness / FULL_SHARPNESS, 1.0)


def _sine(corner: list[float], one: list[float], other: list[float]) -> float:
    """Of the angle at a corner, between the ways to two others."""
    (x, y), (x1, y1), (x2, y2) = corner, one, other
    across = (x1 - x) * (y2 - y) - (y1 - y) * (x2 - x)
    return abs(across) / max(math.dist(corner, one) * math.dist(corner, other), 1e-6)


def _joined(rows: list[Posteriors]) -> Posteriors:
    """One reading from those of a plate's rows; nothing when one says nothing, for then it is laid out otherwise."""
    if len(rows) == 1:
        return rows[0]
    whole: Posteriors = np.concatenate(rows) if all(map(len, rows)) else rows[0][:0].copy()
    wipe(*rows)
    return whole


def decode(logits: NDArray[np.float32], blank: int) -> Posteriors:
    """Best path of a CTC output (steps, classes): probabilities (characters, classes without the blank).

    A character's row is that of the step which is surest of it; what is missing to 1 is the chance that there is none.
    """
    path = logits.argmax(axis=1)
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    surest: list[int] = []
    for step, value in enumerate(path.tolist()):
        if value == blank:
            continue
        if step and path[step - 1] == value:
            if chances[step, value] > chances[surest[-1], value]:
                surest[-1] = step
        else:
            surest.append(step)
    rows = chances[surest]
    posteriors: Posteriors = np.concatenate([rows[:, :blank], rows[:, blank + 1 :]], axis=1)
    wipe(chances, rows, path)
    return posteriors
