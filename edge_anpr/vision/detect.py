"""Plates in a picture, as four corners: one pass of a small convolutional network over a gray plane."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_anpr.datatypes import Box, Gray, PlateDetection
from edge_anpr.privacy.wipe import wipe
from edge_anpr.vision.session import Network

# Cells that describe one plate overlap more than this; their mean, weighted by score², is the plate.
SAME_PLATE = 0.6
# What is left and overlaps a better plate this much is a part of it.
PART_OF_PLATE = 0.3
MOST_CELLS = 400
AVERAGE_BELOW = 0.6


class Detector:
    """Finds plates in ``Frame.lores``; quads and boxes come back in pixels of ``Frame.luma``.

    The input buffer and the table of cell centres are made once; ``forget`` overwrites what the last picture left.
    """

    def __init__(self, network: Network, threshold: float) -> None:
        self._network, self._threshold = network, threshold
        card = network.card
        self._stride = int(card.fields["stride"])
        self._pad = int(card.fields["input"]["pad"])
        self._input: NDArray[np.uint8] = np.full((1, 1, card.height, card.width), self._pad, np.uint8)
        self._fitted = (card.height, card.width)

    def find(self, lores: Gray, luma_width_px: int) -> list[PlateDetection]:
        """Plates in a picture, best first. ``luma_width_px`` is the width of the full picture."""
        scale = self._fit(lores)
        score, box, quad = self._network.run(self._input)
        to_luma = luma_width_px / lores.shape[1] / scale
        found = decode(score[0, 0], box[0], quad[0], self._threshold, self._stride)
        return [
            PlateDetection(Box(*(float(value) * to_luma for value in box)), (quad * to_luma).astype(np.float32), score)
            for box, quad, score in found
        ]

    def forget(self) -> None:
        """Overwrite the input, and what the runtime may keep of the last pass by a pass over an empty picture."""
        wipe(self._input)
        self._network.run(self._input)
        self._fitted = (0, 0)

    def _fit(self, lores: Gray) -> float:
        height, width = self._input.shape[2:]
        scale = min(height / lores.shape[0], width / lores.shape[1])
        rows, columns = round(lores.shape[0] * scale), round(lores.shape[1] * scale)
        if self._fitted != (rows, columns):
            self._input.fill(self._pad)
            self._fitted = rows, columns
        place = self._input[0, 0, :rows, :columns]
        # Averaging is for pictures that lose more than every other pixel; it costs six times as much as interpolating.
        method = cv2.INTER_LINEAR if scale > AVERAGE_BELOW else cv2.INTER_AREA
        cv2.resize(lores, (columns, rows), dst=place, interpolation=method)
        return float(scale)


def decode(
    score: NDArray[np.float32],
    box: NDArray[np.float32],
    quad: NDArray[np.float32],
    threshold: float,
    stride: int,
) -> list[tuple[NDArray[np.float32], NDArray[np.float32], float]]:
    """Plates from the three heads: (box [left, top, width, height], quad (4, 2), score), best first, input pixels.

    ``score`` (H, W) is 0 to 1; ``box`` (4, H, W) holds log distances to the four sides in strides, ``quad`` (8, H, W)
    signed log offsets of the corners.
    """
    rows, columns = np.nonzero(score >= threshold)
    if not len(rows):
        return []
    weights = score[rows, columns]
    order = np.argsort(-weights, kind="stable")[:MOST_CELLS]
    rows, columns, weights = rows[order], columns[order], weights[order]
    centres = (np.stack([columns, rows], axis=1).astype(np.float32) + 0.5) * stride
    sides = stride * np.exp(np.minimum(box[:, rows, columns].T, 6.0))
    edges = np.concatenate([centres - sides[:, :2], centres + sides[:, 2:]], axis=1)
    offsets = quad[:, rows, columns].T.reshape(-1, 4, 2)
    corners = centres[:, None] + stride * np.sign(offsets) * np.expm1(np.minimum(np.abs(offsets), 6.0))
    found: list[tuple[NDArray[np.float32], NDArray[np.float32], float]] = []
    kept = np.empty((0, 4), np.float32)
    free = np.ones(len(weights), np.bool_)
    for index in range(len(weights)):
        if not free[index]:
            continue
        overlaps = _overlaps(edges[index], edges)
        members = free & (overlaps > SAME_PLATE)
        free &= overlaps <= PART_OF_PLATE
        if len(kept) and _overlaps(edges[index], kept).max() > PART_OF_PLATE:
            continue
        share = weights[members] ** 2
        share /= share.sum()
        mean = share @ edges[members]
        kept = np.vstack([kept, mean])
        plate = np.array([mean[0], mean[1], mean[2] - mean[0], mean[3] - mean[1]], np.float32)
        found.append((plate, np.einsum("n,nij->ij", share, corners[members]), float(weights[index])))
    return found


def _overlaps(one: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of one box with each of others, (left, top, right, bottom)."""
    width = np.minimum(one[2], others[:, 2]) - np.maximum(one[0], others[:, 0])
    height = np.minimum(one[3], others[:, 3]) - np.maximum(one[1], others[:, 1])
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    areas = (others[:, 2] - others[:, 0]) * (others[:, 3] - others[:, 1])
    overlaps: NDArray[np.float32] = shared / ((one[2] - one[0]) * (one[3] - one[1]) + areas - shared)
    return overlaps
