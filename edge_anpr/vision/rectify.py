"""A plate cut out by its four corners and laid flat at the size the OCR takes."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_anpr.datatypes import Corners, Gray, PlateDetection
from edge_anpr.privacy.wipe import wipe

# Room around the plate: the corners are good to about 2 % of the width, and a cut character is worse than a rim. Three
# cuts of one plate err differently: of 451 labelled plates 90.2 % are read from the best one, 90.9 % from these three.
# So the frames of a passage take them in turn, and of a still picture all are read.
MARGINS = (0.05, 0.02, 0.08)
# Where a picture's own border is taken for the plate's.
FILLED_MARGINS = (0.0, -0.03, 0.05)
# One row is 4.7 times as wide as high, two rows 1.2 to 1.6. In between both are tried.
CLEARLY_TWO_ROWS = 1.7
CLEARLY_ONE_ROW = 2.6

# A warp may skip so much, and a plate is warped at most so many times larger than the network's input.
STROKES_KEPT, MOST_FOLD = 1.25, 8


def row_counts(detection: PlateDetection) -> tuple[int, ...]:
    """How many rows of characters the plate's shape allows."""
    aspect = detection.width_px / max(detection.height_px, 1.0)
    if aspect < CLEARLY_TWO_ROWS:
        return (2,)
    return (1,) if aspect > CLEARLY_ONE_ROW else (1, 2)


def rectify(luma: Gray, quad: Corners, out: NDArray[np.uint8], margin: float = MARGINS[0]) -> None:
    """Write the plate into ``out`` (rows, height, width): each of its rows of characters by itself, upper row first.

    ``margin``: room around the plate, in plate widths and heights.
    """
    rows, height, flat_width = out.shape
    flat_height = rows * height
    corners = quad.tolist()
    across = max(math.dist(corners[0], corners[1]), math.dist(corners[3], corners[2])) * (1 + 2 * margin) / flat_width
    # A warp reads one place per pixel; a large plate is warped larger and averaged down, so that no stroke is lost.
    # Halving is the fastest averaging.
    fold = 1
    while across > STROKES_KEPT * fold and fold < MOST_FOLD:
        fold *= 2
    wide, high = flat_width * fold, flat_height * fold
    # Corners lie on pixels' edges, OpenCV counts from their middles.
    left, top = wide * margin / (1 + 2 * margin) - 0.5, high * margin / (1 + 2 * margin) - 0.5
    right, bottom = wide - 1 - left, high - 1 - top
    target = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)
    matrix = cv2.getPerspectiveTransform(quad - np.float32(0.5), target)
    large = cv2.warpPerspective(luma, matrix, (wide, high), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    flat = large if fold == 1 else cv2.resize(large, (flat_width, flat_height), interpolation=cv2.INTER_AREA)
    out[:] = flat.reshape(out.shape)
    wipe(np.asarray(large), np.asarray(flat))


def scale_rows(flat: Gray, out: NDArray[np.uint8]) -> None:
    """Write a plate that is already flat into ``out`` (rows, height, width), as ``rectify`` would."""
    rows, height, width = out.shape
    method = cv2.INTER_AREA if flat.shape[1] > width else cv2.INTER_LINEAR
    out[:] = cv2.resize(flat, (width, rows * height), interpolation=method).reshape(out.shape)
